"""From an S3 event to a commit: decode, load, observe, apply, save.

The commit protocol is in ``commit``; read its docstring first. Imports ``manifest``, ``sidecars`` and ``storage``.
"""
