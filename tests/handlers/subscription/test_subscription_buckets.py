"""One subscription for several buckets: the stack's own, and existing ones that collections name."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from handlers.account import xml
from handlers.lambda_events import BUCKET, REGION
from handlers.subscription.test_subscription import (
    OTHERS,
    PROPERTIES,
    Overtaken,
    cloudformation,
    configuration,
    overtaken,
    prefixes,
)
from handlers.subscription.test_subscription_eventbridge import BRIDGE, ON, eventbridge_in_responses, rules

import subscription_handler
from s3_manifest.manifest.jobs import SweepAll, decode_job
from s3_manifest.manifest.model import timestamp
from s3_manifest.subscription import event_rule

__all__ = ["cloudformation", "eventbridge_in_responses", "overtaken"]

ASSETS, ARCHIVE = "story-boards-assets", "cat-archive"
ACTORS = f"actor=s3://{ASSETS}/system_actors/{{actor_id}}/"
CATS = f"cat=s3://{ARCHIVE}/cats/{{cat_id}}/"
ONE = {"AdditionalBuckets": [], "Collections": "style=styles/{style_id}/"}
TWO = {"AdditionalBuckets": [ASSETS], "Collections": f"style=styles/{{style_id}}/,{ACTORS}"}
THREE = {"AdditionalBuckets": [ASSETS, ARCHIVE], "Collections": f"style=styles/{{style_id}}/,{ACTORS},{CATS}"}
RECORD = "_manifests/subscription.json"


@pytest.fixture
def before(account) -> dict[str, Any]:
    """Three buckets with configurations of others; returns these."""
    account.make_bucket(ASSETS)
    account.make_bucket(ARCHIVE)
    for bucket in (BUCKET, ASSETS, ARCHIVE):
        account.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=OTHERS)
    return configuration(account)


def subscribed(account) -> dict[str, list[str]]:
    """Returns the prefixes that this stack is subscribed to, by bucket."""
    found = {bucket: list(prefixes(configuration(account, bucket))) for bucket in (BUCKET, ASSETS, ARCHIVE)}
    return {bucket: listed for bucket, listed in found.items() if listed}


def others_are_untouched(account, before: dict[str, Any]) -> bool:
    """Whether each bucket has exactly the configurations of others, apart from this stack's."""

    def others(bucket: str) -> dict[str, Any]:
        found = configuration(account, bucket)
        queues = [item for item in found["QueueConfigurations"] if not item["Id"].startswith(PROPERTIES["Name"])]
        return found | {"QueueConfigurations": queues}

    return all(others(bucket) == before for bucket in (BUCKET, ASSETS, ARCHIVE))


def recorded(account, bucket: str) -> dict[str, str]:
    """Returns since when each prefix is subscribed, as the bucket's record says."""
    record = json.loads(account.s3.get_object(Bucket=bucket, Key=RECORD)["Body"].read())
    return {prefix: item["since"] for prefix, item in record["prefixes"].items()}


def has_record(account, bucket: str, root: str = "_manifests/") -> bool:
    """Whether any version of the bucket's record exists."""
    listed = account.s3.list_object_versions(Bucket=bucket, Prefix=f"{root}subscription.json")
    return bool(listed.get("Versions") or listed.get("DeleteMarkers"))


def deny_bucket(account, bucket: str, *methods: str, key: str = "") -> None:
    """S3 denies requests with these methods to this bucket, or to an object in it."""

    def fault(request):
        if request.method in methods and (request.bucket, request.key) == (bucket, key):
            # The response to a HEAD has no body.
            code = "403" if request.method == "HEAD" else "AccessDenied"
            answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, request.method)

    account.faults.append(fault)


def test_create_subscribes_to_the_prefixes_of_each_bucket_and_sweeps_once(account, cloudformation, before):
    assert cloudformation.request("Create", **THREE)["Status"] == "SUCCESS"
    assert subscribed(account) == {BUCKET: ["styles/"], ASSETS: ["system_actors/"], ARCHIVE: ["cats/"]}
    assert others_are_untouched(account, before)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]


def test_delete_removes_this_stack_from_every_bucket(account, cloudformation, before):
    cloudformation.request("Create", **THREE)
    assert cloudformation.request("Delete", BUCKET, **THREE)["Status"] == "SUCCESS"
    assert [configuration(account, bucket) for bucket in (BUCKET, ASSETS, ARCHIVE)] == [before] * 3


@pytest.mark.parametrize("own_is_used", [True, False])
def test_the_stacks_own_bucket_is_subscribed_only_if_it_has_collections(account, cloudformation, before, own_is_used):
    collections = THREE if own_is_used else {"AdditionalBuckets": [ASSETS], "Collections": ACTORS}
    assert cloudformation.request("Create", **collections)["Status"] == "SUCCESS"
    assert (BUCKET in subscribed(account)) is own_is_used


def test_an_update_adds_and_removes_buckets(account, cloudformation, before):
    cloudformation.request("Create", **ONE)
    for old, new, expected in (
        (ONE, TWO, {BUCKET, ASSETS}),
        (TWO, THREE, {BUCKET, ASSETS, ARCHIVE}),
        (THREE, TWO, {BUCKET, ASSETS}),
        # The bucket stays in the list, without collections.
        (TWO, TWO | {"Collections": ONE["Collections"]}, {BUCKET}),
        (TWO | {"Collections": ONE["Collections"]}, {"AdditionalBuckets": [ASSETS], "Collections": ACTORS}, {ASSETS}),
    ):
        answer = cloudformation.request("Update", BUCKET, old=old, **new)
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
        assert set(subscribed(account)) == expected
        assert others_are_untouched(account, before)


def test_a_stack_of_an_earlier_version_is_updated_and_then_extended(account, cloudformation, before):
    """Its properties have no AdditionalBuckets, and its physical id is its bucket."""
    cloudformation.request("Create", Collections=ONE["Collections"])
    earlier = {"AdditionalBuckets": None, "Collections": ONE["Collections"]}
    assert cloudformation.request("Update", BUCKET, old=earlier, **ONE)["PhysicalResourceId"] == BUCKET
    assert cloudformation.request("Update", BUCKET, old=ONE, **TWO)["PhysicalResourceId"] == BUCKET
    assert set(subscribed(account)) == {BUCKET, ASSETS}
    cloudformation.request("Delete", BUCKET, **TWO)
    assert subscribed(account) == {}


def test_the_own_bucket_changes_places_with_an_additional_one(account, cloudformation, before):
    cloudformation.request("Create", **TWO)
    new = {"Bucket": ASSETS, "AdditionalBuckets": [BUCKET], "Collections": f"style=s3://{BUCKET}/styles/{{style_id}}/"}
    answer = cloudformation.request("Update", BUCKET, old=TWO | {"Bucket": BUCKET}, **new)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
    assert subscribed(account) == {BUCKET: ["styles/"]}
    cloudformation.request("Delete", BUCKET, **new)
    assert subscribed(account) == {}


@pytest.mark.parametrize("empty", [None, [], [""]], ids=str)
def test_an_empty_list_of_additional_buckets_adds_none(account, cloudformation, before, empty):
    collections = ONE["Collections"]
    assert cloudformation.request("Create", AdditionalBuckets=empty, Collections=collections)["Status"] == "SUCCESS"
    assert subscribed(account) == {BUCKET: ["styles/"]}
    cloudformation.request("Delete", BUCKET, AdditionalBuckets=empty, Collections=collections)
    assert subscribed(account) == {}


def test_naming_the_own_bucket_as_an_additional_one_changes_nothing(account, cloudformation, before):
    assert cloudformation.request("Create", **ONE | {"AdditionalBuckets": [BUCKET]})["Status"] == "SUCCESS"
    assert subscribed(account) == {BUCKET: ["styles/"]}


def test_a_collection_in_a_bucket_that_is_not_listed_is_an_error_for_each(account, cloudformation, before):
    answer = cloudformation.request("Create", **THREE | {"AdditionalBuckets": []})
    assert answer["Status"] == "FAILED"
    for kind, bucket in (("actor", ASSETS), ("cat", ARCHIVE)):
        assert f"collection '{kind}' is in bucket {bucket}" in answer["Reason"]
    assert "AdditionalBuckets: add it" in answer["Reason"]
    assert subscribed(account) == {}


def test_manifests_are_below_any_root_in_every_bucket(account, cloudformation, before):
    assert cloudformation.request("Create", **TWO, ManifestRoot="elsewhere/")["Status"] == "SUCCESS"
    assert all(has_record(account, bucket, "elsewhere/") for bucket in (BUCKET, ASSETS))
    moved = TWO | {"ManifestRoot": "there/"}
    answer = cloudformation.request("Update", BUCKET, old=TWO | {"ManifestRoot": "elsewhere/"}, **moved)
    assert answer["Status"] == "SUCCESS"
    for bucket in (BUCKET, ASSETS):
        assert [has_record(account, bucket, root) for root in ("elsewhere/", "there/")] == [False, True]


def test_every_bucket_that_cannot_be_used_is_named_with_its_remedy_and_nothing_is_written(
    account, cloudformation, before
):
    far = "far-away"
    found = xml(200, "")
    found.headers["x-amz-bucket-region"] = "ap-south-1"
    account.faults.append(lambda request: found if request.bucket == far else None)
    deny_bucket(account, ARCHIVE, "HEAD")
    kinds = {ASSETS: "actor", ARCHIVE: "cat", far: "dog", "no-such-bucket": "owl"}
    text = ",".join(f"{kind}=s3://{bucket}/x/{{{kind}_id}}/" for bucket, kind in kinds.items())
    answer = cloudformation.request("Create", AdditionalBuckets=list(kinds), Collections=text)
    assert answer["Status"] == "FAILED"
    assert f"bucket {far} is in region ap-south-1, and the stack in {REGION}" in answer["Reason"]
    assert "bucket no-such-bucket does not exist: create it" in answer["Reason"]
    assert f"bucket {ARCHIVE} belongs to another account than 123456789012, or" in answer["Reason"]
    assert ASSETS not in answer["Reason"]
    assert subscribed(account) == {}


def test_a_bucket_is_requested_as_one_of_the_stacks_account(account, cloudformation, before):
    cloudformation.request("Create", **TWO)
    sent = zip(account.requests, account.headers, strict=True)
    owners = {headers.get("x-amz-expected-bucket-owner") for request, (_, headers) in sent if request.method == "HEAD"}
    assert owners == {"123456789012"}


def test_a_failed_update_and_its_rollback_leave_the_buckets_as_before(account, cloudformation, before):
    cloudformation.request("Create", **TWO)
    deny_bucket(account, ARCHIVE, "PUT")
    answer = cloudformation.request("Update", BUCKET, old=TWO, **THREE)
    assert (answer["Status"], f"bucket {ARCHIVE}" in answer["Reason"]) == ("FAILED", True)
    # The denial lasts; the rollback succeeds nevertheless.
    assert cloudformation.request("Update", BUCKET, old=THREE, **TWO)["Status"] == "SUCCESS"
    assert subscribed(account) == {BUCKET: ["styles/"], ASSETS: ["system_actors/"]}
    assert others_are_untouched(account, before)


def test_one_denied_bucket_does_not_hold_up_the_subscription_of_the_others(account, cloudformation, before):
    deny_bucket(account, ASSETS, "PUT")
    assert cloudformation.request("Create", **THREE)["Status"] == "FAILED"
    assert set(subscribed(account)) == {BUCKET, ARCHIVE}
    assert cloudformation.request("Delete", BUCKET, **THREE)["Status"] == "SUCCESS"
    assert subscribed(account) == {}


@pytest.mark.parametrize("problem", ["missing", "denied"])
def test_a_delete_warns_about_a_bucket_that_is_missing_or_denied_and_leaves_the_others(
    account, cloudformation, before, log, problem
):
    cloudformation.request("Create", **THREE)
    if problem == "missing":
        account.s3.delete_object(Bucket=ASSETS, Key=RECORD)
        account.s3.delete_bucket(Bucket=ASSETS)
    else:
        deny_bucket(account, ASSETS, "GET", "PUT", "HEAD", "DELETE")
    assert cloudformation.request("Delete", BUCKET, **THREE)["Status"] == "SUCCESS"
    assert [configuration(account, bucket) for bucket in (BUCKET, ARCHIVE)] == [before] * 2
    warnings = [line["message"] for line in log() if line["level"] == "WARNING"]
    assert any(f"bucket {ASSETS}" in line for line in warnings)


def test_a_delete_that_cannot_remove_a_part_it_sees_fails_after_the_others(account, cloudformation, before):
    cloudformation.request("Create", **THREE)
    deny_bucket(account, ASSETS, "PUT")
    answer = cloudformation.request("Delete", BUCKET, **THREE)
    assert (answer["Status"], f"bucket {ASSETS}" in answer["Reason"]) == ("FAILED", True)
    assert set(subscribed(account)) == {ASSETS}


@pytest.mark.parametrize("additional", ["nonsense", {"a": "b"}, [1, ASSETS]], ids=str)
def test_a_delete_after_invalid_properties_cleans_what_it_can(account, cloudformation, before, additional):
    failed = cloudformation.request("Create", **TWO | {"AdditionalBuckets": additional})
    assert failed["Status"] == "FAILED"
    answer = cloudformation.request("Delete", failed["PhysicalResourceId"], **TWO | {"AdditionalBuckets": additional})
    assert answer["Status"] == "SUCCESS"
    assert [configuration(account, bucket) for bucket in (BUCKET, ASSETS, ARCHIVE)] == [before] * 3


def test_a_delete_that_overtakes_a_create_leaves_nothing_in_any_bucket(account, cloudformation, overtaken, before):
    later = overtaken.by(account, cloudformation.event("Delete", BUCKET, **THREE))
    assert cloudformation.request("Create", **THREE)["Status"] == "FAILED"
    assert [answer["Status"] for answer in later] == ["SUCCESS"]
    assert [configuration(account, bucket) for bucket in (BUCKET, ASSETS, ARCHIVE)] == [before] * 3


@pytest.mark.parametrize(("old", "new"), [(ONE, THREE), (THREE, ONE), (TWO, THREE), (THREE, TWO)])
def test_an_update_overtaken_by_its_rollback_does_not_win_in_any_bucket(
    account, cloudformation, overtaken: Overtaken, before, old, new
):
    cloudformation.request("Create", **old)
    earlier = subscribed(account)
    later = overtaken.by(account, cloudformation.event("Update", BUCKET, old=new, **old))
    assert cloudformation.request("Update", BUCKET, old=old, **new)["Status"] == "FAILED"
    assert [answer["Status"] for answer in later] == ["SUCCESS"]
    assert subscribed(account) == earlier
    assert others_are_untouched(account, before)


def test_a_bucket_that_an_overtaken_update_leaves_late_is_subscribed_again(account, cloudformation, before):
    """The rollback is carried out while the Update has read the bucket and is about to write it without this stack."""
    cloudformation.request("Create", **TWO)
    event = cloudformation.event("Update", BUCKET, old=ONE, **TWO)
    answers = []

    def fault(request):
        if request.method == "PUT" and request.bucket == ASSETS and not request.key:
            account.faults.clear()
            answers.append(cloudformation.send(event)["Status"])

    account.faults.append(fault)
    assert cloudformation.request("Update", BUCKET, old=TWO, **ONE)["Status"] == "FAILED"
    assert answers == ["SUCCESS"]
    assert subscribed(account) == {BUCKET: ["styles/"], ASSETS: ["system_actors/"]}


def send_at_the_write_of_a_record(account, cloudformation, event, bucket: str, root: str = "_manifests/") -> list[str]:
    """Sends the request just before the next write of the bucket's record; returns the list for its status."""
    statuses: list[str] = []

    def fault(request):
        if request.method == "PUT" and (request.bucket, request.key) == (bucket, f"{root}subscription.json"):
            account.faults.clear()
            statuses.append(cloudformation.send(event)["Status"])

    account.faults.append(fault)
    return statuses


@pytest.mark.parametrize("source", [{}, BRIDGE], ids=["notifications", "eventbridge"])
def test_a_rollback_before_an_update_has_forgotten_a_bucket_wins(account, cloudformation, before, source):
    """The Update has removed the bucket's notifications, and is about to remove its record and its rule."""
    cloudformation.request("Create", **TWO, **source)
    earlier = subscribed(account), configuration(account, ASSETS), rules(account)
    event = cloudformation.event("Update", BUCKET, old=ONE | source, **TWO, **source)
    later = send_at_the_write_of_a_record(account, cloudformation, event, ASSETS)
    assert cloudformation.request("Update", BUCKET, old=TWO | source, **ONE, **source)["Status"] == "FAILED"
    assert later == ["SUCCESS"]
    assert (subscribed(account), configuration(account, ASSETS), rules(account)) == earlier
    assert list(recorded(account, ASSETS)) == ["system_actors/"]


def test_a_rollback_before_an_update_has_forgotten_the_old_manifest_root_wins(account, cloudformation, before):
    old, new = TWO | {"ManifestRoot": "old/"}, TWO | {"ManifestRoot": "new/"}
    cloudformation.request("Create", **old)
    event = cloudformation.event("Update", BUCKET, old=new, **old)
    later = send_at_the_write_of_a_record(account, cloudformation, event, ASSETS, "old/")
    assert cloudformation.request("Update", BUCKET, old=old, **new)["Status"] == "FAILED"
    assert later == ["SUCCESS"]
    assert [has_record(account, ASSETS, root) for root in ("old/", "new/")] == [True, False]


def test_each_bucket_has_its_own_rule_with_eventbridge(account, cloudformation, before):
    names = {bucket: event_rule.name(PROPERTIES["RulePrefix"], bucket) for bucket in (BUCKET, ASSETS, ARCHIVE)}
    cloudformation.request("Create", **TWO, **BRIDGE)
    assert rules(account) == {names[BUCKET]: ["styles/"], names[ASSETS]: ["system_actors/"]}
    cloudformation.request("Update", BUCKET, old=TWO | BRIDGE, **ONE, **BRIDGE)
    assert rules(account) == {names[BUCKET]: ["styles/"]}
    assert (configuration(account), configuration(account, ASSETS)) == (before | ON, before)
    # A bucket leaves while the event source changes.
    cloudformation.request("Update", BUCKET, old=ONE | BRIDGE, **TWO, **BRIDGE)
    cloudformation.request("Update", BUCKET, old=TWO | BRIDGE, **ONE)
    assert (rules(account), configuration(account, ASSETS)) == ({}, before)
    assert subscribed(account) == {BUCKET: ["styles/"]}
    cloudformation.request("Delete", BUCKET, **ONE)
    assert configuration(account) == before


def test_the_record_of_each_bucket_is_written_before_its_notifications(account, cloudformation, before):
    cloudformation.request("Create", **TWO)
    written = [(request.bucket, request.key) for request in account.sent("PUT")]
    for bucket in (BUCKET, ASSETS):
        assert [key for name, key in written if name == bucket] == [RECORD, ""]
    assert (list(recorded(account, BUCKET)), list(recorded(account, ASSETS))) == (["styles/"], ["system_actors/"])


def test_an_object_that_is_uploaded_after_the_deployment_is_newer_than_the_subscription(
    account, cloudformation, before, monkeypatch
):
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    cloudformation.request("Create", **TWO)
    uploaded_at = datetime.now(UTC) + timedelta(seconds=max(waits))
    for bucket, prefix in ((BUCKET, "styles/"), (ASSETS, "system_actors/")):
        assert timestamp(uploaded_at) >= recorded(account, bucket)[prefix]
    assert max(waits) <= 2
    # An Update that subscribes to no new prefix does not wait.
    waits.clear()
    monkeypatch.setattr(subscription_handler, "timestamp", lambda now: timestamp(now + timedelta(seconds=3)))
    cloudformation.request("Update", BUCKET, old=TWO, **TWO)
    assert waits == []


def test_the_record_keeps_its_time_and_is_deleted_when_the_stack_leaves_the_bucket(account, cloudformation, before):
    cloudformation.request("Create", **TWO)
    first = recorded(account, ASSETS)
    cloudformation.request("Update", BUCKET, old=TWO, **THREE)
    assert recorded(account, ASSETS) == first
    cloudformation.request("Update", BUCKET, old=THREE, **ONE)
    assert [has_record(account, bucket) for bucket in (BUCKET, ASSETS, ARCHIVE)] == [True, False, False]


def test_a_create_that_a_delete_overtakes_while_it_writes_the_record_leaves_no_record(account, cloudformation, before):
    event = cloudformation.event("Delete", BUCKET, **TWO)
    later = send_at_the_write_of_a_record(account, cloudformation, event, ASSETS)
    assert cloudformation.request("Create", **TWO)["Status"] == "FAILED"
    assert later == ["SUCCESS"]
    assert subscribed(account) == {}
    assert [has_record(account, bucket) for bucket in (BUCKET, ASSETS)] == [False, False]


def test_the_current_version_of_a_record_is_deleted_last(account, cloudformation, before):
    """After a failure half-way, no earlier version is the record again."""
    account.s3.put_bucket_versioning(Bucket=ASSETS, VersioningConfiguration={"Status": "Enabled"})
    cloudformation.request("Create", **TWO)
    deny_bucket(account, ASSETS, "DELETE", key=RECORD)
    assert cloudformation.request("Delete", BUCKET, **TWO)["Status"] == "SUCCESS"
    assert recorded(account, ASSETS) == {}
    account.faults.clear()
    account.requests.clear()
    versions = [item["VersionId"] for item in account.s3.list_object_versions(Bucket=ASSETS)["Versions"]]
    assert cloudformation.request("Delete", BUCKET, **TWO)["Status"] == "SUCCESS"
    deleted = [request.parameters["versionId"] for request in account.sent("DELETE") if request.bucket == ASSETS]
    assert deleted == versions[::-1]
    assert len(deleted) == 2


def test_the_error_of_a_damaged_record_names_its_bucket(account, cloudformation, before):
    account.s3.put_object(Bucket=ASSETS, Key=RECORD, Body=b"{")
    answer = cloudformation.request("Create", **TWO)
    assert answer["Status"] == "FAILED"
    assert f"s3://{ASSETS}/{RECORD}: it is not JSON" in answer["Reason"]


def test_a_record_that_cannot_be_written_fails_the_request_before_the_bucket_is_subscribed(
    account, cloudformation, before
):
    deny_bucket(account, ASSETS, "PUT", key=RECORD)
    answer = cloudformation.request("Create", **TWO)
    assert answer["Status"] == "FAILED"
    assert f"could not write {RECORD} in bucket {ASSETS}" in answer["Reason"]
    assert "kms:GenerateDataKey" in answer["Reason"]
    assert set(subscribed(account)) == {BUCKET}


@pytest.mark.parametrize("versioning", [True, False])
def test_a_bucket_is_empty_again_after_the_rollback_of_a_first_deployment(account, cloudformation, versioning):
    """CloudFormation deletes the bucket that the deployment created, and a bucket with any version is not empty."""
    if versioning:
        account.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    cloudformation.request("Create")
    cloudformation.request("Delete", BUCKET)
    account.s3.delete_bucket(Bucket=BUCKET)


def test_the_record_of_another_stack_survives_the_delete(account, cloudformation):
    second = {"Name": "s3-manifest-second", "RulePrefix": "s3-manifest-99aa", "Collections": "cat=cats/{cat_id}/"}
    cloudformation.request("Create", **ONE)
    cloudformation.request("Create", **second)
    cloudformation.request("Delete", BUCKET, **ONE)
    assert list(recorded(account, BUCKET)) == ["cats/"]
