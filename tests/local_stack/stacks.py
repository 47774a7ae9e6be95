"""Stacks deployed as `sam deploy` does, and deleted; and unsigned requests."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.request import Request

from s3_manifest_cli.local_stack.platform import Platform
from s3_manifest_cli.local_stack.stack import Answer, Stack, deployment_request, existing_stack, http_send


def deploy_by_change_set(platform: Platform, name: str, parameters: Mapping[str, str] | None = None) -> Stack:
    """Creates or updates a stack with a change set; raises ``botocore.exceptions.WaiterError`` if it fails."""
    cloudformation: Any = platform.client("cloudformation")
    exists = any(
        summary["StackName"] == name and summary["StackStatus"] != "DELETE_COMPLETE"
        for page in cloudformation.get_paginator("list_stacks").paginate()
        for summary in page["StackSummaries"]
    )
    change_set, kind = f"{name}-{time.time_ns()}", "UPDATE" if exists else "CREATE"
    request = deployment_request(platform, name, parameters)
    cloudformation.create_change_set(ChangeSetName=change_set, ChangeSetType=kind, **request)
    created = cloudformation.get_waiter("change_set_create_complete")
    created.wait(StackName=name, ChangeSetName=change_set, WaiterConfig={"Delay": 1})
    cloudformation.execute_change_set(StackName=name, ChangeSetName=change_set)
    deployed = cloudformation.get_waiter(f"stack_{kind.lower()}_complete")
    deployed.wait(StackName=name, WaiterConfig={"Delay": 1})
    return existing_stack(platform, name)


def delete(platform: Platform, name: str) -> None:
    """Deletes a stack; raises ``botocore.exceptions.WaiterError`` if it fails."""
    cloudformation: Any = platform.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def http_get(url: str, headers: Mapping[str, str]) -> Answer:
    """Sends an unsigned GET; returns errors too."""
    return http_send(Request(url, headers=dict(headers)))
