"""Lambda: the HTTP API that changes data in S3. It cannot write below the manifest root."""

from functools import partial

from s3_manifest.http.app import resolve
from s3_manifest.http.edit_routes import app, logger

handler = logger.inject_lambda_context(partial(resolve, app), clear_state=True)
"""Answers an HTTP API request (payload 2.0)."""
