"""Reading manifests: pages and filters, history and the change feed, the catalogue, actors, statistics, waiting.

Never writes. Imports ``manifest``, ``sidecars``, ``storage`` and, for change records, ``reconcile``.
"""
