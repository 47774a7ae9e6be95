"""What files go by of what sidecars say, and how that follows the sidecars: at once, or a stretch at a time."""

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


class Followed:
    """A manifest's sidecars and copies, through one look after the other."""

    def __init__(self):
        self.sidecars, self.objects, self.commits = (), {}, 0

    @property
    def descriptions(self):
        return applied_sidecars(
            STYLE, self.sidecars, {key: decode_content(self.objects[key]) for key in copy_keys(self.sidecars)}
        )

    def look(self, *seen, up_to=None):
        self.commits += 1
        looked = sidecar_observations(STYLE, seen)
        found = affected_files(self.descriptions, looked)
        revision = update_sidecars(self.descriptions, self.sidecars, looked, up_to, f"{self.commits}-")
        self.sidecars = revision.sidecars
        assert not self.objects.keys() & dict(revision.copies).keys()
        self.objects |= dict(revision.copies)
        assert {n: revision.applied.describe(n, None) for n in NAMES} == {
            n: self.descriptions.describe(n, None) for n in NAMES
        }
        return sorted(found)

    def prompts(self):
        return [self.descriptions.describe(name, None).prompt for name in NAMES]


def written(prompt, names=NAMES):
    return sidecar_observation(PROMPTS, f"etag of {prompt}", files=prompts_of(prompt, names))


def test_files_go_by_a_sidecar_once_it_was_looked_at():
    followed = Followed()
    assert followed.look(written("x", NAMES[:2])) == NAMES[:2]
    assert followed.prompts() == ["x", "x", None, None, None, None]
    assert followed.look(written("y", NAMES[1:3])) == NAMES[:3]
    assert followed.prompts() == [None, "y", "y", None, None, None]
    assert followed.look(absence(PROMPTS)) == NAMES[1:3]
    assert (followed.prompts(), followed.sidecars) == ([None] * 6, ())


def test_to_look_at_the_same_again_alters_nothing_and_makes_no_copy():
    followed = Followed()
    followed.look(written("x"))
    before = (followed.sidecars, dict(followed.objects))
    assert followed.look(written("x")) == []
    assert (followed.sidecars, followed.objects) == before


def test_only_files_of_which_something_else_is_said_are_concerned():
    followed = Followed()
    followed.look(written("x"))
    now = sidecar_observation(
        PROMPTS, "new", files=prompts_of("x") | {"c.jpg": FileDescription(prompt="x", good=False)}
    )
    assert followed.look(now) == ["c.jpg"]


def test_a_sidecar_that_says_nothing_of_files_has_no_copy():
    followed = Followed()
    followed.look(sidecar_observation("collection.json", title="Snow"), sidecar_observation(PROMPTS, "broken"))
    assert [sidecar.copies for sidecar in followed.sidecars] == [(), ()]
    assert followed.objects == {}


def test_until_it_is_applied_to_all_the_rest_goes_by_what_it_said_before():
    followed = Followed()
    followed.look(written("x"))
    assert followed.look(written("y"), up_to="c.jpg") == NAMES
    assert followed.prompts() == ["y", "y", "x", "x", "x", "x"]
    assert not followed.sidecars[0].is_applied
    assert followed.look(written("y"), up_to="e.jpg") == NAMES[2:]
    assert followed.prompts() == ["y", "y", "y", "y", "x", "x"]
    assert len(followed.objects) == 2
    assert followed.look(written("y")) == NAMES[4:]
    assert (followed.prompts(), followed.sidecars[0].is_applied) == (["y"] * 6, True)
    assert len(followed.sidecars[0].copies) == 1


@pytest.mark.parametrize("up_to", ["a.jpg", "b.jpg", "d.jpg", "f.jpg"])
def test_another_edit_in_the_middle_of_that_is_applied_from_the_beginning(up_to):
    followed = Followed()
    followed.look(written("x"))
    followed.look(written("y"), up_to="d.jpg")
    followed.look(written("z"), up_to=up_to)
    before = NAMES.index(up_to)
    expected = ["z"] * before + ["y"] * max(0, 3 - before) + ["x"] * (6 - max(3, before))
    assert followed.prompts() == expected
    assert followed.look(written("z")) == NAMES[before:]
    assert (followed.prompts(), followed.sidecars[0].is_applied) == (["z"] * 6, True)


def test_a_deleted_sidecar_is_known_until_no_file_goes_by_it_any_more():
    followed = Followed()
    followed.look(written("x"))
    assert followed.look(absence(PROMPTS), up_to="c.jpg") == NAMES
    assert followed.prompts() == [None, None, "x", "x", "x", "x"]
    assert [(one.etag, one.is_applied) for one in followed.sidecars] == [("", False)]
    followed.look(absence(PROMPTS))
    assert (followed.prompts(), followed.sidecars) == ([None] * 6, ())


def test_the_first_stretch_of_a_new_sidecar_leaves_the_rest_as_it_is():
    followed = Followed()
    followed.look(written("x"), up_to="c.jpg")
    assert followed.prompts() == ["x", "x", None, None, None, None]
    assert not followed.sidecars[0].is_applied


def test_prompt_metadata_counts_more_than_an_image_folder():
    followed = Followed()
    followed.look(sidecar_observation("metadata.jsonl", files=prompts_of("folder")), written("x", NAMES[:1]))
    assert followed.prompts() == ["x", *["folder"] * 5]


def test_sidecars_are_kept_in_order_and_with_what_is_known_of_them():
    followed = Followed()
    followed.look(written("x"), sidecar_observation("collection.json"))
    assert [sidecar.s3_key for sidecar in followed.sidecars] == [PREFIX + "collection.json", PREFIX + PROMPTS]
    copy = SidecarCopy(key=f"1-{PROMPTS}", sha256=sha256_hex(followed.objects[f"1-{PROMPTS}"]))
    assert followed.sidecars[1] == Sidecar(s3_key=PREFIX + PROMPTS, etag="etag of x", copies=(copy,))


def test_without_sidecars_nothing_is_said():
    assert AppliedSidecars({}).describe("a.jpg", None) == FileDescription()
    assert AppliedSidecars({}).describe("a.jpg", "a fox") == FileDescription(prompt="a fox")
