"""The CloudFormation custom resource that subscribes the change queue to the bucket's changes.

Imports ``manifest`` and ``storage``.
"""
