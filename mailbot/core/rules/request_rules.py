"""The rules for what people (and their mail programs) ask: tokens, buttons, the word, near misses.

Doubt is resolved for the customer: whoever may have asked is held, and a person decides.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from mailbot.core.address import Address
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.reading.written_lines import written_lines
from mailbot.core.rules.authentication import authentication
from mailbot.core.rules.auto_reply import auto_reply_evidence
from mailbot.core.rules.doubts import doubt_about
from mailbot.core.rules.mail_tokens import find_opt_out_tokens, find_undo_tokens
from mailbot.core.rules.who_asked import (
    MAX_HELD,
    asked_about,
    behind_the_list,
    embedded_senders,
    is_one_person,
    is_own,
    senders,
)
from mailbot.core.verdicts import AutoReply, Facts, OptIn, OptOut, Review, Unrelated, Verdict
from mailbot.core.words.folding import plain
from mailbot.core.words.subject_prefixes import end_of_prefixes, is_forward

_LONGEST_SIGNATURE: Final = 3  # lines of at most so many words each
# Words of a first line: so many ask and say nothing else; so many may ask; of a longer line so many
# are looked at.
_SHORT_REQUEST, _LONGEST_REQUEST, _FIRST_WORDS = 6, 9, 3
_MOST_PIECES: Final = 3  # words of more than two letters, where one word may stand in pieces
_WORD: Final = re.compile(r"[^\W_]+")
# What mail programs show, and some write, where nobody wrote a subject.
_NO_SUBJECT: Final = frozenset({
    "", "no subject", "none", "kein betreff", "ohne betreff", "sans objet", "aucun objet",
    "pas d'objet", "sin asunto", "sem assunto", "nessun oggetto", "senza oggetto",
    "geen onderwerp", "brak tematu", "bez tematu", "inget amne", "intet emne", "ingen emne",
    "ei aihetta", "без темы", "нет темы", "件名なし", "無題", "无主题", "無主旨", "제목 없음",
})  # fmt: skip


def opt_out_token(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 3. Whatever subject and auto headers: only List-Unsubscribe bears the address."""
    found = find_opt_out_tokens(message, facts.token_keys)
    asking = senders(message, facts)
    if found.persons:
        is_one = is_one_person(message)
        return OptOut(
            evidence=f"a valid opt-out token; Subject: {message.subject[:160]}",
            addresses=asking if is_one else (),
            person_hashes=found.persons,
            held_addresses=() if is_one else asking,
        )
    if found.revoked_persons:
        return Review(
            evidence=f"an opt-out token of a revoked key; Subject: {message.subject[:160]}",
            reason="the key that signed the token has leaked: anyone may have written this",
            addresses=asking if facts.vocabulary.find(message.subject) else (),
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


def opt_out_folder(message: InboundMessage, facts: Facts) -> Verdict | None:
    """A colleague dragged the mail where its sender is opted out; a person has decided."""
    if not facts.is_opt_out_folder:
        return None
    if message.from_mailboxes and not (senders(message, facts) or _behind(message, facts)):
        return None  # a colleague's own mail
    evidence = f"moved there by staff; From: {message.from_text[:160]}"
    return _opt_out_of_sender(message, facts, evidence)


def auto_reply(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 5. Nothing changes, unless the subject is the word alone and answers nothing."""
    evidence = auto_reply_evidence(message)
    if not evidence:
        return None
    hit = facts.vocabulary.find(message.subject)
    if hit and hit.is_whole and hit.is_certain and not message.in_reply_to:
        return Review(
            evidence=f"{evidence}; Subject: {message.subject[:160]}",
            reason="marked as automatic, but the subject is the word and nothing else",
            addresses=_may_have_asked(message, facts),
        )
    return AutoReply(evidence=evidence)


def undo(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 6. The token of an acknowledgement and the word for coming back, both."""
    if facts.vocabulary.find(message.subject) is not None:
        return None
    if facts.vocabulary.find_come_back(message.subject) is None:
        return None
    found = find_undo_tokens(message, facts.token_keys)
    if not found.persons:
        return None
    return OptIn(
        evidence=f"an undo token; Subject: {message.subject[:160]}",
        person_hashes=found.persons,
        addresses=senders(message, facts),
    )


def own_address(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 7. A colleague is never opted out; what a colleague forwards is looked at."""
    addresses = [box.address for box in message.from_mailboxes]
    if not addresses or not all(is_own(address, facts) for address in addresses):
        return None
    if _behind(message, facts):
        return None  # our own group rewrote From: a customer wrote this
    evidence = f"From: {message.from_text[:160]}; Subject: {message.subject[:160]}"
    if asks(message, facts):
        embedded = embedded_senders(message, facts)
        if embedded or is_forward(plain(message.subject)):
            return Review(
                evidence=evidence, reason="a colleague forwarded a request", addresses=embedded
            )
    return Unrelated(evidence=evidence)


def negation(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 8. The word in a sentence that refuses it."""
    if not facts.vocabulary.refuses(message.subject):
        return None
    return _review(message, facts, "the subject says that it is not wanted, or was a mistake")


def the_word(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 9. The promise itself."""
    hit = facts.vocabulary.find(message.subject)
    if hit is None:
        return None
    doubt = doubt_about(hit, message, facts)
    if doubt:
        return _review(message, facts, doubt)
    return _opt_out_of_sender(message, facts, f"Subject: {message.subject[:200]}")


def near_miss(message: InboundMessage, facts: Facts) -> Verdict | None:
    """Rule 10. A misspelling; or nothing in the subject, and the word first in the body."""
    if has_no_subject(message):
        return _word_in_body(message, facts)
    words = _WORD.findall(plain(message.subject))
    has_one = any(map(facts.vocabulary.is_misspelling, words)) or _is_hyphenated(words)
    if not has_one and sum(len(word) > 2 for word in words) > _MOST_PIECES:
        return None
    if _is_misspelt(facts.vocabulary.core_of(message.subject), facts):
        return _opt_out_of_sender(message, facts, f"Subject: {message.subject[:200]}")
    if has_one:
        return _review(message, facts, "what may be the word, misspelt, among others")
    return None


def _is_hyphenated(words: list[str]) -> bool:
    return any(one == "un" and other.startswith("subscri") for one, other in pairwise(words))


def has_no_subject(message: InboundMessage) -> bool:
    """Nothing but prefixes, or what a mail program writes in its place."""
    text = plain(message.subject)
    return text[end_of_prefixes(text) :].strip(" ()<>[].-:") in _NO_SUBJECT


def asks(message: InboundMessage, facts: Facts) -> bool:
    """Whether the subject holds an entry of the vocabulary or a misspelling."""
    if facts.vocabulary.find(message.subject) is not None:
        return True
    return any(map(facts.vocabulary.is_misspelling, _WORD.findall(plain(message.subject))))


def _word_in_body(message: InboundMessage, facts: Facts) -> Verdict | None:
    lines = written_lines(message)
    if not lines or facts.vocabulary.sounds_like_a_robot(lines[0]):  # a list's footer
        return None
    words = lines[0].split()
    # A long first line asks where it begins with the word; elsewhere it tells of something else.
    first = lines[0] if len(words) <= _LONGEST_REQUEST else " ".join(words[:_FIRST_WORDS])
    is_misspelt = _is_misspelt(facts.vocabulary.core_of(lines[0]), facts)
    hit = facts.vocabulary.find(first)
    if hit is None and not is_misspelt:
        return None
    evidence = f"no subject; first line: {lines[0][:200]}"
    is_certain = is_misspelt or (hit is not None and hit.is_certain)
    if is_certain and len(words) <= _SHORT_REQUEST and _is_signature(lines[1:]):
        return _opt_out_of_sender(message, facts, evidence)
    return Review(
        evidence=evidence,
        reason="no subject, and the word among others in the first line of the body",
        addresses=_may_have_asked(message, facts),
    )


def _is_signature(lines: tuple[str, ...]) -> bool:
    return len(lines) <= _LONGEST_SIGNATURE and all(
        len(line.split()) <= _LONGEST_SIGNATURE and not line.endswith("?") for line in lines
    )


def _is_misspelt(core: tuple[str, ...], facts: Facts) -> bool:
    """These words together are the word but for typos, or spelt out: `u n s u b …`."""
    joined = "".join(core)
    if len(core) == 1 and facts.vocabulary.is_typo_of_a_form(joined):
        return True
    return facts.vocabulary.is_misspelling(joined) or (len(core) > 1 and joined == "unsubscribe")


def _behind(message: InboundMessage, facts: Facts) -> tuple[Address, ...]:
    return behind_the_list(message, facts)


def _may_have_asked(message: InboundMessage, facts: Facts) -> tuple[Address, ...]:
    return (*senders(message, facts), *behind_the_list(message, facts))[:MAX_HELD]


def _review(message: InboundMessage, facts: Facts, reason: str) -> Review:
    return Review(
        evidence=f"Subject: {message.subject[:200]}",
        reason=reason,
        addresses=_may_have_asked(message, facts),
    )


def _opt_out_of_sender(message: InboundMessage, facts: Facts, evidence: str) -> Verdict:
    checks = authentication(message, facts.authserv_ids)
    evidence = f"{evidence}; {checks}" if str(checks) else evidence
    reason = _why_nobody_is_sure(message)
    if facts.is_brake_on and checks.is_failed:
        reason = "one of a burst of requests whose senders failed authentication"
    behind = behind_the_list(message, facts)
    # A list puts one writer there; whoever names several names others (anyone can write "via").
    known = behind if len(behind) == 1 and behind[0].match_key in facts.known else ()
    leaving = (*senders(message, facts), *known)
    if reason or not leaving:
        return Review(
            evidence=evidence,
            reason=reason or "From is a list's address; who wrote to the list is not known to us",
            addresses=_may_have_asked(message, facts),
        )
    return OptOut(
        evidence=evidence,
        addresses=leaving,
        held_addresses=tuple(address for address in behind if address not in known),
        asked_about=asked_about(leaving, message, facts),
    )


def _why_nobody_is_sure(message: InboundMessage) -> str:
    if is_one_person(message):
        return ""
    if not message.from_mailboxes:
        return "no address in From can be read"
    if message.from_is_group:
        return "From is a group"
    return f"{len(message.from_mailboxes)} addresses in From"
