"""How a part of this program that is not installed is installed, wherever it runs."""

import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


def install_command(extra: str) -> str:
    """The command that installs an extra into this Python: from the checkout, where it runs from one."""
    is_checkout = (_CHECKOUT / "pyproject.toml").is_file()
    what = f"--editable '{_CHECKOUT}[{extra}]'" if is_checkout else f"'s3-manifest[{extra}]'"
    return f"{sys.executable or 'python'} -m pip install {what}"
