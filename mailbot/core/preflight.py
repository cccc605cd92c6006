"""What is wrong with a campaign or an order-status template, before anyone gets it.

Each fault says where, what and what to do. An error forbids sending; a warning is for a person.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailbot.core.address import Address
from mailbot.core.compose import PROVIDED_FIELDS
from mailbot.core.mail_headers import OPT_OUT_WORD
from mailbot.core.offer_words import COMMERCIAL_RULE, offer_words_in
from mailbot.core.template_fields import names_of, place_of
from mailbot.core.templates import Template

_MIN_POSTAL_CHARS: Final = 10
_OPENING_LINES: Final = 5  # non-empty lines of the body that a reader sees first

_DECEPTIVE: Final = re.compile(
    r"\s*(?:re|fwd?|aw|wg|antw|sv|vs|rif|tr|odp)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE
)
_MARKUP: Final = re.compile(r"{{[^{}]*}}|{%[^{}]*%}|{#[^{}]*#}")
_HTML_TAG: Final = re.compile(r"<(/?)([a-zA-Z0-9!-]*)[^<>]*>")
_UNSEEN_TAGS: Final = ("head", "style", "script")


class Severity(StrEnum):
    """Whether a fault forbids sending."""

    ERROR = "error"  # refused until it is mended
    WARNING = "warning"  # shown to the person who presses send


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: `where` names template, part and line, `next_step` says how to mend it."""

    severity: Severity
    where: str
    what: str
    next_step: str


def sender_faults(sender: Address, order_status_sender: Address) -> list[Fault]:
    """Offers and order status from one address: who blocks the one would lose the other."""
    if sender.match_key != order_status_sender.match_key:
        return []
    return [
        _error(
            "from_address",
            f"offers and order status would both come from {sender.text}.",
            "Give campaigns an address of their own: who blocks one must still get the other.",
        )
    ]


def postal_address_faults(postal_address: str) -> list[Fault]:
    """No postal address to put under an offer, or hardly one."""
    if len(postal_address.strip()) >= _MIN_POSTAL_CHARS:
        return []
    return [
        _error(
            "postal_address",
            "there is no postal address to put under an offer.",
            "Set shop.postal_address (16 CFR 316.5 and 15 USC 7704(a)(5) ask for one).",
        )
    ]


def order_status_faults(
    template: Template, opt_out_words: Iterable[str] = (OPT_OUT_WORD,)
) -> tuple[Fault, ...]:
    """Errors where subject or opening read as an offer; warnings for such words further down."""
    subject_place = place_of(template.name, "subject")
    subject = shown_of(template.subject.source)
    faults = [
        *_sales_faults(subject, subject_place, Severity.ERROR),
        *subject_faults(subject, subject_place, opt_out_words),
        *text_faults(template),
    ]
    bodies = [(place_of(template.name, "text"), shown_of(template.text.source))]
    if template.html is not None:
        bodies.append((place_of(template.name, "html"), _text_of(template.html.source)))
    for place, body in bodies:
        lines = [line for line in body.splitlines() if line.strip()]
        opening, rest = lines[:_OPENING_LINES], lines[_OPENING_LINES:]
        faults.extend(_sales_faults("\n".join(opening), f"{place}, opening", Severity.ERROR))
        faults.extend(_sales_faults("\n".join(rest), f"{place}, further down", Severity.WARNING))
    return tuple(faults)


def missing_field_faults(template: Template, fields_available: Collection[str]) -> list[Fault]:
    """Fields that the audience has no column for, each where it is used first in each part."""
    there = {*fields_available, *PROVIDED_FIELDS}
    faults = []
    for use in template.uses:
        if use.name in there:
            continue
        what = f"the audience has no column {use.name!r}; it has: {names_of(fields_available)}."
        close = difflib.get_close_matches(use.name, there, n=1)
        advice = f"Did you mean {close[0]!r}?" if close else "Correct the name or add the column."
        severity = Severity.WARNING if use.is_optional else Severity.ERROR
        faults.append(Fault(severity, use.where, what, advice))
    return faults


def subject_faults(
    subject: str, where: str = "subject", opt_out_words: Iterable[str] = (OPT_OUT_WORD,)
) -> list[Fault]:
    """What a subject may not hold, as written or as rendered for one recipient."""
    faults = [
        _error(
            where,
            f"the subject holds {word!r}.",
            "Take it out: every auto-reply to this mail would opt its owner out.",
        )
        for word in words_in(subject, opt_out_words)
    ]
    found = _DECEPTIVE.match(subject)
    if found:
        faults.append(
            _error(
                where,
                f"the subject begins with {found[0].strip()!r} and answers nobody.",
                "Take it out: a subject may not mislead (15 USC 7704(a)(2)).",
            )
        )
    return faults


def words_in(text: str, words: Iterable[str]) -> list[str]:
    """Which of the words stand in the text: whole words, any case, any Unicode form.

    Chinese, Japanese and Korean words count anywhere: no blanks stand around them.
    """
    folded = _fold(text)
    return [word for word in words if word.strip() and _stands_in(_fold(word.strip()), folded)]


def _stands_in(word: str, text: str) -> bool:
    if any("\u2e80" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3" for char in word):
        return word in text
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shown_of(source: str) -> str:
    """What a template's source shows whatever its fields hold."""
    return _MARKUP.sub("", source)


def _text_of(html_source: str) -> str:
    """What a reader sees of the HTML, about: tags become line breaks, head and style vanish."""
    shown = shown_of(html_source)
    seen, hidden_in, at = [], "", 0
    for tag in _HTML_TAG.finditer(shown):
        if not hidden_in:
            seen.append(shown[at : tag.start()])
        at, name = tag.end(), tag[2].lower()
        if not hidden_in and name in _UNSEEN_TAGS and not tag[1]:
            hidden_in = name
        elif name == hidden_in and tag[1]:
            hidden_in = ""
    return "\n".join([*seen, "" if hidden_in else shown[at:]])


def text_faults(template: Template) -> Iterator[Fault]:
    """A text part with nothing in it."""
    if not template.text.source.strip():
        yield _error(
            place_of(template.name, "text"),
            "there is no text part.",
            "Write one: some people and many filters read nothing else.",
        )


def _sales_faults(text: str, where: str, severity: Severity) -> list[Fault]:
    found = offer_words_in(text)
    if not found:
        return []
    words = ", ".join(repr(word) for word in found)
    return [Fault(severity, where, f"reads as an offer: {words}.", COMMERCIAL_RULE)]


def _error(where: str, what: str, next_step: str) -> Fault:
    return Fault(Severity.ERROR, where, what, next_step)
