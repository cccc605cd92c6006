"""Reading mail: whatever the bytes, a value; what is broken is named and the rest is read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.inbound_message import MAX_BODY_BYTES, MAX_SUBJECT_CHARS, read_message
from mailbot.core.reading.mime_parts import MAX_PARTS

PLAIN = (
    b"From: Ann <ann@example.org>\nTo: help@shop.example\nSubject: Hi\nMessage-ID: <1@x>\n\nbody\n"
)


@given(st.binary(max_size=3000), st.booleans())
def test_any_bytes_are_read(raw: bytes, is_whole: bool) -> None:
    message = read_message(raw, is_whole=is_whole)
    message.subject.encode("utf-8")
    message.from_text.encode("utf-8")
    assert len(message.digest) == 64
    assert isinstance(message.recipients, tuple)
    assert isinstance(message.parts, tuple)
    assert isinstance(message.content_type.name, str)
    assert isinstance(message.references, tuple)


@given(st.binary(max_size=200), st.sampled_from([b"From", b"Subject", b"Content-Type", b"To"]))
def test_any_bytes_in_a_field_are_read(value: bytes, name: bytes) -> None:
    message = read_message(name + b": " + value + b"\n\n--b\n\nx\n")
    message.subject.encode("utf-8")
    assert isinstance(message.parts, tuple)


def test_a_plain_mail_is_read() -> None:
    message = read_message(PLAIN)
    assert message.subject == "Hi"
    assert [box.display_name for box in message.from_mailboxes] == ["Ann"]
    assert [address.text for address in message.recipients] == ["help@shop.example"]
    assert message.message_id == "<1@x>"
    assert message.faults == ()
    assert message.return_path is None
    assert message.parts[0].text == "body\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\r\r\n"])
def test_every_line_end_is_one(end: bytes) -> None:
    message = read_message(PLAIN.replace(b"\n", end))
    assert message.subject == "Hi"
    assert message.from_mailboxes[0].address.text == "ann@example.org"
    assert message.parts[0].text.strip() == "body"


def test_the_digest_is_the_same_for_the_header_alone_and_whatever_was_received() -> None:
    received = b"Received: from a\n" + PLAIN.replace(b"\n", b"\r\n")
    assert read_message(PLAIN).digest == read_message(received, is_whole=False).digest
    assert read_message(PLAIN).digest != read_message(PLAIN.replace(b"Hi", b"Ho")).digest


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Return-Path: <>\n", ""),
        (b"Return-Path: <ann@example.org>\n", "ann@example.org"),
        (b"Return-Path:\n", None),
        (b"From MAILER-DAEMON Mon Mar  2 10:00:00 2026\n", ""),
        (b"From ann@example.org Mon Mar  2 10:00:00 2026\n", "ann@example.org"),
        (b"", None),
    ],
)
def test_the_null_sender_is_told_from_none(line: bytes, expected: str | None) -> None:
    message = read_message(line + PLAIN)
    assert message.return_path == expected
    assert message.subject == "Hi"


def test_what_is_broken_is_named() -> None:
    assert "no address in From" in read_message(b"Subject: x\n\n").faults
    assert "no header could be read" in read_message(b"\n\nx").faults
    assert "the header has no end" in read_message(b"From: a@b\n").faults
    assert "several From fields" in read_message(b"From: a@b\nFrom: c@d\n\n").faults
    assert "1 header lines without a name" in read_message(b"From: a@b\njunk\n\n").faults
    long_body = read_message(PLAIN + b"x" * MAX_BODY_BYTES)
    assert "the body is longer than what is read" in long_body.faults
    assert len(long_body.body) == MAX_BODY_BYTES


def test_ids_are_read_with_and_without_brackets() -> None:
    raw = b"In-Reply-To: 1@x\nReferences: <a@x> (why)\n <b@x> <a@x>\n\n"
    assert read_message(raw).in_reply_to == ("<1@x>",)
    assert read_message(raw).references == ("<a@x>", "<b@x>")


@pytest.mark.parametrize(
    ("text", "charset", "codec"),
    [("退订", "utf-8", "utf-8"), ("退订", "iso-8859-1", "utf-8"), ("退订", "", "utf-8"),
     ("Désabonner", "iso-8859-1", "latin-1"), ("Désabonner", "", "latin-1"),
     ("Désabonner", "utf-8", "latin-1"), ("Désabonner", "x-unknown", "latin-1"),
     ("Отписаться", "koi8-r", "koi8-r"), ("Отписаться", "windows-1251", "cp1251"),
     ("退订", "gb18030", "gb18030"), ("退订", "gb2312", "gbk"), ("取消訂閱", "big5", "big5"),
     ("配信停止", "shift_jis", "shift_jis"), ("配信停止", "iso-2022-jp", "iso2022_jp"),
     ("配信停止", "", "iso2022_jp"), ("수신거부", "euc-kr", "euc_kr"),
     ("Wypisz się", "iso-8859-2", "iso8859-2")],
)  # fmt: skip
def test_a_subject_of_raw_bytes_is_read_as_utf8_or_else_as_the_body(
    text: str, charset: str, codec: str
) -> None:
    kind = f'Content-Type: text/plain; format=flowed; charset="{charset}"\n'.encode()
    subject = b"Subject: " + text.encode(codec) + b"\n"
    assert read_message(subject + kind + b"\n").subject == text
    assert read_message(kind + subject + b"\n", is_whole=False).subject == text


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"Subject: Hello\nFrom: a@b.example\nsubject : unsubscribe", "Hello unsubscribe"),
        (b"Subject:\nSubject: unsubscribe", "unsubscribe"),
        (b"Subject:\n unsubscribe", "unsubscribe"),
        (b"Subject:\r\n\t=?utf-8?q?unsub?=\r\n =?utf-8?q?scribe?=", "unsubscribe"),
        (b"Subject: please\n\tunsubscribe\n  me ", "please unsubscribe me"),
        (b"Subject: un\rsubscribe", "un subscribe"),
        (b"Subject: un\x00sub\x07scribe", "unsubscribe"),
        (b"Subject: =?utf-8?q?please=0A=0Dunsubscribe?=", "please unsubscribe"),
        (b"Subject: a\n" * 5 + b"Subject: b", "a a a a a"),
    ],
)
def test_a_subject_is_one_line_of_all_that_bear_the_name(header: bytes, subject: str) -> None:
    assert read_message(header + b"\n\n").subject == subject


def test_half_characters_never_get_out() -> None:
    """UTF-7 spells lone surrogates, which no database takes."""
    message = read_message(b"Subject: =?utf-7?Q?+2AA-?= x\nFrom: =?utf-7?Q?+2AA-?= <a@b>\n\n")
    message.subject.encode("utf-8")
    message.from_mailboxes[0].display_name.encode("utf-8")


def nested(depth: int) -> bytes:
    part = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n"
    return PLAIN[:-6] + b"".join(part % (n, n) for n in range(depth)) + b"Content-Type: a/b\n\nx"


HOSTILE = {
    "a subject of 1 MB": b"Subject: " + b"x" * 1_000_000 + b"\n" + PLAIN,
    "a subject of encoded words": b"Subject: " + b"=?utf-8?q?x" * 90_000 + b"\n" + PLAIN,
    "100,000 fields": b"".join(b"X-%d: y\n" % n for n in range(100_000)) + PLAIN,
    "10,000 recipients": b"To: " + b"a@b.c, " * 10_000 + b"\n" + PLAIN,
    "multiparts 1,000 deep": nested(1000),
    "100,000 parts": b"Content-Type: multipart/mixed; boundary=b\n"
    + PLAIN
    + b"--b\n\nx\n" * 30_000,
    "a million CRs": PLAIN[:-6] + b"X: " + b"\r" * 1_000_000,
    "brackets": b"From: " + b"(<[" * 20_000 + b"\n" + PLAIN,
    "parameters": b"Content-Type: a/b" + b'; a="' * 15_000 + b"\n" + PLAIN,
    "blank delimiters": b"Content-Type: multipart/mixed; boundary=b\n\n--b" + b" " * 250_000,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_mail_is_read_in_bounded_time(name: str) -> None:
    started = time.perf_counter()
    message = read_message(HOSTILE[name])
    assert len(message.parts) <= MAX_PARTS
    assert isinstance(message.recipients, tuple)
    assert message.from_text is not None
    assert len(message.subject) <= MAX_SUBJECT_CHARS
    assert time.perf_counter() - started < 2
