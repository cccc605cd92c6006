"""The checklist of a campaign before it is sent: each item, and what is wrong with it.

Put together from the rules of preflight.py and letter_lint.py. What only the audience and the list
can tell is added by whoever has read them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mailbot.core.address import Address
from mailbot.core.letter_lint import (
    link_faults,
    links_in,
    picture_faults,
    size_fault,
    style_faults,
    subject_style_faults,
)
from mailbot.core.preflight import (
    Fault,
    Severity,
    missing_field_faults,
    postal_address_faults,
    sender_faults,
    shown_of,
    subject_faults,
    text_faults,
)
from mailbot.core.template_fields import place_of
from mailbot.core.templates import Template

LEVELS: Final = ("ok", Severity.WARNING, Severity.ERROR)


@dataclass(frozen=True, slots=True)
class Check:
    """One item: `fine` says what is true where there are no faults."""

    name: str
    fine: str
    faults: tuple[Fault, ...] = ()

    @property
    def level(self) -> str:
        """ "ok", "warning" or "error": that of its worst fault."""
        return max((fault.severity for fault in self.faults), key=LEVELS.index, default="ok")


def letter_checks(template: Template, fields_available: Collection[str]) -> list[Check]:
    """What the letter's own source tells."""
    subject = place_of(template.name, "subject")
    shown = template.subject.source
    links = len(links_in(template.html.source)) if template.html is not None else 0
    return [
        _check(
            "subject",
            "it is short, promises nothing false, and holds no opt-out word.",
            [*subject_faults(shown_of(shown), subject), *subject_style_faults(template)],
        ),
        _check(
            "fields",
            "the audience has every field of the letter.",
            missing_field_faults(template, fields_available),
        ),
        _check("text part", "there is one, for whoever reads no HTML.", [*text_faults(template)]),
        _check(
            "links",
            f"{links:,} in the HTML: each has a whole address." if links else "none is broken.",
            link_faults(template),
        ),
        _check("pictures", "each says in words what it shows.", picture_faults(template)),
        _check("style", _fine_style(template), style_faults(template)),
    ]


def _fine_style(template: Template) -> str:
    if template.html is None:
        return "there is no HTML."
    if "<style" not in template.html.source.lower():
        return "the HTML needs no CSS but what stands in its tags."
    return "the CSS of <style> was written into the tags, where every mail program reads it."


def law_checks(sender: Address, order_status_sender: Address, postal_address: str) -> list[Check]:
    """What the law asks of every offer."""
    return [
        _check(
            "sender",
            f"offers come from {sender.text}, order status from {order_status_sender.text}.",
            sender_faults(sender, order_status_sender),
        ),
        _check(
            "postal address",
            "it stands under the letter, as the law asks.",
            postal_address_faults(postal_address),
        ),
    ]


def size_check(name: str, html: str | None) -> Check:
    """Of the HTML of one letter as somebody would get it."""
    fault = size_fault(name, html)
    fine = f"the HTML has {len((html or '').encode()):,} bytes." if html else "there is no HTML."
    return _check("size", fine, [] if fault is None else [fault])


def all_faults(checks: Iterable[Check]) -> tuple[Fault, ...]:
    """Every fault, in the order of the list."""
    return tuple(fault for check in checks for fault in check.faults)


def _check(name: str, fine: str, faults: Sequence[Fault]) -> Check:
    return Check(name, fine, tuple(faults))
