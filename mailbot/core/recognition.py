"""What a message in help@ means: an ordered table of rules; the first that matches decides.

The promise behind it: *the word in the subject line opts the sender out*. A subject with the word,
on a mail that is neither a report nor an auto-reply, acts or goes to review; it is never unrelated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from mailbot.core.inbound_message import InboundMessage
from mailbot.core.report_rules import (
    delivery_report,
    feedback_report,
    is_feedback_report,
    may_be_a_bounce,
    mentioned_ids,
    return_path_ids,
)
from mailbot.core.request_rules import (
    auto_reply,
    find_tokens,
    is_own,
    opt_out_token,
    own_address,
    the_word,
    unsubscribe_button,
)
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
    Rule("auto-reply", auto_reply),
    Rule("own-address", own_address),
    Rule("word-in-subject", the_word),
)


def recognise(message: InboundMessage, facts: Facts = EMPTY_FACTS) -> Verdict:
    """The verdict, with the rule that decided and its evidence. Pure."""
    notes = find_tokens(message, facts.token_keys).notes
    for rule in RULES:
        verdict = rule.judge(message, facts)
        if verdict is not None:
            return replace(verdict, rule=rule.name, notes=notes)
    return Unrelated(rule="anything-else", evidence="", notes=notes)


def needs_body(message: InboundMessage, facts: Facts = EMPTY_FACTS) -> bool:
    """True where only the header was fetched and a rule has to see the body as well."""
    if message.is_whole:
        return False
    if message.content_type.name == "multipart/report" or is_feedback_report(message):
        return True
    if may_be_a_bounce(message) or return_path_ids(message, facts.token_keys):
        return True
    is_a_colleague = any(is_own(box.address, facts) for box in message.from_mailboxes)
    return is_a_colleague and facts.vocabulary.find(message.subject) is not None


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a message refers to: intake looks these up for `Facts.our_messages`."""

    message_ids: tuple[str, ...]
    outbox_ids: tuple[int, ...]


def mentions(message: InboundMessage, keys: TokenKeys | None = None) -> Mentions:
    """Message-IDs, and outbox ids of verified return paths; at most a hundred of each."""
    return Mentions(mentioned_ids(message), return_path_ids(message, keys)[:100])


def describe(verdict: Verdict) -> dict[str, object]:
    """The verdict as plain JSON values: verdict, addresses, rule, evidence; bounces: permanent."""
    described: dict[str, object] = {
        "verdict": verdict.name,
        "addresses": [],
        "rule": verdict.rule,
        "evidence": "; ".join(filter(None, (verdict.evidence, *verdict.notes))),
    }
    match verdict:
        case OptOut() | Complaint() | Review():
            described["addresses"] = [address.text for address in verdict.addresses]
        case Bounce():
            named = [each.address.text for each in verdict.recipients if each.address]
            described["addresses"] = list(dict.fromkeys(named))
            described["permanent"] = verdict.is_permanent
        case _:
            pass  # the others are about nobody whose address stands in the mail
    return described
