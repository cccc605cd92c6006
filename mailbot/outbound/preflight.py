"""The preflight of a campaign: its letter, the law, and each of its people, before it is sent.

Every member's letter is written once, and thrown away: a field that one line of a million lacks, or
that turns a subject into another, is found here and not by the person who would have got it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from mailbot.config import Settings
from mailbot.core.address import Address, parse_address
from mailbot.core.checklist import Check, all_faults, law_checks, letter_checks, size_check
from mailbot.core.compose import Shop, shop_fields
from mailbot.core.consent import Reason
from mailbot.core.errors import RefusedError, TemplateError
from mailbot.core.mail_headers import has_control_character
from mailbot.core.preflight import Fault, Severity, subject_faults
from mailbot.core.templates import Template, render
from mailbot.outbound.campaigns import read_template
from mailbot.store import audiences, campaign_figures, campaign_tests
from mailbot.store.audiences import StoredMember
from mailbot.store.campaigns import Campaign
from mailbot.store.engine import Connection

_LINES_TOLD: Final = 5  # of the file, for each thing that is wrong
_KINDS_TOLD: Final = 20  # of faults that differ: a fault may name the value that it is about
_TOLD_EVERY: Final = 1000  # letters between two words about progress


@dataclass(frozen=True, slots=True)
class House:
    """What the settings say of the shop and its senders."""

    shop: Shop
    offers_from: Address
    order_status_from: Address

    @classmethod
    def of(cls, settings: Settings) -> House:
        """What the settings describe."""
        shop = settings.shop
        return cls(
            Shop(shop.name, parse_address(shop.help_address), shop.postal_address),
            parse_address(settings.campaigns.from_address),
            parse_address(settings.order_status.from_address),
        )


@dataclass(frozen=True, slots=True)
class Preflight:
    """What stands between a draft and its sending."""

    checks: tuple[Check, ...]
    letters: int  # that were written to see whether they can be
    reachable: int
    excluded: Mapping[Reason, int]

    @property
    def is_ready(self) -> bool:
        return all(check.level != Severity.ERROR for check in self.checks)


def examine(
    conn: Connection,
    campaign: Campaign,
    house: House,
    progress: Callable[[int], None] | None = None,
) -> Preflight:
    """Everything that can be known of `campaign` now; `conn` is one snapshot, memory stays flat.

    `progress` is told how many letters were written. Raises TemplateError where the template
    itself cannot be read.
    """
    template = _template_of(campaign)
    letters = _Letters(template, house.shop)
    for count, member in enumerate(audiences.members(conn, campaign.id), 1):
        letters.write(member)
        if progress is not None and count % _TOLD_EVERY == 0:
            progress(count)
    reachable, excluded = campaign_figures.reach(conn, campaign.id)
    checks = [
        *source_checks(conn, campaign, house),
        Check("letters", f"{letters.written:,} were written, and each is whole.", letters.faults()),
        size_check(campaign.name, letters.longest_html),
        _reach_check(reachable),
        _test_check(conn, campaign),
    ]
    return Preflight(tuple(checks), letters.written, reachable, excluded)


def source_checks(conn: Connection, campaign: Campaign, house: House) -> list[Check]:
    """What letter and settings tell without writing a letter: quick, however many people."""
    first = next(islice(audiences.members(conn, campaign.id), 1), None)
    columns = list(first.fields) if first is not None else []
    return [
        *letter_checks(_template_of(campaign), columns),
        *law_checks(house.offers_from, house.order_status_from, house.shop.postal_address),
    ]


def refuse_faulty(conn: Connection, campaign: Campaign, house: House) -> None:
    """Raise RefusedError where `source_checks` finds an error: settings change after a draft."""
    faults = all_faults(source_checks(conn, campaign, house))
    errors = [fault for fault in faults if fault.severity is Severity.ERROR]
    if errors:
        first, more = errors[0], len(errors) - 1
        raise RefusedError(
            f"it cannot be sent: {first.where}: {first.what}" + (f" And {more} more." * bool(more)),
            where=f"campaign “{campaign.name}”",
            next_step=f"{first.next_step} All of it: mailbot campaign preflight "
            + shlex.quote(campaign.name),
        )


def _template_of(campaign: Campaign) -> Template:
    return read_template(
        campaign.name, campaign.subject, campaign.text_source, campaign.html_source
    )


def _reach_check(reachable: int) -> Check:
    fault = Fault(
        Severity.ERROR, "audience", "nobody of it can be reached now.",
        "All of them are on the do-not-send list: there is nothing to send.",
    )  # fmt: skip
    return Check("people", f"{reachable:,} can be reached now.", () if reachable else (fault,))


def _test_check(conn: Connection, campaign: Campaign) -> Check:
    arrived = [one for one in campaign_tests.of_campaign(conn, campaign.id) if one.sent]
    if not arrived:
        warning = Fault(
            Severity.WARNING, "campaign", "nobody has seen it in a mail program yet.",
            f"mailbot campaign test {shlex.quote(campaign.name)} --to YOUR-ADDRESS",
        )  # fmt: skip
        return Check("test mail", "", (warning,))
    last = arrived[-1]
    at = f"{last.at:%Y-%m-%d %H:%M} UTC"
    return Check("test mail", f"{last.by} sent the last one at {at}.")


@dataclass(slots=True)
class _Found:
    """One thing that is wrong with some letters: how many, and the first of their lines."""

    fault: Fault
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        self.count += 1
        if len(self.lines) < _LINES_TOLD:
            self.lines.append(line)

    def told(self) -> Fault:
        lines = ", ".join(map(str, self.lines)) + (" …" if self.count > len(self.lines) else "")
        where = f"line {lines} of the audience"
        what = self.fault.what if self.count == 1 else f"{self.fault.what} ({self.count:,} times)"
        return Fault(self.fault.severity, where, what, self.fault.next_step)


class _Letters:
    """Writes each member's letter, and remembers what was wrong, not the letters."""

    def __init__(self, template: Template, shop: Shop) -> None:
        self._template = template
        self._provided = {**shop_fields(shop), "recipient_name": "", "recipient_address": ""}
        self._needed = sorted(
            {use.name for use in template.uses if not use.is_optional} - self._provided.keys()
        )
        self._found: dict[tuple[str, str], _Found] = {}
        self.longest_html: str | None = None
        self.written = 0

    def write(self, member: StoredMember) -> None:
        if member.address is None:
            return  # erased since: there will be no letter
        self.written += 1
        name = str(member.fields.get("name") or "")
        if has_control_character(name):
            what = "the name holds a line break or another control character."
            self._note(member, _error(what, "Mend the file, and create the campaign anew."))
        for missing in self._needed:
            if member.fields.get(missing) == "":
                advice = f"Fill it in, or write {{{{ {missing} or '…' }}}}."
                self._note(member, _warning(f"the field “{missing}” is empty.", advice))
        own = {"recipient_name": name, "recipient_address": member.address}
        try:
            letter = render(self._template, {**member.fields, **self._provided, **own})
        except TemplateError as error:
            self._note(member, _error(f"{error.where}: {error.what}", error.next_step))
            return
        for fault in subject_faults(letter.subject):
            self._note(member, fault)
        if letter.html is not None and len(letter.html) > len(self.longest_html or ""):
            self.longest_html = letter.html

    def faults(self) -> tuple[Fault, ...]:
        """Each thing once, with how often and in which lines; errors first."""
        told = [one.told() for one in self._found.values()]
        return tuple(sorted(told, key=lambda fault: fault.severity != Severity.ERROR))

    def _note(self, member: StoredMember, fault: Fault) -> None:
        key = (fault.what, fault.next_step)
        if key not in self._found and len(self._found) >= _KINDS_TOLD:
            key, fault = ("", ""), _error("more is wrong.", "Mend what is told first.")
        self._found.setdefault(key, _Found(fault)).add(member.line)


def _error(what: str, next_step: str) -> Fault:
    return Fault(Severity.ERROR, "", what, next_step)


def _warning(what: str, next_step: str) -> Fault:
    return Fault(Severity.WARNING, "", what, next_step)
