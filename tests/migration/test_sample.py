"""The committed legacy tree, and its migration."""

import shutil
from pathlib import Path

import pytest
from migration.buckets import Migration, differences
from migration.odd_sample import committed_sample

from benchmarks.legacy_sample import sample
from s3_manifest_cli.migration import report
from s3_manifest_cli.terminal.failures import FAILED

TREE = Path(__file__).parent / "legacy_tree"


@pytest.fixture(scope="module")
def legacy_sample():
    return committed_sample()


@pytest.fixture
def migration(legacy_sample, tmp_path):
    shutil.copytree(TREE, tmp_path / "tree")
    migration = Migration(tmp_path / "tree")
    for key, body in legacy_sample.objects.items():
        migration.bucket.upload(key, body)
    return migration


def files_of(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_generator_reproduces_the_committed_tree(legacy_sample):
    assert files_of(TREE) == legacy_sample.files


def test_the_seed_determines_the_tree():
    assert sample(5, 20, seed=1).files == sample(5, 20, seed=1).files != sample(5, 20, seed=2).files


def test_a_plan_counts_every_status_and_changes_nothing(legacy_sample, migration):
    planned = migration.plan()
    assert report.counts(planned) == legacy_sample.counts
    assert migration.bucket.written == []
    assert files_of(migration.root) == legacy_sample.files


def test_exactly_the_broken_files_are_reported(legacy_sample, migration):
    assert {problem.path for problem in migration.plan().problems} == legacy_sample.broken


def test_a_run_makes_the_manifests_match_the_tree(legacy_sample, migration):
    planned, result = migration.run()
    assert result.failed == ()
    assert [entry for entry in result.verifications.values() if not entry.is_verified] == []
    assert differences(migration.bucket, legacy_sample.truth) == []
    assert report.exit_code(planned, result) == FAILED


def test_a_second_run_finds_nothing_to_do(migration):
    migration.run()
    migration.bucket.written.clear()
    planned, _ = migration.run()
    assert planned.is_done
    assert migration.bucket.written == []


def test_only_verified_files_are_removed(legacy_sample, migration):
    _, result = migration.run(remove_legacy=True)
    deleted = set(result.removal.paths)
    assert files_of(migration.root) == {path: body for path, body in legacy_sample.files.items() if path not in deleted}
    assert not deleted & legacy_sample.broken
    stored = {stored[1] for stored in migration.bucket.objects.values()}
    assert all(legacy_sample.files[path] in stored for path in deleted if not path.endswith(".json"))
    assert differences(migration.bucket, legacy_sample.truth) == []


def test_a_run_after_a_removal_has_nothing_to_do(legacy_sample, migration):
    migration.run(remove_legacy=True)
    migration.bucket.written.clear()
    planned, result = migration.run(remove_legacy=True)
    assert (planned.is_done, migration.bucket.written, result.removal.paths) == (True, [], ())
    assert differences(migration.bucket, legacy_sample.truth) == []
