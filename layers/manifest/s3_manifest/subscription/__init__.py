"""The CloudFormation custom resource that subscribes the change queue to the bucket's changes.

Imports ``aws``, ``storage`` and ``manifest``.
"""
