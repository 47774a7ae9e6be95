"""What an examination of a deployed stack found."""

from typing import Literal

from s3_manifest.manifest.model import Frozen, Timestamp

Severity = Literal["ok", "notice", "warning", "error", "not_checked"]
"""``notice``: to be known, though nothing is wrong. ``not_checked``: nothing is known, least of all that it is well."""


class Finding(Frozen):
    """What a ``check`` found of a ``subject`` (a prefix, a queue …), and the ``mend``, if it needs one."""

    check: str
    severity: Severity
    subject: str
    found: str
    mend: str = ""


class Examination(Frozen):
    """What was found of a stack, in the order of the checks. ``fixed``: what was found wrong first, and mended.

    Of a ``bucket`` that was examined without a stack, ``stack`` is empty.
    """

    stack: str
    bucket: str = ""
    examined_at: Timestamp
    findings: tuple[Finding, ...]
    fixed: tuple[Finding, ...] = ()

    def of(self, *severities: Severity) -> tuple[Finding, ...]:
        """The findings that are so severe."""
        return tuple(one for one in self.findings if one.severity in severities)

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong. 1: there are warnings or errors. 3: there are none, but not all could be checked."""
        return 1 if self.of("warning", "error") else 3 if self.of("not_checked") else 0


def ok(check: str, subject: str, found: str) -> Finding:
    """All is well with the subject."""
    return Finding(check=check, severity="ok", subject=subject, found=found)


def notice(check: str, subject: str, found: str, mend: str = "") -> Finding:
    """Something to know of the subject."""
    return Finding(check=check, severity="notice", subject=subject, found=found, mend=mend)


def warning(check: str, subject: str, found: str, mend: str) -> Finding:
    """Manifests may become late or wrong for it."""
    return Finding(check=check, severity="warning", subject=subject, found=found, mend=mend)


def error(check: str, subject: str, found: str, mend: str) -> Finding:
    """Manifests are or become late or wrong for it."""
    return Finding(check=check, severity="error", subject=subject, found=found, mend=mend)


def not_checked(check: str, subject: str, found: str, mend: str = "") -> Finding:
    """Nothing is known of the subject; ``found`` says why."""
    return Finding(check=check, severity="not_checked", subject=subject, found=found, mend=mend)


def some(names: list[str]) -> str:
    """The names, or the first few of many."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
