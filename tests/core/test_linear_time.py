"""Whatever a mail is made of, the time to read it grows with its size and no faster."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

import pytest

from mailbot.core.address import parse_mailbox_list
from mailbot.core.inbound_message import MAX_BODY_BYTES, read_message
from mailbot.core.reading.encoded_words import decode_words
from mailbot.core.reading.header_fields import LONGEST_HEADER, MAX_HEADER_BYTES
from mailbot.core.reading.written_lines import written_lines
from mailbot.core.recognition import Facts, describe, mentions, needs_body, recognise
from mailbot.core.tokens import TokenKey, TokenKeys
from mailbot.data import load_vocabulary

FACTS = Facts(
    help_address="help@shop.example",
    token_keys=TokenKeys((TokenKey(1, bytes(range(32))),)),
    vocabulary=load_vocabulary(),
)
HEAD = b"From: ann@example.org\nSubject: x\n"
MIXED = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n"
HTML = HEAD.replace(b"x", b"") + b"Content-Type: text/html\n\n"
ENCODED = HEAD + b"Content-Transfer-Encoding: %s\n\n"
BOUNCE = b"From: MAILER-DAEMON@x.example\nReturn-Path: <>\n"
REPORT = HEAD + (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
    b"Content-Type: message/delivery-status\n\n"
)
# Four times the size may take so many times the time: well below sixteen, and above the four that
# is expected, since caches end somewhere. The rest is what a clock cannot tell.
MOST_RATIO = 8
LEAST_SECONDS = 0.0005
ROUNDS = 3


def nested(depth: int) -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(depth)
    )
    return HEAD + opened + b"Content-Type: text/plain\n\nx\n"


Shape = Callable[[int], bytes]


def repeated(before: bytes, unit: bytes, after: bytes = b"\n\nx") -> Shape:
    return lambda size: before + unit * (size // len(unit)) + after


HEADERS: dict[str, Shape] = {
    "one long subject": repeated(b"Subject: ", b"unsubscribe "),
    "a subject without blanks": repeated(b"Subject: ", b"x"),
    "many subjects": repeated(b"", b"Subject: unsubscribe me\n"),
    "encoded words": repeated(b"Subject: ", b"=?utf-8?q?a?= "),
    "encoded words of many charsets": repeated(b"Subject: ", b"=?utf-8?q?=ff?= =?x?b?/w?= "),
    "encoded words left open": repeated(b"Subject: ", b"=?utf-8?q?"),
    "beginnings of encoded words": repeated(b"Subject: ", b"=?"),
    "words encoded twice": repeated(b"Subject: ", b"=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?="),
    "base64 without an end": repeated(b"Subject: ", b"=?utf-8?b?QUJDR?="),
    "8-bit bytes": repeated(b"Subject: ", b"\xe9\x80"),
    "escapes": repeated(b"Subject: ", b"\x1b$B"),
    "prefixes": repeated(b"Subject: ", b"Re: [x] "),
    "many fields": repeated(b"", b"X-A: b\n"),
    "many names": lambda size: b"".join(b"X-%d: b\n" % n for n in range(size // 10)) + b"\nx",
    "junk lines": repeated(b"", b"junk\n"),
    "a name without an end": repeated(b"X", b"x"),
    "one field folded often": repeated(b"Subject: a\n", b" b\n"),
    "blanks before a colon": repeated(b"Subject", b" ", b": x\n\nx"),
    "brackets in From": repeated(b"From: ", b"("),
    "brackets closed in From": repeated(b"From: ", b"()", b" a@b.c\n\nx"),
    "quotes in From": repeated(b"From: ", b'"'),
    "backslashes in From": repeated(b'From: "', b"\\"),
    "angles in From": repeated(b"From: ", b"<"),
    "blanks in From": repeated(b"From: ", b" ", b"x\n\nx"),
    "dots in From": repeated(b"From: a@b", b".b"),
    "at signs in From": repeated(b"From: ", b"a@"),
    "addresses in From": repeated(b"From: ", b"a@b.example, "),
    "different addresses in From": lambda size: (
        b"From: " + b"".join(b"%d@b.example, " % n for n in range(size // 16)) + b"\n\nx"
    ),
    "groups in From": repeated(b"From: ", b"a:b@c.d;"),
    "commas in To": repeated(HEAD + b"To: ", b","),
    "addresses in To": repeated(HEAD + b"To: ", b"a@b.example, "),
    "tokens in To": repeated(HEAD + b"To: ", b"help+u-abcdef@shop.example, "),
    "return paths in To": repeated(HEAD + b"To: ", b"help+b-abcdef@shop.example, "),
    "references": repeated(HEAD + b"References: ", b"<a@b> "),
    "references left open": repeated(HEAD + b"References: ", b"<"),
    "parameters": repeated(HEAD + b"Content-Type: a/b", b"; a=b"),
    "parameters left open": repeated(HEAD + b"Content-Type: a/b", b'; a="'),
    "comments": repeated(HEAD + b"Auto-Submitted: no", b"("),
    "results": repeated(HEAD + b"Authentication-Results: a", b"; spf=pass ("),
}
BODIES: dict[str, Shape] = {
    "boundaries": repeated(MIXED, b"--b\n"),
    "boundaries with blanks": repeated(MIXED + b"--b", b" "),
    "parts": repeated(MIXED, b"--b\n\nx\n"),
    "parts of many fields": repeated(MIXED + b"--b\n", b"X: y\n"),
    "other boundaries": repeated(MIXED, b"\n--c"),
    "nested parts": lambda size: nested(size // 50),
    "blank lines": repeated(HEAD, b"\n"),
    "bare returns": repeated(HEAD.replace(b"\n", b"\r"), b"\r"),
    "lines": repeated(HEAD.replace(b"x", b"") + b"\n", b"> a\n"),
    "angles in HTML": repeated(HTML, b"<"),
    "tags in HTML": repeated(HTML, b"<p>a<br>"),
    "comments in HTML": repeated(HTML, b"<!--"),
    "styles in HTML": repeated(HTML, b"<style>"),
    "entities in HTML": repeated(HTML, b"&amp;"),
    "base64": repeated(ENCODED % b"base64", b"A"),
    "base64 soup": repeated(ENCODED % b"base64", b"A=\xff=\n"),
    "quoted-printable": repeated(ENCODED % b"quoted-printable", b"=3D="),
    "utf-7": repeated(HEAD + b"Content-Type: text/plain; charset=utf-7\n\n", b"+2AA-"),
    "addresses in a bounce": repeated(BOUNCE + b"\n", b"a@b.example failed\n"),
    "a report of many": repeated(REPORT, b"Final-Recipient: rfc822; a@b.c\n\n"),
    "a report of one": repeated(REPORT + b"Diagnostic-Code: smtp; ", b"550 user unknown "),
    "a notification": repeated(HEAD + b"X-Amz-Sns-Message-Id: 1\n\n", b'{"a":'),
}  # fmt: skip


def read_all(raw: bytes) -> None:
    for message in (read_message(raw), read_message(raw, is_whole=False)):
        needs_body(message, FACTS)
        mentions(message, FACTS)
        describe(recognise(message, FACTS))
        written_lines(message)


def seconds(read: Callable[[bytes], object], raw: bytes) -> float:
    """Of this process alone, the best of a few: a busy machine only ever adds."""
    best = 60.0
    gc.disable()
    try:
        for _ in range(ROUNDS):
            started = time.process_time()
            read(raw)
            best = min(best, time.process_time() - started)
    finally:
        gc.enable()
    return best


def grows_with_size(read: Callable[[bytes], object], make: Shape, size: int) -> bool:
    small, large = seconds(read, make(size)), seconds(read, make(4 * size))
    return large < MOST_RATIO * small + LEAST_SECONDS


@pytest.mark.parametrize("shape", HEADERS)
def test_the_time_of_a_header_grows_with_its_size(shape: str) -> None:
    assert grows_with_size(read_all, HEADERS[shape], MAX_HEADER_BYTES // 4 - 100)


@pytest.mark.parametrize("shape", BODIES)
def test_the_time_of_a_body_grows_with_its_size(shape: str) -> None:
    assert grows_with_size(read_all, BODIES[shape], MAX_BODY_BYTES // 4 - 100)


@pytest.mark.parametrize(
    "shape",
    ["one long subject", "encoded words", "many fields", "one field folded often",
     "brackets in From", "addresses in To"],
)  # fmt: skip
def test_beyond_what_is_read_a_header_costs_no_more(shape: str) -> None:
    """A megabyte, 10,000 fields, 100,000 brackets: as long as 64 kB, and a look for its end."""
    sizes = (MAX_HEADER_BYTES, 16 * MAX_HEADER_BYTES)
    read, cut = (seconds(read_all, HEADERS[shape](size)) for size in sizes)
    assert cut < 3 * read + 0.02


@pytest.mark.parametrize("unit", ["(", "()", '"', "<", "[", ",", "a@b.c, ", "a@", "\\", " ", ":;"])
def test_the_time_of_addresses_grows_with_their_number(unit: str) -> None:
    def read(raw: bytes) -> None:
        parse_mailbox_list(raw.decode())

    assert grows_with_size(read, repeated(b"", unit.encode(), b""), 25_000)


@pytest.mark.parametrize(
    "unit", ["=?", "=?utf-8?q?", "=?utf-8?q?a?=", "=?x?b?QUI?= ", "=?a*", "?="]
)
def test_the_time_of_encoded_words_grows_with_their_number(unit: str) -> None:
    def read(raw: bytes) -> None:
        decode_words(raw.decode())

    assert grows_with_size(read, repeated(b"", unit.encode(), b""), 100_000)


def test_the_measure_tells_what_grows_faster() -> None:
    def quadratic(raw: bytes) -> None:
        for _ in raw:
            for _ in raw:
                pass

    assert not grows_with_size(quadratic, repeated(b"", b"a"), 400)


LONG_MAILS = {
    "an ordinary letter": HEAD + b"\n" + b"one line of an ordinary letter\n" * 700_000,
    "old line ends": HEAD.replace(b"\n", b"\r") + b"\r" + b"one line\r" * 2_200_000,
    "HTML": HTML + b"<p>a</p>" * 2_500_000,
    "parts": MIXED + b"--b\n\nx\n" * 2_900_000,
    "a header": HEAD * 600_000,
    "a field": b"X: " + b"x" * 20_000_000 + b"\n" + HEAD + b"\n",
    "blank lines": b"\n" * 20_000_000 + HEAD + b"\n",
}


@pytest.mark.parametrize("name", LONG_MAILS)
def test_a_mail_of_twenty_megabytes_costs_the_memory_of_what_is_read(name: str) -> None:
    raw = LONG_MAILS[name]
    assert len(raw) > 19_000_000
    tracemalloc.start()
    message = read_message(raw)
    written_lines(message)
    recognise(message, FACTS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(message.body) <= MAX_BODY_BYTES
    assert peak < 2 * (LONGEST_HEADER + 2 * MAX_BODY_BYTES)
