"""Revision specs: a collection with a revision or a time."""

import pytest

from s3_manifest_cli.client.manifests.revision_spec import RevisionSpec, parse_revision_spec, parse_time
from s3_manifest_cli.errors import Invalid


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("style/16", RevisionSpec("style/16")),
        ("style/16@3", RevisionSpec("style/16", revision=3)),
        ("style/16@999999999999", RevisionSpec("style/16", revision=999_999_999_999)),
        ("style/16@2026-11-21", RevisionSpec("style/16", at="2026-11-21T00:00:00.000Z")),
        ("style/16@2026-11-21T10:00", RevisionSpec("style/16", at="2026-11-21T10:00:00.000Z")),
        ("style/16@2026-11-21T10:00:00.5+02:00", RevisionSpec("style/16", at="2026-11-21T08:00:00.500Z")),
        ("s3://bucket/styles/16/@3", RevisionSpec("s3://bucket/styles/16/", revision=3)),
        ("s3://bucket/styles/me@home/", RevisionSpec("s3://bucket/styles/me@home/")),
        ("s3://bucket/styles/me@3/", RevisionSpec("s3://bucket/styles/me@3/")),
        ("s3://bucket/styles/me@3/@4", RevisionSpec("s3://bucket/styles/me@3/", revision=4)),
    ],
)
def test_a_manifest_is_named_by_its_collection_and_a_revision_or_a_time(text, point):
    assert parse_revision_spec(text) == point


@pytest.mark.parametrize(
    "text",
    [
        "style/16@",
        "style/16@0",
        "style/16@03",
        "style/16@-1",
        "style/16@1000000000000",
        "style/16@yesterday",
        "style/16@2026-13-01",
        "style/16@٣",
        "style/me@home",
        "style/16@0001-01-01T00:00:00+23:00",
    ],
)
def test_a_suffix_that_is_neither_a_revision_nor_a_time_is_invalid(text):
    with pytest.raises(Invalid, match="neither a revision nor a time"):
        parse_revision_spec(text)


def test_a_time_without_a_zone_is_utc():
    assert parse_time("2026-11-21 10:00") == parse_time("2026-11-21T12:00+02:00") == "2026-11-21T10:00:00.000Z"
