import json

import pytest
from unit.values import entry, head_of

from s3_manifest.aws.announcements import MAX_DETAIL_BYTES, announcement_event
from s3_manifest.manifest.changes import FileChange


def file_changes(added=(), modified=(), removed=()):
    """The changes of a revision that added, modified and removed these keys."""

    def file_change(key, *, before, after):
        file = entry().model_copy(update={"s3_key": key})
        return FileChange(filename=key, cause="sweep", before=file if before else None, after=file if after else None)

    return [
        *(file_change(key, before=False, after=True) for key in added),
        *(file_change(key, before=True, after=True) for key in modified),
        *(file_change(key, before=True, after=False) for key in removed),
    ]


def announced_detail(added=(), modified=(), removed=(), **more):
    """The announcement of a revision with these changes, as its recipient reads it."""
    facts = head_of().model_copy(update={"revision": 7, "commit": "c7", "total_files": 3, "total_size_bytes": 30})
    entry = announcement_event(facts, file_changes(added, modified, removed), "default", **more)
    return json.loads(entry["Detail"])


def test_an_announcement_has_the_collection_the_revision_and_the_changes():
    facts = head_of()
    assert announced_detail(["styles/16/a.png", "styles/16/b.png"], ["styles/16/c.png"], []) == {
        "kind": "style",
        "id": "16",
        "s3_bucket": facts.s3_bucket,
        "s3_prefix": "styles/16/",
        "revision": 7,
        "commit": "c7",
        "committed_at": facts.last_synced,
        "complete": True,
        "total_files": 3,
        "total_size_bytes": 30,
        "added": 2,
        "modified": 1,
        "removed": 0,
        "keys": {"added": ["styles/16/a.png", "styles/16/b.png"], "modified": ["styles/16/c.png"], "removed": []},
        "repeated": False,
    }


def test_a_repeat_is_marked_as_repeated():
    assert announced_detail(repeated=True)["repeated"] is True


@pytest.mark.parametrize("bus", ["default", "images", "arn:aws:events:us-east-1:123456789012:event-bus/images"])
def test_the_entry_is_addressed_to_the_bus(bus):
    entry = announcement_event(head_of(), [], bus)
    detail = entry.pop("Detail")
    assert entry == {"Source": "s3-manifest", "DetailType": "Manifest Changed", "EventBusName": bus}
    assert json.loads(detail)["id"] == "16"


def keys_of(size, letter):
    """Equal keys that take at most ``size`` bytes of UTF-8 in the detail, quotes and commas included."""
    key = letter * 100
    size_in_detail = len(json.dumps(key, ensure_ascii=False).encode()) + 1
    return [key] * (size // size_in_detail)


@pytest.mark.parametrize(
    ("letter", "size", "named"),
    [
        ("a", 0.9, True),
        ("a", 1.1, False),
        ("日", 0.9, True),
        ("日", 1.1, False),
        # Six bytes each, as JSON has to write it.
        ("\x01", 0.9, True),
        ("\x01", 1.1, False),
    ],
)
@pytest.mark.parametrize("where", ["added", "modified", "removed"])
def test_keys_that_would_not_fit_are_left_out_and_still_counted(letter, size, named, where):
    keys = keys_of(int(size * MAX_DETAIL_BYTES), letter)
    detail = announced_detail(**{where: keys})
    assert detail[where] == len(keys)
    assert detail["keys"] == ({"added": [], "modified": [], "removed": []} | {where: keys} if named else None)


@pytest.mark.parametrize("letter", ["a", "日", "\x01", '"'])
@pytest.mark.parametrize("count", [10, 500, 5000])
def test_every_entry_stays_below_the_size_limit_of_eventbridge(letter, count):
    entry = announcement_event(head_of(), file_changes([letter * 300] * count), "default")
    assert sum(len(str(text).encode()) for text in entry.values()) < 0.8 * 256 * 1024
