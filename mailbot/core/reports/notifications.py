"""Bounces and complaints that a sending service mails as JSON: Amazon SES by way of SNS.

The body is one JSON object, then SNS's own words. Only a mail that bears SNS's field is read so;
whom it is about is looked up by Message-ID and token like that of any other report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mailbot.core.address import Address, parse_mailboxes
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.reading.header_fields import HeaderFields
from mailbot.core.reports.undeliverable import says_nonexistent
from mailbot.core.verdicts import FailedRecipient

_MARK: Final = "x-amz-sns-message-id"
_MAX_CHARS: Final = 200_000
_MAX_RECIPIENTS: Final = 50


@dataclass(frozen=True, slots=True)
class Notification:
    """`kind` is SES's notificationType in lower case; `returned` the header of our own mail."""

    kind: str
    failed: tuple[FailedRecipient, ...]
    complained: tuple[Address, ...]
    feedback_type: str
    returned: HeaderFields


def is_notification(message: InboundMessage) -> bool:
    """By the field that SNS gives to each."""
    return bool(message.fields.raw(_MARK))


def read_notification(message: InboundMessage) -> Notification | None:
    """None where it is none, or its JSON cannot be read. Never raises."""
    if not is_notification(message):
        return None
    data = _first_object(message)
    if not isinstance(data, dict):
        return None
    kind = str(data.get("notificationType") or data.get("eventType") or "").lower()
    bounce, complaint = _table(data.get("bounce")), _table(data.get("complaint"))
    mail = _table(data.get("mail"))
    is_permanent = bounce.get("bounceType") == "Permanent"
    failed = [
        FailedRecipient(
            _address(one.get("emailAddress")), _text(one.get("status"))[:20],
            _text(one.get("diagnosticCode"))[:500],
            is_permanent and _is_gone(bounce, one),
        )
        for one in _tables(bounce.get("bouncedRecipients"))
    ]  # fmt: skip
    complained = [
        address
        for one in _tables(complaint.get("complainedRecipients"))
        if (address := _address(one.get("emailAddress"))) is not None
    ]
    return Notification(
        kind,
        tuple(failed[:_MAX_RECIPIENTS]),
        tuple(complained[:_MAX_RECIPIENTS]),
        _text(complaint.get("complaintFeedbackType")).lower()[:40] or "abuse",
        _returned(mail),
    )


def _is_gone(bounce: Mapping[str, Any], recipient: Mapping[str, Any]) -> bool:
    if bounce.get("bounceSubType") in ("NoEmail", "Suppressed"):
        return True
    return says_nonexistent(_text(recipient.get("status")), _text(recipient.get("diagnosticCode")))


def _first_object(message: InboundMessage) -> object:
    text = next((part.text for part in message.parts if part.body.strip()), "")
    start = text.find("{")
    if start < 0:
        return None
    try:
        # Long lines are folded on the way, in the middle of strings.
        found, _ = json.JSONDecoder(strict=False).raw_decode(text[start : start + _MAX_CHARS])
        if isinstance(found, dict) and isinstance(found.get("Message"), str):
            found, _ = json.JSONDecoder(strict=False).raw_decode(found["Message"])
    except (ValueError, RecursionError):
        return None
    return found


def _returned(mail: Mapping[str, Any]) -> HeaderFields:
    """The header that SES repeats, as fields."""
    found: dict[str, list[bytes]] = {}
    for one in _tables(mail.get("headers")):
        name, value = _text(one.get("name")).strip().lower(), _text(one.get("value"))
        found.setdefault(name[:80], []).append(value.encode("utf-8", "replace"))
    common = _text(_table(mail.get("commonHeaders")).get("messageId"))
    if common and "message-id" not in found:
        found["message-id"] = [common.encode("utf-8", "replace")]
    return HeaderFields({name: tuple(values) for name, values in found.items()})


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _address(value: object) -> Address | None:
    found = parse_mailboxes(_text(value)[:400])
    return found[0].address if found else None
