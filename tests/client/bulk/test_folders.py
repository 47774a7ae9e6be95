"""The local path of each collection, whatever its id."""

import os
from pathlib import Path

import pytest
from unit.values import COLLECTIONS

from s3_manifest_cli import Invalid, local_paths
from s3_manifest_cli.client.bulk import folders


def collection(name):
    return COLLECTIONS.lookup(*name.split("/"))


def test_a_template_names_a_path_for_each_collection():
    style, actor = collection("style/16"), collection("actor/0042_male")
    assert local_paths("data/{kind}s/{id}/training_data", [style, actor]) == {
        style: Path("data/styles/16/training_data"),
        actor: Path("data/actors/0042_male/training_data"),
    }


@pytest.mark.parametrize(
    "name", ["..", ".", ".git", ".s3-manifest", "a\\b", "a\nb", "a\0b", "\ud800", "x" * 256, "\x1b[2J"], ids=ascii
)
def test_an_id_that_is_no_name_is_refused_and_the_others_have_their_paths(name):
    bad, good = collection("style/16")._replace(id=name), collection("style/17")
    paths = local_paths("data/{id}", [bad, good])
    assert paths[good] == Path("data/17")
    assert isinstance(paths[bad], Invalid)
    assert "with a LOCAL of its own" in paths[bad].remedy


def test_an_id_with_placeholders_or_a_tilde_stays_as_it_is():
    odd = collection("style/{kind}"), collection("style/{id}"), collection("style/~root")
    assert [*local_paths("data/{id}", odd).values()] == [Path("data/{kind}"), Path("data/{id}"), Path("data/~root")]


@pytest.mark.parametrize("name", ["x/..", "..", "a/b"])
def test_no_path_leads_out_of_the_folder(name):
    paths = local_paths("data/{id}", [collection("style/16")._replace(id=name)])
    for path in paths.values():
        assert isinstance(path, Invalid) or Path(os.path.normpath(path)).parts[0] == "data"


def test_a_template_without_an_id_is_refused_even_for_one_collection():
    with pytest.raises(Invalid, match=r"cannot share data.*as in data/{id}"):
        local_paths("data", [collection("style/16")])


def test_two_kinds_with_the_same_id_need_the_kind_in_the_template():
    both = [collection("style/16"), collection("actor/16")]
    with pytest.raises(
        Invalid, match=r"style/16 and actor/16 would share data/16\. Write {kind} too, as in data/{kind}/{id}"
    ):
        local_paths("data/{id}", both)
    assert len(set(local_paths("data/{kind}/{id}", both).values())) == 2


@pytest.mark.parametrize(("name", "other"), [("Fox", "fox"), ("\u00e9", "e\u0301")])
@pytest.mark.parametrize("is_folding", [True, False])
def test_ids_that_the_disk_takes_for_the_same_name_are_refused_on_such_a_disk_only(
    monkeypatch, name, other, is_folding
):
    monkeypatch.setattr(folders, "_is_folding", lambda *_: is_folding)
    both = [collection(f"style/{name}"), collection(f"style/{other}")]
    if is_folding:
        with pytest.raises(Invalid, match="would share"):
            local_paths("data/{id}", both)
    else:
        assert len(local_paths("data/{id}", both)) == 2


def test_whether_the_disk_takes_two_names_for_the_same_is_tried_beside_them(tmp_path):
    (tmp_path / "Sub").mkdir()
    first, other = tmp_path / "Sub/new/Fox/x", tmp_path / "Sub/new/fox/x"
    found = folders._is_folding(first, other)
    assert list((tmp_path / "Sub").iterdir()) == []
    first.mkdir(parents=True)
    assert found == other.exists()
    assert folders._is_folding(first, first)
