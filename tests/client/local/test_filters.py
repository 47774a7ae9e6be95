"""Filters follow git's rules for .gitignore; patterns that match nothing are reported."""

import shutil
import subprocess
import unicodedata

import pytest

from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.scan import Problem
from s3_manifest_cli.errors import Invalid, NotFound

NAMES = ("a.png", "A.PNG", "b.txt", "deep/a.png", "deep/er/c.txt", ".hidden", "x[1].png", "größe.png")


def selected(filters, names=NAMES):
    return tuple(filter(filters.predicate(), names))


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (EVERYTHING, NAMES),
        (Filter(include=("*.png",)), ("a.png", "deep/a.png", "x[1].png", "größe.png")),
        (Filter(include=("**/*.png",)), ("a.png", "deep/a.png", "x[1].png", "größe.png")),
        (Filter(include=("a.png",)), ("a.png", "deep/a.png")),
        (Filter(include=("/a.png",)), ("a.png",)),
        (Filter(include=("deep/*",)), ("deep/a.png", "deep/er/c.txt")),
        (Filter(include=("deep/*.txt",)), ()),
        (Filter(include=("deep/**/*.txt",)), ("deep/er/c.txt",)),
        (Filter(include=("er/",)), ("deep/er/c.txt",)),
        (Filter(include=("?.png", "*.txt")), ("a.png", "b.txt", "deep/a.png", "deep/er/c.txt")),
        (Filter(exclude=("deep/",)), ("a.png", "A.PNG", "b.txt", ".hidden", "x[1].png", "größe.png")),
        (Filter(exclude=("deep",)), ("a.png", "A.PNG", "b.txt", ".hidden", "x[1].png", "größe.png")),
        (Filter(exclude=("a.png/",)), NAMES),
        (Filter(exclude=("*.png",)), ("A.PNG", "b.txt", "deep/er/c.txt", ".hidden")),
        (Filter(exclude=("*.png", "!/a.png")), ("a.png", "A.PNG", "b.txt", "deep/er/c.txt", ".hidden")),
        (Filter(include=("*.png",), exclude=("deep/*", "x*")), ("a.png", "größe.png")),
        (Filter(include=(r"x\[1\].png",)), ("x[1].png",)),
        (Filter(include=("nothing",)), ()),
        (Filter(exclude=("*",)), ()),
    ],
)
def test_a_pattern_selects_what_gitignore_would(filters, names):
    assert selected(filters) == names


GIT = shutil.which("git")


@pytest.mark.skipif(GIT is None, reason="git is the judge")
@pytest.mark.parametrize(
    "pattern",
    ["sub/", "/sub", "sub/*", "**/sub", "sub/**", "a*/b", "*.p?g", "[!a]*", "sub/**/x.png", "*/x.png", "/*.png", "!*"],
)
def test_patterns_select_the_same_files_as_git(pattern, tmp_path):
    names = ("sub/x.png", "x.png", "deep/sub/x.png", "a1/b/x.png", "a/b", "sub2/x.jpg", "sub/deep/x.png", "é/x.png")
    subprocess.run([GIT, "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(f"{pattern}\n")
    command = [GIT, "-C", tmp_path, "check-ignore", "-z", "--no-index", "--stdin"]
    answer = subprocess.run(command, input="\0".join(names), capture_output=True, text=True, check=False)
    assert selected(Filter(include=(pattern,)), names) == tuple(answer.stdout.split("\0")[:-1])


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("sub/", "sub/line\nbreak.png"),
        ("*.png", "a\nb/c.png"),
        ("sub/", "a\nb/sub/c\n"),
        ("#hash*", "#hash.png"),
        ("a ", "a "),
        ("*.png", "\n.png"),
        ("carriage\r", "carriage\r"),
        ("line\nbreak*", "line\nbreak.png"),
    ],
)
def test_every_name_can_be_excluded_whatever_it_holds(pattern, name):
    assert selected(Filter(exclude=(pattern,)), [name]) == ()


@pytest.mark.parametrize(("pattern", "name"), [("*.png", "a.png\n"), ("a ", "a"), ("a", "a ")])
def test_a_pattern_does_not_match_a_name_that_differs_by_one_character(pattern, name):
    assert selected(Filter(include=(pattern,)), [name]) == ()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_pattern_matches_in_either_form_of_unicode(form):
    names = [unicodedata.normalize(form, "größe.png") for form in ("NFC", "NFD")]
    assert selected(Filter(include=(unicodedata.normalize(form, "größe*"),)), names) == tuple(names)


@pytest.mark.parametrize("pattern", ["", "/", "[", "!", "a\\"])
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_can_match_nothing_is_wrong_usage(option, pattern):
    with pytest.raises(Invalid, match=f"--{option}"):
        Filter(**{option: (pattern,)}).predicate()


@pytest.mark.parametrize(
    ("filters", "may_hold"),
    [
        (Filter(include=("*.png",)), True),
        (Filter(exclude=("sub/",)), False),
        (Filter(exclude=("sub",)), False),
        (Filter(exclude=("sub/*",)), False),
        (Filter(exclude=("sub/**",)), False),
        (Filter(exclude=("*",)), False),
        (Filter(exclude=("sub/*.txt", "other/")), True),
    ],
)
def test_an_unreadable_folder_is_reported_if_it_may_hold_selected_files(filters, may_hold):
    problem = Problem("sub/", "unreadable")
    assert filters.select_problems([problem]) == ([problem] if may_hold else [])


def test_patterns_that_match_nothing_are_listed():
    filters = Filter(include=("*.png", "*.pgn"), exclude=("deep/er", "deeper/"))
    assert filters.unmatched(NAMES) == ("--include '*.pgn'", "--exclude 'deeper/'")
    assert EVERYTHING.unmatched(NAMES) == Filter(exclude=("*",)).unmatched(NAMES) == ()


def test_include_patterns_that_all_match_nothing_are_an_error():
    with pytest.raises(NotFound, match=r"matches --include '\*\.pgn' or --include 'b'"):
        Filter(include=("*.pgn", "b")).unmatched(NAMES)
