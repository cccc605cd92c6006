"""The rules for what people (and their mail programs) ask: tokens, buttons, the word.

Doubt is resolved for the customer: whoever may have asked is held, and a person decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mailbot.core.address import Address, parse_address, parse_mailboxes
from mailbot.core.auto_reply import auto_reply_evidence
from mailbot.core.errors import AddressError, TokenError
from mailbot.core.header_fields import parse_fields, split_message
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.tokens import TokenKeys, tokens_in, tokens_in_text, verify_opt_out
from mailbot.core.verdicts import (
    AutoReply,
    Facts,
    OptOut,
    OurMessage,
    Review,
    Unrelated,
    Verdict,
)
from mailbot.core.vocabulary import Hit

MAX_HELD: Final = 20  # a forged From may name thousands
_FORWARD: Final = re.compile(
    r"(?:(?:re|aw) ?: ?)?(?:fwd?|wg|tr|rv|enc|i|vs|doorst) ?: ", re.IGNORECASE
)
_REPLY: Final = re.compile(r"(?:re|aw|sv|antw|odp|res|rif|ref) ?(?:\[\d+\])? ?:", re.IGNORECASE)
_LIST_FIELDS: Final = ("list-id", "list-post", "mailing-list", "x-mailing-list")
# A list's robot answers somebody else's request.
_ROBOT_SAYS: Final = re.compile(
    r"\b(?:unable|failed) to unsubscribe\b|\b(?:could not|cannot|can't) (?:be )?unsubscribed?\b"
    r"|^(?:results of your|confirm) .{0,40}\bunsubscribe\b"
)
_CODE_BEFORE: Final = re.compile(r"(?:[^\W_]_|::|->)$")
_CODE_AFTER: Final = re.compile(r"^(?:\(\)|_[^\W_])")


@dataclass(frozen=True, slots=True)
class TokenFindings:
    """Our opt-out tokens in a message's recipients and subject; `notes` name those that are not."""

    persons: tuple[str, ...] = ()
    revoked_persons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_tokens(message: InboundMessage, keys: TokenKeys | None) -> TokenFindings:
    """Nothing where no keys are known: then no token can be told from noise."""
    if keys is None:
        return TokenFindings()
    valid: dict[str, None] = {}
    revoked: dict[str, None] = {}
    notes: list[str] = []
    tagged = message.recipients_tagged(b"+u-")
    written = (*tokens_in(tagged, "u"), *tokens_in_text(message.subject, "u"))
    for token in dict.fromkeys(written):
        try:
            verified = verify_opt_out(keys, token)
        except TokenError as error:
            notes.append(f"token {token[:8]}…: {error.what}")
            continue
        (revoked if verified.is_revoked else valid)[verified.person_hash] = None
        if verified.is_revoked:
            notes.append(f"token {token[:8]}…: key {verified.key_id} is revoked.")
    return TokenFindings(tuple(valid), tuple(revoked), tuple(notes[:MAX_HELD]))


def opt_out_token(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 3. Whatever subject and auto headers: only List-Unsubscribe bears the address."""
    found = find_tokens(message, facts.token_keys)
    senders = _senders(message, facts)
    if found.persons:
        is_one = len(senders) == 1 and not message.from_is_group
        return OptOut(
            evidence=f"a valid opt-out token; Subject: {message.subject[:160]}",
            addresses=senders if is_one else (),
            person_hashes=found.persons,
            held_addresses=() if is_one else senders,
        )
    if found.revoked_persons:
        return Review(
            evidence=f"an opt-out token of a revoked key; Subject: {message.subject[:160]}",
            reason="the key that signed the token has leaked: anyone may have written this",
            addresses=senders if facts.vocabulary.find(message.subject) else (),
            person_hashes=found.revoked_persons,
        )
    return None


def unsubscribe_button(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 4. Apple Mail marks the press of its button as auto-replied; it is a customer."""
    if message.header("x-apple-unsubscribe").strip().lower() != "true":
        return None
    if facts.vocabulary.find(message.subject) is None:
        return None
    return _opt_out_of_sender(message, facts, "X-Apple-Unsubscribe: true")


def auto_reply(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 5. Nothing changes, unless the subject is the word alone and answers nothing."""
    evidence = auto_reply_evidence(message)
    if not evidence:
        return None
    hit = facts.vocabulary.find(message.subject)
    if hit and hit.is_whole and not message.in_reply_to:
        return Review(
            evidence=f"{evidence}; Subject: {message.subject[:160]}",
            reason="marked as automatic, but the subject is the word and nothing else",
            addresses=_senders(message, facts),
        )
    return AutoReply(evidence=evidence)


def own_address(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 7. A colleague is never opted out; what a colleague forwards is looked at."""
    addresses = [box.address for box in message.from_mailboxes]
    if not addresses or not all(is_own(address, facts) for address in addresses):
        return None
    evidence = f"From: {message.from_text[:160]}; Subject: {message.subject[:160]}"
    embedded = _embedded_senders(message, facts)
    has_word = facts.vocabulary.find(message.subject) is not None
    if has_word and (embedded or _FORWARD.match(message.subject)):
        return Review(
            evidence=evidence, reason="a colleague forwarded a request", addresses=embedded
        )
    return Unrelated(evidence=evidence)


def the_word(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 9. The promise itself."""
    hit = facts.vocabulary.find(message.subject)
    if hit is None:
        return None
    doubt = _doubt(hit, message, facts)
    if doubt:
        return Review(
            evidence=f"Subject: {message.subject[:200]}",
            reason=doubt,
            addresses=_senders(message, facts),
        )
    return _opt_out_of_sender(message, facts, f"Subject: {message.subject[:200]}")


def is_own(address: Address, facts: Facts) -> bool:
    """help@ itself (with any tag), or an address of one of our own domains."""
    return address.domain in facts.own_domains or (
        bool(facts.help_address) and address.untagged_key == _untagged_key(facts.help_address)
    )


@lru_cache(maxsize=16)
def _untagged_key(help_address: str) -> str:
    try:
        return parse_address(help_address).untagged_key
    except AddressError:
        return ""


def _doubt(hit: Hit, message: InboundMessage, facts: Facts) -> str:
    """Why the word in this subject may not be a request; "" where it is one."""
    before, after = hit.text[: hit.start], hit.text[hit.end :]
    is_call = after.startswith("(") and before.endswith(".")
    if is_call or _CODE_BEFORE.search(before[-3:]) or _CODE_AFTER.match(after):
        return "the word is part of program text"
    if _ROBOT_SAYS.search(hit.text):
        return "it reads like the answer of a mailing list's robot"
    if _is_in_a_thread_of_others(message, facts):
        return "a reply in a mailing list's thread that is not ours"
    return ""


def _is_in_a_thread_of_others(message: InboundMessage, facts: Facts) -> bool:
    answered = (*message.in_reply_to, *message.references)
    if not answered or not _REPLY.match(message.subject):
        return False
    if any(message_id in facts.our_messages for message_id in answered):
        return False
    lists = [message.header(name).lower() for name in _LIST_FIELDS]
    is_ours = any(own.lower() in text for own in facts.own_lists for text in lists)
    return any(lists) and not is_ours


def _opt_out_of_sender(message: InboundMessage, facts: Facts, evidence: str) -> Verdict:
    senders = _senders(message, facts)
    if len(message.from_mailboxes) == 1 and not message.from_is_group:
        return OptOut(
            evidence=evidence, addresses=senders, asked_about=_asked_about(senders, message, facts)
        )
    if not message.from_mailboxes:
        reason = "no address in From can be read"
    elif message.from_is_group:
        reason = "From is a group"
    else:
        reason = f"{len(message.from_mailboxes)} addresses in From"
    return Review(evidence=evidence, reason=reason, addresses=senders)


def _senders(message: InboundMessage, facts: Facts) -> tuple[Address, ...]:
    """Every readable From address that is not our own."""
    addresses = (box.address for box in message.from_mailboxes)
    return tuple(address for address in addresses if not is_own(address, facts))[:MAX_HELD]


def _asked_about(
    senders: tuple[Address, ...], message: InboundMessage, facts: Facts
) -> tuple[OurMessage, ...]:
    """Owners of the messages this mail answers, when they are not its sender (A forwarded to B)."""
    keys = {key for sender in senders for key in (sender.match_key, sender.untagged_key)}
    found: dict[int, OurMessage] = {}
    for message_id in (*message.in_reply_to, *message.references):
        ours = facts.our_messages.get(message_id)
        if ours is None:
            continue
        owner = parse_mailboxes(ours.address or "")
        if not owner or owner[0].address.match_key not in keys:
            found[ours.outbox_id] = ours
    return tuple(found.values())[:MAX_HELD]


def _embedded_senders(message: InboundMessage, facts: Facts) -> tuple[Address, ...]:
    """Who wrote the messages that are attached to this one."""
    found: dict[str, Address] = {}
    for part in message.parts:
        if part.content_type != "message/rfc822":
            continue
        head, _, _ = split_message(part.body)
        for value in parse_fields(head).undecoded("from"):
            for box in parse_mailboxes(value):
                if not is_own(box.address, facts):
                    found[box.address.match_key] = box.address
    return tuple(found.values())[:MAX_HELD]
