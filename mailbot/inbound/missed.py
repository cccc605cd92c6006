"""What a replay finds: the requests that were missed, and what each of them does to the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailbot.core.address import Address
from mailbot.core.consent import Kind, Reason
from mailbot.core.person import Person
from mailbot.core.verdicts import Bounce, Complaint, OptIn, OptOut, OurMessage, Review, Verdict
from mailbot.inbound.consequences import Change
from mailbot.inbound.shop import Shop
from mailbot.store.reviews import Place


@dataclass(frozen=True, slots=True)
class Effect:
    """One event that the ledger lacked, and why its person is on the list before and after it.

    `address` is None where only a token names the person, which carries a hash.
    """

    kind: Kind
    person: Person
    address: str | None
    before: frozenset[Reason]
    after: frozenset[Reason]


@dataclass(frozen=True, slots=True)
class Missed:
    """One mail whose request was not recorded; `who` are the addresses that it is about.

    `effects` is empty where it holds nobody and a person looks at it (`opens_review`).
    `received_at` is None for a mail that the server cannot read.
    """

    place: Place
    received_at: datetime | None
    verdict: str
    rule: str
    who: tuple[str, ...]
    effects: tuple[Effect, ...]
    opens_review: bool


@dataclass(slots=True)
class Findings:
    """What was found so far. `copies` are further copies of mails in `missed`; `unreadable` counts
    the mails that are left to a person, among the others by whether an item is open for them."""

    read: int = 0
    recorded: int = 0
    copies: int = 0
    unreadable: int = 0
    missed: list[Missed] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Mails that ask for a change of the list, or may."""
        return self.recorded + self.copies + len(self.missed)


@dataclass(frozen=True, slots=True)
class Done:
    """What one mail's work did in its transaction."""

    changes: tuple[Change, ...]
    opens_review: bool
    before: Mapping[str, frozenset[Reason]] = field(default_factory=dict)  # by person hash
    after: Mapping[str, frozenset[Reason]] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether the store lacked anything of it."""
        return self.opens_review or any(change.is_new for change in self.changes)

    def effects(self, addresses: Mapping[str, str]) -> tuple[Effect, ...]:
        """Those of the events that were lacking."""
        return tuple(
            Effect(
                change.kind,
                change.person,
                addresses.get(change.person.person_hash),
                self.before.get(change.person.person_hash, frozenset()),
                self.after.get(change.person.person_hash, frozenset()),
            )
            for change in self.changes
            if change.is_new
        )


def addresses_of(verdict: Verdict, shop: Shop) -> dict[str, str]:
    """The readable addresses that the mail proves or names, by the hash of their person."""
    written, our = _named(verdict)
    found = {each.person.person_hash: each.address for each in our if each.address}
    found.update(
        (shop.person_key.identify(address).person_hash, address.text) for address in written
    )
    return found


def _named(verdict: Verdict) -> tuple[tuple[Address, ...], tuple[OurMessage, ...]]:
    match verdict:
        case OptOut():
            return (*verdict.addresses, *verdict.held_addresses), verdict.asked_about
        case OptIn() | Review():
            return verdict.addresses, ()
        case Complaint():
            return verdict.addresses, verdict.our
        case Bounce():
            return (), verdict.our
        case _:
            return (), ()
