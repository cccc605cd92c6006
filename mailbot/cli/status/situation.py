"""What `mailbot status` looks at, and which of it needs a person."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mailbot.cli.campaign import story
from mailbot.cli.campaign.screen import Numbers, in_numbers
from mailbot.cli.opening import Opened
from mailbot.cli.showing import counted, moment, span
from mailbot.cli.status.legal_clock import LegalClock, look_at_clock
from mailbot.cli.status.legal_clock import needs as clock_needs
from mailbot.config import Settings, load_person_key
from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import MailbotError
from mailbot.core.outbox_states import State
from mailbot.inbound.watch import account_of
from mailbot.store import (
    campaigns,
    doubted_refusals,
    keys,
    ledger,
    mailboxes,
    outbox,
    policies,
    reviews,
    suppressions,
    switches,
    tallies,
    uncertain,
)
from mailbot.store.engine import Connection, now
from mailbot.store.journal import Journal, compare
from mailbot.store.mailboxes import MailboxStatus
from mailbot.store.reviews import ReviewItem
from mailbot.store.switches import Switch
from mailbot.store.tables import CampaignState

# Longer than any wait between two looks that is still work: a poll, and a slow server.
_UNHEARD_AFTER: Final = timedelta(minutes=5)
_WAITING_TOO_LONG: Final = timedelta(hours=1)
_UNDER_WAY: Final = frozenset(
    {CampaignState.LOADING, CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.SENDING,
     CampaignState.PAUSED}
)  # fmt: skip

# The outbox in few words: the states behind each column.
_COLUMNS: Final = {
    "waiting": (State.QUEUED, State.DEFERRED),
    "sending": (State.CLAIMED, State.SENDING),
    "sent": (State.SENT,),
    "withheld": (State.WITHHELD,),
    "bounced": (State.BOUNCED,),
    "failed": (State.REJECTED, State.EXPIRED),
    "uncertain": (State.UNCERTAIN,),
    "cancelled": (State.CANCELLED,),
}


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything `status` shows; `needs` says in words what needs a person."""

    shop: str
    now: datetime
    marketing: Switch  # is_on: stopped
    mailboxes: list[MailboxStatus]
    listed: Mapping[Reason, int]
    outbox: Mapping[MessageKind, Mapping[str, int]]
    oldest_waiting_at: datetime | None
    campaigns: list[Numbers]
    reviews: list[ReviewItem]
    needs: list[str]
    clock: LegalClock
    policy_version: str  # in force now
    ledger_length: int
    # What shadow mode would have changed, by kind; None where mailbot is live.
    shadow: Mapping[str, int] | None = None

    @property
    def outbox_columns(self) -> list[str]:
        """The columns of `outbox`, in their order."""
        return list(_COLUMNS)

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "shop": self.shop,
            "now": self.now,
            "marketing_stopped": self.marketing.is_on,
            "marketing_stopped_because": self.marketing.because if self.marketing.is_on else None,
            "mailboxes": [
                {
                    "account": one.account,
                    "read_by": one.claimed_by,
                    "heard_at": one.heard_at,
                    "blind_since": one.blind_since,
                    "blind_because": one.blind_because,
                }
                for one in self.mailboxes
            ],
            "listed": dict(self.listed),
            "outbox": {kind: dict(row) for kind, row in self.outbox.items()},
            "oldest_waiting_at": self.oldest_waiting_at,
            "campaigns": [one.as_json() for one in self.campaigns],
            "reviews": [
                {
                    "id": item.id,
                    "account": item.place.account,
                    "folder": item.place.folder,
                    "uid": item.place.uid,
                    "rule": item.rule,
                    "because": item.because,
                    "opened_at": item.opened_at,
                    "due_at": item.due_at,
                }
                for item in self.reviews
            ],
            "legal_clock": self.clock.as_json(),
            "policy_version": self.policy_version,
            "ledger_length": self.ledger_length,
            "needs_a_person": self.needs,
            "shadow": None if self.shadow is None else dict(self.shadow),
        }


def look(installation: Opened) -> Situation:
    """Read everything in one snapshot."""
    with installation.database.read() as conn:
        at = now(conn)
        boxes = _mailboxes(conn, installation.settings)
        counts = outbox.count_by_state(conn)
        paces = installation.settings.campaigns
        is_paced = bool(paces.per_hour or paces.per_hour_and_domain)
        oldest = outbox.oldest_waiting_at(conn, is_paced=is_paced)
        items = reviews.waiting(conn)
        marketing = switches.get(conn, switches.MARKETING_STOPPED)
        clock = look_at_clock(conn, installation.settings, at)
        is_stopped = switches.is_marketing_stopped(conn)
        is_shadow = installation.settings.recognition.mode == "shadow"
        needs = [
            *_key_needs(conn, installation.settings),
            *([f"marketing is stopped: {marketing.because}"] if marketing.is_on else []),
            *_journal_needs(conn, installation.settings),
            *_spool_needs(conn),
            *_mailbox_needs(boxes, at),
            *(_uncertain_needs(conn) if _is_any_uncertain(counts) else []),
            *_refusal_needs(conn),
            *_outbox_needs(oldest, at, is_stopped=is_stopped or is_shadow),
            *filter(None, map(story.needs, campaigns.every(conn))),
            *_review_needs(items),
            *clock_needs(clock, at),
        ]
        return Situation(
            shop=installation.settings.shop.name,
            now=at,
            marketing=marketing,
            mailboxes=boxes,
            listed=suppressions.count_by_reason(conn),
            outbox=_by_kind(counts),
            oldest_waiting_at=oldest,
            campaigns=[
                in_numbers(conn, one) for one in campaigns.every(conn) if one.state in _UNDER_WAY
            ],
            reviews=items,
            needs=needs,
            clock=clock,
            policy_version=policies.in_force(conn, at) or installation.settings.shop.policy_version,
            ledger_length=ledger.head_sequence(conn),
            shadow=tallies.count_shadow(conn) if is_shadow else None,
        )


def _mailboxes(conn: Connection, settings: Settings) -> list[MailboxStatus]:
    """Those of the settings, read or not; one that was read formerly is history."""
    known = {one.account: one for one in mailboxes.statuses(conn)}
    accounts = [account_of(mailbox) for mailbox in settings.mailboxes]
    return [
        known.get(account) or MailboxStatus(account, None, None, None, None) for account in accounts
    ]


def _by_kind(counts: Mapping[tuple[MessageKind, State], int]) -> dict[MessageKind, dict[str, int]]:
    kinds = {kind for kind, _ in counts}
    return {
        kind: {
            name: sum(counts.get((kind, state), 0) for state in states)
            for name, states in _COLUMNS.items()
        }
        for kind in MessageKind
        if kind in kinds
    }


def _key_needs(conn: Connection, settings: Settings) -> list[str]:
    try:
        keys.check(conn, load_person_key(settings))
    except MailbotError as error:
        return [str(error)]
    return []


def _journal_needs(conn: Connection, settings: Settings) -> list[str]:
    """A restored backup waits for a word; a journal that lags would not tell of the next one."""
    distrusted = switches.get(conn, switches.LIST_DISTRUSTED)
    if distrusted.is_on:
        return [f"marketing waits, {distrusted.because}: look with `mailbot restore show`"]
    journal = Journal(settings.store.journal_folder)
    try:
        behind, tip = compare(conn, journal), journal.tip()
    except OSError as error:
        return [f"the journal cannot be read: {error}"]
    if behind is not None:
        return [f"{behind.what}: look with `mailbot restore show`"]
    missing = ledger.head_sequence(conn) - (tip.sequence if tip else 0)
    if missing:
        what = f"{counted(missing, 'event')} not in the journal yet ({journal.folder})"
        return [f"{what}: can it be written, and is mailbot running?"]
    return []


def _spool_needs(conn: Connection) -> list[str]:
    """Customers may have left by the public page, and nobody can read it."""
    unreadable = switches.get(conn, switches.SPOOL_UNREADABLE)
    return [f"marketing waits, {unreadable.because}"] if unreadable.is_on else []


def _mailbox_needs(boxes: list[MailboxStatus], at: datetime) -> list[str]:
    needs = []
    for box in boxes:
        if box.blind_since:
            needs.append(
                f"{box.account} cannot be read since {moment(box.blind_since)} UTC "
                f"({span(at - box.blind_since)}): {box.blind_because}"
            )
        elif box.heard_at is None:
            needs.append(f"{box.account} was never read: is mailbot running? (mailbot run)")
        elif at - box.heard_at > _UNHEARD_AFTER:
            needs.append(
                f"{box.account} was last heard {span(at - box.heard_at)} ago: is mailbot running?"
            )
    return needs


def _is_any_uncertain(counts: Mapping[tuple[MessageKind, State], int]) -> bool:
    return any(counts.get((kind, State.UNCERTAIN)) for kind in MessageKind)


def _uncertain_needs(conn: Connection) -> list[str]:
    """Not of an order status that mailbot will send again by itself."""
    found = [
        ("campaign", count, f"campaign uncertain {shlex.quote(name)}")
        for name, count in uncertain.doubts_of_campaigns(conn)
    ]
    for kind, command in (
        (MessageKind.ORDER_STATUS, "order-status uncertain"),
        (MessageKind.ACKNOWLEDGEMENT, "acknowledgement uncertain"),
    ):
        count = uncertain.doubt(conn, uncertain.Group(kind), answer_seconds=0).count
        found.append((kind.replace("_", " "), count, command))
    return [
        f"{counted(count, f'{words} message')} may or may not have arrived (uncertain): "
        f"decide with `mailbot {command}`"
        for words, count, command in found
        if count
    ]


def _refusal_needs(conn: Connection) -> list[str]:
    """Where the relay says of everybody that the address does not exist."""
    since, waiting = doubted_refusals.since(conn), doubted_refusals.waiting(conn)
    if since is None or not waiting:
        return []
    what = (
        f"the relay says that nobody exists to whom order status goes, since {moment(since)} UTC: "
        f"{counted(waiting, 'message')} will be tried again, and nobody more is taken off for it. "
        "Look at the relay. Who was taken off since then: `mailbot suppress list --because "
        "undeliverable`; `mailbot suppress lift ADDRESS` brings each back"
    )
    return [what]


def _outbox_needs(oldest: datetime | None, at: datetime, *, is_stopped: bool) -> list[str]:
    if oldest and at - oldest > _WAITING_TOO_LONG and not is_stopped:
        return [f"mail that is due waits for {span(at - oldest)}: is mailbot running?"]
    return []


def _review_needs(items: list[ReviewItem]) -> list[str]:
    if not items:
        return []
    held = [item for item in items if item.person is not None]
    first = f"; the first becomes an opt-out at {moment(held[0].due_at)} UTC" if held else ""
    return [f"{counted(len(items), 'mail')} in review: look with `mailbot review list`{first}"]
