"""Campaigns in numbers, never a person: whom the list leaves, how far the sending is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, select

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import CLAIMABLE, State
from mailbot.store.tables import (
    CampaignState,
    audience_members,
    campaigns,
    outbox,
    suppressions,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """A campaign in numbers: never a person."""

    audience: int
    expanded: int  # rows in the outbox
    is_expanded: bool  # who is not there yet will not be: erased before it was their turn
    by_state: Mapping[State, int]
    withheld: Mapping[Reason, int]

    @property
    def waiting(self) -> int:
        """Rows that will still be tried."""
        return sum(self.by_state.get(state, 0) for state in CLAIMABLE)

    @property
    def unexpanded(self) -> int:
        """Members of the audience who have no row yet."""
        return 0 if self.is_expanded else max(0, self.audience - self.expanded)

    @property
    def settled(self) -> int:
        """Rows that nothing more is done about by itself."""
        on_the_way = self.by_state.get(State.CLAIMED, 0) + self.by_state.get(State.SENDING, 0)
        return sum(self.by_state.values()) - self.waiting - on_the_way


def progress(conn: Connection, campaign_id: int) -> Progress:
    """How far a campaign is, by state and by reason of withholding. Counts all of its rows."""
    return CampaignTally(campaign_id).look(conn)


_Counts = Counter[tuple[State, Reason | None]]
_MOVING: Final = (State.QUEUED, State.CLAIMED, State.SENDING)
_OTHERS: Final = tuple(state for state in State if state is not State.QUEUED)
# Of the time between two counts of everything, what counting may take.
_SHARE: Final = 0.01


class CampaignTally:
    """Looks at one campaign again and again, and counts only what moved.

    Rows go out in the order of their ids: those from before the first that still moves were
    counted once and are taken as they stood; beyond it all are counted but the queued, who are
    known from the sum. What moves behind (a retry, a delivery report) is seen when everything is
    counted anew: each time for a small campaign, every twenty seconds or so for a million rows,
    and always when the campaign has ended.
    """

    def __init__(self, campaign_id: int) -> None:
        self._id = campaign_id
        self._behind: _Counts = Counter()  # rows up to `_floor`
        self._floor = 0
        self._uncounted = 0  # rows in the outbox beyond what campaigns.expanded_count tells
        self._all_again_at = 0.0  # monotonic

    def look(self, conn: Connection) -> Progress:
        """The figures now. `conn` is one snapshot."""
        campaign = conn.execute(_CAMPAIGN, {"of": self._id}).one()
        is_over = campaign.state in (CampaignState.DONE, CampaignState.CANCELLED)
        if is_over or time.monotonic() >= self._all_again_at:
            counts = self._count_all(conn, campaign.expanded_count)
        else:
            counts = self._behind + self._beyond(conn)
            rows = campaign.expanded_count + self._uncounted
            counts[State.QUEUED, None] = rows - counts.total()
        by_state: Counter[State] = Counter()
        for (state, _), count in counts.items():
            by_state[state] += count
        return Progress(
            campaign.audience_count,
            campaign.expanded_count,
            campaign.expanded_at is not None,
            {state: by_state[state] for state in State if by_state[state]},
            {reason: counts[State.WITHHELD, reason] for reason in Reason
             if counts[State.WITHHELD, reason]},
        )  # fmt: skip

    def _count_all(self, conn: Connection, expanded: int) -> _Counts:
        began = time.monotonic()
        everything = {"of": self._id, "after": 0}
        counts = _counted(conn, _BY_STATE, everything, _WITHHELD)
        moving = (conn.execute(_FIRST, {"of": self._id, "state": one}).scalar() for one in _MOVING)
        first = min((found for found in moving if found is not None), default=None)
        self._floor = (conn.execute(_LAST).scalar() or 0) if first is None else first - 1
        self._behind = counts.copy()
        self._behind.subtract(self._beyond(conn))
        self._behind[State.QUEUED, None] = 0
        self._uncounted = counts.total() - expanded
        now = time.monotonic()
        self._all_again_at = now + (now - began) / _SHARE
        return counts

    def _beyond(self, conn: Connection) -> _Counts:
        beyond = {"of": self._id, "after": self._floor}
        return _counted(conn, _MOVED, beyond, _WITHHELD)


_CAMPAIGN: Final = select(
    campaigns.c.state,
    campaigns.c.audience_count,
    campaigns.c.expanded_count,
    campaigns.c.expanded_at,
).where(campaigns.c.id == bindparam("of"))
_of_campaign = outbox.c.campaign_id == bindparam("of")
_BY_STATE: Final = select(outbox.c.state, func.count()).where(_of_campaign).group_by(outbox.c.state)
# One walk of ix_outbox_state for each state, from the row on.
_MOVED: Final = (
    select(outbox.c.state, func.count())
    .where(_of_campaign, outbox.c.state.in_(_OTHERS), outbox.c.id > bindparam("after"))
    .group_by(outbox.c.state)
)
_WITHHELD: Final = (
    select(outbox.c.withheld_reason, func.count())
    .where(_of_campaign, outbox.c.state == State.WITHHELD, outbox.c.id > bindparam("after"))
    .group_by(outbox.c.withheld_reason)
)
_FIRST: Final = select(func.min(outbox.c.id)).where(
    _of_campaign, outbox.c.state == bindparam("state")
)
_LAST: Final = select(func.max(outbox.c.id))


def _counted(
    conn: Connection, states: Select[Any], values: Mapping[str, int], withheld: Select[Any]
) -> _Counts:
    counts: _Counts = Counter()
    for state, count in conn.execute(states, values):
        counts[State(state), None] = count
    if counts.pop((State.WITHHELD, None), 0):
        for reason, count in conn.execute(withheld, values):
            counts[State.WITHHELD, Reason(reason)] = count
    return counts


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
