"""The history that the client lists."""

from itertools import islice

import pytest

from s3_manifest_cli.client.manifests.history import ExpiredRevisions, follow, history
from s3_manifest_cli.errors import NotFound


@pytest.fixture
def manifests(deployment):
    return deployment.manifests


@pytest.fixture
def five_revisions(scenario):
    """Five revisions that add a file each."""
    for number in range(1, 6):
        scenario.add(f"{number}.png")
    return scenario


def revisions(result):
    return [change.revision for change in result.changes]


HISTORIES = (
    ({}, [1, 2, 3, 4, 5], 5),
    ({"limit": 2}, [4, 5], 5),
    ({"since": 3}, [4, 5], 5),
    ({"since": 0, "limit": 2}, [1, 2], 2),
    ({"since": 5}, [], 5),
)


def test_a_history_lists_the_last_revisions_or_those_after_a_given_one(manifests, five_revisions, style):
    for options, listed, last_revision in HISTORIES:
        result = history(manifests, style, **options)
        assert (revisions(result), result.last_revision, result.revision, result.expired) == (
            listed,
            last_revision,
            5,
            [],
        ), options


def test_a_history_is_read_across_several_pages(manifests, five_revisions, style, monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.client.manifests.direct._MAX_RECORDS", 2)
    monkeypatch.setattr("s3_manifest_cli.client.manifests.http._CATALOG_PAGE", 2)
    assert revisions(history(manifests, style)) == [1, 2, 3, 4, 5]


def test_a_history_continues_after_expired_change_records(manifests, five_revisions, style):
    for record in five_revisions.records()[:2]:
        five_revisions.account.delete(record)
    result = history(manifests, style)
    assert revisions(result) == [3, 4, 5]
    ((first, last, reason),) = result.expired
    assert (first, last) == (1, 2)
    assert "no longer kept" in reason
    assert history(manifests, style, since=2).expired == []


def test_a_history_without_change_records_lists_the_expired_revisions(manifests, five_revisions, style):
    for record in five_revisions.records():
        five_revisions.account.delete(record)
    result = history(manifests, style)
    assert (result.changes, result.last_revision) == ([], 5)
    assert [(gap.first, gap.last) for gap in result.expired] == [(1, 5)]


def test_a_missing_manifest_or_revision_has_no_history(manifests, five_revisions, style):
    with pytest.raises(NotFound, match="the last is 5"):
        history(manifests, style, since=6)
    with pytest.raises(NotFound, match="manifest"):
        history(manifests, style._replace(id="17", prefix="styles/17/"))


def test_a_follower_gets_each_revision_once_and_waits_for_the_next(manifests, five_revisions, style):
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            five_revisions.add("6.png", "7.png")

    listed = list(islice(follow(manifests, style, 3, pause_seconds=0.5, sleep=sleep), 3))
    assert [change.revision for change in listed] == [4, 5, 6]
    assert pauses == [0.5, 0.5]


def test_a_follower_gets_the_revisions_that_have_expired(manifests, five_revisions, style):
    five_revisions.account.delete(five_revisions.records()[0])
    expired, change = islice(follow(manifests, style, 0), 2)
    assert isinstance(expired, ExpiredRevisions)
    assert (expired.first, expired.last, change.revision) == (1, 1, 2)
