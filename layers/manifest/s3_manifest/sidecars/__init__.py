"""Reads captions, ``prompt_metadata.json``, ``metadata.*`` and ``collection.json``, and applies them to files.

Pure. Imports ``manifest``.
"""
