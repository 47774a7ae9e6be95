"""A module imports from its own wing and from lower wings, never from a higher one; folders stay small."""

import ast
import re
from pathlib import Path

import pytest
from unit.docs.pages import CONTRIBUTING

import s3_manifest
import s3_manifest_cli

LAYER = Path(s3_manifest.__file__).parent
CLI = Path(s3_manifest_cli.__file__).parent

LAYER_WINGS = (
    "manifest",
    "sidecars",
    "storage",
    "reconcile",
    "sweep",
    "query",
    "edits",
    "aws",
    "subscription",
    "http",
)
"""Folders of the layer, the lowest first."""

CLI_WINGS = (
    "errors.py",
    "extras.py",
    "client/access",
    "client/local",
    "client/manifests",
    "client/verify",
    "client/transfer",
    "client/sync",
    "client/bulk",
    "client/export",
    "client/doctor",
    "__init__.py",
    "terminal",
    "commands",
    "training_data",
    "migration",
    "local_stack",
    ("main.py", "program.py", "__main__.py"),
)
"""Folders and top-level modules of the command, the lowest first; the program starts itself in three steps."""

MAX_MODULES = 12


def wing_of(file, root, wings):
    path = file.relative_to(root).as_posix()
    parts = ((wing, part) for wing in wings for part in ((wing,) if isinstance(wing, str) else wing))
    return next((wing for wing, part in parts if path == part or path.startswith(part + "/")), None)


def imports_of(file):
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def file_of(dotted, root):
    """The file of the longest part of a dotted name that is a module below ``root``; None for anything else."""
    package, *parts = dotted.split(".")
    if package != root.name:
        return None
    for length in range(len(parts), -1, -1):
        path = root.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file() and file != root.with_suffix(".py"):
                return file
    return None


def upward_imports(root, wings):
    for file in sorted(root.rglob("*.py")):
        wing = wing_of(file, root, wings)
        for target in {file_of(dotted, root) for dotted in imports_of(file)} - {None, root / "__init__.py"}:
            if wings.index(wing_of(target, root, wings)) > wings.index(wing):
                yield f"{file.relative_to(root)} imports {target.relative_to(root)}"


def test_no_module_of_the_layer_imports_from_a_higher_wing():
    modules = [file for file in LAYER.rglob("*.py") if file.parent != LAYER]
    assert not [file for file in modules if wing_of(file, LAYER, LAYER_WINGS) is None]
    assert not list(upward_imports(LAYER, ("__init__.py", *LAYER_WINGS)))


def test_no_module_of_the_command_imports_from_a_higher_wing():
    assert not list(upward_imports(CLI, ("client/__init__.py", *CLI_WINGS)))


def test_the_layer_never_imports_the_command():
    for file in LAYER.rglob("*.py"):
        assert not [name for name in imports_of(file) if name.startswith(CLI.name)], file


def test_the_diagram_in_contributing_shows_each_wing_from_the_highest_to_the_lowest():
    rows = [line for line in CONTRIBUTING.read_text().splitlines() if line.startswith(("│", "├"))]
    layer = [name for row in rows if (name := re.match(r"│ (\w+) ", row))]
    command = [name for row in rows if (name := re.search(r"(?:│|┤) +│ ([\w/]+) ", row))]
    assert [match[1] for match in layer] == [*reversed(LAYER_WINGS)]
    folders = [wing for wing in CLI_WINGS if isinstance(wing, str) and not wing.endswith(".py")]
    assert [match[1] for match in command] == [*reversed(folders)]


def test_an_upward_import_is_reported_with_both_files(tmp_path):
    root = tmp_path / "package"
    for path, text in {"low/a.py": "def lazy():\n    from package.high import b\n", "high/b.py": ""}.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    assert list(upward_imports(root, ("low", "high"))) == ["low/a.py imports high/b.py"]


@pytest.mark.parametrize("root", [LAYER, CLI], ids=lambda root: root.name)
def test_a_folder_has_at_most_twelve_modules(root):
    for folder in {file.parent for file in root.rglob("*.py")}:
        modules = [file.name for file in folder.glob("*.py") if file.name != "__init__.py"]
        assert len(modules) <= MAX_MODULES, folder


@pytest.mark.parametrize("root", [LAYER, CLI], ids=lambda root: root.name)
def test_each_wing_states_its_purpose_and_what_it_may_import(root):
    for file in root.rglob("*/__init__.py"):
        assert len(ast.get_docstring(ast.parse(file.read_text())) or "") > 40, file
