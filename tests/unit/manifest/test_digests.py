import itertools

import pytest
from unit.values import EVENING, MORNING, OTHER_MD5, SOME_MD5, entry

from s3_manifest.manifest import digests
from s3_manifest.storage.store import ListedObject
from s3_manifest.sweep.compare import digest_of_listed

SAME = {"size": 3, "etag": SOME_MD5, "last_modified": MORNING}


def listed(filename="a.jpg", **facts):
    return digest_of_listed(ListedObject("styles/16/" + filename, **(SAME | facts)), filename)


@pytest.mark.parametrize("filename", ["a.jpg", "deep/ü 🎨\n.jpg", "a\0b", "0"])
@pytest.mark.parametrize("facts", [{}, {"size": 0}, {"etag": "0-2"}, {"storage_class": "GLACIER"}], ids=str)
def test_an_object_has_one_digest_from_a_listing_from_its_entry_and_from_the_entrys_json(filename, facts):
    listed_entry = entry(filename, **facts)
    assert (
        listed(filename, **facts)
        == digests.entry_digest(listed_entry)
        == digests.json_digest(listed_entry.model_dump(mode="json"))
    )


def test_a_digest_ignores_fields_that_a_listing_does_not_have():
    described_entry = entry(metadata={"prompt": "a fox"}, content_type="image/png", version_id="v")
    assert digests.entry_digest(described_entry) == listed()


def test_a_digest_ignores_milliseconds_which_a_head_response_does_not_have():
    assert listed(last_modified=MORNING.replace(".000", ".123")) == listed()


DIFFERENT = [
    {"filename": "b.jpg"},
    {"size": 4},
    {"size": 31},
    {"etag": OTHER_MD5},
    {"etag": SOME_MD5 + "-1"},
    {"last_modified": EVENING},
    {"last_modified": MORNING.replace(":00.000", ":01.000")},
    {"storage_class": "GLACIER"},
    {"etag": "", "filename": "x"},
]


def test_a_digest_changes_with_each_fact():
    values = [listed(), *(listed(**facts) for facts in DIFFERENT)]
    assert len(set(values)) == len(values)


def test_fields_of_one_object_cannot_pass_for_those_of_another():
    parts = [listed("a"), listed("b", etag=OTHER_MD5)]
    swapped = [listed("a", etag=OTHER_MD5), listed("b")]
    assert digests.combine(parts) != digests.combine(swapped)


def test_a_total_does_not_depend_on_the_order():
    parts = [listed(name) for name in "abcd"]
    assert len({digests.combine(order) for order in itertools.permutations(parts)}) == 1


def test_a_total_follows_additions_and_removals():
    a, b, c = (listed(name) for name in "abc")
    assert digests.to_hex(digests.combine([a, b]) - a + c) == digests.to_hex(digests.combine([b, c]))
    assert digests.to_hex(digests.combine([a]) - a - b + b) == digests.to_hex(digests.combine([]))


@pytest.mark.parametrize("digest", [0, 1, -1, 1 << 127, 1 << 128, (1 << 130) + 7])
def test_a_written_digest_is_32_hexadecimal_digits_and_reads_back(digest):
    text = digests.to_hex(digest)
    assert len(text) == 32
    assert digests.to_hex(int(text, 16)) == text
    assert int(text, 16) == digest % (1 << 128)
