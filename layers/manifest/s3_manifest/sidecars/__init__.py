"""Captions, ``prompt_metadata.json``, ``metadata.*`` and ``collection.json``: what they say about which files.

Pure. Imports ``manifest``.
"""
