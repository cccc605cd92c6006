"""The rules for reports: feedback reports (complaints) and delivery reports (bounces).

A report says something about mail; whether it was *our* mail is looked up in the facts, by signed
return path or token and by Message-ID. A forged report therefore silences nobody.
"""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.errors import TokenError
from mailbot.core.inbound_message import InboundMessage, message_ids
from mailbot.core.reports.heuristics import guess_delivery_report, is_from_a_mail_system
from mailbot.core.reports.notifications import is_notification, read_notification
from mailbot.core.reports.standard import (
    DeliveryReport,
    FeedbackReport,
    read_delivery_report,
    read_feedback_report,
    returned_message_ids,
)
from mailbot.core.tokens import (
    TokenKeys,
    tokens_in,
    tokens_in_text,
    verify_opt_out,
    verify_return_path,
)
from mailbot.core.verdicts import Bounce, Complaint, Facts, OptOut, OurMessage, Review, Verdict

# Large providers' forms from before RFC 5965: who sends them, and how the subject begins.
_OLD_FEEDBACK: Final = (
    ("staff@hotmail.com", re.compile(r"complaint about message from", re.IGNORECASE)),
    ("scomp@aol.net", re.compile(r"(?:client tos|email feedback)", re.IGNORECASE)),
)
# RFC 6591 and RFC 6430 reports are no complaint of a recipient: they are about nobody.
_ABOUT_NOBODY: Final = frozenset({"auth-failure", "not-spam"})
# SES's types of notification that say what became of a message.
_ABOUT_DELIVERY: Final = frozenset({"bounce", "delivery", "deliverydelay"})
_MAX_MENTIONS: Final = 100


def feedback_report(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 1. About our token, our message or Original-Rcpt-To, never about the From."""
    report = _feedback_in(message)
    if report is None:
        return None
    evidence = f"Feedback-Type: {report.feedback_type}; From: {message.from_text[:120]}"
    if report.feedback_type in _ABOUT_NOBODY:
        return Complaint(evidence=evidence, feedback_type=report.feedback_type)
    persons = _persons_of(report, facts.token_keys)
    our = _our_messages(facts, _ids_of(report, message), _outbox_ids_of(report, facts.token_keys))
    if report.feedback_type == "opt-out":
        return _opt_out_report(report, evidence, persons, our)
    return Complaint(
        evidence=evidence,
        feedback_type=report.feedback_type,
        addresses=report.addresses,
        person_hashes=persons,
        our=our,
    )


def _feedback_in(message: InboundMessage) -> FeedbackReport | None:
    if is_feedback_report(message):
        return read_feedback_report(message)
    note = read_notification(message)
    if note is None or note.kind != "complaint":
        return None
    return FeedbackReport(note.feedback_type, note.complained, note.returned)


def _opt_out_report(
    report: FeedbackReport, evidence: str, persons: tuple[str, ...], our: tuple[OurMessage, ...]
) -> Verdict:
    """Whom our token or message proves is out. Anyone can write a report that names fifty others:
    these are held."""
    hashes = tuple(dict.fromkeys((*persons, *(each.person.person_hash for each in our))))
    if not (hashes or report.addresses):
        return Review(evidence=evidence, reason="an opt-out report that names nobody")
    return OptOut(evidence=evidence, held_addresses=report.addresses, person_hashes=hashes)


def is_feedback_report(message: InboundMessage) -> bool:
    """RFC 5965, and what large providers wrote before it."""
    if message.report_type == "feedback-report" or message.fields.raw("x-hmxmroriginalrecipient"):
        return True
    senders = {box.address.match_key for box in message.from_mailboxes}
    return any(
        sender in senders and subject.match(message.subject) for sender, subject in _OLD_FEEDBACK
    )


def delivery_report(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 2. The recipients that failed; `our` where the report is about mail that we sent."""
    outbox_ids = return_path_ids(message, facts.token_keys)
    note = read_notification(message)
    if note is not None and note.kind in _ABOUT_DELIVERY:
        report: DeliveryReport | None = DeliveryReport(
            note.failed, f"SES notification of type {note.kind}; From: {message.from_text[:80]}"
        )
    elif message.report_type == "delivery-status":
        report = read_delivery_report(message) or guess_delivery_report(message)
        if report is None:
            report = DeliveryReport((), "Content-Type: multipart/report; delivery-status")
    elif may_be_a_bounce(message) or outbox_ids:
        report = read_delivery_report(message) or guess_delivery_report(message)
    else:
        return None
    if report is None:
        return None
    our = _our_messages(facts, mentioned_ids(message), outbox_ids) if report.recipients else ()
    return Bounce(evidence=report.evidence, recipients=report.recipients, our=our)


def may_be_a_bounce(message: InboundMessage) -> bool:
    """The gate of rule 2's heuristics, as far as the header alone can open it."""
    kind = message.content_type
    is_unlabelled = kind.name == "multipart/report" and not message.report_type
    return is_unlabelled or is_from_a_mail_system(message) or is_notification(message)


def mentioned_ids(message: InboundMessage) -> tuple[str, ...]:
    """Every Message-ID that this mail may be about."""
    returned = returned_message_ids(message) if message.is_whole else ()
    note = read_notification(message) if message.is_whole else None
    if note is not None:
        returned = (*returned, *message_ids(note.returned.first("message-id")))
    known = dict.fromkeys((*message.in_reply_to, *message.references[-20:], *returned))
    return tuple(known)[:_MAX_MENTIONS]


def return_path_ids(message: InboundMessage, keys: TokenKeys | None) -> tuple[int, ...]:
    """The outbox ids of our own return paths that this mail was delivered to."""
    if keys is None:
        return ()
    return _verified_ids(tokens_in(message.recipients_tagged(b"+b-"), "b"), keys)


def _verified_ids(tokens: tuple[str, ...], keys: TokenKeys | None) -> tuple[int, ...]:
    found: dict[int, None] = {}
    if keys is None:
        return ()
    for token in tokens:
        try:
            found[verify_return_path(keys, token)] = None
        except TokenError:
            continue
    return tuple(found)


def _persons_of(report: FeedbackReport, keys: TokenKeys | None) -> tuple[str, ...]:
    """Whose List-Unsubscribe stands in the returned mail; a revoked key's token proves nothing."""
    if keys is None:
        return ()
    found: dict[str, None] = {}
    text = " ".join(report.returned.undecoded("list-unsubscribe"))
    for token in tokens_in_text(text, "u"):
        try:
            verified = verify_opt_out(keys, token)
        except TokenError:
            continue
        if not verified.is_revoked:
            found[verified.person_hash] = None
    return tuple(found)


def _ids_of(report: FeedbackReport, message: InboundMessage) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*mentioned_ids(message), report.returned.first("message-id"))))


def _outbox_ids_of(report: FeedbackReport, keys: TokenKeys | None) -> tuple[int, ...]:
    text = " ".join(report.returned.undecoded("return-path"))
    return _verified_ids(tokens_in_text(text, "b"), keys)


def _our_messages(
    facts: Facts, message_ids: tuple[str, ...], outbox_ids: tuple[int, ...]
) -> tuple[OurMessage, ...]:
    """What the facts know under these keys, each outbox row once."""
    keys = (*message_ids, *(f"outbox:{outbox_id}" for outbox_id in outbox_ids))
    found = (facts.our_messages[key] for key in keys if key in facts.our_messages)
    return tuple({each.outbox_id: each for each in found}.values())
