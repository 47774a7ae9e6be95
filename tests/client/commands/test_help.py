"""The help of every command: complete, readable in a terminal of 80 columns, and with examples that work."""

import shlex

import click
import pytest
from click.testing import CliRunner

from s3_manifest_cli.main import _COMMANDS, _GROUPS, main

COLUMNS = 80


def commands():
    """Each command with its arguments' prefix, subcommands included."""
    top = click.Context(main, info_name="s3-manifest", **main.context_settings)
    for name in main.list_commands(top):
        command = main.get_command(top, name)
        yield (name,), command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=top)
            yield from (
                ((name, child), command.get_command(context, child)) for child in command.list_commands(context)
            )


COMMANDS = list(commands())
each_command = pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])


def help_of(*path, option="--help"):
    return CliRunner().invoke(main, [*path, option], env={"COLUMNS": "200"}, catch_exceptions=False).stdout


def examples(command):
    lines = map(str.strip, (command.help or "").splitlines())
    return [shlex.split(line)[1:] for line in lines if line.startswith("s3-manifest ")]


def test_the_commands_are_listed_in_groups_with_complete_sentences():
    text = help_of()
    positions = [text.index(f"\n{title}:\n") for title in _GROUPS]
    assert positions == sorted(positions)
    words = " ".join(text.split())
    for name, command in _COMMANDS.items():
        assert f"{name} {command.summary}" in words
        assert command.summary.endswith(".")


@each_command
def test_the_short_option_prints_the_same_help(path, command):
    assert help_of(*path, option="-h") == help_of(*path)


@pytest.mark.parametrize("path", [(), *(path for path, _ in COMMANDS)], ids=" ".join)
def test_help_fits_a_terminal_of_80_columns(path):
    assert [line for line in help_of(*path).splitlines() if len(line) > COLUMNS] == []


@each_command
def test_help_consists_of_complete_sentences(path, command):
    assert command.help.partition("\n\n")[0].endswith(".")
    for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
        text = option.help.partition("  [env:")[0]
        assert text[0].isupper(), option.name
        assert text.endswith("."), option.name
        assert ("(repeatable)" in text) == option.multiple, option.name


@each_command
def test_each_example_parses(path, command, tmp_path, monkeypatch):
    assert examples(command)
    (tmp_path / "data").mkdir()
    for arguments in examples(command):
        words = [str(tmp_path) if word.startswith("/") else word for word in arguments]
        name, *rest = words
        context = main.make_context("s3-manifest", words)
        with context:
            child = main.get_command(context, name)
            assert child.make_context(name, rest, parent=context)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ls", "info", "history", "diff", "status", "verify", "pull", "push", "sync", "restore", "export"]
)
def test_each_example_runs(name, sides, monkeypatch, tmp_path):
    sides.put("fox.png")
    sides.put("owl.png")
    monkeypatch.chdir(tmp_path)
    sides.call("pull", "style/16", "pictures")
    sides.call("pull", "style/*", "data/styles/{id}")
    for arguments in examples(main.get_command(None, name)):
        if "--at" in arguments or any("@2026" in word for word in arguments):
            continue  # of a time before this collection existed
        words = [word for word in arguments if word not in ("--wait", "20")]
        sides.call(*words, exit_code=1 if name == "diff" else 0)
