"""Compares manifests with listings of the bucket: repairs drift, collects garbage, rebuilds unreadable manifests.

Every write goes through ``reconcile``. May import ``reconcile`` and the wings below it.
"""
