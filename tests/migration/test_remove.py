"""``--remove-legacy`` deletes verified files, and retains all others with a reason."""

import json

import pytest
from migration.buckets import Migration

NAME = "0042_european_30_male"
PREFIX = f"system_actors/training_data/{NAME}/"
FOLDER = f"data/actors/{NAME}/training_data"
MANIFEST, SYNC = f"{FOLDER}/manifest.json", f"data/actor_manifests/{NAME}_manifest.json"
IMAGE = f"{FOLDER}/a.png"


@pytest.fixture
def migration(tmp_path):
    migration = Migration(tmp_path)
    migration.file(IMAGE, "a")
    return migration


def removal(migration, content, others=(), **options):
    """Migrates an actor with this manifest, and other documents by path.

    Returns the deleted paths, and the retained ones with their reasons.
    """
    migration.file(MANIFEST, json.dumps(content))
    for path, document in dict(others).items():
        migration.file(path, json.dumps(document))
    _, result = migration.run(remove_legacy=True, **options)
    return set(result.removal.paths), {entry.path: entry.problem for entry in result.removal.retained}


def test_completely_verified_files_are_deleted(migration):
    response = {"id": "r", "completed_at": "2025-01-01", "input": {"prompt": "p"}, "output": ["a.png"]}
    others = {f"{FOLDER}/response.json": response, SYNC: {"images": [{"filename": "a.png", "prompt": "p"}]}}
    deleted, retained = removal(migration, {"images": ["a.png"]}, others)
    assert deleted == {MANIFEST, IMAGE, SYNC, f"{FOLDER}/response.json"}
    assert retained == {}


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"filename": "b.png"}, "b.png: it is missing"),
        ({"filename": "a.png", "md5": "0" * 32}, "a.png: it names another MD5"),
        ({"filename": "../a.png"}, "not all of it could be read"),
        ({"filename": "a.png", "prompt": 7}, "not all of it could be read"),
    ],
)
def test_a_manifest_that_was_not_completely_migrated_is_retained(migration, image, reason):
    deleted, retained = removal(migration, {"images": ["a.png", image]})
    assert (deleted, retained) == ({IMAGE}, {MANIFEST: reason})


def test_an_overruled_manifest_and_the_manifest_that_overrules_it_are_retained(migration):
    mine = {"images": [{"filename": "a.png", "prompt": "later"}], "updated_at": "2025-02-02"}
    other = {"images": [{"filename": "a.png", "prompt": "earlier"}], "updated_at": "2025-01-01"}
    deleted, retained = removal(migration, mine, {SYNC: other})
    assert deleted == {IMAGE}
    assert retained == {
        SYNC: "a.png: its prompt differs from the manifest",
        MANIFEST: "another legacy file of the collection is retained",
    }


def test_a_manifest_with_an_overruled_title_is_retained(migration):
    mine, other = (
        {"actor_name": "Late", "updated_at": "2025-02-02"},
        {"actor_name": "Early", "updated_at": "2025-01-01"},
    )
    _, retained = removal(migration, mine | {"images": ["a.png"]}, {SYNC: other})
    assert retained[SYNC] == "its title differs from the manifest"


def test_an_image_that_differs_from_s3_and_its_manifest_are_retained(migration):
    migration.bucket.upload(f"{PREFIX}a.png", b"of S3")
    deleted, retained = removal(
        migration, {"images": [{"filename": "a.png", "md5": "0cc175b9c0f1b6a831c399e269772661"}]}
    )
    assert deleted == set()
    assert retained[IMAGE] == "out_of_sync: S3 does not have these bytes"
    assert retained[MANIFEST] == "a.png: it names another MD5"


def test_an_orphan_is_retained(migration):
    deleted, retained = removal(migration, {})
    assert deleted == {MANIFEST}
    assert retained == {IMAGE: "orphaned: S3 does not have these bytes"}


def test_a_broken_manifest_is_retained(migration):
    migration.file(MANIFEST, "{")
    _, result = migration.run(remove_legacy=True)
    assert result.removal.paths == ()
    assert (migration.root / MANIFEST).exists()


def test_the_base_image_and_unrelated_files_are_retained(migration):
    base = f"data/actors/{NAME}/base.png"
    migration.file(base, "base")
    migration.file(f"{FOLDER}/notes.txt", "notes")
    deleted, _ = removal(migration, {"base_image_path": base, "images": ["a.png"]})
    assert deleted == {MANIFEST, IMAGE}
    assert (migration.root / base).exists()


def test_an_image_modified_during_verification_is_retained(migration):
    clock = migration.clock()

    def sleep(seconds):
        clock.sleep(seconds)
        migration.file(IMAGE, "edited meanwhile")

    migration.clock = lambda: clock._replace(sleep=sleep)
    deleted, retained = removal(migration, {"images": ["a.png"]})
    assert (deleted, set(retained)) == (set(), {IMAGE, MANIFEST})
    assert (migration.root / IMAGE).read_bytes() == b"edited meanwhile"


def test_an_image_deleted_from_s3_during_verification_is_retained(migration):
    clock = migration.clock()

    def sleep(seconds):
        clock.sleep(seconds)
        migration.bucket.remove(f"{PREFIX}a.png")

    migration.clock = lambda: clock._replace(sleep=sleep)
    deleted, retained = removal(migration, {"images": ["a.png"]})
    assert deleted == set()
    assert retained == {
        IMAGE: "changed since it was verified",
        MANIFEST: "an image of the collection changed since it was verified",
    }


def test_an_unverified_image_and_its_manifest_are_retained(migration):
    migration.deployed = False
    deleted, retained = removal(migration, {"images": ["a.png"]})
    assert deleted == set()
    assert set(retained) == {MANIFEST, IMAGE}


def test_a_response_that_names_unsaved_images_is_retained(migration):
    response = {"id": "r", "completed_at": "2025-01-01", "input": {"prompt": "p"}, "output": ["a.png", "gone.png"]}
    _, retained = removal(migration, {"images": ["a.png"]}, {f"{FOLDER}/response.json": response})
    assert retained[f"{FOLDER}/response.json"] == "it names images that are neither on disk nor in S3"


def test_nothing_is_removed_by_default(migration):
    migration.file(MANIFEST, json.dumps({"images": ["a.png"]}))
    _, result = migration.run()
    assert result.removal is None
    assert (migration.root / IMAGE).exists()
