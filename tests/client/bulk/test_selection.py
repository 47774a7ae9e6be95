"""Which collections names and patterns select, and how many requests that takes."""

import pytest
from client.transfers import refusal
from unit.environments import DeniedStore

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.storage.memory import MemoryStore
from s3_manifest_cli import Invalid, NotFound, select
from s3_manifest_cli.client.bulk.patterns import parse_names
from s3_manifest_cli.client.manifests import direct
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import S3Manifests


def names(selection):
    return [f"{collection.kind}/{collection.id}" for collection in selection.collections]


@pytest.fixture
def four(several):
    for name in ("style/16", "style/17", "style/a[1]", "actor/0042_male"):
        several.put(name, "a.png")
    several.requests()
    return several


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        (["style/*"], ["style/16", "style/17", "style/a[1]"]),
        (["style/1?"], ["style/16", "style/17"]),
        (["style/1[67]"], ["style/16", "style/17"]),
        (["style/a[[]1]"], ["style/a[1]"]),
        (["*/*"], ["actor/0042_male", "style/16", "style/17", "style/a[1]"]),
        (["actor/0042*", "style/17"], ["actor/0042_male", "style/17"]),
        (["actor/42", "actor/*"], ["actor/0042_male"]),
        (["style/16", "style/*6", "style/16"], ["style/16"]),
        (["s3://BUCKET/styles/1*/"], ["style/16", "style/17"]),
        (["s3://*/*/*/"], ["actor/0042_male", "style/16", "style/17", "style/a[1]"]),
    ],
    ids=str,
)
def test_patterns_and_names_select_each_collection_once(four, patterns, selected):
    bucket = four.sides.bucket.name
    selection = select(four.sides.deployment, [pattern.replace("BUCKET", bucket) for pattern in patterns])
    assert names(selection) == selected
    assert selection.failures == []


@pytest.mark.parametrize("pattern", ["style/9*", "film/*", "STYLE/*", "style/*/*", "*", "s3://other/styles/*/"])
def test_a_pattern_that_matches_nothing_is_an_error_with_a_remedy(four, pattern):
    with pytest.raises(Invalid, match="matches no collection") as caught:
        select(four.sides.deployment, ["style/16", pattern])
    assert repr(pattern) in caught.value.message
    assert "'s3-manifest ls'" in caught.value.remedy


def test_a_name_that_cannot_be_is_a_failure_and_the_others_are_selected(four):
    selection = select(four.sides.deployment, ["film/1", "actor/7", "style/16"])
    assert names(selection) == ["style/16"]
    assert [(failure.name, type(failure.error)) for failure in selection.failures] == [
        ("film/1", Invalid),
        ("actor/7", NotFound),
    ]


def test_selecting_lists_the_manifests_of_the_kinds_that_can_match_and_reads_none(four):
    select(four.sides.deployment, ["style/1*", "style/a*"])
    (request,) = four.requests()
    assert "prefix=_manifests%2Fstyles%2F" in request


def test_what_is_listed_spares_the_first_request_for_an_unchanged_manifest(four):
    deployment = four.sides.deployment
    style = deployment.collection("style/16")
    deployment.current_index(style)
    selected = select(deployment, ["style/*"]).deployment
    four.requests()
    assert selected.current_index(style).facts.total_files == 1
    assert four.requests() == []
    four.put("style/16", "b.png")
    assert selected.current_index(style).facts.total_files == 2


def test_a_listing_is_believed_for_a_minute(four, monkeypatch):
    deployment = four.sides.deployment
    style = deployment.collection("style/16")
    deployment.current_index(style)
    selected = select(deployment, ["style/*"]).deployment
    four.put("style/16", "b.png")
    later = selected.listed.listed_at + 61
    monkeypatch.setattr("s3_manifest_cli.client.manifests.deployment.time.monotonic", lambda: later)
    assert selected.current_index(style).facts.total_files == 2


@pytest.mark.parametrize("few", [0, 50], ids=["all keys", "folders"])
def test_many_keys_beside_a_manifest_are_not_listed(several, monkeypatch, few):
    """The second listing asks for the folders; both find every manifest, and neither a folder without one."""
    monkeypatch.setattr(direct, "_FEW_HEADS", few)
    for number in range(3):
        several.put(f"style/{number}", "a.png")
    client, bucket = several.sides.bucket.client, several.sides.bucket.name
    for name in [f"1/changes/{number:04}" for number in range(1100)] + ["0/pages/x", "2/pages/x", "9/pages/x"]:
        client.put_object(Bucket=bucket, Key=f"_manifests/styles/{name}", Body=b"")
    several.requests()
    selection = select(several.sides.deployment, ["style/*"])
    assert [request for request in several.requests() if not request.startswith("LIST")] == []
    found, unconfirmed = ({item.id for item in items} for items in (selection.collections, selection.unconfirmed))
    assert (found, unconfirmed) == (({*"0129"}, {*"129"}) if few else ({*"012"}, set()))


def test_a_kind_that_cannot_be_listed_is_a_failure_and_the_others_are_selected(four):
    four.sides.proxy.before = lambda request: refusal(403, "AccessDenied") if "actors%2F" in request.path else None
    selection = select(four.sides.deployment, ["*/*"])
    assert names(selection) == ["style/16", "style/17", "style/a[1]"]
    ((name, error),) = selection.failures
    assert name == f"actor/* in bucket {four.sides.bucket.name}"
    assert error.code == "AccessDenied"
    assert select(four.sides.deployment, ["actor/*"]).collections == []


def test_only_line_ends_separate_the_names_of_a_list():
    """An id may have characters that end a line elsewhere; what follows them is not the name of another collection."""
    text = "style/a\u2028style/b\r\n\n# all\n\tstyle/16 \nstyle/c\u00a0\nstyle/d\x0bstyle/e"
    assert parse_names(text) == ["style/a\u2028style/b", "style/16", "style/c\u00a0", "style/d\x0bstyle/e"]


@pytest.mark.parametrize("is_denied", [False, True])
def test_collections_are_selected_in_several_buckets(tmp_path, is_denied):
    text = "style=styles/{style_id}/, actor=s3://assets/styles/{actor_id}/"
    collections = parse_collections(text, "_manifests/", "files")
    stores = {"files": MemoryStore(), "assets": MemoryStore()}
    for name in ("style/1", "style/2", "actor/1"):
        collection = collections.lookup(*name.split("/"))
        stores[collection.bucket].upload(collection.head_key, name.encode())
    if is_denied:
        stores["assets"] = DeniedStore()
    deployment = Deployment(S3Manifests(stores, collections), collections, None, None, "files", "s3", tmp_path)
    selection = select(deployment, ["*/1"])
    assert names(selection) == (["style/1"] if is_denied else ["actor/1", "style/1"])
    assert [failure.name for failure in selection.failures] == ["actor/* in bucket assets"][:is_denied]
    assert names(select(deployment, ["s3://files/*/*/"])) == ["style/1", "style/2"]
    etags = selection.deployment.listed.etags.values()
    assert len(set(etags)) == len(selection.collections)  # the same key in both buckets
