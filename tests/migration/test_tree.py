import os

import pytest

from s3_manifest_cli.migration.legacy import Tree, walk


@pytest.fixture
def root(tmp_path):
    for path in ("data/actors/x/training_data/a.png", "data/.hidden/b.png", "data/.DS_Store", "public/c.png"):
        target = tmp_path / "root" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.encode())
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "root"


def test_the_tree_lists_all_files_except_hidden_ones(root):
    assert walk(root).paths == ("data/actors/x/training_data/a.png", "public/c.png")


def test_links_are_not_followed_and_those_below_data_are_reported(root):
    (root / "data/link.png").symlink_to(root.parent / "secret.png")
    (root / "data/folder").symlink_to(root.parent)
    (root / "public/link.png").symlink_to(root.parent / "secret.png")
    tree = walk(root)
    assert tree.paths == walk(root).paths == ("data/actors/x/training_data/a.png", "public/c.png")
    assert {problem.path for problem in tree.problems} == {"data/link.png", "data/folder"}


def test_a_file_replaced_by_a_link_is_not_read(root):
    tree = walk(root)
    (root / "public/c.png").unlink()
    (root / "public/c.png").symlink_to(root.parent / "secret.png")
    for read in (Tree.md5, Tree.open, Tree.read_document):
        with pytest.raises(OSError, match="symbolic link"):
            read(tree, "public/c.png")


def test_a_folder_replaced_by_a_link_is_not_followed(root):
    tree = walk(root)
    (root / "public/c.png").unlink()
    (root / "public").rmdir()
    (root.parent / "c.png").write_bytes(b"secret")
    (root / "public").symlink_to(root.parent)
    with pytest.raises(OSError, match="outside the tree"):
        tree.open("public/c.png")
    with pytest.raises(OSError, match="outside the tree"):
        tree.remove("public/c.png")
    assert (root.parent / "c.png").exists()


def test_a_root_that_is_a_link_is_followed(root):
    link = root.parent / "link"
    link.symlink_to(root)
    tree = walk(link)
    with tree.open("public/c.png") as file:
        assert file.read() == b"public/c.png"


def test_a_name_that_is_not_utf_8_is_reported(root):
    with open(os.fsencode(root / "data") + b"/\xff.png", "wb"):  # noqa: PTH123
        pass
    tree = walk(root)
    assert [problem.problem for problem in tree.problems] == ["skipped, the name is not valid UTF-8; rename it"]


def test_pipes_are_not_files(root):
    os.mkfifo(root / "data/pipe.png")
    assert walk(root).paths == ("data/actors/x/training_data/a.png", "public/c.png")


def test_removing_a_missing_file_succeeds(root):
    tree = walk(root)
    tree.remove("public/c.png")
    tree.remove("public/c.png")
    assert not (root / "public/c.png").exists()
