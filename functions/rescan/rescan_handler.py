"""Lambda: the HTTP API that asks for sweeps. It can put jobs into the sweep queue, and nothing else."""

from functools import partial

from s3_manifest.http.app import resolve
from s3_manifest.http.rescan_routes import app, logger

handler = logger.inject_lambda_context(partial(resolve, app), clear_state=True)
"""Answers an HTTP API request (payload 2.0)."""
