"""The findings of an examination."""

from collections.abc import Iterable
from functools import partial
from typing import Literal

from s3_manifest.manifest.model import Frozen, Timestamp

Severity = Literal["ok", "notice", "warning", "error", "not_checked"]
"""``notice``: worth knowing, not a problem. ``not_checked``: the state is unknown, which is never ``ok``."""


class Finding(Frozen):
    """The result of a ``check`` for a ``subject`` (a prefix, a queue …), and ``mend``, the remedy.

    ``bucket``: the bucket that it is about; empty if it is about the stack.
    """

    check: str
    severity: Severity
    subject: str
    found: str
    mend: str = ""
    bucket: str = ""


class Examination(Frozen):
    """The findings about a stack, in the order of the checks. ``fixed``: errors that ``fix`` repaired.

    Without a stack, ``stack`` is empty and ``bucket`` is the bucket's name.
    """

    stack: str
    bucket: str = ""
    examined_at: Timestamp
    findings: tuple[Finding, ...]
    fixed: tuple[Finding, ...] = ()

    def with_severity(self, *severities: Severity) -> tuple[Finding, ...]:
        """Returns the findings of these severities."""
        return tuple(finding for finding in self.findings if finding.severity in severities)

    @property
    def exit_code(self) -> int:
        """0: no problems. 1: there are warnings or errors. 3: neither, but some checks could not be made."""
        return 1 if self.with_severity("warning", "error") else 3 if self.with_severity("not_checked") else 0


def _finding(severity: Severity, check: str, subject: str, text: str, remedy: str = "") -> Finding:
    return Finding(check=check, severity=severity, subject=subject, found=text, mend=remedy)


ok = partial(_finding, "ok")
notice = partial(_finding, "notice")
warning = partial(_finding, "warning")
error = partial(_finding, "error")
not_checked = partial(_finding, "not_checked")


def or_ok(findings: Iterable[Finding], check: str, subject: str, text: str) -> list[Finding]:
    """Returns the findings, or one that all is well if there are none."""
    return list(findings) or [ok(check, subject, text)]


def shorten(names: list[str]) -> str:
    """Joins the names; of more than five only the first five, with a count of the others."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
