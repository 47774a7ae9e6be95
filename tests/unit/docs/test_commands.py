"""The client page: the table of commands has each command with the first sentence of its help."""

import re

import click
import pytest
from unit.docs.pages import page

from s3_manifest_cli.main import main

CLIENT = page("client")


def usages():
    """Each command's usage without its options, and the first sentence of its help."""
    top = click.Context(main, info_name="s3-manifest", **main.context_settings)
    for name in main.list_commands(top):
        command = main.get_command(top, name)
        pieces = command.collect_usage_pieces(click.Context(command, info_name=name, parent=top))
        usage = " ".join([name, *(piece for piece in pieces if piece != "[OPTIONS]")])
        yield usage, " ".join(command.help.partition("\n\n")[0].split()).removesuffix(".")


def test_the_table_has_each_command_as_its_help_describes_it():
    table = re.findall(r"^\| `(.+?)` \| (.+) \|$", CLIENT, re.MULTILINE)
    commands = [(usage, summary) for usage, summary in usages() if not usage.startswith("local ")]
    assert table[: len(commands)] == commands


@pytest.mark.parametrize("name", [name for usage, _ in usages() if (name := usage.split()[0]) != "local"])
def test_each_command_has_the_options_that_the_page_lists_for_all(name):
    command = main.get_command(None, name)
    options = {option for parameter in command.params for option in parameter.opts}
    if name not in {"migrate", "doctor"}:
        assert {"--json", "--quiet", "--bucket", "--stack", "--api-url", "--profile"} <= options
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))
    assert all(word in CLIENT for word in ("`--json`", "`--quiet`", "`--bucket`", "`--stack`", "`--api-url`"))
