"""``python -m s3_manifest_cli`` is ``s3-manifest``."""

from s3_manifest_cli.program import run

run()
