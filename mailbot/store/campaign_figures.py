"""Campaigns in numbers, never a person: whom the list leaves, how far the sending is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import CLAIMABLE, State
from mailbot.store.tables import audience_members, outbox, suppressions


@dataclass(frozen=True, slots=True)
class Progress:
    """A campaign in numbers: never a person."""

    audience: int
    by_state: Mapping[State, int]
    withheld: Mapping[Reason, int]

    @property
    def waiting(self) -> int:
        """Rows that will still be tried."""
        return sum(self.by_state.get(state, 0) for state in CLAIMABLE)


def progress(conn: Connection, campaign_id: int) -> Progress:
    """How far a campaign is, by state and by reason of withholding."""
    audience = conn.execute(
        select(func.count()).where(audience_members.c.campaign_id == campaign_id)
    ).scalar_one()
    states = conn.execute(
        select(outbox.c.state, func.count())
        .where(outbox.c.campaign_id == campaign_id)
        .group_by(outbox.c.state)
    )
    withheld = conn.execute(
        select(outbox.c.withheld_reason, func.count())
        .where(outbox.c.campaign_id == campaign_id, outbox.c.state == State.WITHHELD)
        .group_by(outbox.c.withheld_reason)
    )
    return Progress(
        audience,
        {State(state): count for state, count in states},
        {Reason(reason): count for reason, count in withheld},
    )


def reach(conn: Connection, campaign_id: int) -> tuple[int, dict[Reason, int]]:
    """Before anyone presses send: how many of the audience are free, and the others by reason.

    A person with several reasons counts under each of them.
    """
    of_campaign = audience_members.c.campaign_id == campaign_id
    free: int = conn.execute(select(func.count()).where(of_campaign)).scalar_one()
    each = (
        select(func.aggregate_strings(suppressions.c.reason, ",").label("reasons"))
        .select_from(audience_members.join(suppressions, _IS_SAME_MAILBOX))
        .where(of_campaign)
        .group_by(audience_members.c.untagged_hash, audience_members.c.person_hash)
        .subquery()
    )
    by_reason: Counter[Reason] = Counter()
    for names, count in conn.execute(select(each.c.reasons, func.count()).group_by(each.c.reasons)):
        free -= count
        for name in set(names.split(",")):
            by_reason[Reason(name)] += count
    for reason, is_free in _known_by_token_alone(conn, of_campaign):
        free -= is_free
        by_reason[reason] += 1
    return free, dict(by_reason)


# `is_named` in two steps. Who shares the exact hash shares the untagged one as well, so one look
# by it finds nearly everybody, at half the price of asking for either …
_IS_SAME_MAILBOX = suppressions.c.untagged_hash == audience_members.c.untagged_hash


def _known_by_token_alone(
    conn: Connection, of_campaign: ColumnElement[bool]
) -> list[tuple[Reason, bool]]:
    """… but for an address with a +tag that left by its token: of it the exact hash alone is known.

    A reason a member that `_IS_SAME_MAILBOX` did not find, and whether it found none at all.
    """
    member, other = audience_members.c, suppressions.alias()
    same_mailbox = select(other.c.reason).where(other.c.untagged_hash == member.untagged_hash)
    rows = conn.execute(
        select(member.person_hash, suppressions.c.reason, ~same_mailbox.exists().label("is_free"))
        .select_from(
            audience_members.join(suppressions, suppressions.c.person_hash == member.person_hash)
        )
        .where(
            of_campaign,
            member.person_hash != member.untagged_hash,
            ~same_mailbox.where(other.c.reason == suppressions.c.reason).exists(),
        )
        .order_by(member.person_hash)
    ).all()
    first = {row.person_hash: row.reason for row in reversed(rows)}
    return [
        (Reason(row.reason), bool(row.is_free) and first[row.person_hash] == row.reason)
        for row in rows
    ]
