"""Consent events: the facts behind every change of the suppression list, and their hash chain.

An event names the person by keyed hashes only. Readable evidence stands beside it under a salt,
so that erasure can delete it while the chain stays whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mailbot.core.person import Person


class Reason(StrEnum):
    """Why a person is on the suppression list. Several may stand side by side."""

    OPT_OUT = "opt_out"  # the person said so
    HELD = "held"  # somebody may have asked; a person decides within 24 h
    COMPLAINT = "complaint"  # the provider reported our mail as spam
    UNDELIVERABLE = "undeliverable"  # the mailbox or its domain does not exist
    IMPORTED = "imported"  # another system's list
    ERASED = "erased"  # only the keyed hash is kept


class Kind(StrEnum):
    """What happened."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"  # an explicit wish to come back
    HELD = "held"
    RELEASED = "released"  # a person looked: the hold was not a request
    COMPLAINT = "complaint"
    UNDELIVERABLE = "undeliverable"
    REACHABLE = "reachable"  # the address proved alive, or a person says so
    IMPORTED = "imported"
    ERASED = "erased"  # readable data was deleted; the keyed hashes stay on the list
    EXPORTED = "exported"  # addresses left the shop: how many, to whom, why
    POLICY = "policy"  # a new version of the privacy policy
    RESTORED = "restored"  # a database from a backup was accepted


class Source(StrEnum):
    """By which way it reached us."""

    MAIL = "mail"
    ONE_CLICK = "one_click"
    CONSOLE = "console"
    COMMAND_LINE = "command_line"
    API = "api"  # a program of the shop's own
    DELIVERY_REPORT = "delivery_report"
    FEEDBACK_REPORT = "feedback_report"
    RELAY = "relay"  # the relay's answer to RCPT or DATA
    IMPORT = "import"
    CLOCK = "clock"  # a hold that nobody decided in time
    JOURNAL = "journal"  # heard before a backup was restored, and played back from the journal


# What each kind of event puts on the list, and which reasons it ends.
ADDS: dict[Kind, Reason] = {
    Kind.OPT_OUT: Reason.OPT_OUT,
    Kind.HELD: Reason.HELD,
    Kind.COMPLAINT: Reason.COMPLAINT,
    Kind.UNDELIVERABLE: Reason.UNDELIVERABLE,
    Kind.IMPORTED: Reason.IMPORTED,
    Kind.ERASED: Reason.ERASED,
}
ENDS: dict[Kind, frozenset[Reason]] = {
    Kind.OPT_IN: frozenset({Reason.OPT_OUT, Reason.COMPLAINT, Reason.IMPORTED, Reason.HELD}),
    Kind.RELEASED: frozenset({Reason.HELD}),
    Kind.REACHABLE: frozenset({Reason.UNDELIVERABLE}),
    Kind.OPT_OUT: frozenset({Reason.HELD}),  # decided: the hold became an opt-out
}

# Reasons that an opt-in received later than they were ends; see `is_newer_opt_in`.
ENDED_BY_OPT_IN = ENDS[Kind.OPT_IN]

# Two mails of one minute have no order that a person meant; doubt is resolved for leaving.
OPT_IN_LOSES_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One fact to be appended to the ledger.

    `key` makes replay harmless: a second event of the same key changes nothing. `received_at` is
    when the wish reached the shop (aware UTC); order between opt-out and opt-in goes by it.
    `address` and `evidence` are readable and erasable; they never enter the chain unsalted.
    """

    kind: Kind
    source: Source
    person: Person
    key: str
    received_at: datetime
    rule: str
    policy_version: str
    address: str | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchEvent:
    """One fact about many persons at once: a part of an import, an export; or about none.

    `count` persons; `digest` is `batch_digest` over their hashes. What is readable of each person
    stands beside the list, where erasure can reach it, never in `evidence`.
    """

    kind: Kind
    source: Source
    key: str
    received_at: datetime
    rule: str
    policy_version: str
    count: int
    digest: str
    evidence: Mapping[str, str] = field(default_factory=dict)


def batch_digest(person_hashes: Iterable[str]) -> str:
    """SHA-256 in hex over sorted person hashes, one a line: proves later who was in a batch."""
    return hashlib.sha256("\n".join(sorted(person_hashes)).encode()).hexdigest()


def is_opt_in_too_late(kind: Kind, source: Source, opt_out_at: datetime, at: datetime) -> bool:
    """Whether an opt-in received `at` loses against an opt-out received at `opt_out_at`.

    It loses when it is older, and, by mail, also when it came within ten minutes after.
    """
    if kind is not Kind.OPT_IN:
        return False
    margin = OPT_IN_LOSES_WITHIN if source is Source.MAIL else timedelta(0)
    return at < opt_out_at + margin


def evidence_digest(salt: bytes, address: str | None, evidence: Mapping[str, str]) -> str:
    """SHA-256(salt ‖ evidence) in hex: what the chain covers instead of the readable evidence."""
    readable = json.dumps([address, dict(evidence)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(salt + readable.encode("utf-8", "surrogatepass")).hexdigest()


def link_hash(previous: str, sequence: int, event: ChainedEvent) -> str:
    """The hash of one link: SHA-256 over the previous hash and every column the ledger keeps."""
    columns = [
        previous, sequence, event.kind, event.source, event.person_hash, event.untagged_hash,
        event.key, canonical_time(event.received_at), canonical_time(event.recorded_at),
        event.rule, event.policy_version, event.evidence_digest,
    ]  # fmt: skip
    if (event.batch_count, event.batch_digest) != (None, None):
        columns += [event.batch_count, event.batch_digest]
    if event.list_digest is not None:  # events of a mailbot that summed nothing have none
        columns.append(event.list_digest)
    return hashlib.sha256(json.dumps(columns, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """One row of the ledger as the chain covers it."""

    kind: str
    source: str
    person_hash: str
    untagged_hash: str
    key: str
    received_at: datetime
    recorded_at: datetime
    rule: str
    policy_version: str
    evidence_digest: str
    batch_count: int | None = None
    batch_digest: str | None = None
    list_digest: str | None = None  # of core.list_sum: the list as the event left it


GENESIS = "0" * 64  # what the first link names as its previous hash


def canonical_time(moment: datetime) -> str:
    """UTC to the microsecond, the same text whichever database stored it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
