"""What a message in help@ means: an ordered table of rules; the first that matches decides.

The promise behind it: *the word in the subject line opts the sender out*. A subject with the word,
on a mail that is neither a report nor an auto-reply, acts or goes to review; it is never unrelated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from mailbot.core.address import Address
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.rules.mail_tokens import find_opt_out_tokens, find_undo_tokens
from mailbot.core.rules.report_rules import (
    delivery_report,
    feedback_report,
    is_feedback_report,
    may_be_a_bounce,
    mentioned_ids,
    return_path_ids,
)
from mailbot.core.rules.request_rules import (
    asks,
    auto_reply,
    has_no_subject,
    near_miss,
    negation,
    opt_out_folder,
    opt_out_token,
    own_address,
    the_word,
    undo,
    unsubscribe_button,
)
from mailbot.core.rules.who_asked import behind_the_list, is_own
from mailbot.core.tokens import TokenKeys
from mailbot.core.verdicts import (
    EMPTY_FACTS,
    AutoReply,
    Bounce,
    Complaint,
    Facts,
    FailedRecipient,
    OptIn,
    OptOut,
    OurMessage,
    Review,
    Unrelated,
    Verdict,
)

__all__ = [
    "ANYTHING_ELSE",
    "EMPTY_FACTS",
    "RULES",
    "AutoReply",
    "Bounce",
    "Complaint",
    "Facts",
    "FailedRecipient",
    "Mentions",
    "OptIn",
    "OptOut",
    "OurMessage",
    "Review",
    "Rule",
    "Unrelated",
    "Verdict",
    "describe",
    "mentions",
    "needs_body",
    "recognise",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """`judge` answers with a verdict where the rule matches, else None."""

    name: str
    judge: Callable[[InboundMessage, Facts], Verdict | None]


RULES: Final[tuple[Rule, ...]] = (
    Rule("feedback-report", feedback_report),
    Rule("delivery-report", delivery_report),
    Rule("opt-out-token", opt_out_token),
    Rule("unsubscribe-button", unsubscribe_button),
    Rule("opt-out-folder", opt_out_folder),
    Rule("auto-reply", auto_reply),
    Rule("undo", undo),
    Rule("own-address", own_address),
    Rule("negation", negation),
    Rule("word-in-subject", the_word),
    Rule("near-miss", near_miss),
)
ANYTHING_ELSE: Final = "anything-else"


def recognise(message: InboundMessage, facts: Facts = EMPTY_FACTS) -> Verdict:
    """The verdict, with the rule that decided and its evidence. Pure."""
    notes = _token_notes(message, facts.token_keys)
    for rule in RULES:
        verdict = rule.judge(message, facts)
        if verdict is not None:
            return replace(verdict, rule=rule.name, notes=notes)
    return Unrelated(rule=ANYTHING_ELSE, evidence="", notes=notes)


def needs_body(message: InboundMessage, facts: Facts = EMPTY_FACTS) -> bool:
    """True where only the header was fetched and a rule has to see the body as well."""
    if message.is_whole:
        return False
    if message.content_type.name == "multipart/report" or is_feedback_report(message):
        return True
    if may_be_a_bounce(message) or return_path_ids(message, facts.token_keys):
        return True
    if has_no_subject(message):
        return True
    is_a_colleague = any(is_own(box.address, facts) for box in message.from_mailboxes)
    return is_a_colleague and asks(message, facts)


def _token_notes(message: InboundMessage, keys: TokenKeys | None) -> tuple[str, ...]:
    return (*find_opt_out_tokens(message, keys).notes, *find_undo_tokens(message, keys).notes)


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a message refers to: intake looks these up for `our_messages` and `known`."""

    message_ids: tuple[str, ...]
    outbox_ids: tuple[int, ...]
    addresses: tuple[Address, ...] = ()


def mentions(message: InboundMessage, facts: Facts = EMPTY_FACTS) -> Mentions:
    """Message-IDs, outbox ids of verified return paths (at most a hundred of each), and the
    addresses behind a list's rewritten From."""
    outbox_ids = return_path_ids(message, facts.token_keys)[:100]
    return Mentions(mentioned_ids(message), outbox_ids, behind_the_list(message, facts))


def describe(verdict: Verdict) -> dict[str, object]:
    """The verdict as plain JSON values: verdict, addresses, rule, evidence; bounces: permanent."""
    described: dict[str, object] = {
        "verdict": verdict.name,
        "addresses": [],
        "rule": verdict.rule,
        "evidence": "; ".join(filter(None, (verdict.evidence, *verdict.notes))),
    }
    match verdict:
        case OptOut() if not verdict.has_leavers:
            described["addresses"] = [address.text for address in verdict.held_addresses]
        case OptOut() | Complaint() | Review():
            described["addresses"] = [address.text for address in verdict.addresses]
        case Bounce():
            named = [each.address.text for each in verdict.recipients if each.address]
            described["addresses"] = list(dict.fromkeys(named))
            described["permanent"] = verdict.is_permanent
        case _:
            pass  # the others are about nobody whose address stands in the mail
    return described
