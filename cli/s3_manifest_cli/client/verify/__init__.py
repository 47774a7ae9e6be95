"""Comparing a local folder, or the bucket itself, with a manifest, and proving each file's bytes.

Imports ``access``, ``local`` and ``manifests``.
"""
