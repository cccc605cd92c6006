"""Our own mails, and mails put together from odd pieces, stand what fuzzed ones do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbot.core.inbound_message import InboundMessage, read_message
from mailbot.core.recognition import recognise
from tests.fuzz import seeds, target
from tests.fuzz.target import FACTS, check

MESSAGES = Path(__file__).parents[1] / "messages"

CHARSETS = st.sampled_from([
    b"utf-8", b"UTF-8*en", b"utf-7", b"utf-16", b"utf-32", b"hz", b"iso-2022-jp", b"iso-2022-kr",
    b"_iso-2022-jp$ESC", b"gb2312", b"big5", b"shift_jis", b"koi8-r", b"us-ascii", b"x-unknown",
    b"idna", b"unicode_escape", b"zlib", b"", b"*", b"x" * 70,
])  # fmt: skip
PAYLOADS = st.binary(max_size=12) | st.sampled_from([
    b"dW5zdWJzY3JpYmU=", b"unsubscribe", b"=E9=80=80", b"=", b"=0", b"?", b"_", b"+2AA-", b"~{",
    b"=?utf-8?q?", b"=1B$B", b"=3D=3Futf-8=3Fq=3Fa=3F=3D", b"8J+Y", b"////",
])  # fmt: skip
ENCODED_WORDS = st.builds(
    b"=?%s?%s?%s%s".__mod__,
    st.tuples(CHARSETS, st.sampled_from([b"q", b"B", b"x"]), PAYLOADS,
              st.sampled_from([b"?=", b"?= ", b"", b"?=\r\n "])),
)  # fmt: skip
ODD = st.sampled_from([
    b"(", b")", b"<", b">", b'"', b"\\", b",", b";", b":", b"@", b"[", b"]", b" ", b"\t", b"\r",
    b"\n ", b"\r\n\t", b"\x00", b"\xff", b"\xe9\x80", b"\xc3\xa9", b"\x1b$B", b"\x1b(B", b"'",
])  # fmt: skip
ADDRESSES = st.sampled_from([
    b"ann@example.org", b"Ann <ann@example.org>", b"<>", b"MAILER-DAEMON@x.example", b"a@b@c",
    b"help@shop.example", b"help+u-abc@shop.example", b"help+b-abc@shop.example", b"a:b@c;",
    b"Ann via Help <help@shop.example>", b"joe@[127.0.0.1]", b'"a b"@x.example',
    b"a@\xd7\x90.example",
])  # fmt: skip
WORDS = st.sampled_from([
    "unsubscribe", "abmelden", "退订", "配信停止", "Re: ", "[list] ", "do not ", "resubscribe",
    "Out of office: ", "unsubcribe", "u n s u b", "not", "automatic reply",
]).map(str.encode)  # fmt: skip
VALUES = st.lists(ENCODED_WORDS | ODD | ADDRESSES | WORDS | st.binary(max_size=6), max_size=6)
NAMES = st.sampled_from([
    b"From", b"from ", b"To", b"Cc", b"Delivered-To", b"Subject", b"SUBJECT", b"Reply-To",
    b"Return-Path", b"Message-ID", b"In-Reply-To", b"References", b"Auto-Submitted", b"Precedence",
    b"List-Id", b"List-Post", b"Authentication-Results", b"X-Failed-Recipients", b"Sender",
    b"Content-Type", b"Content-Transfer-Encoding", b"X-Apple-Unsubscribe", b"X-Amz-Sns-Message-Id",
    b"Feedback-Type", b"Final-Recipient", b"Status", b"Action", b"", b"no name",
])  # fmt: skip
TYPES = st.sampled_from([
    b"multipart/mixed; boundary=b", b'multipart/alternative; boundary="b"', b"message/rfc822",
    b"multipart/report; report-type=delivery-status; boundary=b", b"text/html; charset=utf-7",
    b"multipart/report; report-type=feedback-report; boundary=b", b"message/delivery-status",
    b"message/feedback-report", b"text/plain; charset=gb2312", b"text/plain; charset*=x''y",
    b"multipart/mixed; boundary=", b"application/json", b";;;",
])  # fmt: skip
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b"\r\r\n"])


@st.composite
def header_lines(draw: st.DrawFn) -> bytes:
    lines = [
        draw(NAMES) + draw(st.sampled_from([b": ", b":", b" :", b""])) + b"".join(draw(VALUES))
        for _ in range(draw(st.integers(0, 6)))
    ]
    if draw(st.booleans()):
        lines.append(b"Content-Type: " + draw(TYPES))
    return b"\n".join(draw(st.permutations(lines))) + b"\n"


@st.composite
def mails(draw: st.DrawFn) -> bytes:
    """Headers, parts, boundaries and soup, nested as they come."""
    pieces = [draw(header_lines()), b"\n"]
    for _ in range(draw(st.integers(0, 4))):
        pieces.append(draw(st.sampled_from([b"--b\n", b"--b--\n", b"--c\n", b"\n--b \n", b"\n"])))
        pieces.append(draw(header_lines() | st.just(b"")))
        pieces.append(draw(st.sampled_from([b"\n", b"", b"\n\n"])))
        pieces.append(b"".join(draw(VALUES)) + b"\n")
    return b"".join(pieces).replace(b"\n", draw(LINE_ENDS))


@settings(max_examples=400, deadline=None)
@given(mails())
def test_mail_of_odd_pieces_is_read_recognised_and_told(raw: bytes) -> None:
    check(raw)


def test_every_mail_of_ours_is_read_recognised_and_told() -> None:
    mails_of_ours = sorted(MESSAGES.glob("*.eml"))
    assert len(mails_of_ours) >= 200
    for path in mails_of_ours:
        check(path.read_bytes())


@pytest.mark.parametrize("name", seeds.MAILS)
def test_a_seed_reaches_its_rule(name: str) -> None:
    verdict = recognise(read_message(seeds.MAILS[name]), FACTS)
    assert name.startswith(verdict.rule)
    assert all("revoked" in note for note in verdict.notes)
    check(seeds.MAILS[name])


def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_subject(raw: bytes, *, is_whole: bool = True) -> InboundMessage:
        return read_message(raw if is_whole else b"From: a@b.example\n\n", is_whole=is_whole)

    monkeypatch.setattr(target, "read_message", without_subject)
    with pytest.raises(AssertionError):
        check(b"From: a@b.example\nSubject: unsubscribe\n\n")


def test_an_input_that_takes_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "SECONDS_AT_ALL", 0.0)
    monkeypatch.setattr(target, "SECONDS_A_BYTE", 0.0)
    with pytest.raises(AssertionError, match="bytes"):
        check(b"From: a@b.example\n\n")
