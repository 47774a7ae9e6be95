"""Builds zips of the functions and the layer with pip alone, as `sam build` does."""

import compileall
import fcntl
import hashlib
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

PROJECT = Path(__file__).resolve().parents[3]
"""The checkout whose template and sources the local stack deploys."""

_LAYER = PROJECT / "layers" / "manifest"
_SERVICES = {"s3", "sqs", "events"}


class BuildFailed(click.ClickException):
    """An artifact could not be built; the text has the tool's output."""


def function_zip(code: Path) -> bytes:
    """Returns the zip of a function's folder."""
    target = cache_folder() / f"{code.name}-{_digest([code])}.zip"
    with _locked():
        if not target.exists():
            _zip(target, {path.relative_to(code): path for path in _files(code)})
    return target.read_bytes()


def layer_zip() -> bytes:
    """Returns the zip of the layer: its dependencies for this Python, and the package, below ``python/``."""
    target = cache_folder() / f"layer-{_digest([_LAYER, Path(__file__)])}.zip"
    with _locked():
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
                shutil.copytree(
                    _LAYER / "s3_manifest",
                    Path(folder) / "s3_manifest",
                    ignore=shutil.ignore_patterns("__pycache__"),
                )
                _compile(Path(folder))
                members = _without_sources(_below(_dependencies())) | _below(Path(folder))
                _zip(target, {Path("python") / name: path for name, path in members.items() if _is_used(name)})
    return target.read_bytes()


def layer_is_built() -> bool:
    """Whether its dependencies are installed already."""
    return _dependencies_folder().exists()


def _dependencies() -> Path:
    folder = _dependencies_folder()
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    requirements = _LAYER / "requirements.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    result = subprocess.run(
        [*pip, "--target", unfinished, "--requirement", requirements], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BuildFailed(f"pip could not install {requirements}:\n{result.stderr}")
    _compile(unfinished)
    return unfinished.rename(folder)


def _compile(folder: Path) -> None:
    """Compiles once instead of in each worker; without timestamps, which unpacking a zip changes."""
    compileall.compile_dir(folder, quiet=2, workers=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _without_sources(members: Mapping[Path, Path]) -> dict[Path, Path]:
    """Puts compiled modules into the place of their sources: each worker unpacks, and leaves to remove, fewer files."""
    compiled = {
        name.parents[1] / f"{name.name.partition('.')[0]}.pyc": path
        for name, path in members.items()
        if name.suffix == ".pyc"
    }
    replaced = {name.with_suffix(".py") for name in compiled}
    others = {name: path for name, path in members.items() if name.suffix != ".pyc" and name not in replaced}
    return compiled | others


def _is_used(name: Path) -> bool:
    """Whether a worker needs the file: botocore describes thousands of unused operations."""
    is_service = name.parts[:2] == ("botocore", "data") and len(name.parts) > 3
    return not is_service or name.parts[2] in _SERVICES


def _dependencies_folder() -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_folder() / f"dependencies-{version}-{_digest([_LAYER / 'requirements.txt'])}"


def cache_folder() -> Path:
    """Returns the folder of built artifacts, below the checkout."""
    folder = PROJECT / ".local"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _locked() -> Iterator[None]:
    # Of several processes that need an artifact, one builds it and the others wait.
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in (file for folder in paths for file in _files(folder)):
        digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _below(folder: Path) -> dict[Path, Path]:
    return {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _zip(target: Path, members: dict[Path, Path]) -> None:
    # Not compressed: it stays on this machine, and each worker unpacks it.
    unfinished = target.with_suffix(".unfinished")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(members.items()):
            archive.write(path, name)
    unfinished.rename(target)
