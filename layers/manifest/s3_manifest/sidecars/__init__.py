"""Captions, ``prompt_metadata.json``, ``metadata.*`` and ``collection.json``: reading them, and which files they describe.

Pure. Imports ``manifest``.
"""
