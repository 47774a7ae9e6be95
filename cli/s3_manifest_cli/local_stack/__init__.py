"""The deployed template on one machine, without an AWS account: ``s3-manifest local`` and the demo."""
