"""What a relay received, read strictly: the lines as they came, each held to RFC 5322 and 5321."""

from __future__ import annotations

import email
import re
from email.header import decode_header, make_header
from email.message import Message

_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]+):[ \t]")


def unstuffed(wire: bytes) -> bytes:
    """The message of a DATA body as it was on the wire, up to the final dot."""
    assert wire.endswith(b"\r\n.\r\n")
    lines = wire[: -len(b".\r\n")].split(b"\r\n")[:-1]
    assert b"." not in lines, "a line of one dot would have ended the message"
    assert not [line for line in lines if line.startswith(b".") and not line.startswith(b"..")]
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


def fields(message: bytes) -> list[tuple[str, bytes]]:
    """Name and unfolded value of each header field, in order; any line that is wrong fails."""
    check_lines(message)
    head, blank, _ = message.partition(b"\r\n\r\n")
    assert blank, "no blank line ends the headers"
    found: list[tuple[str, bytes]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            assert line.strip(), "a folded line of blanks alone (RFC 5322 §3.2.2)"
            assert found, "the first line is a continuation"
            name, value = found.pop()
            found.append((name, value + line))
        else:
            match = _FIELD.match(line)
            assert match is not None, f"no header field: {line!r}"
            found.append((match[1].decode(), line[match.end() :]))
    assert [name for name, _ in found] == email.message_from_bytes(message).keys()
    return found


def check_lines(message: bytes) -> None:
    """Lines end in CRLF, none is longer than 998, and no control character stands raw."""
    assert message.endswith(b"\r\n")
    for line in message[:-2].split(b"\r\n"):
        assert len(line) <= 998
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line), f"a bare control: {line!r}"


def decoded(value: bytes) -> str:
    """A header's text, its encoded words read by Python's own reader."""
    return str(make_header(decode_header(value.decode())))


def text_of(message: bytes) -> str:
    """The decoded text/plain part, lines ended by LF."""
    for part in email.message_from_bytes(message).walk():
        if part.get_content_type() == "text/plain":
            return content(part).replace("\r\n", "\n")
    raise AssertionError("no text/plain part")


def content(part: Message) -> str:
    """One part's decoded text."""
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(part.get_content_charset("utf-8"))
