"""Commands that install missing extras or upgrade this program, for the way in which it was installed."""

import shlex
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


def install_command(extra: str) -> str:
    """The command that installs an extra into this Python, from the checkout if it runs from one."""
    package = f"--editable '{_CHECKOUT}[{extra}]'" if _is_checkout() else f"'s3-manifest[{extra}]'"
    return f"{sys.executable or 'python'} -m pip install {package}"


def upgrade_command() -> str:
    """The command that installs the newest version, or updates the checkout."""
    if _is_checkout():
        return f"git -C {shlex.quote(str(_CHECKOUT))} pull"
    return f"{sys.executable or 'python'} -m pip install -U s3-manifest"


def _is_checkout() -> bool:
    return (_CHECKOUT / "pyproject.toml").is_file()
