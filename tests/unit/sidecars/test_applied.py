"""Sidecars are applied to the files of a manifest, to all in one commit or range by range."""

import pytest
from unit.values import PREFIX, STYLE, absence, sidecar_observation

from s3_manifest.manifest.model import Sidecar, SidecarCopy
from s3_manifest.manifest.runs import sha256_hex
from s3_manifest.sidecars.applied import (
    AppliedSidecars,
    affected_files,
    applied_sidecars,
    copy_keys,
    sidecar_observations,
    update_sidecars,
)
from s3_manifest.sidecars.content import FileDescription, decode_content

PROMPTS = "prompt_metadata.json"
NAMES = [f"{letter}.jpg" for letter in "abcdef"]


def prompts_of(prompt, names=NAMES):
    return {name: FileDescription(prompt=prompt) for name in names}


class Updates:
    """The sidecars of a manifest and their copies, through a series of updates."""

    def __init__(self):
        self.sidecars, self.objects, self.commits = (), {}, 0

    @property
    def descriptions(self):
        return applied_sidecars(
            STYLE, self.sidecars, {key: decode_content(self.objects[key]) for key in copy_keys(self.sidecars)}
        )

    def update(self, *observations, up_to=None):
        self.commits += 1
        observed = sidecar_observations(STYLE, observations)
        affected = affected_files(self.descriptions, observed)
        revision = update_sidecars(self.descriptions, self.sidecars, observed, up_to, f"{self.commits}-")
        self.sidecars = revision.sidecars
        assert not self.objects.keys() & dict(revision.copies).keys()
        self.objects |= dict(revision.copies)
        assert {n: revision.applied.describe(n, None) for n in NAMES} == {
            n: self.descriptions.describe(n, None) for n in NAMES
        }
        return sorted(affected)

    def prompts(self):
        return [self.descriptions.describe(name, None).prompt for name in NAMES]


def written(prompt, names=NAMES):
    return sidecar_observation(PROMPTS, f"etag of {prompt}", files=prompts_of(prompt, names))


def test_an_observed_sidecar_is_applied_to_its_files():
    updates = Updates()
    assert updates.update(written("x", NAMES[:2])) == NAMES[:2]
    assert updates.prompts() == ["x", "x", None, None, None, None]
    assert updates.update(written("y", NAMES[1:3])) == NAMES[:3]
    assert updates.prompts() == [None, "y", "y", None, None, None]
    assert updates.update(absence(PROMPTS)) == NAMES[1:3]
    assert (updates.prompts(), updates.sidecars) == ([None] * 6, ())


def test_the_same_observation_again_changes_nothing_and_makes_no_copy():
    updates = Updates()
    updates.update(written("x"))
    before = (updates.sidecars, dict(updates.objects))
    assert updates.update(written("x")) == []
    assert (updates.sidecars, updates.objects) == before


def test_only_files_with_another_description_are_affected():
    updates = Updates()
    updates.update(written("x"))
    now = sidecar_observation(
        PROMPTS, "new", files=prompts_of("x") | {"c.jpg": FileDescription(prompt="x", good=False)}
    )
    assert updates.update(now) == ["c.jpg"]


def test_a_sidecar_that_describes_no_files_has_no_copy():
    updates = Updates()
    updates.update(sidecar_observation("collection.json", title="Snow"), sidecar_observation(PROMPTS, "broken"))
    assert [sidecar.copies for sidecar in updates.sidecars] == [(), ()]
    assert updates.objects == {}


def test_files_keep_the_previous_content_until_the_sidecar_is_applied_to_them():
    updates = Updates()
    updates.update(written("x"))
    assert updates.update(written("y"), up_to="c.jpg") == NAMES
    assert updates.prompts() == ["y", "y", "x", "x", "x", "x"]
    assert not updates.sidecars[0].is_applied
    assert updates.update(written("y"), up_to="e.jpg") == NAMES[2:]
    assert updates.prompts() == ["y", "y", "y", "y", "x", "x"]
    assert len(updates.objects) == 2
    assert updates.update(written("y")) == NAMES[4:]
    assert (updates.prompts(), updates.sidecars[0].is_applied) == (["y"] * 6, True)
    assert len(updates.sidecars[0].copies) == 1


@pytest.mark.parametrize("up_to", ["a.jpg", "b.jpg", "d.jpg", "f.jpg"])
def test_an_edit_of_a_partly_applied_sidecar_is_applied_from_the_first_file(up_to):
    updates = Updates()
    updates.update(written("x"))
    updates.update(written("y"), up_to="d.jpg")
    updates.update(written("z"), up_to=up_to)
    before = NAMES.index(up_to)
    expected = ["z"] * before + ["y"] * max(0, 3 - before) + ["x"] * (6 - max(3, before))
    assert updates.prompts() == expected
    assert updates.update(written("z")) == NAMES[before:]
    assert (updates.prompts(), updates.sidecars[0].is_applied) == (["z"] * 6, True)


def test_a_deleted_sidecar_stays_until_it_applies_to_no_file():
    updates = Updates()
    updates.update(written("x"))
    assert updates.update(absence(PROMPTS), up_to="c.jpg") == NAMES
    assert updates.prompts() == [None, None, "x", "x", "x", "x"]
    assert [(sidecar.etag, sidecar.is_applied) for sidecar in updates.sidecars] == [("", False)]
    updates.update(absence(PROMPTS))
    assert (updates.prompts(), updates.sidecars) == ([None] * 6, ())


def test_the_first_range_of_a_new_sidecar_leaves_the_other_files_unchanged():
    updates = Updates()
    updates.update(written("x"), up_to="c.jpg")
    assert updates.prompts() == ["x", "x", None, None, None, None]
    assert not updates.sidecars[0].is_applied


def test_prompt_metadata_takes_precedence_over_an_image_folder():
    updates = Updates()
    updates.update(sidecar_observation("metadata.jsonl", files=prompts_of("folder")), written("x", NAMES[:1]))
    assert updates.prompts() == ["x", *["folder"] * 5]


def test_sidecars_are_sorted_and_have_their_copies():
    updates = Updates()
    updates.update(written("x"), sidecar_observation("collection.json"))
    assert [sidecar.s3_key for sidecar in updates.sidecars] == [PREFIX + "collection.json", PREFIX + PROMPTS]
    copy = SidecarCopy(key=f"1-{PROMPTS}", sha256=sha256_hex(updates.objects[f"1-{PROMPTS}"]))
    assert updates.sidecars[1] == Sidecar(s3_key=PREFIX + PROMPTS, etag="etag of x", copies=(copy,))


def test_without_sidecars_a_file_has_only_its_caption():
    assert AppliedSidecars({}).describe("a.jpg", None) == FileDescription()
    assert AppliedSidecars({}).describe("a.jpg", "a fox") == FileDescription(prompt="a fox")
