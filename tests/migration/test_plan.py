import pytest
from migration.buckets import KINDS

from s3_manifest.sidecars.formats import FileDescription, GenerationDeclaration
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord
from s3_manifest_cli.migration.merge import Image, LegacyCollection, Mention
from s3_manifest_cli.migration.plan import Choices, Upload, plan
from s3_manifest_cli.migration.remote import Object, RemoteCollection

ACTOR = KINDS.named("actor", "0042_european_30_male")
ONE, OTHER = "1" * 32, "2" * 32
WORD = Mention(Document(path="m.json", format=Format.ACTOR), ImageRecord(where=""), None, None)
S3, LOCAL = Choices(), Choices(prefer_local=True)


def planned(image, local=None, there=None, choices=S3, *, said=None, **gathered):
    remote = RemoteCollection({"a.png": Object("e", there)} if there else {}, {"a.png": said} if said else {})
    return plan(
        ACTOR,
        LegacyCollection(images={"a.png": image}, **gathered),
        {"x/a.png": local} if local else {},
        remote,
        choices,
    )


def named(**said):
    return Image("a.png", "x/a.png", FileDescription(**said), (WORD,))


NOBODYS = Image("a.png", "x/a.png")


@pytest.mark.parametrize(
    ("image", "local", "there", "status"),
    [
        (named(), ONE, ONE, "synced"),
        (named(), ONE, OTHER, "out_of_sync"),
        (named(), ONE, None, "local_only"),
        (named(), None, ONE, "s3_only"),
        (named(), None, None, "missing"),
        (NOBODYS, ONE, None, "orphaned"),
        (NOBODYS, ONE, ONE, "synced"),
        (NOBODYS, ONE, OTHER, "out_of_sync"),
    ],
)
def test_the_status_goes_by_md5s(image, local, there, status):
    (item,) = planned(image, local, there).items
    assert item.status == status


@pytest.mark.parametrize(
    ("image", "there", "choices", "upload"),
    [
        (named(), None, S3, Upload("x/a.png", ONE, None)),
        (named(), ONE, S3, None),
        (named(), OTHER, S3, None),
        (named(), OTHER, LOCAL, Upload("x/a.png", ONE, "e")),
        (NOBODYS, None, S3, None),
        (NOBODYS, None, LOCAL, None),
        (NOBODYS, None, Choices(upload_orphans=True), Upload("x/a.png", ONE, None)),
    ],
)
def test_what_is_uploaded_is_what_is_local_only_and_what_was_asked_for(image, there, choices, upload):
    (item,) = planned(image, ONE, there, choices).items
    assert item.upload == upload


@pytest.mark.parametrize(
    ("before", "choices", "written", "conflicts"),
    [
        (None, S3, {"prompt": "legacy", "good": False}, ()),
        (FileDescription(prompt="legacy"), S3, {"good": False}, ()),
        (FileDescription(prompt="newer"), S3, {"good": False}, ("a.png: prompt",)),
        (FileDescription(prompt="newer"), LOCAL, {"prompt": "legacy", "good": False}, ()),
        (FileDescription(prompt="legacy", good=False, labels=("x",)), S3, None, ()),
    ],
)
def test_what_a_sidecar_says_already_stands(before, choices, written, conflicts):
    part = planned(named(prompt="legacy", good=False), ONE, ONE, choices, said=before)
    assert part.words.files.get("a.png") == written
    assert part.conflicts == conflicts


def test_a_generation_stays_with_its_own_type():
    part = planned(named(generation_id=1, generation_type="flux"), ONE, ONE, said=FileDescription(generation_id=2))
    assert (part.words.files, part.conflicts) == ({}, ("a.png: generation_id", "a.png: generation_type"))


def test_where_an_image_lay_is_no_conflict():
    part = planned(named(local_path="x/a.png"), ONE, ONE, said=FileDescription(local_path="y/a.png"))
    assert (part.words.files, part.conflicts) == ({}, ())


@pytest.mark.parametrize(("image", "local"), [(named(prompt="p"), None), (NOBODYS, ONE)])
def test_words_are_not_written_of_what_s3_will_not_have(image, local):
    part = planned(image, local)
    assert not part.words
    assert part.expected.md5s == {}


@pytest.mark.parametrize(
    ("before", "choices", "written", "expected", "conflicts"),
    [
        (None, S3, "Legacy", "Legacy", ()),
        ("Legacy", S3, None, "Legacy", ()),
        ("Newer", S3, None, "Newer", ("title",)),
        ("Newer", LOCAL, "Legacy", "Legacy", ()),
    ],
)
def test_a_title_that_is_there_stands(before, choices, written, expected, conflicts):
    part = plan(ACTOR, LegacyCollection(title="Legacy"), {}, RemoteCollection(title=before), choices)
    assert (part.words.title, part.expected.title, part.conflicts) == (written, expected, conflicts)


def test_generations_are_declared_that_are_not_yet():
    one, two, two_else = (
        GenerationDeclaration(generation_id=id_, type="t", generated_at="2025-01-01", metadata=metadata)
        for id_, metadata in ((1, {}), (2, {}), (2, {"seed": 1}))
    )
    gathered = LegacyCollection(generations=(one, two))
    part = plan(ACTOR, gathered, {}, RemoteCollection(generations=(two_else,)), S3)
    assert (part.words.generations, part.conflicts) == ((one,), ("generation t 2",))
    assert set(map(repr, part.expected.generations)) == {repr(one), repr(two_else)}
    part = plan(ACTOR, gathered, {}, RemoteCollection(generations=(two_else,)), LOCAL)
    assert part.words.generations == (one, two)


def test_a_wrong_sync_status_and_another_md5_are_noted():
    word = WORD._replace(claim=ImageRecord(where="", status="synced", md5=OTHER))
    (item,) = planned(Image("a.png", "x/a.png", FileDescription(), (word,)), ONE).items
    assert item.note == "called synced in m.json; a legacy file names another MD5"


@pytest.mark.parametrize("there", [{"a.png": Object("e", "x" * 32)}, {"a.png/b.png/c.png": Object("e", "x" * 32)}])
def test_what_no_copy_could_hold_beside_the_rest_is_not_uploaded_and_stays_a_difference(there):
    images = {name: Image(name, name, words=named().words) for name in ("a.png/b.png", "c.png")}
    part = plan(ACTOR, LegacyCollection(images=images), dict.fromkeys(images, "y" * 32), RemoteCollection(there), S3)
    blocked, other = part.items
    assert (blocked.filename, blocked.upload, blocked.is_left) == ("a.png/b.png", None, True)
    assert "a file and a folder of one name; rename one" in blocked.note
    assert (other.upload.path, other.is_left) == ("c.png", False)
