"""Whether the list is what the ledger left: its sum, and where that differs, what and where.

One pass over the list, in no order, and a sum of fixed size: memory stays flat. Only where the sum
differs is each event about many looked at, with the entries of one in memory at a time.
"""

from __future__ import annotations

from sqlalchemy import Connection, Row, and_, exists, or_, select

from mailbot.core.consent import ADDS, ENDS, Reason, batch_digest
from mailbot.core.list_sum import ListSum
from mailbot.store.ledger import LedgerFault, Walked
from mailbot.store.tables import consent_events, ledger_head, suppressions

_PAGE = 1000  # rows fetched at once


def sum_of_list(conn: Connection) -> ListSum:
    """The sum of the list as it stands, entry by entry."""
    listed = suppressions.c
    chosen = select(listed.person_hash, listed.reason, listed.untagged_hash, listed.sequence)
    # On the statement: on the connection the option would stay, for whatever comes after.
    with conn.execute(chosen.execution_options(yield_per=_PAGE)) as rows:
        return ListSum().changed(gone=(), come=rows)


def changed_list(conn: Connection, walked: Walked) -> LedgerFault | None:
    """Whether an entry was deleted, put in, moved or altered since the last event of the ledger."""
    if walked.astray:
        return LedgerFault(
            walked.astray,
            f"the sum of the list beside the ledger's head was changed before event "
            f"{walked.astray}, so that nothing proves the list any more",
        )
    found = sum_of_list(conn)
    kept = ListSum.of_text(conn.execute(select(ledger_head.c.list_sum)).scalar_one())
    left = walked.left
    if left is None:  # nothing was recorded since the list is summed, or nothing at all
        left = kept.digest if kept is not None and walked.head.sequence else ListSum().digest
    if found.digest != left:
        counted = kept.entries if kept is not None and kept.digest == left else None
        return _what_and_where(conn, walked.head.sequence, found.entries, counted)
    if kept != found:
        what = "the sum of the list beside the ledger's head was changed; the list was not"
        return LedgerFault(walked.head.sequence, what)
    return None


def _what_and_where(conn: Connection, last: int, found: int, counted: int | None) -> LedgerFault:
    where = _batch_at_fault(conn)
    if where is not None:
        return where
    if counted is None:
        what = f"the list is not as event {last} left it"
    elif counted == found:
        what = (
            f"the list has {found} entries, as event {last} left it, but not the same: "
            "one was altered, or one exchanged for another"
        )
    else:
        more = abs(counted - found)
        were = "was" if more == 1 else "were"
        done = f"{more} {were} {'deleted' if found < counted else 'put in'}"
        what = (
            f"event {last} left {counted} entries on the list, and {found} stand there: "
            f"{done} behind mailbot"
        )
    return LedgerFault(last, what)


def _batch_at_fault(conn: Connection) -> LedgerFault | None:
    """The first event about many whose entries can be told to be others than it named."""
    chosen = (
        select(consent_events)
        .where(consent_events.c.batch_digest.is_not(None), consent_events.c.kind.in_(sorted(ADDS)))
        .order_by(consent_events.c.sequence)
    )
    with conn.execute(chosen.execution_options(yield_per=_PAGE)) as events:
        for event in events:
            fault = _fault_of_batch(conn, event)
            if fault is not None:
                return fault
    return None


def _fault_of_batch(conn: Connection, event: Row[tuple[object, ...]]) -> LedgerFault | None:
    entries = select(suppressions.c.person_hash).where(suppressions.c.sequence == event.sequence)
    hashes = conn.execute(entries).scalars().all()
    missing = event.batch_count - len(hashes)
    if missing == 0 and batch_digest(hashes) != event.batch_digest:
        return LedgerFault(
            event.sequence,
            f"event {event.sequence} put {event.batch_count} on the list, and as many stand "
            "there, but not the same: an entry was moved to another person",
        )
    if missing > 0 and not _may_have_left(conn, event):
        return LedgerFault(
            event.sequence,
            f"event {event.sequence} put {event.batch_count} on the list for {event.kind}, "
            f"nothing took any of them off, and {missing} "
            f"{'is' if missing == 1 else 'are'} not there",
        )
    return None


def _may_have_left(conn: Connection, event: Row[tuple[object, ...]]) -> bool:
    """Whether a later event could have ended or renewed an entry of this one."""
    ending = sorted(kind for kind, ended in ENDS.items() if Reason(event.kind) in ended)
    other = consent_events.c
    return conn.execute(
        select(
            exists().where(
                other.sequence != event.sequence,
                or_(
                    and_(other.kind.in_(ending), other.sequence > event.sequence),
                    and_(other.kind == event.kind, other.received_at >= event.received_at),
                ),
            )
        )
    ).scalar_one()
