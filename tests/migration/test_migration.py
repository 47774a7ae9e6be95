"""Runs of the migration on small trees, with concurrent changes and failures."""

import json
import threading

import pytest
from migration.buckets import BUCKET, KINDS, Migration, md5

from s3_manifest.storage.store import OutcomeUnknown, ReadFailed, WriteRefused
from s3_manifest_cli.migration import report
from s3_manifest_cli.migration.legacy import Tree
from s3_manifest_cli.migration.run import MigrationPlan
from s3_manifest_cli.terminal.failures import DIFFERENCES, FAILED

NAME = "0042_european_30_male"
PREFIX = f"system_actors/training_data/{NAME}/"
FOLDER = f"data/actors/{NAME}/training_data"
MANIFEST = f"{FOLDER}/manifest.json"
PROMPTS = f"{PREFIX}prompt_metadata.json"


@pytest.fixture
def migration(tmp_path):
    return Migration(tmp_path)


def actor(migration, *names, title=None, **more):
    """Writes these images of an actor to disk, and its manifest."""
    for name in names:
        migration.file(f"{FOLDER}/{name}", name)
    images = [{"filename": name, "prompt": f"prompt of {name}"} for name in names]
    migration.file(MANIFEST, json.dumps({"actor_name": title or NAME, "images": images} | more))


def files(migration):
    return {entry.filename: entry for entry in migration.manifest(PREFIX).files}


def statuses(migration):
    return {image.filename: image.status for collection in migration.plan().collections for image in collection.images}


def test_a_migration_without_images_succeeds(migration):
    migration.file("data/readme.txt")
    assert migration.exit_code() == 0


def test_a_local_only_image_is_uploaded_with_its_fields(migration):
    run = {"generation_id": 7, "type": "flux", "generated_at": "2025-01-01T00:00:00Z", "metadata": {"seed": 1}}
    actor(
        migration, "b.png", title="Anna Smith", generations=[run | {"images": [{"filename": "a.png", "good": False}]}]
    )
    migration.file(f"{FOLDER}/a.png", "a")
    assert migration.exit_code() == 0
    a, b = files(migration)["a.png"], files(migration)["b.png"]
    assert (a.md5_hash, a.good, a.generation_id, a.generation_type) == (md5(b"a"), False, 7, "flux")
    assert (b.prompt, b.local_path, b.content_type) == ("prompt of b.png", f"{FOLDER}/b.png", "image/png")
    head = migration.manifest(PREFIX)
    assert head.title == "Anna Smith"
    assert [(entry.generation_id, entry.metadata) for entry in head.generations if entry.declared] == [(7, {"seed": 1})]


def test_fields_are_written_for_images_that_are_only_in_s3(migration):
    migration.bucket.upload(f"{PREFIX}a.png", b"a")
    image = {"s3_url": f"https://{BUCKET}.s3.amazonaws.com/{PREFIX}a.png", "prompt": "p"}
    migration.file(f"data/actor_manifests/{NAME}_manifest.json", json.dumps({"images": [image]}))
    assert migration.exit_code() == 0
    assert files(migration)["a.png"].prompt == "p"


@pytest.mark.parametrize("has_manifest", [True, False])
def test_md5s_come_from_the_manifest_or_else_from_s3(migration, has_manifest):
    actor(migration, "a.png", "b.png")
    migration.bucket.upload(f"{PREFIX}a.png", b"a.png")
    if has_manifest:
        migration.bucket.reconcile()
    assert statuses(migration) == {"a.png": "synced", "b.png": "local_only"}


def test_an_object_that_is_newer_than_the_manifest_is_found(migration):
    actor(migration, "a.png", "b.png")
    migration.bucket.upload(f"{PREFIX}a.png", b"a.png")
    migration.bucket.reconcile()
    migration.bucket.upload(f"{PREFIX}b.png", b"b.png")
    assert statuses(migration) == {"a.png": "synced", "b.png": "synced"}


def test_an_md5_that_s3_does_not_return_is_computed(migration):
    actor(migration, "a.png", "b.png")
    for name in ("a.png", "b.png"):
        body = b"a.png" if name == "a.png" else b"other"
        migration.bucket.upload(f"{PREFIX}{name}", body, etag=f"{'0' * 32}-2")
    assert statuses(migration) == {"a.png": "synced", "b.png": "out_of_sync"}


def test_files_of_equal_size_are_compared_by_content(migration):
    actor(migration, "a.png")
    migration.bucket.upload(f"{PREFIX}a.png", b"A.PNG")
    assert statuses(migration) == {"a.png": "out_of_sync"}


def test_bytes_in_s3_stay_unless_local_ones_are_preferred(migration):
    actor(migration, "a.png")
    migration.bucket.upload(f"{PREFIX}a.png", b"of S3")
    assert migration.exit_code() == DIFFERENCES
    assert migration.bucket.get(f"{PREFIX}a.png").body == b"of S3"
    assert migration.exit_code(prefer_local=True) == 0
    assert migration.bucket.get(f"{PREFIX}a.png").body == b"a.png"


def test_an_orphan_is_reported_and_uploaded_on_request(migration):
    actor(migration, "a.png")
    migration.file(f"{FOLDER}/b.png", "b")
    assert migration.exit_code() == DIFFERENCES
    assert migration.bucket.get(f"{PREFIX}b.png") is None
    assert migration.exit_code(upload_orphans=True) == 0
    assert migration.exit_code() == 0
    assert files(migration)["b.png"].md5_hash == md5(b"b")


def test_a_missing_image_is_a_difference_without_fields_in_sidecars(migration):
    migration.file(MANIFEST, json.dumps({"images": [{"filename": "a.png", "prompt": "p"}]}))
    assert migration.exit_code() == DIFFERENCES
    assert migration.bucket.written == []


def test_later_edits_survive_another_run(migration):
    actor(migration, "a.png")
    migration.run()
    edited = json.dumps({"a.png": {"prompt": "edited", "good": False}}).encode()
    migration.bucket.upload(PROMPTS, edited)
    migration.bucket.reconcile()
    assert migration.exit_code() == DIFFERENCES
    assert files(migration)["a.png"].prompt == "edited"
    assert migration.exit_code(prefer_local=True) == 0
    assert (files(migration)["a.png"].prompt, files(migration)["a.png"].good) == ("prompt of a.png", False)


def test_a_broken_sidecar_is_an_error_and_the_images_are_uploaded(migration):
    actor(migration, "a.png")
    migration.bucket.upload(PROMPTS, b"{")
    planned, result = migration.run()
    assert report.exit_code(planned, result) == FAILED
    assert "Repair or delete it" in result.failed[0].problem
    assert migration.bucket.get(PROMPTS).body == b"{"
    assert migration.bucket.get(f"{PREFIX}a.png").body == b"a.png"


def test_a_broken_legacy_file_is_an_error_and_the_others_are_migrated(migration):
    actor(migration, "a.png")
    migration.file("data/s3_manifests/style_1_s3_manifest.json", "{")
    planned, result = migration.run()
    assert report.exit_code(planned, result) == FAILED
    assert [problem.path for problem in planned.problems] == ["data/s3_manifests/style_1_s3_manifest.json"]
    assert files(migration)["a.png"].prompt == "prompt of a.png"


def test_without_a_stack_nothing_is_verified_and_nothing_removed(migration):
    migration.deployed = False
    actor(migration, "a.png")
    planned, result = migration.run(remove_legacy=True)
    assert report.exit_code(planned, result) == DIFFERENCES
    assert result.removal.paths == ()
    assert (migration.root / FOLDER / "a.png").exists()


def test_an_unreadable_collection_is_an_error_and_the_others_are_migrated(migration):
    actor(migration, "a.png")
    migration.file("data/s3_manifests/style_1_s3_manifest.json", json.dumps({"files": ["b.png"]}))
    key = "styles/1/b.png"
    real_head = migration.bucket.head

    def head(requested):
        if requested == key:
            raise ReadFailed(requested, "403")
        return real_head(requested)

    migration.bucket.head = head
    planned, result = migration.run()
    assert report.exit_code(planned, result) == FAILED
    assert files(migration)["a.png"].prompt == "prompt of a.png"


def test_a_failed_upload_is_reported_and_repeated_by_the_next_run(migration):
    actor(migration, "a.png", "b.png")
    put = migration.bucket.put_image

    def failing(key, file, image):
        if key.endswith("b.png"):
            raise WriteRefused(key, "403")
        put(key, file, image)

    migration.bucket.put_image = failing
    planned, result = migration.run()
    assert report.exit_code(planned, result) == FAILED
    migration.bucket.put_image = put
    assert migration.exit_code() == 0
    assert list(files(migration)) == ["a.png", "b.png"]


class Killed(BaseException):
    """Simulates the end of the process."""


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("after", range(6))
def test_a_migration_that_is_killed_at_any_write_is_finished_by_the_next(tmp_path, after, effect):
    migration = Migration(tmp_path)
    run = {"generation_id": 1, "type": "flux", "generated_at": "2025-01-01", "images": ["a.png"]}
    actor(migration, "a.png", "b.png", "c.png", title="Anna", generations=[run])
    _kill(migration, after, effect)
    with pytest.raises(Killed):
        migration.run(remove_legacy=True)
    del migration.bucket.put, migration.bucket.put_image
    assert (tmp_path / MANIFEST).exists()
    assert migration.exit_code() == 0
    assert {name: (entry.md5_hash, entry.prompt) for name, entry in files(migration).items()} == {
        name: (md5(name.encode()), f"prompt of {name}") for name in ("a.png", "b.png", "c.png")
    }
    assert migration.manifest(PREFIX).title == "Anna"
    assert migration.exit_code(remove_legacy=True) == 0
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def _kill(migration, after, effect):
    """Kills the process at a write, or while it waits for the manifests; with ``effect`` after it took effect."""
    bucket, remaining, lock = migration.bucket, [after], threading.Lock()

    def killing(write):
        def killed(*args, **more):
            with lock:
                remaining[0] -= 1
                if remaining[0] >= 0:
                    return write(*args, **more)
                if effect and remaining[0] == -1:
                    write(*args, **more)
                raise Killed

        return killed

    bucket.put, bucket.put_image = killing(bucket.put), killing(bucket.put_image)


@pytest.mark.parametrize("after", range(4))
def test_a_removal_that_is_killed_is_finished_by_the_next(tmp_path, monkeypatch, after):
    migration = Migration(tmp_path)
    actor(migration, "a.png", "b.png", "c.png")
    remove, remaining = Tree.remove, [after]

    def killing(*args):
        remaining[0] -= 1
        if remaining[0] < 0:
            raise Killed
        remove(*args)

    monkeypatch.setattr(Tree, "remove", killing)
    with pytest.raises(Killed):
        migration.run(remove_legacy=True)
    assert (tmp_path / MANIFEST).exists()
    monkeypatch.undo()
    assert migration.exit_code() == 0
    assert migration.exit_code(remove_legacy=True) == 0
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    assert [entry.prompt for entry in files(migration).values()] == [f"prompt of {name}" for name in files(migration)]


def test_an_edit_succeeds_after_a_lost_response(migration):
    actor(migration, "a.png")
    put, lost = migration.bucket.put, []

    def losing(key, body, **more):
        etag = put(key, body, **more)
        if not lost:
            lost.append(key)
            raise OutcomeUnknown(key, "lost")
        return etag

    migration.bucket.put = losing
    assert migration.exit_code() == 0
    assert lost == [PROMPTS]


def test_a_migration_writes_no_manifests(migration):
    actor(migration, "a.png")
    migration.run()
    assert not any(key.startswith(KINDS.root) for key in migration.bucket.written)


def test_a_plan_counts_uploads_and_edits(migration):
    actor(migration, "a.png")
    planned = migration.plan()
    assert isinstance(planned, MigrationPlan)
    assert (len(planned.uploads), len(planned.edits), planned.is_done) == (1, 1, False)
    assert report.exit_code(planned, None) == DIFFERENCES
    migration.run()
    assert report.exit_code(migration.plan(), None) == 0
