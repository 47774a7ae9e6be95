"""How this program, or a part of it that is missing, is installed, wherever it runs."""

import shlex
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


def install_command(extra: str) -> str:
    """The command that installs an extra into this Python: from the checkout, where it runs from one."""
    what = f"--editable '{_CHECKOUT}[{extra}]'" if _is_checkout() else f"'s3-manifest[{extra}]'"
    return f"{sys.executable or 'python'} -m pip install {what}"


def upgrade_command() -> str:
    """The command that installs the newest version: of a checkout, the newest commit."""
    if _is_checkout():
        return f"git -C {shlex.quote(str(_CHECKOUT))} pull"
    return f"{sys.executable or 'python'} -m pip install -U s3-manifest"


def _is_checkout() -> bool:
    return (_CHECKOUT / "pyproject.toml").is_file()
