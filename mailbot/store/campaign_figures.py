"""Campaigns in numbers, never a person: whom the list leaves, how far the sending is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select

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
        .select_from(audience_members.join(suppressions, _IS_PLAIN_MAILBOX))
        .where(of_campaign)
        .group_by(audience_members.c.untagged_hash, audience_members.c.person_hash)
        .subquery()
    )
    by_reason: Counter[Reason] = Counter()
    for names, count in conn.execute(select(each.c.reasons, func.count()).group_by(each.c.reasons)):
        free -= count
        for name in set(names.split(",")):
            by_reason[Reason(name)] += count
    others = _found_by_tag(conn, of_campaign)
    by_reason.update(reason for _, reason, _ in others)
    free -= len({person_hash for person_hash, _, is_new in others if is_new})
    return free, dict(by_reason)


# store.persons.is_named in two steps. Nearly everybody on a list and in an audience bears no +tag
# and is found by one look, in the order of the list …
_IS_PLAIN_MAILBOX = suppressions.c.person_hash == audience_members.c.untagged_hash


def _found_by_tag(
    conn: Connection, of_campaign: ColumnElement[bool]
) -> set[tuple[str, Reason, bool]]:
    """… and here is who was not, for this reason: member, reason, whether for no other reason."""
    member, plain = audience_members.c, suppressions.alias()
    found_plainly = select(plain.c.reason).where(plain.c.person_hash == member.untagged_hash)
    ways = [
        and_(member.person_hash != member.untagged_hash,
             suppressions.c.person_hash == member.person_hash),
        and_(suppressions.c.untagged_hash != suppressions.c.person_hash,
             suppressions.c.untagged_hash == member.untagged_hash),
    ]  # fmt: skip
    found: set[tuple[str, Reason, bool]] = set()
    for way in ways:
        rows = conn.execute(
            select(
                member.person_hash, suppressions.c.reason,
                ~found_plainly.exists().label("is_new"),
            )
            .select_from(audience_members.join(suppressions, way))
            .where(
                of_campaign,
                ~found_plainly.where(plain.c.reason == suppressions.c.reason).exists(),
            )
        )  # fmt: skip
        found.update((row.person_hash, Reason(row.reason), bool(row.is_new)) for row in rows)
    return found
