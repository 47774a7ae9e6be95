"""Moving bytes between files and objects: downloads, uploads, copies; resumable, verified, cancellable.

Imports ``access``, ``local`` and ``verify``.
"""
