"""The leaves of a MIME body, in order: enough to read reports, and bounded whatever the nesting.

Written as a loop over a stack: the standard library's parser recurses, and 53 kB of multiparts
nested 1,000 deep end it with RecursionError.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from mailbot.core.reading.encoded_words import decode_bytes
from mailbot.core.reading.header_fields import HeaderFields, parse_fields, split_message

MAX_DEPTH: Final = 8
MAX_PARTS: Final = 60
_MAX_BOUNDARY_CHARS: Final = 200  # RFC 2046 §5.1.1 says 70; mail says more
_PART_START: Final = re.compile(rb"(?:\A|\n)--(\S{1,200})[ \t\r]*\n(?=content-)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf; an enclosed message is a leaf too. `body` has its transfer encoding undone."""

    content_type: str
    fields: HeaderFields
    body: bytes

    @property
    def text(self) -> str:
        return decode_bytes(self.body, self.fields.content_type().parameters.get("charset", ""))


def leaves(fields: HeaderFields, body: bytes) -> tuple[Part, ...]:
    """At most MAX_PARTS leaves, multiparts deeper than MAX_DEPTH left out."""
    found: list[Part] = []
    stack: list[tuple[HeaderFields, bytes, int]] = [(fields, body, 0)]
    while stack and len(found) < MAX_PARTS:
        own, content, depth = stack.pop()
        kind = own.content_type()
        boundary = kind.parameters.get("boundary", "").rstrip()
        if kind.name.startswith("multipart/") and 0 < len(boundary) <= _MAX_BOUNDARY_CHARS:
            if depth < MAX_DEPTH:
                pieces = _pieces(content, boundary) or _pieces(content, _real_boundary(content))
                inner = [_split_part(piece) for piece in pieces]
                stack.extend((head, rest, depth + 1) for head, rest in reversed(inner))
        else:
            found.append(Part(kind.name, own, _undo_encoding(own, content)))
    return tuple(found)


def _split_part(piece: bytes) -> tuple[HeaderFields, bytes]:
    if piece.startswith((b"\n", b"\r\n")):  # a part without a header
        return HeaderFields({}), piece
    head, rest, is_complete = split_message(piece)
    return parse_fields(head), rest if is_complete else b""


def _real_boundary(body: bytes) -> str:
    """Where the header names a boundary that the body does not use (gateways rewrite them)."""
    hit = _PART_START.search(body)
    return hit[1].decode("latin-1") if hit else ""


def _pieces(body: bytes, boundary: str) -> list[bytes]:
    """What stands between the first delimiter lines; a cut message leaves the last one open."""
    if not boundary:
        return []
    mark = re.escape(boundary.encode("latin-1", "replace"))
    delimiter = re.compile(rb"(?:\A|\n)--" + mark + rb"(--)?[ \t\r]*(?:\n|\Z)")
    pieces: list[bytes] = []
    start = -1
    at = 0
    while len(pieces) < MAX_PARTS and (hit := delimiter.search(body, at)) is not None:
        if start >= 0:
            pieces.append(body[start : hit.start()])
        start = hit.end()
        if hit[1]:
            return pieces
        # The line end that closes this delimiter may open the next one.
        at = max(hit.end() - 1, at + 1)
    if start >= 0 and len(pieces) < MAX_PARTS:
        pieces.append(body[start:])
    return pieces


def _undo_encoding(fields: HeaderFields, body: bytes) -> bytes:
    encoding = fields.first("content-transfer-encoding").strip().lower()
    try:
        if encoding == "base64":
            return binascii.a2b_base64(body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
    except (binascii.Error, ValueError):
        return body
    return body
