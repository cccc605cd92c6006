"""Bytes from a mailbox → InboundMessage: what the rules look at. Never raises, whatever the bytes.

What is broken is named in `faults` and the rest is read all the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from mailbot.core.address import Address, Mailbox, parse_mailbox_list, parse_mailboxes
from mailbot.core.reading.encoded_words import decode_header, decode_words
from mailbot.core.reading.header_fields import (
    LONGEST_HEADER,
    ContentType,
    HeaderFields,
    parse_fields,
    split_message,
)
from mailbot.core.reading.mime_parts import Part, leaves

MAX_SUBJECT_CHARS: Final = 1024
MAX_BODY_BYTES: Final = 256 * 1024
_MAX_RAW_SUBJECT_BYTES: Final = 8 * 1024
_MAX_SUBJECTS: Final = 5
_MAX_IDS: Final = 100
_RECIPIENT_FIELDS: Final = ("to", "cc", "delivered-to", "x-original-to")
_DIGEST_FIELDS: Final = ("from", "date", "subject", "message-id")
_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,995}>")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One message of help@. Text is decoded and may be empty; nothing in it is to be trusted."""

    fields: HeaderFields
    body: bytes = field(repr=False)  # "" where only the header was fetched
    is_whole: bool
    subject: str  # white space collapsed, ≤ 1 kB; NFKC is left to the rule
    from_mailboxes: tuple[Mailbox, ...]
    from_is_group: bool
    return_path: str | None  # "" is the null sender `<>`; None where no one wrote it down
    content_type: ContentType
    recipient_bytes: bytes = field(repr=False, default=b"")  # of all their fields, lower case
    faults: tuple[str, ...] = ()

    def header(self, name: str) -> str:
        """The first value of that field, decoded; "" where it is absent."""
        return self.fields.first(name.lower())

    def headers_named(self, name: str) -> tuple[str, ...]:
        """Every value of that field, decoded."""
        return self.fields.all(name.lower())

    @property
    def from_text(self) -> str:
        return self.header("from")

    @property
    def sender_text(self) -> str:
        return self.header("sender")

    @property
    def date_text(self) -> str:
        return self.header("date")

    @property
    def recipients(self) -> tuple[Address, ...]:
        """The addresses of To, Cc, Delivered-To and X-Original-To, in that order."""
        values = (text for name in _RECIPIENT_FIELDS for text in self.fields.undecoded(name))
        return tuple(box.address for value in values for box in parse_mailboxes(value))

    def recipients_tagged(self, mark: bytes) -> tuple[Address, ...]:
        """The recipients, where any of their fields holds `mark` (lower case); else none.

        Nearly no mail is written to a token, and parsing everyone's Cc is what costs.
        """
        return self.recipients if mark in self.recipient_bytes else ()

    @property
    def message_id(self) -> str:
        """With its angle brackets; "" where there is none."""
        ids = message_ids(self.header("message-id"))
        return ids[0] if ids else ""

    @property
    def in_reply_to(self) -> tuple[str, ...]:
        return message_ids(self.header("in-reply-to"))

    @property
    def references(self) -> tuple[str, ...]:
        return message_ids(self.header("references"))

    @property
    def report_type(self) -> str:
        """RFC 6522: `delivery-status`, `feedback-report` …; "" where it is no multipart/report."""
        kind = self.content_type
        is_report = kind.name == "multipart/report"
        return kind.parameters.get("report-type", "").strip().lower() if is_report else ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The leaves of the body, computed when asked for; none where it was not fetched."""
        return leaves(self.fields, self.body) if self.is_whole else ()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over From, Date, Subject and Message-ID: the same in every folder."""
        lines = (
            name.encode() + b":" + b" ".join(value.split())
            for name in _DIGEST_FIELDS
            for value in self.fields.raw(name)
        )
        return hashlib.sha256(b"\n".join(lines)).hexdigest()


def read_message(raw: bytes, *, is_whole: bool = True) -> InboundMessage:
    """Reads a message, or its header only (`is_whole=False`). Never raises."""
    # Of a longer mail no byte is read, copied or kept; one more, so that its cut is seen.
    block, body, is_complete = split_message(raw[: LONGEST_HEADER + MAX_BODY_BYTES + 1])
    envelope_line, block = _unix_from(block)
    fields = parse_fields(block)
    mailboxes, is_group = _from_of(fields)
    content_type = fields.content_type()
    return InboundMessage(
        fields=fields,
        body=body[:MAX_BODY_BYTES] if is_whole else b"",
        is_whole=is_whole,
        subject=_subject_of(fields, content_type),
        from_mailboxes=mailboxes,
        from_is_group=is_group,
        return_path=_return_path(fields, envelope_line),
        content_type=content_type,
        recipient_bytes=b"\n".join(
            value for name in _RECIPIENT_FIELDS for value in fields.raw(name)
        ).lower(),
        faults=_faults(fields, mailboxes, is_complete, len(body) if is_whole else 0),
    )


def message_ids(text: str) -> tuple[str, ...]:
    """The Message-IDs in a header's value, with brackets; one written without them as well."""
    found = _MESSAGE_ID.findall(text)[:_MAX_IDS]
    if not found and "@" in text and len(text.split()) == 1:
        found = [f"<{text.strip().strip('<>')}>"]
    return tuple(dict.fromkeys(found))


def _unix_from(block: bytes) -> tuple[str, bytes]:
    """The sender of an mbox `From ` line, which is the envelope's, and the block without it."""
    if not block.startswith((b"From ", b">From ")):
        return "", block
    line, _, rest = block.partition(b"\n")
    words = line.decode("latin-1").split()
    return (words[1] if len(words) > 1 else ""), rest


def _return_path(fields: HeaderFields, envelope_line: str) -> str | None:
    written = fields.first("return-path").strip()
    if written:
        return "" if written == "<>" else written.strip("<>")
    if envelope_line.upper().startswith("MAILER-DAEMON") and "@" not in envelope_line:
        return ""  # how an mbox writes the null sender
    return envelope_line or None


def _subject_of(fields: HeaderFields, content_type: ContentType) -> str:
    """Every subject of them: which one a reader shows is the reader's choice."""
    body_charset = content_type.parameters.get("charset", "")
    subjects = (raw[:_MAX_RAW_SUBJECT_BYTES] for raw in fields.raw("subject")[:_MAX_SUBJECTS])
    text = " ".join(decode_header(raw, body_charset) for raw in subjects)
    return " ".join(_CONTROL.sub("", text).split())[:MAX_SUBJECT_CHARS]


def _from_of(fields: HeaderFields) -> tuple[tuple[Mailbox, ...], bool]:
    boxes: list[Mailbox] = []
    is_group = False
    for value in fields.undecoded("from"):
        read = parse_mailbox_list(value)
        if not read.mailboxes and "=?" in value:  # a writer that encoded the address as well
            read = parse_mailbox_list(decode_words(value))
        is_group = is_group or read.has_group
        boxes.extend(read.mailboxes)
    if len(boxes) > 1:
        unique: dict[str, Mailbox] = {}
        for box in boxes:
            unique.setdefault(box.address.match_key, box)
        boxes = list(unique.values())
    return tuple(boxes), is_group


def _faults(
    fields: HeaderFields, mailboxes: tuple[Mailbox, ...], is_complete: bool, body_size: int
) -> tuple[str, ...]:
    found: list[str] = []
    if not fields.values:
        found.append("no header could be read")
    elif not is_complete:
        found.append("the header has no end")
    if fields.junk_lines:
        found.append(f"{fields.junk_lines} header lines without a name")
    if not mailboxes:
        found.append("no address in From")
    if len(fields.raw("from")) > 1:
        found.append("several From fields")
    if body_size > MAX_BODY_BYTES:
        found.append("the body is longer than what is read")
    return tuple(found)
