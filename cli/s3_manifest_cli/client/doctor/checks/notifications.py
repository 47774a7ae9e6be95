"""A bucket's notification configuration judged: whether the queue is told of every change, and of no other. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from s3_manifest.subscription.subscription import EVENTS, is_ours
from s3_manifest_cli.client.doctor.model import Finding, error, notice, ok, warning

CHECK = "notifications"

_TYPES = {
    "s3:ObjectCreated:*": ("Put", "Post", "Copy", "CompleteMultipartUpload"),
    "s3:ObjectRemoved:*": ("Delete", "DeleteMarkerCreated"),
    "s3:LifecycleExpiration:*": ("Delete", "DeleteMarkerCreated"),
}
_ARNS = ("QueueArn", "TopicArn", "LambdaFunctionArn")


class Wanted(NamedTuple):
    """What the queue is to be told of. ``name`` begins the ids of our configurations; ``fix`` is what mends them."""

    bucket: str
    name: str
    queue_arn: str
    prefixes: Sequence[str]
    root: str
    fix: str


class Rule(NamedTuple):
    """One notification configuration, of whichever sort."""

    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    @property
    def where(self) -> str:
        """What it is about, in words."""
        return f"keys below {self.prefix!r}" if self.prefix else "the whole bucket"


def rules(configuration: Mapping[str, Any]) -> list[Rule]:
    """All that S3 is to tell somebody, whether a queue, a topic or a function."""
    listed = [one for ones in configuration.values() if isinstance(ones, list) for one in ones]
    return [_rule(one) for one in listed]


def topics(configuration: Mapping[str, Any], wanted: Wanted) -> list[str]:
    """The topics that are told of keys that the queue is to be told of: it may be subscribed to them."""
    return sorted(
        {r.arn for r in rules(configuration) if ":sns:" in r.arn and any(_meet(r, p) for p in wanted.prefixes)}
    )


def judge(configuration: Mapping[str, Any], wanted: Wanted, forwarding: Sequence[str] = ()) -> list[Finding]:
    """What is wrong with it. ``forwarding``: topics that hand on to the queue, which is as good."""
    all_rules = rules(configuration)
    ways = [rule for rule in all_rules if rule.arn in (wanted.queue_arn, *forwarding)]
    missing = {prefix: gaps for prefix in wanted.prefixes if (gaps := _gaps(ways, prefix))}
    findings = [*_missing(missing, wanted), *_ours(ways, wanted), *_stale(all_rules, wanted)]
    findings += _others([rule for rule in all_rules if rule not in ways], wanted, missing)
    if missing and "EventBridgeConfiguration" in configuration:
        findings.append(
            notice(
                CHECK,
                "EventBridge",
                "it is sent the bucket's changes; the queue gets them from there with EventSource=EventBridge",
            )
        )
    told = [
        ok(CHECK, prefix, "the queue is told of every change") for prefix in wanted.prefixes if prefix not in missing
    ]
    return [*findings, *told]


def _rule(one: Mapping[str, Any]) -> Rule:
    filters = {r["Name"].lower(): r["Value"] for r in one.get("Filter", {}).get("Key", {}).get("FilterRules", ())}
    (arn,) = [one[name] for name in _ARNS if name in one]
    return Rule(one.get("Id", ""), arn, tuple(one["Events"]), filters.get("prefix", ""), filters.get("suffix", ""))


def _gaps(ways: Sequence[Rule], prefix: str) -> list[str]:
    """The events below a prefix that the queue is not told of."""
    told = {event for rule in ways if prefix.startswith(rule.prefix) and not rule.suffix for event in rule.events}
    return [event for event in EVENTS if not _is_among(event, told) and not _in_parts(event, told)]


def _is_among(event: str, told: set[str]) -> bool:
    return any(event == one or (one.endswith("*") and event.startswith(one[:-1])) for one in told)


def _in_parts(event: str, told: set[str]) -> bool:
    types = _TYPES.get(event, ())
    return bool(types) and all(event.replace("*", one) in told for one in types)


def _missing(missing: Mapping[str, Sequence[str]], wanted: Wanted) -> Iterator[Finding]:
    for prefix, gaps in missing.items():
        if {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"} & set(gaps):
            late = "manifests learn of it by the next sweep only"
            what = "changes" if len(gaps) == len(EVENTS) else ", ".join(gaps)
            yield error(CHECK, prefix, f"nobody tells the queue of {what} below it: {late}", wanted.fix)
        else:
            late = "what lifecycle rules and restores do stays unknown until the next sweep"
            yield warning(CHECK, prefix, f"nobody tells the queue of {', '.join(gaps)}: {late}", wanted.fix)


def _ours(ways: Sequence[Rule], wanted: Wanted) -> Iterator[Finding]:
    """Those that tell the queue of too much, or that we did not make."""
    for rule in ways:
        mend = wanted.fix if is_ours(rule.id, wanted.name) else _by_hand(rule, wanted)
        if wanted.root.startswith(rule.prefix) or rule.prefix.startswith(wanted.root):
            yield error(
                CHECK,
                rule.id,
                f"it tells the queue of {rule.where}, manifests among them: each commit is the cause of another, and"
                " Lambda drops what it takes for a loop",
                mend,
            )
        elif rule.prefix not in wanted.prefixes and not any(rule.prefix.startswith(p) for p in wanted.prefixes):
            yield warning(CHECK, rule.id, f"it tells the queue of {rule.where}, where no collection is", mend)
        elif rule.arn == wanted.queue_arn and not is_ours(rule.id, wanted.name):
            yield notice(CHECK, rule.id, f"somebody else has the queue told of {rule.where}; --fix leaves it")


def _stale(all_rules: Sequence[Rule], wanted: Wanted) -> Iterator[Finding]:
    for rule in all_rules:
        if is_ours(rule.id, wanted.name) and rule.arn != wanted.queue_arn:
            yield error(
                CHECK, rule.id, f"it is ours, and tells another queue than this stack's: {rule.arn}", wanted.fix
            )


def _others(others: Sequence[Rule], wanted: Wanted, missing: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    for rule in others:
        met = [prefix for prefix in wanted.prefixes if _meet(rule, prefix)]
        if not met or is_ours(rule.id, wanted.name):
            continue
        told = f"{rule.arn} is told of {rule.where} by somebody else's configuration"
        if any(prefix in missing for prefix in met):
            yield error(
                CHECK,
                rule.id,
                f"{told}, and S3 refuses a second one for the same events: --fix cannot put ours beside it",
                "deploy with EventSource=EventBridge; or have that one send to an SNS topic, and subscribe both it and"
                f" the change queue to the topic; or take it away ({_by_hand(rule, wanted)})",
            )
        else:
            yield notice(CHECK, rule.id, f"{told} too; AWS's own S3 would refuse the next change of either")


def _meet(rule: Rule, prefix: str) -> bool:
    """Whether S3 takes a rule for overlapping with ours for the prefix, which has no suffix.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    """
    if not (rule.prefix.startswith(prefix) or prefix.startswith(rule.prefix)):
        return False
    stems = [event.rstrip("*") for event in EVENTS]
    return any(e.rstrip("*").startswith(stem) or stem.startswith(e.rstrip("*")) for e in rule.events for stem in stems)


def _by_hand(rule: Rule, wanted: Wanted) -> str:
    configuration = f"bucket-notification-configuration --bucket {wanted.bucket}"
    return (
        f"aws s3api get-{configuration} > n.json, take {rule.id!r} out of n.json, and"
        f" aws s3api put-{configuration} --notification-configuration file://n.json"
    )
