"""Lambda: the HTTP API that answers from manifests. It reads, and may ask for sweeps; it cannot write."""

from functools import partial

from s3_manifest.http.app import resolve
from s3_manifest.http.query_app import app, logger

handler = logger.inject_lambda_context(partial(resolve, app), clear_state=True)
"""Answers an HTTP API request (payload 2.0)."""
