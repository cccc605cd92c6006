"""Header lines as bytes, each correct on its own: RFC 5322 lines, RFC 2047 words, RFC 2369 lists.

Our own, because the standard library re-folds: it turns a long `List-Unsubscribe` into an encoded
word, which breaks one-click (RFC 8058).
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from mailbot.core.address import Address
from mailbot.core.errors import InputError

OPT_OUT_WORD: Final = "unsubscribe"  # the word of the promise, in any subject
OPT_IN_WORD: Final = "resubscribe"
CRLF: Final = b"\r\n"
MAX_LINE: Final = 998  # RFC 5322 §2.1.1, without CRLF
_FOLD_AT: Final = 76  # RFC 2047 §2: of a line with an encoded word; a fine place for any other

_WORD_START: Final = "=?utf-8?b?"
_WORD_FRAME: Final = len(_WORD_START) + len("?=")
_WORD_BYTES: Final = 45  # in base64 60 characters; with the frame 72 of the 75 that RFC 2047 allows

_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_PLAIN: Final = re.compile(r"[\x21-\x7e]{1,60}(?: [\x21-\x7e]{1,60})*")
_MESSAGE_ID: Final = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,300}>")
_LIST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")
_TOKEN_LINE: Final = re.compile(r"[\x21-\x7e]{1,400}")  # a campaign and the longest domain
_URL: Final = re.compile(r"https://[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]{1,900}")
_MAILTO_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!$'*+_~-]{1,64}@[A-Za-z0-9._-]{1,255}")
_LINE_BREAKS: Final = "\u2028\u2029"


def has_control_character(text: str) -> bool:
    """Whether the text holds a control character or line separator: never in a header."""
    if text.isprintable():
        return False
    return any(unicodedata.category(char) in ("Cc", "Cs") or char in _LINE_BREAKS for char in text)


def subject_line(subject: str) -> bytes:
    """`Subject: …`, folded at blanks where plain ASCII, else in encoded words."""
    _refuse_control_characters("The subject", subject)
    return _unstructured("Subject", subject)


def mailbox_line(field: str, name: str, address: Address) -> bytes:
    """`To: Name <address>`; the address is raw UTF-8 where its local part is not ASCII (RFC 6532).

    Raises InputError for a name with a line break or control character.
    """
    name = name.strip()
    _refuse_control_characters(f"The name in {field}", name)
    spec = address.envelope
    if len(spec.encode()) > MAX_LINE - len(field) - len(": "):
        raise InputError(
            f"{spec[:80]!r} is longer than a line of a mail may be.",
            next_step="No mailbox has such a name (RFC 5321 allows 64 bytes): correct the address.",
        )
    if not name:
        return f"{field}: {spec}".encode() + CRLF
    phrase = _phrase(name, len(field) + 2)
    last_line = phrase.rpartition("\n")[2] if "\n" in phrase else f"{field}: {phrase}"
    blank = " " if len(last_line) + len(spec) + 3 <= _FOLD_AT else "\r\n "
    return f"{field}: {phrase}{blank}<{spec}>".encode() + CRLF


def date_line(at: datetime) -> bytes:
    """`Date:` of an aware time, in UTC."""
    return _date_line(at.astimezone(UTC).replace(microsecond=0))


@lru_cache(maxsize=8)  # a campaign's messages of one second share it
def _date_line(second: datetime) -> bytes:
    return f"Date: {format_datetime(second)}\r\n".encode()


def message_id_line(message_id: str) -> bytes:
    """`Message-ID:`; raises InputError unless it is `<left@right>` in ASCII without blanks."""
    if not is_message_id(message_id):
        raise InputError(f"{message_id[:80]!r} is not a Message-ID.", next_step="Write <x@y>.")
    return f"Message-ID: {message_id}\r\n".encode()


def is_message_id(text: str) -> bool:
    """Whether a mail may name that id: angle brackets around printable ASCII."""
    return _MESSAGE_ID.fullmatch(text) is not None


def reply_lines(in_reply_to: str, references: Iterable[str]) -> bytes:
    """In-Reply-To and References of an answer; ids that no header may hold are left out."""
    if not is_message_id(in_reply_to):
        return b""
    thread = [known for known in references if is_message_id(known) and known != in_reply_to]
    ids = "\r\n ".join([*thread[:1], *thread[1:][-8:], in_reply_to])
    return f"In-Reply-To: {in_reply_to}\r\nReferences: {ids}\r\n".encode()


def list_unsubscribe_lines(opt_out_address: str, one_click_url: str | None) -> bytes:
    """List-Unsubscribe (RFC 2369) and, only beside an https URL, its Post line (RFC 8058).

    Never folded inside a URI. Raises InputError for an address or URL that could not stand there.
    """
    mailto = f"<{mailto_url(opt_out_address, OPT_OUT_WORD)}>"
    if one_click_url is None:
        return f"List-Unsubscribe: {mailto}\r\n".encode()
    if not _URL.fullmatch(one_click_url):
        raise InputError(
            f"{one_click_url[:80]!r} is no URL for one-click.",
            next_step="It must begin with https:// and be plain ASCII (RFC 8058 §3.1).",
        )
    post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
    return f"List-Unsubscribe: <{one_click_url}>,\r\n {mailto}\r\n{post}\r\n".encode()


def mailto_url(address: str, subject: str) -> str:
    """`mailto:address?subject=word` (RFC 6068); raises InputError where that needs escaping."""
    if not _MAILTO_ADDRESS.fullmatch(address) or not subject.isalnum() or not subject.isascii():
        raise InputError(
            f"{address[:80]!r} cannot stand in a mailto link.",
            next_step="Use an address of letters, digits, dots, plus and minus signs.",
        )
    return f"mailto:{address}?subject={subject}"


def list_id_line(list_id: str) -> bytes:
    """`List-Id: <offers.shop.example>` (RFC 2919); raises InputError for anything else."""
    if not _LIST_ID.fullmatch(list_id):
        raise InputError(f"{list_id[:80]!r} is no List-Id.", next_step="Write offers.shop.example.")
    return f"List-Id: <{list_id}>\r\n".encode()


def token_line(field: str, value: str) -> bytes:
    """A field whose value is one printable ASCII word, as Feedback-ID; raises InputError else."""
    if not _TOKEN_LINE.fullmatch(value):
        raise InputError(
            f"{value[:80]!r} cannot stand in {field}.", next_step="Use ASCII without blanks."
        )
    return f"{field}: {value}\r\n".encode()


def _refuse_control_characters(what: str, text: str) -> None:
    if has_control_character(text):
        raise InputError(
            f"{what} has a line break or another control character: {text[:60]!r}.",
            next_step="Remove it where it comes from.",
        )


def _is_plain(text: str) -> bool:
    """ASCII that survives as it is: single blanks, and nothing that reads as an encoded word."""
    return "=?" not in text and _PLAIN.fullmatch(text) is not None


def _unstructured(field: str, text: str) -> bytes:
    if not _is_plain(text):
        return f"{field}: {_encoded_words(text, len(field) + 2)}\r\n".encode()
    line, *words = f"{field}: {text}".split(" ")
    lines = []
    for word in words:
        # The first word stays beside its field name: a line of the name alone confuses old readers.
        if len(line) + 1 + len(word) > _FOLD_AT and not line.endswith(":"):
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line]).encode() + CRLF


def _phrase(name: str, start: int) -> str:
    """A display name: atoms, a quoted string, or encoded words (RFC 5322 §3.2.5)."""
    if not _is_plain(name) or len(name) > 60:
        return _encoded_words(name, start)
    if _ATOMS.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _encoded_words(text: str, start: int) -> str:
    """RFC 2047 words of whole characters, one a line; `start` columns of the first are taken."""
    words: list[str] = []
    chunk = b""
    room = min(_WORD_BYTES, (_FOLD_AT - start - _WORD_FRAME) // 4 * 3)
    for char in text:
        encoded = char.encode()
        if len(chunk) + len(encoded) > room:
            words.append(_word(chunk))
            chunk, room = b"", _WORD_BYTES
        chunk += encoded
    words.append(_word(chunk))
    return "\r\n ".join(words)


def _word(chunk: bytes) -> str:
    return f"{_WORD_START}{binascii.b2a_base64(chunk, newline=False).decode()}?="
