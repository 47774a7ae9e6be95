import pytest
from unit.values import (
    BUCKET,
    LOCATION,
    MORNING,
    NOON,
    PREFIX,
    SOME_MD5,
    STYLE,
    entry,
    head_of,
    present,
    present_with_metadata,
)

from s3_manifest.manifest.collections import Location, object_url
from s3_manifest.manifest.encoding import encode_head
from s3_manifest.reconcile.entries import decode_metadata, entry_of, is_folder, keep_announced, source_of
from s3_manifest.sidecars.applied import Observation
from s3_manifest.storage.store import Present


def entry_described(**metadata):
    return entry_of(present_with_metadata(**metadata), STYLE, LOCATION, "s3_scan")


@pytest.mark.parametrize(
    ("location", "bucket", "url"),
    [
        (Location("us-east-1"), "b", "https://b.s3.us-east-1.amazonaws.com/k"),
        (Location("eu-central-1"), "b", "https://b.s3.eu-central-1.amazonaws.com/k"),
        (Location("cn-north-1", "amazonaws.com.cn"), "b", "https://b.s3.cn-north-1.amazonaws.com.cn/k"),
        (Location("us-west-2"), "my.dotted.b", "https://s3.us-west-2.amazonaws.com/my.dotted.b/k"),
        (Location("r", endpoint="http://127.0.0.1:9000"), "b", "http://127.0.0.1:9000/b/k"),
        (Location("r", endpoint="http://127.0.0.1:9000/"), "b", "http://127.0.0.1:9000/b/k"),
        (Location("r", endpoint="https://minio.example/s3"), "d.b", "https://minio.example/s3/d.b/k"),
    ],
)
def test_a_url_has_the_endpoint_of_the_bucket(location, bucket, url):
    assert object_url(location, bucket, "k") == url


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("styles/16/a.jpg", "styles/16/a.jpg"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("100%", "100%25"),
        ("a%2Fb", "a%252Fb"),
        ("a#b?c&d=e", "a%23b%3Fc%26d%3De"),
        ("café", "caf%C3%A9"),
        ("🎨", "%F0%9F%8E%A8"),
        ("a//b/./..", "a//b/./.."),
        ("~a-b_c.d", "~a-b_c.d"),
        ("\"'\\<>\n", "%22%27%5C%3C%3E%0A"),
    ],
)
def test_a_url_percent_encodes_the_key(key, path):
    assert object_url(Location("r"), "b", key) == f"https://b.s3.r.amazonaws.com/{path}"


@pytest.mark.parametrize(
    ("key", "size", "folder"),
    [("styles/16/", 0, True), ("styles/16/new/", 0, True), ("styles/16/new/", 1, False), ("styles/16/new", 0, False)],
)
def test_a_folder_is_an_empty_object_whose_key_ends_in_a_slash(key, size, folder):
    assert is_folder(Present(key, size, SOME_MD5, MORNING)) is folder


def test_an_entry_has_the_fields_of_its_s3_object():
    observed = present(
        "deep/a b.jpg",
        size=9,
        checksum={"crc64nvme": "x", "type": "FULL_OBJECT"},
        storage_class="STANDARD_IA",
        version_id="v1",
    )
    assert entry_of(observed, STYLE, LOCATION, "s3_scan").model_dump() == {
        "filename": "deep/a b.jpg",
        "s3_key": PREFIX + "deep/a b.jpg",
        "s3_url": f"https://{BUCKET}.s3.us-east-1.amazonaws.com/styles/16/deep/a%20b.jpg",
        "size_bytes": 9,
        "md5_hash": SOME_MD5,
        "md5_source": "etag",
        "etag": SOME_MD5,
        "checksum": {"crc64nvme": "x", "type": "FULL_OBJECT"},
        "content_type": "image/jpeg",
        "storage_class": "STANDARD_IA",
        "version_id": "v1",
        "uploaded_at": MORNING,
        "last_modified": MORNING,
        "local_path": None,
        "prompt": None,
        "generated_at": None,
        "generation_id": 1,
        "generation_type": "s3_scan",
        "source": "s3_scan",
        "good": True,
        "labels": (),
        "metadata": {},
    }


def test_known_user_metadata_becomes_fields_and_the_rest_stays_metadata():
    described = entry_described(
        prompt="a fox",
        generated_at="2026-02-01T10:00:00Z",
        generation_id="3",
        generation_type="lora",
        local_path="/data/a.jpg",
        camera="none",
        md5="x",
    )
    assert (described.prompt, described.generated_at, described.local_path) == (
        "a fox",
        "2026-02-01T10:00:00.000Z",
        "/data/a.jpg",
    )
    assert (described.generation_id, described.generation_type) == (3, "lora")
    assert described.metadata == {"camera": "none", "md5": "x"}


@pytest.mark.parametrize(
    ("metadata", "generation"),
    [
        ({}, (1, "s3_scan")),
        ({"generation_id": "3"}, (3, "declared")),
        ({"generation_type": "lora"}, (1, "lora")),
        ({"generation_id": "0"}, (0, "declared")),
        ({"generation_id": "007"}, ("007", "declared")),
        ({"generation_id": "-1"}, ("-1", "declared")),
        ({"generation_id": "1.0"}, ("1.0", "declared")),
        ({"generation_id": "٣"}, ("٣", "declared")),
        ({"generation_id": "9" * 18}, (10**18 - 1, "declared")),
        ({"generation_id": "9" * 30}, ("9" * 30, "declared")),
        ({"generation_id": "run-42"}, ("run-42", "declared")),
    ],
    ids=str,
)
def test_a_generation_is_the_declared_one_or_else_the_source_of_the_observation(metadata, generation):
    described = entry_described(**metadata)
    assert (described.generation_id, described.generation_type) == generation
    assert type(described.generation_id) is type(generation[0])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-02-01T10:00:00Z", "2026-02-01T10:00:00.000Z"),
        ("2026-02-01T10:00:00", "2026-02-01T10:00:00.000Z"),
        ("2026-02-01 10:00", "2026-02-01T10:00:00.000Z"),
        ("2026-02-01", "2026-02-01T00:00:00.000Z"),
        ("20260201T100000Z", "2026-02-01T10:00:00.000Z"),
        ("2026-02-01T10:00:00+02:00", "2026-02-01T08:00:00.000Z"),
        ("2026-02-01T10:00:00.123456-01:30", "2026-02-01T11:30:00.123Z"),
        ("2026-02-01T10:00:00.999999Z", "2026-02-01T10:00:00.999Z"),
    ],
)
def test_generated_at_is_parsed_in_any_iso_format(text, moment):
    described = entry_described(generated_at=text)
    assert described.generated_at == moment
    assert described.metadata == {}


@pytest.mark.parametrize(
    "text", ["", "yesterday", "1767225600", "2026-13-01", "01/02/2026", "9999-12-31T23:59:59-10:00"]
)
def test_an_unparsable_time_stays_in_the_metadata(text):
    described = entry_described(generated_at=text)
    assert described.generated_at is None
    assert described.metadata == {"generated-at": text}


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0999-12-31"])
def test_a_time_before_the_year_1000_raises_no_error(text):
    described = entry_described(generated_at=text)
    assert described.generated_at in (None, f"{text[:10]}T00:00:00.000Z")


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        ("plain words", "plain words"),
        ("=?UTF-8?Q?caf=C3=A9?=", "café"),
        ("=?UTF-8?Q?a_fox_in_the_snow?=", "a fox in the snow"),
        ("=?utf-8?B?8J+OqCDnlLs=?=", "🎨 画"),
        ("=?UTF-8?q?=E2=9C=93?=", "✓"),
        ("=?ISO-8859-1?Q?caf=E9?=", "café"),
        ("a =?UTF-8?Q?caf=C3=A9?= at night", "a café at night"),
        ("=?UTF-8?B?Y2Fm?= =?UTF-8?B?w6k=?=", "café"),
        ("=?UTF-8?Q?a?= =?UTF-8?Q?b?=", "ab"),
    ],
)
def test_encoded_words_in_metadata_are_decoded(stored, written):
    assert decode_metadata(stored) == written


@pytest.mark.parametrize(
    "value",
    [
        "",
        "what=?",
        "a =? b ?=",
        "=?UTF-8?X?abc?=",
        "=?no-such-charset?Q?abc?=",
        "=?hex?Q?abc?=",
        "=?UTF-8?Q?=FF?=",
        "=?UTF-8?B?/w==?=",
        "=?UTF-8?B?Y?=",
        "=?UTF-8?Q?unfinished",
        "=?UTF-8?Q??",
        "é =?UTF-8?Q?x?=",
    ],
)
def test_text_that_only_resembles_an_encoded_word_is_left_unchanged(value):
    assert decode_metadata(value) == value


@pytest.mark.parametrize("value", ["=?raw_unicode_escape?Q?=5Cud800?=", "=?utf-7?Q?+2AA-?="])
def test_metadata_in_any_charset_can_be_written_to_a_manifest(value):
    described = entry_described(prompt=value)
    assert encode_head(head_of(Observation(described.s3_key, described)))


def test_metadata_of_every_name_is_decoded():
    described = entry_described(prompt="=?UTF-8?Q?caf=C3=A9?=", camera="=?UTF-8?Q?=E7=94=BB?=")
    assert (described.prompt, described.metadata) == ("café", {"camera": "画"})


@pytest.mark.parametrize(
    ("last_modified", "subscribed_at", "source"),
    [
        ("2026-03-01T12:00:00.000Z", "2026-03-01T12:00:00.000Z", "s3_event"),
        ("2026-03-01T12:00:01.000Z", "2026-03-01T12:00:00.000Z", "s3_event"),
        ("2026-03-01T11:59:59.000Z", "2026-03-01T12:00:00.000Z", "s3_scan"),
        ("2026-03-01T12:00:00.000Z", None, "s3_scan"),
    ],
)
def test_the_source_of_an_object_follows_from_its_time_and_that_of_the_subscription(
    last_modified, subscribed_at, source
):
    assert source_of(last_modified, subscribed_at) == source


def test_an_object_that_was_announced_stays_so_and_one_that_was_not_is_corrected():
    announced, found = entry(source="s3_event"), entry(source="s3_scan")
    assert keep_announced(announced, found) is announced
    assert keep_announced(found, announced) is announced


def test_observing_the_same_object_again_returns_its_very_entry():
    for source in ("s3_event", "s3_scan"):
        before = entry(source=source)
        assert keep_announced(before, entry(source=source)) is before


@pytest.mark.parametrize("facts", [{"etag": "f" * 32}, {"last_modified": NOON}, {"size": 4}, {"version_id": "v2"}])
def test_another_object_at_the_key_has_its_own_source(facts):
    newer = entry(source="s3_scan", **facts)
    assert keep_announced(entry(source="s3_event"), newer) == newer


def test_a_new_fact_of_an_announced_object_is_adopted_and_its_source_stays():
    colder = keep_announced(entry(source="s3_event"), entry(source="s3_scan", storage_class="GLACIER"))
    assert (colder.storage_class, colder.source, colder.generation_type) == ("GLACIER", "s3_event", "s3_event")


@pytest.mark.parametrize("declared", ["lora", "s3_scan", "s3_event"])
def test_a_declared_generation_stays_declared_whatever_the_source(declared):
    metadata = {"generation-type": declared}
    announced = entry(source="s3_event", metadata=metadata)
    found = entry(source="s3_scan", metadata=metadata)
    assert keep_announced(announced, found).generation_type == declared
    assert keep_announced(found, announced).generation_type == declared
