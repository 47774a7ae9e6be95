"""Checks a bucket's lifecycle rules and versioning: what they delete, archive and keep."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from s3_manifest_cli.client.doctor.findings import Finding, error, notice, ok, or_ok, warning
from s3_manifest_cli.client.doctor.stack import Target

CHECK, VERSIONING = "lifecycle", "versioning"

_ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class _Rule(NamedTuple):
    """What a rule does below its prefix, in words or empty. ``is_partial``: only to objects of some tag or size."""

    name: str
    prefix: str
    is_partial: bool
    deletes: str
    archives: str
    noncurrent_days: int | None

    def overlaps(self, prefix: str) -> bool:
        return self.prefix.startswith(prefix) or prefix.startswith(self.prefix)


def check(
    configuration: Mapping[str, Any], target: Target, versioning: str, unnoticed: Container[str] = ()
) -> list[Finding]:
    """Checks what the rules do. ``unnoticed``: the prefixes whose lifecycle expiry sends no event to the queue."""
    rules = [_rule(item) for item in configuration.get("Rules", ()) if item.get("Status") == "Enabled"]
    findings = [*_manifests(rules, target, versioning), *_data(rules, target, versioning, unnoticed)]
    return or_ok(findings, CHECK, target.bucket, "no rule removes manifests or data")


def check_versioning(target: Target, versioning: str) -> Finding:
    """Checks whether deleted and overwritten objects can be restored."""
    if versioning == "Enabled":
        return ok(VERSIONING, target.bucket, "deleted and overwritten objects can be restored")
    text = f"versioning is {versioning.lower() or 'off'}: deleted and overwritten objects cannot be restored"
    command = f"aws s3api put-bucket-versioning --bucket {target.bucket} --versioning-configuration Status=Enabled"
    # The stack versions its own bucket; an existing bucket is its owner's choice.
    report = warning if target.owns_bucket else notice
    return report(VERSIONING, target.bucket, text, f"{command} (has no effect on earlier changes)")


def _rule(item: Mapping[str, Any]) -> _Rule:
    filters = item.get("Filter", {})
    both = filters.get("And", {})
    is_partial = bool(set(filters) - {"Prefix", "And"} or set(both) - {"Prefix"})
    name, objects = item.get("ID", "without an id"), "some objects" if is_partial else "objects"
    days, date = (item.get("Expiration", {}).get(unit) for unit in ("Days", "Date"))
    when = f"{days} days after they were written" if days else f"on {str(date)[:10]}"
    is_archive = any(t.get("StorageClass") in _ARCHIVE_CLASSES for t in item.get("Transitions", ()))
    return _Rule(
        name=name,
        prefix=item.get("Prefix") or filters.get("Prefix") or both.get("Prefix") or "",
        is_partial=is_partial,
        deletes=f"rule {name!r} deletes {objects} below it {when}" if days or date else "",
        archives=f"rule {name!r} archives {objects} below it" if is_archive else "",
        noncurrent_days=item.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
    )


def _manifests(rules: Sequence[_Rule], target: Target, versioning: str) -> Iterator[Finding]:
    root = target.kinds.root
    for rule in rules:
        if rule.overlaps(root):
            remedy = f"give rule {rule.name!r} a prefix that excludes {root!r}, such as the prefix of its data"
            if rule.deletes:
                text = f"{rule.deletes}: manifests that have not changed since, and pages that are still in use"
                yield error(CHECK, root, text, remedy)
            if rule.archives:
                yield error(CHECK, root, f"{rule.archives}: archived manifests cannot be read", remedy)
    whole = [rule for rule in rules if root.startswith(rule.prefix) and not rule.is_partial]
    if versioning in {"Enabled", "Suspended"} and not any(rule.noncurrent_days for rule in whole):
        missing = {
            "ID": "old-manifests",
            "Status": "Enabled",
            "Filter": {"Prefix": root},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        }
        text = "no rule removes old versions of manifests, which only cost storage"
        how = "add this rule to the existing ones (aws s3api put-bucket-lifecycle-configuration replaces them all)"
        yield notice(CHECK, root, text, f"{how}: {json.dumps(missing)}")


def _data(rules: Sequence[_Rule], target: Target, versioning: str, unnoticed: Container[str]) -> Iterator[Finding]:
    for prefix, rule in product(target.kinds.notification_prefixes(target.bucket), rules):
        if not rule.overlaps(prefix):
            continue
        if rule.deletes and prefix in unnoticed:
            yield warning(CHECK, prefix, f"{rule.deletes}, and the queue receives no event for it", target.fix_command)
        elif rule.deletes:
            yield notice(CHECK, prefix, rule.deletes)
        if (days := rule.noncurrent_days) and versioning == "Enabled":
            shorter = f"; the history keeps {target.history_days}" if days < target.history_days else ""
            text = f"rule {rule.name!r}: deleted and overwritten objects can be restored for {days} days{shorter}"
            yield notice(CHECK, prefix, text)
