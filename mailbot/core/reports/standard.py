"""Machine-readable reports: a delivery report (RFC 3464) says who failed, a feedback report
(RFC 5965) who complained. Both carry the mail they are about, or its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailbot.core.address import Address, parse_mailboxes
from mailbot.core.inbound_message import InboundMessage, message_ids
from mailbot.core.reading.encoded_words import decode_bytes
from mailbot.core.reading.header_fields import HeaderFields, parse_fields, split_message
from mailbot.core.reading.mime_parts import Part, leaves
from mailbot.core.reports.undeliverable import says_nonexistent
from mailbot.core.verdicts import FailedRecipient

MAX_RECIPIENTS: Final = 50  # a report is about one mail of ours; a forged one may name thousands
_MAX_TEXT_CHARS: Final = 4000
_BLANK_LINES: Final = re.compile(rb"\n[ \t\r]*\n")
_STATUS_PARTS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
_HEADER_PARTS: Final = frozenset(
    {
        "text/rfc822-headers",
        "text/rfc822-header",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
_MESSAGE_PARTS: Final = frozenset({"message/rfc822", "message/global"})
RETURNED_PARTS: Final = _MESSAGE_PARTS | _HEADER_PARTS
_MESSAGE_ID_LINE: Final = re.compile(
    rb"^[ \t>]{0,8}message-id:[ \t]*(?:\n[ \t]+)?(<[^<>\s]{1,995}>)", re.IGNORECASE | re.MULTILINE
)
# What a mail system says where it only passes on that something failed.
_SAYS_NOTHING: Final = re.compile(r"\bservice unavailable\s*$", re.IGNORECASE)
_ROBOT: Final = re.compile(r"mail(?:er)?[-_.]?daemon", re.IGNORECASE)
# RFC 3464 §2.3.3; what OpenSMTPD writes is `error`.
_NOT_FAILED: Final = frozenset({"delivered", "relayed", "expanded"})


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """`recipients` are those that failed so far; a report of success has none."""

    recipients: tuple[FailedRecipient, ...]
    evidence: str


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """`addresses` as the report claims them; `returned` is the header of the mail complained of."""

    feedback_type: str
    addresses: tuple[Address, ...]
    returned: HeaderFields


def read_delivery_report(message: InboundMessage) -> DeliveryReport | None:
    """The delivery-status part of a report; None where there is none that can be read."""
    parts = _report_parts(message)
    status = next((part for part in parts if part.content_type in _STATUS_PARTS), None)
    if status is None:
        return None
    words = human_text(parts)
    failed: list[FailedRecipient] = []
    evidence = ""
    for block in _BLANK_LINES.split(status.body):
        fields = parse_fields(block.strip(b"\r\n"))
        for recipient, evident in _failed_in(fields, words):
            evidence = evidence or evident
            if recipient is not None:
                failed.append(recipient)
    if not evidence:
        return None
    return DeliveryReport(tuple(failed[:MAX_RECIPIENTS]), evidence)


def _report_parts(message: InboundMessage) -> tuple[Part, ...]:
    """The parts of the report; a gateway may have enclosed the whole of it."""
    parts = message.parts
    if any(part.content_type in _STATUS_PARTS for part in parts):
        return parts
    for part in parts:
        if part.content_type in _MESSAGE_PARTS:
            head, body, _ = split_message(part.body)
            fields = parse_fields(head)
            if fields.content_type().name == "multipart/report":
                return leaves(fields, body)
    return parts


def _failed_in(fields: HeaderFields, words: str) -> Iterable[tuple[FailedRecipient | None, str]]:
    """Each recipient of one per-recipient block (RFC 3464 §2.3), None for one that got its mail."""
    finals = fields.all("final-recipient")
    originals = fields.all("original-recipient")
    for index in range(max(len(finals), len(originals))):
        # The original one is the address we wrote to; forwarding changes the final one.
        address = _typed_address(originals, index) or _typed_address(finals, index)
        status = _nth(fields.all("status"), index)
        action = _nth(fields.all("action"), index).lower().partition(" ")[0].strip("();")
        diagnostic = _nth(fields.all("diagnostic-code"), index)
        named = str(address or _nth(finals, index))
        evidence = " ".join(f"{named} {action} {status} {diagnostic}".split())[:200]
        if action in _NOT_FAILED or status.startswith("2"):
            yield None, evidence
            continue
        if address is not None and _ROBOT.fullmatch(address.local_part):
            yield None, evidence
            continue
        is_final = action != "delayed"
        told = words if _SAYS_NOTHING.search(diagnostic) else diagnostic or words
        is_permanent = is_final and says_nonexistent(status, told, words)
        yield (
            FailedRecipient(address, status[:20], diagnostic[:500], is_permanent, is_final),
            evidence,
        )


def _typed_address(values: tuple[str, ...], index: int) -> Address | None:
    """`rfc822; a@b` → the address, the type left out as some writers do."""
    text = _nth(values, index) if index < len(values) else ""
    kind, semicolon, rest = text.partition(";")
    found = parse_mailboxes(rest if semicolon and "@" not in kind else text)
    return found[0].address if found else None


def _nth(values: tuple[str, ...], index: int) -> str:
    if not values:
        return ""
    return values[min(index, len(values) - 1)].strip()


def read_feedback_report(message: InboundMessage) -> FeedbackReport:
    """What a complaint claims. Fields that are missing are empty; the type is then `abuse`."""
    parts = message.parts
    report = next((p for p in parts if p.content_type == "message/feedback-report"), None)
    fields = parse_fields(report.body.strip(b"\r\n")) if report else HeaderFields({})
    returned = returned_header(parts)
    claims = [
        *fields.all("original-rcpt-to"),
        *fields.all("removal-recipient"),
        # Hotmail's older form, which has no report part.
        *returned.all("x-hmxmroriginalrecipient"),
        *message.headers_named("x-hmxmroriginalrecipient"),
    ]
    found = {box.address.match_key: box.address for text in claims for box in parse_mailboxes(text)}
    kind = fields.first("feedback-type").strip().lower()[:40] or "abuse"
    return FeedbackReport(kind, tuple(found.values())[:MAX_RECIPIENTS], returned)


def returned_header(parts: tuple[Part, ...]) -> HeaderFields:
    """The header of the mail a report is about, from the enclosed message or header."""
    for part in parts:
        if part.content_type in _MESSAGE_PARTS or part.content_type in _HEADER_PARTS:
            head, _, _ = split_message(part.body)
            fields = parse_fields(head)
            if fields.values:
                return fields
    return HeaderFields({})


def returned_message_ids(message: InboundMessage) -> tuple[str, ...]:
    """Message-IDs that stand in a report's body: ours may be among them, whoever wrote it."""
    returned = message_ids(returned_header(message.parts).first("message-id"))
    in_text = (decode_bytes(hit) for hit in _MESSAGE_ID_LINE.findall(message.body))
    return tuple(dict.fromkeys((*returned, *in_text)))[:MAX_RECIPIENTS]


def human_text(parts: tuple[Part, ...]) -> str:
    """What the report says to a person: its first text, without the mail it returns."""
    text = next((part.text for part in parts if part.content_type.startswith("text/")), "")
    return text[:_MAX_TEXT_CHARS]
