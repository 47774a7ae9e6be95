"""The layer that workers of the local stack unpack."""

import subprocess
import sys

from s3_manifest_cli.local_stack import artifacts


def test_dependencies_are_imported_without_their_sources(tmp_path):
    installed, unpacked = tmp_path / "installed", tmp_path / "unpacked"
    (installed / "package").mkdir(parents=True)
    (installed / "package" / "__init__.py").write_text("from package.module import name")
    (installed / "package" / "module.py").write_text("name = __name__")
    (installed / "package" / "module.json").write_text("{}")
    (installed / "broken.py").write_text("is not Python")
    artifacts._compile(installed)
    members = artifacts._without_sources(artifacts._below(installed))
    assert {str(name) for name in members} == {
        "package/__init__.pyc",
        "package/module.pyc",
        "package/module.json",
        "broken.py",
    }
    for name, path in members.items():
        (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / name).write_bytes(path.read_bytes())
    command = [sys.executable, "-c", "import package; print(package.name)"]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("package.module\n", "")
