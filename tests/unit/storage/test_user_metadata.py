"""User metadata as headers carry it: any text is decoded unchanged, and S3's limit is respected."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_manifest.reconcile.entries import decode_metadata
from s3_manifest.storage.upload_headers import MAX_METADATA_BYTES, encode_metadata, fit_metadata

TEXTS = [
    "a fox",
    "a  fox",
    " a fox ",
    "größe",
    "größe 🎨.png",
    "日本 🎨 mixed " * 30,
    "two\nlines",
    "line\r\nbreak",
    "\nleading and trailing\n",
    "a\rb",
    "a\n b",
    "a\x0bb\x0cc\x1cd\x85e",
    "=?UTF-8?B?eA==?=",
    "=?utf-8?q?a?=",
    "tab\there",
    "\x00",
    "\x7f",
    "\u2028",
    'quote"\\',
    "under_score = question?",
    "x" * 300 + "ß",
    "🎨" * 100,
]


def checked_value(text: str) -> str:
    value = encode_metadata(text)
    assert value.isascii()
    assert value.isprintable()
    assert "  " not in value
    assert value == value.strip()
    assert value == text or all(re.fullmatch(r"=\?UTF-8\?[BQ]\?[!-~]*\?=", word) for word in value.split(" "))
    assert value == text or all(len(word) <= 75 for word in value.split(" "))
    return value


@pytest.mark.parametrize("text", TEXTS)
def test_user_metadata_is_decoded_unchanged(text):
    assert decode_metadata(checked_value(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_text_is_decoded_unchanged(text):
    assert decode_metadata(checked_value(text)) == text


def test_a_lone_surrogate_is_replaced():
    assert decode_metadata(checked_value("an owl \ud83e\nby night")) == "an owl \ufffd\nby night"


def test_mostly_ascii_text_is_not_made_much_longer():
    text = "a long prompt about a café " * 40
    assert len(encode_metadata(text)) < 1.5 * len(text)


def test_a_field_that_does_not_fit_is_left_out_and_shorter_fields_stay():
    fitted = fit_metadata({"md5": "0" * 32, "local-path": "ü" * 1000, "prompt": "a fox", "empty": "", "none": None})
    assert fitted == ({"md5": "0" * 32, "prompt": "a fox"}, ("local-path",))


@pytest.mark.parametrize("length", range(1900, 2048, 13))
def test_all_fields_together_never_exceed_the_limit_of_s3(length):
    values = fit_metadata({"prompt": "x" * length, "local-path": "y" * 100}).values
    assert sum(len(f"x-amz-meta-{name}{value}") for name, value in values.items()) <= MAX_METADATA_BYTES
