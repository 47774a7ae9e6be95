"""Moving bytes between files and objects: downloads, uploads and copies; resumable, verified, cancellable.

Imports ``access``, ``local`` and ``verify``.
"""
