"""Verification reports every difference between the manifests and the tree."""

import json

import pytest
from migration.buckets import Migration

from s3_manifest_cli.migration import report

NAME = "0042_european_30_male"
FOLDER = f"data/actors/{NAME}/training_data"
RUN = {"generation_id": 7, "type": "flux", "generated_at": "2025-01-01T00:00:00Z", "metadata": {"seed": 1}}


@pytest.fixture
def migration(tmp_path):
    migration = Migration(tmp_path)
    migration.file(f"{FOLDER}/a.png", "a")
    image = {"filename": "a.png", "prompt": "p", "good": False}
    description = {"actor_name": "Anna", "generations": [RUN | {"images": [image]}]}
    migration.file(f"{FOLDER}/manifest.json", json.dumps(description))
    return migration


def verification_of(migration, alter):
    """Alters the manifests that the stack writes; returns the verification."""
    head = migration.bucket._head
    migration.bucket._head = lambda *args: alter(head(*args))
    planned, result = migration.run(remove_legacy=True)
    (verification,) = result.verifications.values()
    assert verification.is_verified is (report.exit_code(planned, result) == 0)
    assert bool(result.removal.paths) is verification.is_verified
    return verification


def with_file(**description):
    return lambda head: head.model_copy(
        update={"files": tuple(entry.model_copy(update=description) for entry in head.files)}
    )


def with_generation(**description):
    return lambda head: head.model_copy(
        update={"generations": tuple(entry.model_copy(update=description) for entry in head.generations)}
    )


def with_head(**description):
    return lambda head: head.model_copy(update=description)


def without_files(head):
    generations = tuple(entry.model_copy(update={"image_count": 0}) for entry in head.generations)
    nothing = {"files": (), "total_files": 0, "total_size_bytes": 0}
    return head.model_copy(update=nothing | {"generations": generations})


def test_a_complete_manifest_is_verified(migration):
    assert verification_of(migration, lambda head: head).is_verified


@pytest.mark.parametrize(
    ("alter", "problem"),
    [
        (without_files, "not in the manifest"),
        (with_file(md5_hash="0" * 32), "the manifest has MD5"),
        (with_file(prompt="q"), "the manifest has a different prompt"),
        (with_file(good=True), "the manifest has a different good"),
        (with_file(generation_id=8), "the manifest has a different generation_id"),
        (with_file(generation_type="sdxl"), "the manifest has a different generation_type"),
        (with_file(generated_at=None), "the manifest has a different generated_at"),
    ],
)
def test_a_difference_of_a_file_is_reported(migration, alter, problem):
    verification = verification_of(migration, alter)
    assert (list(verification.files), verification.problems) == (["a.png"], ())
    assert problem in verification.files["a.png"]


@pytest.mark.parametrize(
    ("alter", "problem"),
    [
        (with_head(title="Bert"), "the manifest has the title 'Bert'"),
        (with_generation(generation_id=1, type="s3_event"), "the manifest has no generation flux 7"),
        (with_generation(generation_id=8), "the manifest has no generation flux 7"),
        (with_generation(generated_at="2026-01-01T00:00:00.000Z"), "the manifest has no generation flux 7"),
        (with_generation(metadata={"seed": 2}), "the manifest has no generation flux 7"),
    ],
)
def test_a_difference_of_the_collection_is_reported(migration, alter, problem):
    verification = verification_of(migration, alter)
    assert verification.files == {}
    (reported,) = verification.problems
    assert reported.startswith(problem)
