"""Reading manifests from S3 or over HTTP, with a cache: revisions, history, differences, rescans.

Imports ``access`` and ``local``.
"""
