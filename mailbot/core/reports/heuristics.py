"""Delivery reports of the non-standard half, read by heuristics that are gated first.

A customer who pastes a bounce under "unsubscribe" is a customer: nothing here is asked unless the
envelope or the sender says that a mail system wrote it.
"""

from __future__ import annotations

import email
import logging
import re
from typing import Final

from flufl.bounce import all_failures

from mailbot.core.address import Address, parse_mailboxes
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.reading.encoded_words import decode_bytes
from mailbot.core.reports.standard import MAX_RECIPIENTS, RETURNED_PARTS, DeliveryReport, human_text
from mailbot.core.reports.undeliverable import says_nonexistent
from mailbot.core.verdicts import FailedRecipient

# It logs a traceback for each mail it cannot read; for us that mail is an ordinary one.
logging.getLogger("flufl.bounce").disabled = True

_DAEMON: Final = re.compile(
    r"mailer[-_.]?daemon|post[-_.]?master|mail[-_.]?daemon|mdaemon|"
    r"mail[-_. ]?delivery[-_. ](?:sub)?system",
    re.IGNORECASE,
)
_ROBOT: Final = re.compile(r"\bmail(?:er)?[-_.]?daemon\b|\bmdaemon\b", re.IGNORECASE)
_BOUNCE_SUBJECT: Final = re.compile(
    r"undeliver|returned mail|mail (?:delivery )?fail|failure notice|non[- ]?delivery|\bbounce\b"
    r"|delivery (?:status|fail|report)|delivery (?:has )?(?:been )?(?:delayed|problem|error)"
    r"|could ?n[o']t be deliver"
    r"|not deliver|unable to deliver|mail (?:system )?error|message (?:delivery )?delayed"
    r"|unzustellbar|nicht zugestellt|zustellung|non remis|échec de la remise|non distribu"
    r"|no se (?:ha podido|pudo) entregar|mancata consegna|niet bezorg|não (?:foi )?entreg"
    r"|nie dostarczon|не доставлен|配信不能|配信エラー|配信できません|退信|投递失败",
    re.IGNORECASE,
)
# Where the returned mail begins; what stands below is about something else.
_RETURNED: Final = re.compile(
    r"^[ \t>]*(?:-{2,}[ \w,'.()]{0,60}(?:original|copy|below|unsent|returned|headers?)"
    r"|message headers? follow|original message follows|the original message (?:is|was) attached"
    r"|received: |return-path: )",
    re.IGNORECASE | re.MULTILINE,
)
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
)
_MAX_CONTAINERS: Final = 40  # the standard library's parser recurses into each
_WINDOW_CHARS: Final = 600
_MAX_BARE_BODY: Final = 8_000  # bytes


def is_from_a_mail_system(message: InboundMessage, *, is_to_return_path: bool = False) -> bool:
    """The gate: a null Return-Path, a daemon's sender, or delivery to one of our return paths."""
    if message.return_path == "" or is_to_return_path:
        return True
    return is_from_a_daemon(message)


def is_from_a_daemon(message: InboundMessage) -> bool:
    """mailer-daemon@ and its kin in From or Return-Path; an empty `From: <>` as well."""
    senders = [box.address.local_part for box in message.from_mailboxes]
    senders.append((message.return_path or "").partition("@")[0])
    bare = message.from_text.strip() if not message.from_mailboxes else ""
    return any(map(_DAEMON.fullmatch, (*senders, bare))) or bare.endswith("<>")


def guess_delivery_report(message: InboundMessage) -> DeliveryReport | None:
    """Who failed, as far as anyone can tell; None where this is no bounce. Ask the gate first."""
    text = _own_words(message)
    temporary, permanent = _flufl(message)
    declared = _declared(message)
    names_someone = temporary or permanent or declared
    if not names_someone and not _looks_like_one(message, text):
        return None
    found = {**permanent, **temporary, **declared} or _named_in(text, message)
    recipients = tuple(
        FailedRecipient(address, "", "", key not in temporary and _is_gone(address, text))
        for key, address in list(found.items())[:MAX_RECIPIENTS]
        if not _ROBOT.fullmatch(address.local_part)
    )
    if not recipients:
        recipients = (FailedRecipient(None, "", "", not temporary and says_nonexistent("", text)),)
    first = recipients[0].address
    evidence = f"From: {message.from_text[:80]}; Subject: {message.subject[:80]}"
    return DeliveryReport(recipients, f"{evidence}; failed: {first}" if first else evidence)


def _looks_like_one(message: InboundMessage, text: str) -> bool:
    """postmaster@ may be a person, mailer-daemon@ never is."""
    if _BOUNCE_SUBJECT.search(message.subject) or _ROBOT.search(message.from_text):
        return True
    if message.return_path == "" and any(
        part.content_type in RETURNED_PARTS for part in message.parts
    ):
        return True  # a machine that sends a mail back, whatever it says
    return is_from_a_daemon(message) and says_nonexistent("", text)


def _flufl(message: InboundMessage) -> tuple[dict[str, Address], dict[str, Address]]:
    """Temporary and permanent failures by match key, as flufl.bounce sees them."""
    if message.body.count(b"multipart/") + message.body.count(b"message/") > _MAX_CONTAINERS:
        return {}, {}
    try:
        temporary, permanent = all_failures(email.message_from_bytes(_rebuilt(message)))
    except Exception:  # IndexError without a usable From, RecursionError: it promises nothing
        return {}, {}
    return _by_key(temporary), _by_key(permanent)


def _rebuilt(message: InboundMessage) -> bytes:
    names = ("from", "to", "subject", "content-type", "mime-version", "return-path", "message-id")
    lines = [
        name.encode() + b": " + value
        for name in (*names, "content-transfer-encoding", "x-failed-recipients", "x-mailer")
        for value in message.fields.raw(name)
    ]
    return b"\n".join(lines) + b"\n\n" + message.body


def _by_key(raw: frozenset[bytes]) -> dict[str, Address]:
    found: dict[str, Address] = {}
    for each in sorted(raw):
        for box in parse_mailboxes(each.decode("utf-8", "replace")):
            found[box.address.match_key] = box.address
    return found


def _declared(message: InboundMessage) -> dict[str, Address]:
    """Exim's X-Failed-Recipients."""
    values = message.headers_named("x-failed-recipients")
    boxes = (box for value in values for box in parse_mailboxes(value))
    return {box.address.match_key: box.address for box in boxes}


def _named_in(text: str, message: InboundMessage) -> dict[str, Address]:
    """The first address that the report's own words name, except whom the report was sent to."""
    ourselves = {address.match_key for address in message.recipients}
    for hit in _ADDRESS.finditer(text):
        for box in parse_mailboxes(hit[0]):
            key = box.address.match_key
            if key not in ourselves and not _ROBOT.fullmatch(box.address.local_part):
                return {key: box.address}
    return {}


def _own_words(message: InboundMessage) -> str:
    # A gateway may have taken the boundaries out, so that no part can be told from another.
    text = human_text(message.parts) or decode_bytes(message.body[:_MAX_BARE_BODY])
    cut = _RETURNED.search(text)
    return text[: cut.start()] if cut and cut.start() else text


def _is_gone(address: Address, text: str) -> bool:
    """What is said from the address on, up to the next one's turn; else what the report says."""
    lower = text.lower()
    at = lower.find(address.text.lower())
    if at >= 0:
        window = text[at + len(address.text) : at + _WINDOW_CHARS]
        if says_nonexistent("", window, text):
            return True
    others = {hit[0].lower() for hit in _ADDRESS.finditer(text)} - {address.text.lower()}
    return len(others) <= 2 and says_nonexistent("", text)
