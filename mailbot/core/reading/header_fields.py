"""Header fields as bytes: split a header off a message, unfold it, decode a field when asked.

Not the standard library's parser: at one message in help@ out of thousands a body matters, so
the header has to be cheap, and this one cannot raise. Time is linear in the input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from mailbot.core.reading.encoded_words import decode_bytes, decode_header

# Fields beyond this are not read: it is what intake fetches of a header, and a mail is to mean the
# same whether its header was fetched or all of it.
MAX_HEADER_BYTES: Final = 64 * 1024
# The blank line is looked for so far, so that the body of an odd mail from a file is still found;
# one byte at a time is looked at, and nothing is kept.
LONGEST_HEADER: Final = 2 * 1024 * 1024
_MAX_VALUE_BYTES: Final = 64 * 1024
_LINE_ENDS_LOOKED_AT: Final = 64 * 1024
_BLANK_LINE: Final = re.compile(rb"\n\r*\n")
# A CR inside a line is white space, not the end of the field, and folds where it begins one.
_NEXT_FIELD: Final = re.compile(rb"\n(?![ \t]|\r(?!\n))")
_FIELD_NAME: Final = re.compile(rb"([!-9;-~]{1,80}+)[ \t\r]*+")
_LONGEST_NAME_KEPT: Final = 100
_PARAMETER: Final = re.compile(r';\s*([A-Za-z0-9_.-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s"]*)')
_PART_TYPE: Final = re.compile(r"[a-z0-9.+_-]+/[a-z0-9.+_-]+")


@dataclass(frozen=True, slots=True)
class ContentType:
    """`name` is `type/subtype` in lower case; parameter names too, their values as written."""

    name: str = "text/plain"
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeaderFields:
    """Values as they stand, folded, by lower-case name, in order; `junk_lines` had no field name.

    Of thirty fields five are asked for: each is unfolded when it is.
    """

    values: Mapping[str, Sequence[bytes]]
    junk_lines: int = 0

    def raw(self, name: str) -> tuple[bytes, ...]:
        """Every value of that field, unfolded. Names are asked for in lower case throughout."""
        values = self.values.get(name)
        return tuple(map(_unfolded, values)) if values else ()

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of that field, decoded (RFC 2047)."""
        return tuple(decode_header(value[:_MAX_VALUE_BYTES]) for value in self.raw(name))

    def first(self, name: str) -> str:
        """The first value, decoded; "" where the field is absent."""
        values = self.raw(name)
        return decode_header(values[0][:_MAX_VALUE_BYTES]) if values else ""

    def undecoded(self, name: str) -> tuple[str, ...]:
        """Every value as text, encoded words left: an address is to be parsed before decoding."""
        return tuple(decode_bytes(value[:_MAX_VALUE_BYTES]) for value in self.raw(name))

    def content_type(self) -> ContentType:
        """RFC 2045 §5.1; text/plain where absent or unreadable."""
        text = self.first("content-type")
        name = text.partition(";")[0].strip().lower()
        if not _PART_TYPE.fullmatch(name):
            name = "text/plain"
        if ";" not in text:
            return ContentType(name)
        found: dict[str, str] = {}
        for hit in _PARAMETER.finditer(text):
            value = hit[2]
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            found.setdefault(hit[1].lower(), value)
        return ContentType(name, found)


def split_message(raw: bytes) -> tuple[bytes, bytes, bool]:
    """Header block, body, and whether the blank line between them was found; LF line ends."""
    start = raw[:_LINE_ENDS_LOOKED_AT]
    more_returns = start.count(b"\r") - start.count(b"\n")
    if more_returns > 0 and more_returns > start.count(b"\r\n"):
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # old Macintosh line ends
    raw = raw.lstrip(b"\r\n")
    blank = _BLANK_LINE.search(raw, 0, LONGEST_HEADER)
    if blank is None:
        return raw[:MAX_HEADER_BYTES], b"", False
    return raw[: min(blank.start(), MAX_HEADER_BYTES)], raw[blank.end() :], True


def parse_fields(block: bytes) -> HeaderFields:
    """The fields of a header block."""
    values: dict[str, list[bytes]] = {}
    junk_lines = 0
    for line in _NEXT_FIELD.split(block):
        written, colon, value = line.partition(b":")
        name = _name(written) if len(written) < _LONGEST_NAME_KEPT else _name_of(written)
        if colon and name in values:
            values[name].append(value)
        elif colon and name:
            values[name] = [value]
        elif line.strip():
            junk_lines += 1
    return HeaderFields(values, junk_lines)


def _name_of(written: bytes) -> str:
    """In lower case; "" where it is none."""
    hit = _FIELD_NAME.fullmatch(written)
    return hit[1].decode("ascii").lower() if hit else ""


_name = lru_cache(maxsize=1024)(_name_of)  # mail has some hundred names, the same in each


def _unfolded(value: bytes) -> bytes:
    return value.replace(b"\r\n", b"").replace(b"\n", b"").replace(b"\r", b" ").strip()
