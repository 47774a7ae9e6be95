"""Checks a bucket's lifecycle rules and versioning: what they delete, archive and keep."""

import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from s3_manifest_cli.client.doctor.findings import Finding, error, notice, ok, or_ok, warning

CHECK, VERSIONING = "lifecycle", "versioning"

_ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class Retention(NamedTuple):
    """A bucket, where its manifests and collections are, and what is kept.

    ``unnoticed``: the prefixes below which lifecycle expiry sends no event to the queue. ``is_own``: the stack
    created the bucket. ``fix``: the command that subscribes the queue to all events.
    """

    bucket: str
    root: str
    prefixes: Sequence[str]
    unnoticed: AbstractSet[str] = frozenset()
    history_days: int = 0
    is_own: bool = False
    versioning: str = ""
    fix: str = ""


class _Rule(NamedTuple):
    """``is_partial``: only objects of some tag or size. ``expiry``: when it deletes objects, in words, or empty."""

    name: str
    prefix: str
    is_partial: bool
    expiry: str
    noncurrent_days: int | None
    archives: bool

    def overlaps(self, prefix: str) -> bool:
        return self.prefix.startswith(prefix) or prefix.startswith(self.prefix)


def check(configuration: Mapping[str, Any], retention: Retention) -> list[Finding]:
    """Checks what the rules do to manifests and data."""
    rules = [_rule(item) for item in configuration.get("Rules", ()) if item.get("Status") == "Enabled"]
    findings = [*_manifests(rules, retention), *_data(rules, retention)]
    return or_ok(findings, CHECK, retention.bucket, "no rule removes manifests or data")


def check_versioning(retention: Retention) -> list[Finding]:
    """Checks whether deleted and overwritten objects can be restored."""
    if retention.versioning == "Enabled":
        return [ok(VERSIONING, retention.bucket, "deleted and overwritten objects can be restored")]
    state = retention.versioning.lower() or "off"
    text = f"versioning is {state}: deleted and overwritten objects cannot be restored"
    remedy = (
        f"aws s3api put-bucket-versioning --bucket {retention.bucket} --versioning-configuration Status=Enabled"
        " (has no effect on earlier changes)"
    )
    # The stack versions its own bucket; an existing bucket is its owner's choice.
    report = warning if retention.is_own else notice
    return [report(VERSIONING, retention.bucket, text, remedy)]


def _rule(item: Mapping[str, Any]) -> _Rule:
    filters = item.get("Filter", {})
    both = filters.get("And", {})
    expiration = item.get("Expiration", {})
    days, date = expiration.get("Days"), expiration.get("Date")
    return _Rule(
        name=item.get("ID", "without an id"),
        prefix=item.get("Prefix") or filters.get("Prefix") or both.get("Prefix") or "",
        is_partial=bool(set(filters) - {"Prefix", "And"} or set(both) - {"Prefix"}),
        expiry=f"{days} days after they were written" if days else f"on {str(date)[:10]}" if date else "",
        noncurrent_days=item.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        archives=any(t.get("StorageClass") in _ARCHIVE_CLASSES for t in item.get("Transitions", ())),
    )


def _manifests(rules: Sequence[_Rule], retention: Retention) -> Iterator[Finding]:
    root = retention.root
    for rule in rules:
        if not rule.overlaps(root):
            continue
        objects = "some objects" if rule.is_partial else "objects"
        remedy = f"give rule {rule.name!r} a prefix that excludes {root!r}, such as the prefix of its data"
        if rule.expiry:
            text = (
                f"rule {rule.name!r} deletes {objects} below it {rule.expiry}: manifests that have not changed since,"
            )
            yield error(CHECK, root, f"{text} and pages that are still in use", remedy)
        if rule.archives:
            text = f"rule {rule.name!r} archives {objects} below it: archived manifests cannot be read"
            yield error(CHECK, root, text, remedy)
    is_versioned = retention.versioning in {"Enabled", "Suspended"}
    whole = [rule for rule in rules if root.startswith(rule.prefix) and not rule.is_partial]
    if is_versioned and not any(rule.noncurrent_days for rule in whole):
        missing = {
            "ID": "old-manifests",
            "Status": "Enabled",
            "Filter": {"Prefix": root},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        }
        yield notice(
            CHECK,
            root,
            "no rule removes old versions of manifests, which only cost storage",
            "add this rule to the existing ones (aws s3api put-bucket-lifecycle-configuration replaces them all):"
            f" {json.dumps(missing)}",
        )


def _data(rules: Sequence[_Rule], retention: Retention) -> Iterator[Finding]:
    for prefix in retention.prefixes:
        for rule in rules:
            if not rule.overlaps(prefix):
                continue
            text = (
                f"rule {rule.name!r} deletes {'some objects' if rule.is_partial else 'objects'} below it {rule.expiry}"
            )
            if rule.expiry and prefix not in retention.unnoticed:
                yield notice(CHECK, prefix, text)
            elif rule.expiry:
                yield warning(CHECK, prefix, f"{text}, and the queue receives no event for it", retention.fix)
            if (days := rule.noncurrent_days) and retention.versioning == "Enabled":
                shorter = f"; the history keeps {retention.history_days}" if days < retention.history_days else ""
                text = f"rule {rule.name!r}: deleted and overwritten objects can be restored for {days} days{shorter}"
                yield notice(CHECK, prefix, text)
