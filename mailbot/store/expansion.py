"""A campaign's audience goes into the outbox, part by part, written by the database itself.

In the order of person_hash: that is the order of the outbox's indexes, so that a part touches few
pages of them, and nobody's whole domain is written to at once, however the file was sorted.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Insert,
    Integer,
    LargeBinary,
    String,
    bindparam,
    cast,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.store.columns import DatabaseTime, UtcDateTime
from mailbot.store.copying import may_copy
from mailbot.store.engine import now
from mailbot.store.outbox import PRIORITY, message_id_domain
from mailbot.store.tables import CampaignState, audience_members, campaigns, outbox

_RANDOM_BYTES: Final = 16  # of a Message-ID: a delivery report that names it has seen our mail


@dataclass(frozen=True, slots=True)
class Part:
    """What one call of `expand` did, and how far the campaign is."""

    members: int  # that it looked at; 0 where there was nothing to do
    is_last: bool  # nothing is left to do for now
    campaign: str = ""
    added: int = 0  # rows
    expanded: int = 0  # rows of this campaign in the outbox
    audience: int = 0  # members; who was erased since gets no row


def unexpanded(conn: Connection) -> list[int]:
    """The ids of campaigns under way whose audience is not yet all in the outbox."""
    return list(conn.execute(
        select(campaigns.c.id)
        .where(campaigns.c.state == CampaignState.SENDING, campaigns.c.expanded_at.is_(None))
        .order_by(campaigns.c.send_at, campaigns.c.id)
    ).scalars())  # fmt: skip


def expand(conn: Connection, campaign_id: int, *, our_domain: str, limit: int) -> Part:
    """Put the next `limit` members of the audience into the outbox.

    Resumable: how far it came is stored in the same transaction, and a person who is already
    queued for this campaign is not queued twice. A campaign that was paused or cancelled meanwhile
    takes no more.
    """
    may_copy(conn)
    campaign = conn.execute(
        select(campaigns.c.name, campaigns.c.expanded_to, campaigns.c.audience_count)
        .where(
            campaigns.c.id == campaign_id,
            campaigns.c.state == CampaignState.SENDING,
            campaigns.c.expanded_at.is_(None),
        )
        .with_for_update()
    ).first()
    if campaign is None:
        return Part(0, is_last=True)
    reached = campaign.expanded_to or ""
    last, members = conn.execute(_NEXT, {"of": campaign_id, "after": reached, "limit": limit}).one()
    added = 0
    if members:
        at = now(conn)
        added = conn.execute(_ADD[conn.dialect.name], {
            "of": campaign_id, "after": reached, "through": last, "at": at, "mark": _mark(at),
            "random": secrets.token_bytes(_RANDOM_BYTES * members),
            "end": f"@{message_id_domain(our_domain)}>",
        }).rowcount  # fmt: skip
    is_last = members < limit
    expanded: int = conn.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(
            expanded_to=last or campaign.expanded_to,
            expanded_count=campaigns.c.expanded_count + added,
            expanded_at=DatabaseTime() if is_last else None,
        )
        .returning(campaigns.c.expanded_count)
    ).scalar_one()
    return Part(members, is_last, campaign.name, added, expanded, campaign.audience_count)


def _mark(at: datetime) -> str:
    """The beginning of a part's Message-IDs: the index of them then grows at its end."""
    return f"<{int(at.timestamp() * 1000):011x}"


_part = (
    select(audience_members.c.person_hash)
    .where(
        audience_members.c.campaign_id == bindparam("of"),
        audience_members.c.person_hash > bindparam("after"),
    )
    .order_by(audience_members.c.person_hash)
    .limit(bindparam("limit"))
    .subquery()
)
_NEXT: Final = select(func.max(_part.c.person_hash), func.count()).select_from(_part)


def _adding(dialect: Any, as_hex: Any) -> Insert:
    """INSERT … SELECT: no row leaves the database. `as_hex` is its SQL for 16 random bytes."""
    member = audience_members.c
    number = cast(func.row_number().over(order_by=member.person_hash), Integer)
    random = bindparam("random", type_=LargeBinary())
    their_own = func.substr(random, _RANDOM_BYTES * (number - 1) + 1, _RANDOM_BYTES)
    columns = {
        outbox.c.kind: literal(MessageKind.CAMPAIGN.value),
        outbox.c.campaign_id: member.campaign_id,
        outbox.c.address: member.address,
        outbox.c.person_hash: member.person_hash,
        outbox.c.untagged_hash: member.untagged_hash,
        outbox.c.fields: member.fields,
        outbox.c.priority: literal(PRIORITY[MessageKind.CAMPAIGN]),
        outbox.c.state: literal(State.QUEUED.value),
        outbox.c.not_before: bindparam("at", type_=UtcDateTime()),
        outbox.c.created_at: bindparam("at", type_=UtcDateTime()),
        outbox.c.message_id: (
            bindparam("mark", type_=String()) + as_hex(their_own) + bindparam("end", type_=String())
        ),
    }  # fmt: skip
    chosen = (
        select(*columns.values())
        .where(
            member.campaign_id == bindparam("of"),
            member.person_hash > bindparam("after"),
            member.person_hash <= bindparam("through"),
            member.address.is_not(None),  # of who was erased since
        )
        .order_by(member.person_hash)
    )
    adding = dialect.insert(outbox).from_select(list(columns), chosen).on_conflict_do_nothing()
    counted: Insert = adding.execution_options(preserve_rowcount=True)
    return counted


_ADD: Final = {
    "sqlite": _adding(sqlite, lambda some: func.lower(func.hex(some), type_=String())),
    "postgresql": _adding(postgresql, lambda some: func.encode(some, "hex", type_=String())),
}
