"""What goes wrong with a campaign is counted against it, and pauses it where it is too much.

Whoever counts locks the campaign before its rows in the outbox, as whoever pauses it does. Only
the campaign's row is paused here: what is claimed comes back by the look before sending, which
reads the campaign's state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from mailbot.core.brakes import Braked, Trouble, braked, needed_to_go_on
from mailbot.core.errors import RefusedError
from mailbot.core.outbox_states import State, sources_of
from mailbot.store import campaign_changes, campaigns
from mailbot.store.campaign_changes import MAILBOT
from mailbot.store.campaigns import Campaign
from mailbot.store.columns import DatabaseTime, insert_unless_there
from mailbot.store.tables import CampaignState, campaign_complaints, outbox
from mailbot.store.tables import campaigns as rows

_COUNTED_IN: Final = {
    Trouble.COMPLAINTS: rows.c.complaints,
    Trouble.UNDELIVERABLE: rows.c.undeliverable,
}
_GONE_OUT: Final = (State.SENT, State.BOUNCED)
_STOPPABLE: Final = (CampaignState.SENDING, CampaignState.PAUSED)


def lock_of(conn: Connection, outbox_ids: Collection[int]) -> None:
    """Lock the campaigns of these messages, in their order, before the messages are locked."""
    theirs = select(outbox.c.campaign_id).where(
        outbox.c.id.in_(list(outbox_ids)), outbox.c.campaign_id.is_not(None)
    )
    locked = select(rows.c.id).where(rows.c.id.in_(theirs)).order_by(rows.c.id)
    conn.execute(locked.with_for_update(key_share=True)).all()


def count_refused(conn: Connection, outbox_ids: Collection[int]) -> frozenset[int]:
    """Count messages that the relay has just refused, their rows bounced in this transaction.

    Returns those of them whose campaign is stopped for its undeliverable addresses, by this or
    before: whoever they went to is not to be put on the list, since it may be the relay that is
    wrong.
    """
    return _count(conn, Trouble.UNDELIVERABLE, outbox_ids, {State.BOUNCED})


def count_reported(conn: Connection, outbox_ids: Collection[int]) -> frozenset[int]:
    """Count messages that a delivery report is about, before their rows are marked as bounced.

    One that is marked already was counted. Returns what `count_refused` does.
    """
    return _count(conn, Trouble.UNDELIVERABLE, outbox_ids, sources_of(State.BOUNCED))


def count_complaints(conn: Connection, outbox_ids: Collection[int]) -> None:
    """Count complaints about these messages, each message once."""
    of_campaigns = conn.execute(
        select(outbox.c.id, outbox.c.campaign_id)
        .where(outbox.c.id.in_(list(outbox_ids)), outbox.c.campaign_id.is_not(None))
        .order_by(outbox.c.id)
    ).all()
    new = [
        row.id
        for row in of_campaigns
        if insert_unless_there(conn, campaign_complaints, {
            "outbox_id": row.id, "campaign_id": row.campaign_id, "at": DatabaseTime(),
        })
    ]  # fmt: skip
    _count(conn, Trouble.COMPLAINTS, new, set(State))


def _count(
    conn: Connection, trouble: Trouble, outbox_ids: Collection[int], states: Collection[State]
) -> frozenset[int]:
    found = conn.execute(
        select(
            outbox.c.id, outbox.c.campaign_id, outbox.c.state, outbox.c.finished_at,
            rows.c.counted_from,
        )
        .join_from(outbox, rows, rows.c.id == outbox.c.campaign_id)
        .where(outbox.c.id.in_(list(outbox_ids)))
        .order_by(outbox.c.campaign_id, outbox.c.id)
    ).all()  # fmt: skip
    of_campaign: dict[int, list[Any]] = {}
    for row in found:
        of_campaign.setdefault(row.campaign_id, []).append(row)
    stopped: set[int] = set()
    for campaign_id, theirs in of_campaign.items():
        # What went out before a person let it go on is what that person knew of.
        new = [row for row in theirs if row.state in states and not _is_known(row)]
        if _add(conn, campaign_id, trouble, len(new)):
            stopped.update(row.id for row in theirs)
    return frozenset(stopped)


def _is_known(row: Any) -> bool:
    return (
        row.counted_from is not None
        and row.finished_at is not None
        and row.finished_at <= row.counted_from
    )


def _add(conn: Connection, campaign_id: int, trouble: Trouble, new: int) -> bool:
    """Whether the campaign is stopped for this, from now on or already."""
    counted = _COUNTED_IN[trouble]
    campaign = conn.execute(
        update(rows)
        .where(rows.c.id == campaign_id)
        .values({counted: counted + new})
        .returning(rows)
    ).one()
    events = getattr(campaign, trouble)
    enough = needed_to_go_on(trouble, events)
    if campaign.hold == trouble:
        return True
    if not new or campaign.known_sent >= enough:
        return False
    # A quarter more than is needed now: the next events need not count again.
    sent = _sent(conn, campaign_id, campaign.sent_before + enough + enough // 4)
    sent -= campaign.sent_before
    conn.execute(update(rows).where(rows.c.id == campaign_id).values(known_sent=sent))
    found = braked(trouble, events, sent)
    return found is not None and _stop(conn, campaign, found)


def _sent(conn: Connection, campaign_id: int, most: int | None = None) -> int:
    """How many messages of it went out, counted up to `most`."""
    gone = select(outbox.c.id).where(
        outbox.c.campaign_id == campaign_id, outbox.c.state.in_(_GONE_OUT)
    )
    counted: int = conn.execute(
        select(func.count()).select_from(gone.limit(most).subquery())
    ).scalar_one()
    return counted


def _stop(conn: Connection, campaign: Any, found: Braked) -> bool:
    if campaign.state not in _STOPPABLE or campaign.hold in set(Trouble):
        return False
    conn.execute(
        update(rows)
        .where(rows.c.id == campaign.id)
        .values(state=CampaignState.PAUSED, because=found.because, hold=found.trouble)
    )
    campaign_changes.note(
        conn, campaign.id, CampaignState.PAUSED, by=MAILBOT, because=found.because
    )
    return True


def resume(conn: Connection, name: str, *, by: str, despite_brake: bool = False) -> Campaign:
    """Let a paused campaign go on; one that a brake stopped only `despite_brake`.

    Then what was counted is counted no more: it stops again for what goes wrong from now on.
    Raises NotFoundError, RefusedError.
    """
    campaign = campaigns.get(conn, name)
    is_paused = campaign.state is CampaignState.PAUSED
    if not is_paused or campaign.hold not in set(Trouble):
        return campaigns.resume(conn, name, by=by)
    if not despite_brake:
        raise RefusedError(
            f"“{name}” stopped by itself: {campaign.because}.",
            next_step="Find out why. To go on all the same: add --despite-brake; or end it with "
            "mailbot campaign cancel.",
        )
    begun_anew: Mapping[str, object] = {
        "complaints": 0,
        "undeliverable": 0,
        "known_sent": 0,
        "sent_before": _sent(conn, campaign.id),
        "counted_from": DatabaseTime(),
    }
    because = f"despite the brake: {campaign.because}"
    return campaigns.resume(conn, name, by=by, because=because, stored=begun_anew)
