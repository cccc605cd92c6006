"""What goes over the wire to a relay, and how what comes back is read: bytes and words, no I/O."""

from __future__ import annotations

import re
from functools import lru_cache

from mailbot.core.smtp_replies import Reply

_LINE_END = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")
# Lone surrogates stand for bytes that are no UTF-8: nothing to put into a command or a database.
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NO_TEXT = re.compile(r"[\s\x00-\x1f\x7f]+")
_LONGEST_TEXT = 1000


def stuffed(message: bytes) -> bytes:
    """The body with CRLF line ends, leading dots doubled, and the final dot (RFC 5321 §4.5.2)."""
    lines = message
    ends = message.count(b"\r\n")
    if not message.count(b"\n") == message.count(b"\r") == ends:  # ours are composed with CRLF
        lines = _LINE_END.sub(b"\r\n", message)
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    if lines.startswith(b".") or b"\n." in lines:
        lines = _LEADING_DOT.sub(b"..", lines)
    return lines + b".\r\n"


def is_reply_code(code: int) -> bool:
    """Whether RFC 5321 §4.2.1 knows the class; 1xx is not used in SMTP."""
    return 200 <= code <= 599


@lru_cache(maxsize=64)  # a relay says the same few things again and again
def read_reply(code: int, text: str) -> Reply:
    """A reply on one line that any database and log can hold.

    `text` is decoded with "surrogateescape"; what was no UTF-8 becomes U+FFFD.
    """
    return Reply.parse(code, readable(text))


def readable(text: str) -> str:
    """Foreign text on one line, ≤ 1,000 characters, without controls and lone surrogates."""
    if text.isascii() and text.isprintable():  # as nearly all are
        return text.strip()[:_LONGEST_TEXT]
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _NO_TEXT.sub(" ", whole).strip()[:_LONGEST_TEXT]


def unspeakable(address: str, *, takes_utf8: bool) -> Reply | None:
    """Why `address` must not stand in a command, as a relay would answer it; None where it may.

    The codes are about this one message and suppress nobody: 5.6.7 of RFC 6531 §3.5, and 5.5.4.
    """
    if _UNSPEAKABLE.search(address):
        return Reply(501, "5.5.4", "an address with control characters is never sent")
    if not takes_utf8 and not address.isascii():
        return Reply(553, "5.6.7", "the relay carries no addresses outside ASCII")
    return None
