"""A listing of the bucket against the manifest: drift is repaired, garbage collected, an unreadable manifest rebuilt.

Every write goes through ``reconcile``. Imports ``reconcile`` and the wings below it.
"""
