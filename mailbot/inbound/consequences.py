"""What a verdict changes: consent events, holds with their review items, bounced rows, an answer.

Everything of one mail stands in the caller's one transaction. Each change has a key made of the
mail's identity, so a replay, from whatever folder, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from mailbot.core.address import Address
from mailbot.core.consent import (
    ENDED_BY_OPT_IN,
    ConsentEvent,
    Kind,
    Source,
    is_opt_in_too_late,
)
from mailbot.core.person import Person, is_same
from mailbot.core.verdicts import Bounce, Complaint, OptIn, OptOut, OurMessage, Review, Verdict
from mailbot.inbound.acknowledging import acknowledge
from mailbot.inbound.mail import Mail
from mailbot.inbound.shop import Shop
from mailbot.store import campaign_brakes, consent, reviews, sent_messages, suppressions, tallies
from mailbot.store.engine import Connection

# One report may mark so many of our messages: a forged one shall not sweep the list.
MOST_BOUNCES_A_REPORT = 20
_LONGEST_EVIDENCE = 1_000  # characters
_LOST = "came before the wish to leave, or within ten minutes after it: leaving stands"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One consent event about one person; `is_new` is False for a replay."""

    kind: Kind
    person: Person
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Subject:
    """A person, and the readable address where the mail tells it."""

    person: Person
    address: str | None = None


def carry_out(conn: Connection, verdict: Verdict, mail: Mail, shop: Shop) -> tuple[Change, ...]:
    """Do what `verdict` asks for. Verdicts that change nothing return ()."""
    match verdict:
        case OptOut():
            return _opt_out(conn, verdict, mail, shop)
        case OptIn():
            return _opt_in(conn, verdict, mail, shop)
        case Bounce():
            return _bounce(conn, verdict, mail, shop)
        case Complaint():
            return _complaint(conn, verdict, mail, shop)
        case Review():
            asked = _subjects(conn, verdict.addresses, verdict.person_hashes, shop)
            return hold(conn, asked, verdict, mail, shop, because=verdict.reason)
        case _:
            return ()


def hold(
    conn: Connection,
    asked: Iterable[_Subject],
    verdict: Verdict,
    mail: Mail,
    shop: Shop,
    *,
    because: str,
) -> tuple[Change, ...]:
    """Open a review item for each who may have asked, and hold them; one for nobody if none."""
    people = list(asked)
    nobody: list[Person | None] = [None]
    for person in [subject.person for subject in people] or nobody:
        reviews.open_item(
            conn,
            key=f"mail:{mail.identity}:{person.person_hash if person else 'nobody'}",
            person=person,
            place=mail.place,
            rule=_rule(verdict),
            because=clean(because),
            received_at=mail.received_at,
        )
    return _record(conn, Kind.HELD, people, verdict, mail, shop)


def held_for(addresses: Iterable[Address], shop: Shop) -> list[_Subject]:
    """Who stands behind these addresses, each person once."""
    found: dict[str, _Subject] = {}
    for address in addresses:
        subject = _Subject(shop.person_key.identify(address), address.text)
        found.setdefault(subject.person.person_hash, subject)
    return list(found.values())


def _opt_out(conn: Connection, verdict: OptOut, mail: Mail, shop: Shop) -> tuple[Change, ...]:
    leaving = _subjects(conn, verdict.addresses, verdict.person_hashes, shop)
    changes = _record(conn, Kind.OPT_OUT, leaving, verdict, mail, shop)
    settled = {subject.person.person_hash for subject in leaving}
    several = [
        each
        for each in held_for(verdict.held_addresses, shop)
        if each.person.person_hash not in settled
    ]
    if several:
        changes += hold(
            conn, several, verdict, mail, shop,
            because="named by a request, and nothing proves that they asked",
        )  # fmt: skip
    settled.update(each.person.person_hash for each in several)
    asked_about = [
        each for each in _owners(verdict.asked_about) if each.person.person_hash not in settled
    ]
    if asked_about:
        changes += hold(
            conn, asked_about, verdict, mail, shop,
            because="somebody else answered a message of this person with the word",
        )  # fmt: skip
    if any(change.is_new for change in changes if change.kind is Kind.OPT_OUT):
        for address in verdict.addresses:
            acknowledge(conn, address, mail, shop)
    return changes


def _opt_in(conn: Connection, verdict: OptIn, mail: Mail, shop: Shop) -> tuple[Change, ...]:
    """Who writes from the address that was opted out comes back; nobody brings another one back."""
    writers = {subject.person for subject in held_for(verdict.addresses, shop)}
    named = _named(conn, verdict.person_hashes)
    theirs = [each for each in named if any(is_same(each.person, one) for one in writers)]
    if len(theirs) < len(named):
        reviews.open_item(
            conn,
            key=f"mail:{mail.identity}:nobody",
            person=None,
            place=mail.place,
            rule=_rule(verdict),
            because="asks offers again for somebody else, with the token of that person's answer",
            received_at=mail.received_at,
        )
    if any(_left_since(conn, each.person, mail) for each in theirs):
        log.warning("opt_in_lost", person=theirs[0].person.person_hash[:12], because=_LOST)
        verdict = replace(verdict, notes=(*verdict.notes, _LOST))
    return _record(conn, Kind.OPT_IN, theirs, verdict, mail, shop)


def _left_since(conn: Connection, person: Person, mail: Mail) -> bool:
    return any(
        is_opt_in_too_late(Kind.OPT_IN, Source.MAIL, each.since_at, mail.received_at)
        for each in suppressions.of_person(conn, person)
        if each.reason in ENDED_BY_OPT_IN
    )


def _bounce(conn: Connection, verdict: Bounce, mail: Mail, shop: Shop) -> tuple[Change, ...]:
    """Suppresses whom *we* mailed (return path or Message-ID), never whom the report names."""
    our = sorted(verdict.our, key=lambda each: each.outbox_id)[:MOST_BOUNCES_A_REPORT]
    if not verdict.is_permanent:
        return _passing_bounce(conn, our, verdict, mail, shop)
    first = verdict.recipients[0]
    reply = clean(f"{first.status} {first.diagnostic}".strip() or verdict.evidence)
    ids = [each.outbox_id for each in our]
    campaign_brakes.lock_of(conn, ids)
    doubted = campaign_brakes.count_reported(conn, ids)
    sent_messages.mark_bounced(conn, ids, reply)
    # Of a campaign that its brake has stopped: the server that reports may be what is wrong.
    sure = [each for each in our if each.outbox_id not in doubted]
    return _record(
        conn, Kind.UNDELIVERABLE, _owners(sure), verdict, mail, shop, Source.DELIVERY_REPORT
    )


def _passing_bounce(
    conn: Connection, our: list[OurMessage], verdict: Bounce, mail: Mail, shop: Shop
) -> tuple[Change, ...]:
    """A full mailbox may be emptied; one that is full on so many days is given up."""
    if not any(recipient.may_pass for recipient in verdict.recipients):
        return ()
    gone = []
    for owner in _owners(our):
        key = f"mail:{mail.identity}:passing:{owner.person.person_hash}"
        tallies.note_passing_bounce(
            conn, key=key, person=owner.person, received_at=mail.received_at
        )
        days = tallies.days_with_bounces(
            conn, owner.person, until=mail.received_at, within=shop.bounce_within_days
        )
        if days >= shop.bounce_days:
            gone.append(owner)
    return _record(conn, Kind.UNDELIVERABLE, gone, verdict, mail, shop, Source.DELIVERY_REPORT)


def _complaint(conn: Connection, verdict: Complaint, mail: Mail, shop: Shop) -> tuple[Change, ...]:
    """What our token or message proves is a complaint; an address alone is held, in review."""
    campaign_brakes.lock_of(conn, [each.outbox_id for each in verdict.our])
    campaign_brakes.count_complaints(conn, [each.outbox_id for each in verdict.our])
    proved = [*_owners(verdict.our), *_named(conn, verdict.person_hashes)]
    proved = list({subject.person.person_hash: subject for subject in proved}.values())
    changes = _record(conn, Kind.COMPLAINT, proved, verdict, mail, shop, Source.FEEDBACK_REPORT)
    known = {subject.person.person_hash for subject in proved}
    others = [
        subject
        for subject in held_for(verdict.addresses, shop)
        if subject.person.person_hash not in known
    ]
    if others or not proved:
        changes += hold(
            conn, others, verdict, mail, shop,
            because="a spam report that names an address, and no message of ours",
        )  # fmt: skip
    return changes


def _record(
    conn: Connection,
    kind: Kind,
    subjects: Iterable[_Subject],
    verdict: Verdict,
    mail: Mail,
    shop: Shop,
    source: Source = Source.MAIL,
) -> tuple[Change, ...]:
    changes = []
    for subject in subjects:
        event = ConsentEvent(
            kind=kind,
            source=source,
            person=subject.person,
            key=f"mail:{mail.identity}:{kind}:{subject.person.person_hash}",
            received_at=mail.received_at,
            rule=_rule(verdict),
            policy_version=shop.policy_version,
            address=subject.address,
            evidence=_evidence(verdict, mail),
        )
        changes.append(Change(kind, subject.person, consent.record(conn, event).is_new))
    return tuple(changes)


def _subjects(
    conn: Connection, addresses: Iterable[Address], person_hashes: Iterable[str], shop: Shop
) -> list[_Subject]:
    found = held_for(addresses, shop)
    known = {subject.person.person_hash for subject in found}
    return found + [
        each for each in _named(conn, person_hashes) if each.person.person_hash not in known
    ]


def _named(conn: Connection, person_hashes: Iterable[str]) -> list[_Subject]:
    """The persons of our tokens, which carry the exact hash alone."""
    return [
        _Subject(sent_messages.person_of_hash(conn, person_hash))
        for person_hash in dict.fromkeys(person_hashes)
    ]


def _owners(messages: Iterable[OurMessage]) -> list[_Subject]:
    return list(
        {each.person.person_hash: _Subject(each.person, each.address) for each in messages}.values()
    )


def _evidence(verdict: Verdict, mail: Mail) -> dict[str, str]:
    message = mail.message
    found = {
        "From": message.from_text,
        "Subject": message.subject,
        "Date": message.date_text,
        "Message-ID": message.message_id,
        "Folder": mail.place.folder,
        "evidence": verdict.evidence,
        "notes": "; ".join(verdict.notes),
    }
    return {name: clean(text) for name, text in found.items() if text}


def _rule(verdict: Verdict) -> str:
    return clean(verdict.rule)[:60]


def clean(text: str) -> str:
    """Text that every database stores: PostgreSQL takes no NUL, UTF-8 no lone surrogate."""
    stored = text.replace("\0", "\ufffd")[:_LONGEST_EVIDENCE]
    return stored.encode("utf-8", "replace").decode("utf-8")
