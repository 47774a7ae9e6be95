"""Deploys the template on this machine, without an AWS account: ``s3-manifest local`` and the tests."""
