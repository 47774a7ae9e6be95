import random
import unicodedata

import pytest

from s3_manifest_cli.client.local.file_system import FileSystem
from s3_manifest_cli.client.local.names import invalid_name_reason, invalid_names, normalize_name

LINUX = FileSystem()
ANYWHERE = LINUX.portable()
MACOS = FileSystem(ignores_case=True, ignores_unicode_form=True)
NTFS = FileSystem(ignores_case=True, windows_names=True)

NFC, NFD = unicodedata.normalize("NFC", "größe.png"), unicodedata.normalize("NFD", "größe.png")


@pytest.mark.parametrize(
    ("filename", "reason"),
    [
        ("../../x", "leads out of its folder"),
        ("..", "leads out of its folder"),
        ("a/../../x", "leads out of its folder"),
        ("a/..", "leads out of its folder"),
        ("/etc/x", "absolute path"),
        ("//server/share/x", "absolute path"),
        ("/", "absolute path"),
        ("", "is empty"),
        (".", "empty or `.`"),
        ("./x", "empty or `.`"),
        ("a/./x", "empty or `.`"),
        ("a//x", "empty or `.`"),
        ("a/", "empty or `.`"),
        ("C:\\x", "backslash"),
        ("..\\x", "backslash"),
        ("a\\b", "backslash"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a.png\n", "control character"),
        ("a\x1b[2J", "control character"),
        ("a\x7f", "control character"),
        ("a\x9b", "control character"),
        ("a\ud800.png", "a lone surrogate"),
        ("x" * 300, "more than 255 bytes"),
        ("ordner/" + "ä" * 128, "more than 255 bytes"),
        ("/".join(["x" * 200] * 21), "path would be too long"),
        (".s3-manifest", "working folder"),
        (".s3-manifest/lock", "working folder"),
        (".S3-Manifest/lock", "working folder"),
        (".s3-manifest./lock", "working folder"),
        (".s3-mani\u200dfest/lock", "working folder"),
        (".ｓ3-manifest/lock", "working folder"),  # noqa: RUF001  # the wide s is the point
    ],
)
@pytest.mark.parametrize("file_system", [LINUX, ANYWHERE])
def test_an_impossible_filename_is_refused_on_every_file_system(filename, reason, file_system):
    assert reason in invalid_name_reason(filename, file_system)
    assert invalid_names([filename, "a.png"], file_system=file_system).keys() == {filename}


@pytest.mark.parametrize(
    ("filename", "reason"),
    [
        ("C:x", "drive letter"),
        ("c:", "drive letter"),
        ("what?.png", r"holds \?"),
        ("12:30.png", "holds :"),
        ("a<b", "holds <"),
        ('say "x".png', 'holds "'),
        ("a|b", r"holds \|"),
        ("*.png", r"holds \*"),
        ("con", "device"),
        ("NUL.txt", "device"),
        ("a/aux/b.png", "device"),
        ("com1.tar.gz", "device"),
        ("LPT9", "device"),
        ("com¹", "device"),
        ("CONIN$", "device"),
        ("prn .txt", "device"),
        ("a.", "ends in a dot or a space"),
        ("a /b", "ends in a dot or a space"),
        ("a./b", "ends in a dot or a space"),
        ("...", "ends in a dot or a space"),
        ("S3-MAN~1/lock", "short name"),
    ],
)
def test_names_that_windows_forbids_are_refused_only_on_windows_and_in_portable_copies(filename, reason):
    assert invalid_name_reason(filename, LINUX) is None
    assert invalid_name_reason(filename, MACOS) is None
    for file_system in (NTFS, ANYWHERE):
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(invalid_name_reason(filename, file_system))


@pytest.mark.parametrize(
    "filename",
    [
        "a.png",
        "a/b/c.png",
        "..a",
        "a..b",
        ".hidden",
        ".s3",
        "a b.png",
        "~a",
        "a~1.png",
        "größe/ä.png",
        "日本/语.png",
        "console.txt",
        "icon/null.png",
        "com10",
        "x" * 255,
        "common",
        "auxiliary/x",
        "a/.s3-manifest",
        "👩\u200d👩.png",
    ],
)
def test_other_names_are_valid_everywhere(filename):
    assert invalid_name_reason(filename, LINUX) is invalid_name_reason(filename, ANYWHERE) is None


@pytest.mark.parametrize("file_system", [LINUX, MACOS, NTFS])
def test_a_file_and_a_folder_of_one_name_are_both_refused(file_system):
    refused = invalid_names(["a", "a/b", "a/c/d", "ab", "b/a", "a.png"], file_system=file_system)
    assert refused.keys() == {"a", "a/b", "a/c/d"}
    assert all("a file and a folder of one name" in reason for reason in refused.values())


@pytest.mark.parametrize(
    ("names", "takes_for_one"),
    [
        (["A.png", "a.png"], {MACOS, NTFS, ANYWHERE}),
        (["STRASSE", "straße"], {MACOS, NTFS, ANYWHERE}),
        (["İ", "i̇"], {MACOS, NTFS, ANYWHERE}),
        (["\u212a.png", "K.png"], {MACOS, NTFS, ANYWHERE}),  # the Kelvin sign
        ([NFC, NFD], {MACOS, ANYWHERE}),
        (["GRÖSSE.png", NFD], {MACOS, ANYWHERE}),
        (["a", "A/b"], {MACOS, NTFS, ANYWHERE}),
        (["Dir/x", "dir/y"], {MACOS, NTFS, ANYWHERE}),
        (["a/Dir/x", "a/dir/y/z"], {MACOS, NTFS, ANYWHERE}),
        (["a.png", "a\u200d.png"], {MACOS, ANYWHERE}),
    ],
)
def test_names_that_the_file_system_treats_as_equal_are_all_refused(names, takes_for_one):
    for file_system in (LINUX, MACOS, NTFS, ANYWHERE):
        refused = invalid_names([*names, "other.png"], file_system=file_system)
        assert refused.keys() == (set(names) if file_system in takes_for_one else set())


def test_a_reason_names_the_obstacle_and_the_remedy():
    refused = invalid_names(["A.png", "a.png", "a.PNG"], file_system=MACOS)
    assert refused["a.png"] == ("'a.png' and 'A.png' are the same name on this disk; rename one in S3")
    assert "'A.png' and 'a.PNG'" in refused["A.png"]


def test_the_order_of_the_names_does_not_matter():
    names = ["a", "a/b", "A/c", "x", "X", "x/y", "ok", "../x", "con", NFC, NFD, "Ok/z", "p/q", "P/q", "fine/x"]
    first = invalid_names(names, file_system=ANYWHERE)
    assert first.keys() == set(names) - {"fine/x"}
    for seed in range(20):
        random.Random(seed).shuffle(names)
        assert invalid_names(names, file_system=ANYWHERE) == first


def test_an_invalid_name_does_not_conflict_with_other_names():
    assert invalid_names(["a", "a/../b", "a//c"], file_system=LINUX).keys() == {"a/../b", "a//c"}


@pytest.mark.parametrize(
    ("name", "other", "file_system"),
    [("A", "a", MACOS), (NFC, NFD, MACOS), ("ẞ", "ss", NTFS), ("\u0131", "I", NTFS), (NFC.upper(), NFD, ANYWHERE)],
)
def test_equivalent_names_have_the_same_normalized_form(name, other, file_system):
    assert normalize_name(name, file_system) == normalize_name(other, file_system)
    assert normalize_name(name, LINUX) != normalize_name(other, LINUX)


def test_the_length_limits_of_the_file_system_apply():
    assert "more than 143 bytes" in invalid_name_reason("x" * 144, LINUX._replace(max_name_bytes=143))
    assert "may have 20 bytes" in invalid_name_reason("a/" * 10 + "b", LINUX._replace(max_path_bytes=20))
    assert invalid_name_reason("a/" * 9 + "bb", LINUX._replace(max_path_bytes=20)) is None
