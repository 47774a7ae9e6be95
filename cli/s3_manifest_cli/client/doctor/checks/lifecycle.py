"""A bucket's lifecycle rules and versioning judged: what becomes of manifests and data by themselves. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from s3_manifest_cli.client.doctor.model import Finding, error, notice, ok, warning

CHECK, VERSIONING = "lifecycle", "versioning"

_CANNOT_BE_READ = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class Bucket(NamedTuple):
    """What is kept where. ``expiry_is_told``: for each prefix, whether the queue is told of lifecycle expiry."""

    name: str
    root: str
    expiry_is_told: Mapping[str, bool]
    history_days: int
    is_own: bool
    versioning: str


class _Rule(NamedTuple):
    name: str
    prefix: str
    is_of_some: bool
    """Whether only objects of some tag or size are concerned."""
    expires: str
    keeps_old_days: int | None
    archives: bool
    drops_markers: bool

    def touches(self, prefix: str) -> bool:
        return self.prefix.startswith(prefix) or prefix.startswith(self.prefix)


def judge(configuration: Mapping[str, Any], bucket: Bucket) -> list[Finding]:
    """What the rules do to manifests and to data."""
    rules = [_rule(one) for one in configuration.get("Rules", ()) if one.get("Status") == "Enabled"]
    findings = [*_of_manifests(rules, bucket), *_of_data(rules, bucket)]
    return findings or [ok(CHECK, bucket.name, "no rule removes manifests or data")]


def judge_versioning(bucket: Bucket) -> list[Finding]:
    """What can be brought back."""
    if bucket.versioning == "Enabled":
        return [ok(VERSIONING, bucket.name, "what is deleted or overwritten can be brought back")]
    found = f"versioning is {bucket.versioning.lower() or 'off'}: what is deleted or overwritten is gone for good"
    command = (
        f"aws s3api put-bucket-versioning --bucket {bucket.name} --versioning-configuration Status=Enabled; from then"
        " on it can be brought back"
    )
    # The bucket that the stack makes is versioned; another one is its owner's to decide on.
    said = warning if bucket.is_own else notice
    return [said(VERSIONING, bucket.name, found, command)]


def _rule(one: Mapping[str, Any]) -> _Rule:
    filters = one.get("Filter", {})
    both = filters.get("And", {})
    expiration = one.get("Expiration", {})
    noncurrent = one.get("NoncurrentVersionExpiration", {})
    days, date = expiration.get("Days"), expiration.get("Date")
    return _Rule(
        name=one.get("ID", "without an id"),
        prefix=one.get("Prefix") or filters.get("Prefix") or both.get("Prefix") or "",
        is_of_some=bool(set(filters) - {"Prefix", "And"} or set(both) - {"Prefix"}),
        expires=f"{days} days after they were written" if days else f"on {str(date)[:10]}" if date else "",
        keeps_old_days=noncurrent.get("NoncurrentDays"),
        archives=any(t.get("StorageClass") in _CANNOT_BE_READ for t in one.get("Transitions", ())),
        drops_markers=bool(expiration.get("ExpiredObjectDeleteMarker")),
    )


def _of_manifests(rules: Sequence[_Rule], bucket: Bucket) -> Iterator[Finding]:
    root = bucket.root
    for rule in rules:
        if not rule.touches(root):
            continue
        which = "some of what is" if rule.is_of_some else "what is"
        mend = f"give rule {rule.name!r} a prefix that leaves {root!r} out, such as that of the data it is meant for"
        if rule.expires:
            yield error(
                CHECK,
                root,
                f"rule {rule.name!r} deletes {which} below it {rule.expires}: manifests that nothing changes for so"
                " long, and pages that others still refer to",
                mend,
            )
        if rule.archives:
            yield error(CHECK, root, f"rule {rule.name!r} archives {which} below it, where it cannot be read", mend)
    is_versioned = bucket.versioning in {"Enabled", "Suspended"}
    whole = [rule for rule in rules if root.startswith(rule.prefix) and not rule.is_of_some]
    if is_versioned and not any(rule.keeps_old_days for rule in whole):
        wanted = (
            f'{{"ID": "old-manifests", "Status": "Enabled", "Filter": {{"Prefix": "{root}"}},'
            ' "NoncurrentVersionExpiration": {"NoncurrentDays": 1}, "Expiration": {"ExpiredObjectDeleteMarker": true}}'
        )
        yield notice(
            CHECK,
            root,
            "the bucket keeps every old version of every manifest, and nothing removes them: that costs storage only",
            f"add a rule to those there are (aws s3api put-bucket-lifecycle-configuration replaces all): {wanted}",
        )


def _of_data(rules: Sequence[_Rule], bucket: Bucket) -> Iterator[Finding]:
    for prefix, is_told in bucket.expiry_is_told.items():
        for rule in rules:
            if not rule.touches(prefix):
                continue
            which = "some objects" if rule.is_of_some else "objects"
            if rule.expires and is_told:
                yield notice(CHECK, prefix, f"rule {rule.name!r} deletes {which} below it {rule.expires}")
            elif rule.expires:
                yield warning(
                    CHECK,
                    prefix,
                    f"rule {rule.name!r} deletes {which} below it {rule.expires}, and the queue is not told of it",
                    "subscribe to s3:LifecycleExpiration:* too: --fix does",
                )
            if (days := rule.keeps_old_days) and bucket.versioning == "Enabled":
                shorter = f", and history tells of {bucket.history_days}" if days < bucket.history_days else ""
                yield notice(
                    CHECK,
                    prefix,
                    f"rule {rule.name!r}: what is deleted or overwritten can be brought back for {days} days{shorter}",
                )
