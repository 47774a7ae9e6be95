"""Compares manifests with listings of their buckets: repairs drift, collects garbage, rebuilds unreadable manifests.

Every write goes through ``reconcile``. May import ``reconcile`` and the wings below it.
"""
