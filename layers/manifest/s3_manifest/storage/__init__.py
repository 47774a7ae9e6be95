"""Object stores, S3 and in memory, behind one interface; heads, pages and change records in a store.

``ClientError`` is translated here and nowhere else. Imports ``manifest`` and ``sidecars``.
"""
