"""RFC 2047 as it is written in the wild."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.reading.encoded_words import decode_bytes, decode_header, decode_words


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("=?utf-8?q?a_b?=", "a b"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        ("=?utf-8?b?w6?= =?utf-8?b?k=?=", "é"),
        ("=?UTF-8?B?w6k=?=", "é"),
        ("=?gb2312?B?yc/Wsg==?=", "上植"),
        ("=?nonsense?q?abc?=", "abc"),
        ("=?utf-8?q?abc", "=?utf-8?q?abc"),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ("=?utf-8?q?Really??= yes", "Really? yes"),
        ("plain", "plain"),
    ],
)
def test_a_word_is_decoded(written: str, expected: str) -> None:
    assert decode_words(written) == expected


@given(st.text(max_size=60), st.sampled_from(["utf-8", "utf-16be", "utf-7"]))
def test_what_was_encoded_reads_back(text: str, charset: str) -> None:
    try:
        raw = text.encode(charset)
        raw.decode(charset)
    except UnicodeError:
        return
    encoded = base64.b64encode(raw).decode()
    expected = text.replace("\x00", "")
    assert decode_header(f"=?{charset}?B?{encoded}?=".encode()) == expected


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_in_any_charset_are_text(raw: bytes, charset: str) -> None:
    assert isinstance(decode_bytes(raw, charset), str)


@pytest.mark.parametrize("charset", ["idna", "punycode", "unicode_escape", "undefined", "rot13"])
def test_only_charsets_of_mail_are_looked_up(charset: str) -> None:
    assert decode_bytes(b"abc", charset) == "abc"


@given(st.binary(max_size=400))
def test_any_header_is_decoded(raw: bytes) -> None:
    decode_header(raw).encode("utf-8")


def test_bytes_that_are_not_utf8_are_read_in_the_charset_of_the_body() -> None:
    """Old mail programs write a subject raw, in the charset they write the text in."""
    for charset, text in (("windows-1251", "Отписаться"), ("gb2312", "退订"), ("koi8-r", "стоп")):
        raw = text.encode(charset)
        assert decode_header(raw, charset) == text
    assert decode_header("désabonner".encode(), "koi8-r") == "désabonner"
    assert decode_header(b"d\xe9sabonner", "x-nobody-knows") == "désabonner"
