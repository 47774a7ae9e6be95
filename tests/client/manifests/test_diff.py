"""The differences between two manifests."""

import pytest
from unit.values import NOON, OTHER_MD5, SOME_MD5, entry, head_of

from s3_manifest_cli.client.manifests.diff import compare_manifests, diff, same_bytes
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.client.manifests.revision_spec import parse_revision_spec
from s3_manifest_cli.errors import NotFound

PARTS, OTHER_PARTS = f"{SOME_MD5}-2", f"{OTHER_MD5}-2"
WHOLE, OTHER_WHOLE = (
    {"crc64nvme": "AAAAAAAAAAA=", "type": "FULL_OBJECT"},
    {"crc64nvme": "AAAAAAAAAAE=", "type": "FULL_OBJECT"},
)
OF_PARTS = {"crc32": "AAAAAA==-2", "type": "COMPOSITE"}


def manifest(*files, captions=(), hidden=(), title=None):
    return Manifest(head_of().model_copy(update={"title": title}), files, captions, hidden)


def large(etag=PARTS, size=3, **more):
    """An entry without an MD5."""
    return entry(etag=etag, size=size).model_copy(update=more)


@pytest.mark.parametrize(
    ("entry_a", "entry_b", "is_same", "by"),
    [
        (entry(), entry(), True, "md5"),
        (entry(), entry(etag=OTHER_MD5), False, "md5"),
        (entry(), entry(last_modified=NOON, version_id="v"), True, "md5"),
        (entry(size=4), entry(), False, "size"),
        (large(), large(size=4), False, "size"),
        (large(), large(), True, "etag"),
        (large(), large(etag=OTHER_PARTS), False, "etag"),
        (large(), entry(), False, "etag"),
        (large(checksum=WHOLE), large(etag=OTHER_PARTS, checksum=WHOLE), True, "crc64nvme"),
        (large(checksum=WHOLE), large(checksum=OTHER_WHOLE), False, "crc64nvme"),
        (large(checksum=WHOLE), large(checksum=OF_PARTS), True, "etag"),
        (large(checksum=OF_PARTS), large(etag=OTHER_PARTS, checksum=OF_PARTS), False, "etag"),
        (large(checksum=WHOLE), entry(checksum=OTHER_WHOLE), False, "crc64nvme"),
        (entry(checksum=WHOLE), entry(checksum=OTHER_WHOLE), True, "md5"),
    ],
)
def test_bytes_are_compared_by_the_best_digest_that_both_sides_have(entry_a, entry_b, is_same, by):
    assert same_bytes(entry_a, entry_b) == same_bytes(entry_b, entry_a) == (is_same, by)


@pytest.mark.parametrize(
    ("before", "after", "kind", "fields", "is_proven"),
    [
        ([], [entry()], "added", (), True),
        ([entry()], [], "removed", (), True),
        ([entry()], [entry(etag=OTHER_MD5)], "modified", (), True),
        ([large()], [large(etag=OTHER_PARTS)], "modified", (), False),
        ([entry()], [entry(metadata={"prompt": "a fox"})], "described", ("prompt",), True),
        ([entry()], [entry(metadata={"generation-id": "7"})], "described", ("generation_id", "generation_type"), True),
        (
            [entry()],
            [entry().model_copy(update={"good": False, "labels": ("x",)})],
            "described",
            ("good", "labels"),
            True,
        ),
        ([large()], [large(good=False)], "described", ("good",), False),
        ([entry()], [entry(etag=OTHER_MD5, metadata={"prompt": "a fox"})], "modified", ("prompt",), True),
    ],
)
def test_each_difference_has_a_kind_and_the_changed_fields(before, after, kind, fields, is_proven):
    result = compare_manifests(manifest(*before), manifest(*after))
    (file,) = result.files
    assert (file.filename, file.kind, file.fields, file.is_proven) == ("a.jpg", kind, fields, is_proven)
    assert ([file.before], [file.after]) == (before or [None], after or [None])
    assert result.totals == dict.fromkeys(("added", "removed", "modified", "described"), 0) | {kind: 1}
    assert not result.is_same


def test_the_same_bytes_uploaded_again_are_no_difference():
    result = compare_manifests(
        manifest(entry()), manifest(entry(last_modified=NOON, version_id="v", storage_class="GLACIER"))
    )
    assert result.is_same
    assert (result.files, result.unproven) == ([], [])


def test_files_that_are_the_same_by_etag_and_size_alone_are_unproven():
    result = compare_manifests(manifest(large(), entry("b.jpg")), manifest(large(), entry("b.jpg")))
    assert (result.files, result.unproven, result.is_same) == ([], ["a.jpg"], True)


def test_captions_and_hidden_files_are_compared_too():
    caption = entry("a.txt").model_copy(update={"caption": "a fox"})
    hidden = entry("b.jpg").model_copy(update={"hidden": True})
    before = manifest(entry("a.jpg"), entry("b.jpg"), captions=(caption,))
    after = manifest(entry("a.jpg"), captions=(caption.model_copy(update={"caption": "a hare"}),), hidden=(hidden,))
    assert [(file.filename, file.kind, file.fields) for file in compare_manifests(before, after).files] == [
        ("a.txt", "described", ("caption",)),
        ("b.jpg", "described", ("hidden",)),
    ]


def test_a_changed_title_is_a_difference():
    result = compare_manifests(manifest(entry()), manifest(entry(), title="Dynamic"))
    assert (result.files, result.is_same) == ([], False)


def test_differences_are_sorted_by_filename():
    result = compare_manifests(manifest(entry("b"), entry("a")), manifest(entry("d"), entry("c")))
    assert [(file.filename, file.kind) for file in result.files] == [
        ("a", "removed"),
        ("b", "removed"),
        ("c", "added"),
        ("d", "added"),
    ]


def test_diff_compares_a_manifest_at_two_revisions_or_times(deployment, scenario):
    scenario.add("a.png", "b.png")
    scenario.add("a.png", body=b"newer")
    scenario.remove("b.png")

    def differences(before, after):
        return [
            (file.filename, file.kind)
            for file in diff(deployment, parse_revision_spec(before), parse_revision_spec(after)).files
        ]

    assert differences("style/16@1", "style/16") == [("a.png", "modified"), ("b.png", "removed")]
    assert differences("style/16", "style/16@1") == [("a.png", "modified"), ("b.png", "added")]
    assert differences(f"style/16@{scenario.at[2]:%Y-%m-%dT%H:%M:%SZ}", "style/16@3") == [("b.png", "removed")]
    assert differences("style/16", "s3://storyboard-user-files/styles/16/") == []
    with pytest.raises(NotFound):
        differences("style/16", "style/17")
