"""Whatever a mail is made of, the time to read it grows with its size and no faster."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from mailbot.core.inbound_message import MAX_BODY_BYTES, read_message
from mailbot.core.reading.written_lines import written_lines
from mailbot.core.recognition import Facts, recognise
from mailbot.data import load_vocabulary

FACTS = Facts(vocabulary=load_vocabulary())
HEAD = b"From: ann@example.org\nSubject: x\n"


def nested(depth: int) -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(depth)
    )
    return HEAD + opened + b"Content-Type: text/plain\n\nx\n"


# What grows with n in each; n is about the number of bytes.
SHAPES: dict[str, Callable[[int], bytes]] = {
    "one long subject": lambda n: b"Subject: " + b"unsubscribe " * (n // 12) + b"\n\nx",
    "encoded words": lambda n: b"Subject: " + b"=?utf-8?q?a?= " * (n // 14) + b"\n\nx",
    "encoded words left open": lambda n: b"Subject: " + b"=?utf-8?q?" * (n // 10) + b"\n\nx",
    "many headers": lambda n: b"X-A: b\n" * (n // 7) + b"\nx",
    "one field folded often": lambda n: b"Subject: a\n" + b" b\n" * (n // 3) + b"\nx",
    "brackets in From": lambda n: b"From: " + b"(" * n + b"\n\nx",
    "brackets closed in From": lambda n: b"From: " + b"()" * (n // 2) + b" a@b.c\n\nx",
    "quotes in From": lambda n: b"From: " + b'"' * n + b"\n\nx",
    "angles in From": lambda n: b"From: " + b"<" * n + b"\n\nx",
    "addresses in From": lambda n: b"From: " + b"a@b.example, " * (n // 13) + b"\n\nx",
    "commas in To": lambda n: HEAD + b"To: " + b"," * n + b"\n\nx",
    "references": lambda n: HEAD + b"References: " + b"<a@b> " * (n // 6) + b"\n\nx",
    "parameters": lambda n: HEAD + b"Content-Type: a/b" + b"; a=b" * (n // 5) + b"\n\nx",
    "boundaries": lambda n: (
        HEAD + b"Content-Type: multipart/a; boundary=b\n\n" + b"--b\n" * (n // 4)
    ),
    "nested parts": lambda n: nested(n // 50),
    "blank lines": lambda n: HEAD + b"\n" * n,
    "bare returns": lambda n: HEAD.replace(b"\n", b"\r") + b"\r" * n,
    "angles in HTML": lambda n: b"From: a@b.example\nContent-Type: text/html\n\n" + b"<" * n,
    "base64": lambda n: HEAD + b"Content-Transfer-Encoding: base64\n\n" + b"A" * n,
    "addresses in a bounce": lambda n: (
        b"From: MAILER-DAEMON@x.example\nReturn-Path: <>\n\n" + b"a@b.example failed\n" * (n // 19)
    ),
    "a report of many": lambda n: (
        HEAD + b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
        b"Content-Type: message/delivery-status\n\n"
        + b"Final-Recipient: rfc822; a@b.c\n\n" * (n // 32)
    ),
}  # fmt: skip


def seconds(raw: bytes) -> float:
    """The best of a few: a busy machine only ever adds."""
    best = 60.0
    for _ in range(4):
        started = time.perf_counter()
        message = read_message(raw)
        recognise(message, FACTS)
        written_lines(message)
        best = min(best, time.perf_counter() - started)
    return best


@pytest.mark.parametrize("shape", SHAPES)
def test_four_times_the_size_takes_no_sixteen_times_the_time(shape: str) -> None:
    make = SHAPES[shape]
    small, large = seconds(make(12_000)), seconds(make(48_000))
    assert large < 9 * small + 0.003, f"{small * 1000:.1f} ms, then {large * 1000:.1f} ms"


def test_a_mail_of_twenty_megabytes_costs_the_memory_of_what_is_read() -> None:
    raw = HEAD + b"Content-Type: text/plain\n\n" + b"one line of an ordinary letter\n" * 700_000
    tracemalloc.start()
    message = read_message(raw)
    recognise(message, FACTS)
    written_lines(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(message.body) == MAX_BODY_BYTES
    assert peak < 2.2 * len(raw) + 20 * MAX_BODY_BYTES
