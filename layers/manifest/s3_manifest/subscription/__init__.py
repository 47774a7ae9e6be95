"""The CloudFormation custom resource that subscribes the change queue to a bucket's notifications.

Imports ``aws`` and ``manifest``.
"""
