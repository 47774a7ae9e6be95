"""Manifests, through S3 and through the HTTP API: the same results and the same errors."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from handlers.lambda_events import BUCKET
from handlers.scenarios import PREFIX

from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.jobs import Sweep, SweepAll
from s3_manifest.manifest.model import timestamp
from s3_manifest.storage import heads
from s3_manifest_cli.client.manifests.http import HttpManifests
from s3_manifest_cli.errors import HistoryExpired, Invalid, NotFound, Refused, Unavailable

HEAD = f"_manifests/{PREFIX}manifest.json"
ACTORS = "system_actors/training_data/"


@pytest.fixture(params=["inline", "paged"])
def past_revisions(request, scenario, monkeypatch):
    """A style with some revisions and a checkpoint."""
    if request.param == "paged":
        request.getfixturevalue("small_pages")
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 3)
    scenario.live(5)
    return scenario


@pytest.fixture
def manifests(deployment):
    return deployment.manifests


def as_json(manifest):
    """The JSON of the canonical manifest."""
    return facts_json(manifest.facts) | {"files": [entry.model_dump() for entry in manifest.files]}


def same(manifest, document):
    return json.loads(json.dumps(as_json(manifest))) == document


def test_every_collection_is_listed_with_its_totals(manifests, add):
    assert list(manifests.collections()) == []
    add({"styles/7/a.png": b"data", "styles/16/a.png": b"a", "styles/16/collection.json": b'{"title": "Dynamic"}'})
    add({f"{ACTORS}0042_male/a.png": b"x"})
    found = list(manifests.collections())
    assert [(totals.kind, totals.id, totals.total_files, totals.total_size_bytes) for totals in found] == [
        ("actor", "0042_male", 1, 1),
        ("style", "16", 1, 1),
        ("style", "7", 1, 4),
    ]
    assert [(totals.title, totals.complete, totals.revision) for totals in found][1] == ("Dynamic", True, 1)


def test_collections_are_listed_across_several_pages(manifests, add, account, reconcile, monkeypatch):
    for module in ("http", "direct"):
        monkeypatch.setattr(f"s3_manifest_cli.client.manifests.{module}._CATALOG_PAGE", 2)
    add({f"styles/{number}/a.png": b"data" for number in range(5)})
    assert [totals.id for totals in manifests.collections()] == ["0", "1", "2", "3", "4"]


def test_an_actor_is_found_by_its_name_and_by_its_number(deployment, add):
    add({f"{ACTORS}0042_male/a.png": b"x"})
    for name in ("actor/0042_male", "actor/0042", "actor/42", f"s3://storyboard-user-files/{ACTORS}0042_male/"):
        assert deployment.collection(name).id == "0042_male"


def test_an_unknown_or_ambiguous_actor_is_refused(manifests, add):
    with pytest.raises(NotFound):
        manifests.actor("43")
    add({f"{ACTORS}0042_male/a.png": b"x", f"{ACTORS}0042_female/a.png": b"x"})
    with pytest.raises(Refused, match="0042_female"):
        manifests.actor("42")


def test_a_name_that_no_collection_can_have_is_refused(deployment):
    for name in ("16", "voice/16", "style/", "s3://storyboard-user-files/styles/", "s3://storyboard-user-files/x/1/"):
        with pytest.raises(Invalid):
            deployment.collection(name)


@pytest.mark.slow
def test_a_manifest_can_be_read_at_every_revision_and_time(manifests, past_revisions, style):
    assert same(manifests.read(style), past_revisions.manifests[past_revisions.revision])
    for revision, document in past_revisions.manifests.items():
        at = timestamp(past_revisions.at[revision] + timedelta(seconds=30))
        then = manifests.read(style, revision=revision)
        assert same(then, document)
        assert manifests.facts(style, at=at) == then.facts
    assert manifests.read(style, at=at) == then
    assert manifests.facts(style) == manifests.read(style).facts


def test_captions_and_hidden_files_are_separate_lists(manifests, add, style):
    add({"styles/16/a.png": b"a", "styles/16/a.txt": b"a fox", "styles/16/b.png": b"b", "styles/16/c.png": b"c"})
    add({"styles/16/prompt_metadata.json": b'{"b.png": {"hidden": true}}'})
    for found in (manifests.read(style), manifests.read(style, revision=2)):
        assert [file.filename for file in found.files] == ["a.png", "c.png"]
        assert [(file.filename, file.caption) for file in found.captions] == [("a.txt", "a fox")]
        assert [(file.filename, file.hidden) for file in found.hidden] == [("b.png", True)]
        assert (found.files[0].prompt, found.facts.total_files) == ("a fox", 2)
    before = manifests.read(style, revision=1)
    assert ([file.filename for file in before.files], before.hidden) == (["a.png", "b.png", "c.png"], ())


@pytest.mark.slow
def test_files_are_read_across_several_pages_of_one_revision(manifests, scenario, style, monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.client.manifests.http._PAGE", 3)
    scenario.add(*(f"{number}.png" for number in range(8)))
    if isinstance(manifests, HttpManifests):
        send = manifests.api.request

        def changed_meanwhile(*arguments, **options):
            response = send(*arguments, **options)
            scenario.add(f"new{len(scenario.manifests)}.png", f"new{len(scenario.manifests)}.txt")
            return response

        monkeypatch.setattr(manifests.api, "request", changed_meanwhile)
    found = manifests.read(style)
    assert same(found, scenario.manifests[found.facts.revision])
    new = [file.filename for file in found.files if file.filename.startswith("new")]
    assert [caption.filename.replace("txt", "png") for caption in found.captions] == new
    index = manifests.index(style, None)
    assert [file.filename for file in index.files() if file.role == "files"] == [
        file["filename"] for file in scenario.manifests[index.facts.revision]["files"]
    ]


def test_reading_a_missing_manifest_is_not_found(manifests, style):
    for read in (manifests.facts, manifests.read, lambda collection: manifests.index(collection, None)):
        with pytest.raises(NotFound, match="manifest"):
            read(style)
    with pytest.raises(NotFound):
        manifests.changes(style, 0, 10)


def test_a_future_revision_or_an_earlier_time_is_not_found(manifests, scenario, style):
    scenario.add("a.png")
    for options in ({"revision": 2}, {"at": "2020-01-01T00:00:00.000Z"}):
        for read in (manifests.read, manifests.facts):
            with pytest.raises(NotFound) as refused:
                read(style, **options)
            assert not isinstance(refused.value, HistoryExpired)
    with pytest.raises(NotFound, match="the last is 1"):
        manifests.changes(style, 2, 10)


def test_an_expired_revision_names_the_oldest_available_one(manifests, scenario, style, account):
    for number in range(6):
        scenario.add(f"{number}.png")
    for record in scenario.records()[:4]:
        account.delete(record)
    early = timestamp(scenario.at[2])
    for send_request in (
        lambda: manifests.changes(style, 0, 2),
        lambda: manifests.read(style, revision=2),
        lambda: manifests.facts(style, at=early),
    ):
        with pytest.raises(HistoryExpired) as expired:
            send_request()
        assert expired.value.oldest == 5
    assert [change.revision for change in manifests.changes(style, 4, 10)] == [5, 6]


def test_changes_list_what_each_revision_changed_and_its_cause(manifests, scenario, style):
    scenario.add("a.png", "b.png")
    scenario.add("a.png", body=b"newer")
    scenario.remove("b.png")
    first, second, third = manifests.changes(style, 0, 10)
    assert [file.filename for file in first.added] == ["a.png", "b.png"]
    ((altered,), (removed,)) = second.modified, third.removed
    assert (altered.before.size_bytes, altered.after.size_bytes, altered.cause) == (4, 5, "ObjectCreated:Put")
    assert (removed.filename, removed.after, removed.cause) == ("b.png", None, "ObjectRemoved:Delete")
    assert [change.committed_at for change in (first, second, third)] == [timestamp(scenario.at[n]) for n in (1, 2, 3)]
    assert [change.s3_key for change in (first, second, third)] == scenario.records()
    assert [change.revision for change in manifests.changes(style, 0, 2)] == [1, 2]
    assert manifests.changes(style, 3, 10) == []


def test_an_index_holds_the_comparable_fields_of_every_entry(manifests, scenario, style):
    scenario.add("a.png", "a.txt", "größe/b.png")
    index, manifest = manifests.index(style, None), manifests.read(style)
    listed = [(file.filename, file.size, file.md5, file.etag, file.checksum, file.role) for file in index.files()]
    entries = sorted((*manifest.files, *manifest.captions), key=lambda entry: entry.filename)
    assert listed == [(e.filename, e.size_bytes, e.md5_hash, e.etag, e.checksum, e.role) for e in entries]
    assert len(listed) == 3
    assert index.facts == manifest.facts


def test_an_unchanged_index_is_reused_after_one_request(deployment, request, scenario, style):
    scenario.add("a.png")
    known = deployment.manifests.index(style, None)
    requests = scenario.account.requests if deployment.bucket else request.getfixturevalue("api").requests
    requests.clear()
    assert deployment.manifests.index(style, known) is known
    assert len(requests) == 1
    scenario.add("zz.png")
    found = deployment.manifests.index(style, known)
    assert "zz.png" in [file.filename for file in found.files()]
    assert found.facts.revision == known.facts.revision + 1


def test_only_changed_pages_of_a_large_manifest_are_read(through_s3, scenario, style, small_pages):
    scenario.add(*(f"{number:02}.png" for number in range(30)))
    known = through_s3.manifests.index(style, None)
    scenario.add("07.png", body=b"newer")
    scenario.account.requests.clear()
    found = through_s3.manifests.index(style, known)
    assert len(known.segments) > 4
    assert len([request for request in scenario.account.sent("GET") if "/pages/" in request.key]) == 1
    assert [file.size for file in found.files() if file.filename == "07.png"] == [5]
    assert len(list(found.files())) == 30


def test_a_sweep_is_requested_for_one_collection_or_for_all(manifests, style, account):
    before = timestamp(datetime.now(UTC))
    assert before <= manifests.rescan(style) <= timestamp(datetime.now(UTC))
    assert account.jobs() == [Sweep(kind="style", id="16")]
    assert before <= manifests.rescan_all() <= timestamp(datetime.now(UTC))
    assert account.jobs() == [SweepAll()]


def test_an_s3_error_is_never_reported_as_a_missing_manifest(manifests, scenario, style, impatience):
    scenario.add("a.png")
    scenario.account.refuse("GET", HEAD, 403)
    for send_request in (manifests.facts, manifests.read, lambda collection: manifests.index(collection, None)):
        with pytest.raises(Unavailable):
            send_request(style)
    with pytest.raises(Unavailable):
        manifests.changes(style, 0, 1)


def test_an_unreadable_manifest_raises_unavailable(manifests, scenario, style, account):
    account.put(HEAD, b"{}")
    with pytest.raises(Unavailable):
        manifests.facts(style)


def test_a_sweep_through_s3_requires_the_sweep_queue(through_s3, style):
    through_s3.manifests.enqueue = None
    for send_request in (lambda: through_s3.manifests.rescan(style), through_s3.manifests.rescan_all):
        with pytest.raises(Invalid, match="--sweep-queue-url"):
            send_request()


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known by its ETag"])
def test_the_remedy_for_a_manifest_of_a_newer_version_is_an_upgrade(through_s3, account, add, style, known):
    add({"styles/16/a.png": b"data"})
    before = through_s3.manifests.index(style, None) if known else None
    written = account.s3.get_object(Bucket=BUCKET, Key=style.head_key)["Body"].read()
    account.put(style.head_key, written.replace(b'"schema":1', b'"schema":2'))
    for read in (lambda: through_s3.manifests.index(style, before), lambda: through_s3.manifests.read(style)):
        with pytest.raises(Unavailable, match="written by a newer version") as listed:
            read()
        assert listed.value.code == "newer_schema"
        assert listed.value.remedy.startswith("Upgrade with '")
        assert "away" not in str(listed.value)
