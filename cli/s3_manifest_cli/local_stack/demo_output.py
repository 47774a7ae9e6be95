"""What the parts of the demo share: headlines, printed requests, and one error."""

import json

import click

from s3_manifest_cli.local_stack.stack import Answer, Query, Stack


class DemoFailed(click.ClickException):
    """The stack or a command did not do what the demo expects."""


def headline(text: str) -> None:
    """Prints the title of a step."""
    click.secho(f"\n{text}", bold=True)


def print_json(body: object) -> None:
    """Prints JSON, indented."""
    for line in json.dumps(body, indent=2, ensure_ascii=False).splitlines():
        click.echo(f"    {line}")


def url(path: str, query: Query | None) -> str:
    """Returns the path with its query, in readable form."""
    return path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")


def request(stack: Stack, method: str, path: str, query: Query | None = None, body: object = None) -> Answer:
    """Sends and prints a request to the HTTP API. Raises ``DemoFailed`` unless it is answered with 2xx."""
    content = "" if body is None or len(json.dumps(body)) > 100 else f" {json.dumps(body)}"
    answer = stack.send(method, path, body, query)
    click.echo(f"  {method} {url(path, query)}{content} -> {answer.status}")
    if not 200 <= answer.status < 300:
        raise DemoFailed(f"{method} {url(path, query)} -> {answer.status}: {answer.body}")
    return answer
