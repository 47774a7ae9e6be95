import pytest
from migration.buckets import KINDS

from s3_manifest.sidecars.content import FileDescription, GenerationDeclaration, SidecarContent
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord
from s3_manifest_cli.migration.merge import Image, LegacyCollection
from s3_manifest_cli.migration.places import Mention
from s3_manifest_cli.migration.plan import MigrationOptions, plan
from s3_manifest_cli.migration.remote import ImageUpload, RemoteCollection, RemoteObject

ACTOR = KINDS.lookup("actor", "0042_european_30_male")
ONE, OTHER = "1" * 32, "2" * 32
MENTION = Mention(Document(path="m.json", format=Format.ACTOR), ImageRecord(where=""), None, None)
S3, LOCAL = MigrationOptions(), MigrationOptions(prefer_local=True)


def planned(image, local=None, remote_md5=None, options=S3, *, description=None, **legacy_collection):
    objects = {"a.png": RemoteObject("e", remote_md5)} if remote_md5 else {}
    remote = RemoteCollection(objects, SidecarContent(files={"a.png": description} if description else {}))
    return plan(
        ACTOR,
        LegacyCollection(images={"a.png": image}, **legacy_collection),
        {"x/a.png": local} if local else {},
        remote,
        options,
    )


def named(**description):
    return Image("a.png", "x/a.png", FileDescription(**description), (MENTION,))


UNNAMED = Image("a.png", "x/a.png")


@pytest.mark.parametrize(
    ("image", "local", "remote_md5", "status"),
    [
        (named(), ONE, ONE, "synced"),
        (named(), ONE, OTHER, "out_of_sync"),
        (named(), ONE, None, "local_only"),
        (named(), None, ONE, "s3_only"),
        (named(), None, None, "missing"),
        (UNNAMED, ONE, None, "orphaned"),
        (UNNAMED, ONE, ONE, "synced"),
        (UNNAMED, ONE, OTHER, "out_of_sync"),
    ],
)
def test_md5s_determine_the_status(image, local, remote_md5, status):
    (image_plan,) = planned(image, local, remote_md5).images
    assert image_plan.status == status


@pytest.mark.parametrize(
    ("image", "remote_md5", "options", "upload"),
    [
        (named(), None, S3, ImageUpload("x/a.png", ONE, None)),
        (named(), ONE, S3, None),
        (named(), OTHER, S3, None),
        (named(), OTHER, LOCAL, ImageUpload("x/a.png", ONE, "e")),
        (UNNAMED, None, S3, None),
        (UNNAMED, None, LOCAL, None),
        (UNNAMED, None, MigrationOptions(upload_orphans=True), ImageUpload("x/a.png", ONE, None)),
    ],
)
def test_local_only_images_are_uploaded_and_others_on_request(image, remote_md5, options, upload):
    (image_plan,) = planned(image, ONE, remote_md5, options).images
    assert image_plan.upload == upload


@pytest.mark.parametrize(
    ("before", "options", "written", "conflicts"),
    [
        (None, S3, {"prompt": "legacy", "good": False}, ()),
        (FileDescription(prompt="legacy"), S3, {"good": False}, ()),
        (FileDescription(prompt="newer"), S3, {"good": False}, ("a.png: prompt",)),
        (FileDescription(prompt="newer"), LOCAL, {"prompt": "legacy", "good": False}, ()),
        (FileDescription(prompt="legacy", good=False, labels=("x",)), S3, None, ()),
    ],
)
def test_an_existing_field_of_a_sidecar_stays_unless_local_values_are_preferred(before, options, written, conflicts):
    result = planned(named(prompt="legacy", good=False), ONE, ONE, options, description=before)
    assert result.edits.files.get("a.png") == written
    assert result.conflicts == conflicts


def test_a_generation_type_is_not_written_for_a_different_generation_id():
    result = planned(
        named(generation_id=1, generation_type="flux"), ONE, ONE, description=FileDescription(generation_id=2)
    )
    assert (result.edits.files, result.conflicts) == (
        {},
        ("a.png: generation_id", "a.png: generation_type"),
    )


def test_a_different_local_path_is_not_a_conflict():
    result = planned(named(local_path="x/a.png"), ONE, ONE, description=FileDescription(local_path="y/a.png"))
    assert (result.edits.files, result.conflicts) == ({}, ())


@pytest.mark.parametrize(("image", "local"), [(named(prompt="p"), None), (UNNAMED, ONE)])
def test_fields_are_not_written_for_images_that_will_not_be_in_s3(image, local):
    result = planned(image, local)
    assert not result.edits
    assert result.md5s == {}


@pytest.mark.parametrize(
    ("before", "options", "written", "expected", "conflicts"),
    [
        (None, S3, "Legacy", "Legacy", ()),
        ("Legacy", S3, None, "Legacy", ()),
        ("Newer", S3, None, "Newer", ("title",)),
        ("Newer", LOCAL, "Legacy", "Legacy", ()),
    ],
)
def test_an_existing_title_stays_unless_local_values_are_preferred(before, options, written, expected, conflicts):
    result = plan(
        ACTOR, LegacyCollection(title="Legacy"), {}, RemoteCollection(sidecars=SidecarContent(title=before)), options
    )
    assert (result.edits.title, result.expected.title, result.conflicts) == (
        written,
        expected,
        conflicts,
    )


def test_undeclared_generations_are_declared():
    first, second, second_with_seed = (
        GenerationDeclaration(generation_id=id_, type="t", generated_at="2025-01-01", metadata=metadata)
        for id_, metadata in ((1, {}), (2, {}), (2, {"seed": 1}))
    )
    legacy = LegacyCollection(generations=(first, second))
    remote = RemoteCollection(sidecars=SidecarContent(generations=(second_with_seed,)))
    result = plan(ACTOR, legacy, {}, remote, S3)
    assert (result.edits.generations, result.conflicts) == ((first,), ("generation t 2",))
    assert set(map(repr, result.expected.generations)) == {repr(first), repr(second_with_seed)}
    result = plan(ACTOR, legacy, {}, remote, LOCAL)
    assert result.edits.generations == (first, second)


def test_a_wrong_sync_status_and_a_different_md5_are_noted():
    mention = MENTION._replace(record=ImageRecord(where="", status="synced", md5=OTHER))
    (image_plan,) = planned(Image("a.png", "x/a.png", FileDescription(), (mention,)), ONE).images
    assert image_plan.note == "called synced in m.json; a legacy file names another MD5"


@pytest.mark.parametrize(
    "objects", [{"a.png": RemoteObject("e", "x" * 32)}, {"a.png/b.png/c.png": RemoteObject("e", "x" * 32)}]
)
def test_an_image_whose_name_conflicts_with_a_file_or_folder_is_not_uploaded(objects):
    images = {name: Image(name, name, mentions=named().mentions) for name in ("a.png/b.png", "c.png")}
    result = plan(
        ACTOR, LegacyCollection(images=images), dict.fromkeys(images, "y" * 32), RemoteCollection(objects), S3
    )
    blocked, other = result.images
    assert (blocked.filename, blocked.upload, blocked.is_unresolved) == ("a.png/b.png", None, True)
    assert "a file and a folder of one name; rename one" in blocked.note
    assert (other.upload.path, other.is_unresolved) == ("c.png", False)
