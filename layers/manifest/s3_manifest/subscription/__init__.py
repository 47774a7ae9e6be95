"""The CloudFormation custom resource that subscribes the change queue to the changes of the stack's buckets.

Imports ``manifest`` and ``storage``.
"""
