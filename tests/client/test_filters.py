"""Which files are meant, by patterns."""

import pytest

from s3_manifest_cli.client.filters import EVERYTHING, Filter

NAMES = ("a.png", "A.PNG", "b.txt", "deep/a.png", "deep/er/c.txt", ".hidden", "x[1].png", "größe.png")


@pytest.mark.parametrize(
    ("chosen", "meant"),
    [
        (EVERYTHING, NAMES),
        (Filter(include=("*.png",)), ("a.png", "deep/a.png", "x[1].png", "größe.png")),
        (Filter(include=("a.png",)), ("a.png",)),
        (Filter(include=("deep/*",)), ("deep/a.png", "deep/er/c.txt")),
        (Filter(include=("?.png", "*.txt")), ("a.png", "b.txt", "deep/er/c.txt")),
        (Filter(exclude=("*.png",)), ("A.PNG", "b.txt", "deep/er/c.txt", ".hidden")),
        (Filter(include=("*.png",), exclude=("deep/*", "x*")), ("a.png", "größe.png")),
        (Filter(include=("x[[]1].png",)), ("x[1].png",)),
        (Filter(include=("nothing",)), ()),
        (Filter(exclude=("*",)), ()),
    ],
)
def test_a_file_is_meant_by_its_whole_path_case_and_all(chosen, meant):
    assert tuple(filter(chosen.compiled(), NAMES)) == meant
