"""What intake remembers of a mailbox: its watermarks, who reads it, and since when it is blind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from mailbot.store import leases
from mailbot.store.columns import DatabaseTime, insert_unless_there
from mailbot.store.engine import now
from mailbot.store.tables import mailbox_leases, watermarks


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a folder was read; `last_uid` 0 where it never was."""

    last_uid: int
    is_first_scan: bool  # what it holds is history: heard, but not acknowledged


def watermark(conn: Connection, account: str, folder: str, uidvalidity: int) -> Watermark:
    """The watermark of (account, folder, UIDVALIDITY).

    A folder that was read before under another UIDVALIDITY (RFC 3501 §2.3.1.1) starts again from
    its first mail; that is no first scan, since its history was heard.
    """
    rows = conn.execute(
        select(watermarks).where(watermarks.c.account == account, watermarks.c.folder == folder)
    ).all()
    return Watermark(
        last_uid=max((row.last_uid for row in rows if row.uidvalidity == uidvalidity), default=0),
        is_first_scan=all(row.first_scan_done_at is None for row in rows),
    )


def advance(conn: Connection, account: str, folder: str, uidvalidity: int, last_uid: int) -> None:
    """Move the watermark forward; never back."""
    place = {"account": account, "folder": folder, "uidvalidity": uidvalidity}
    insert_unless_there(conn, watermarks, {**place, "last_uid": 0, "moved_at": now(conn)})
    conn.execute(
        update(watermarks)
        .where(_is_at(account, folder, uidvalidity), watermarks.c.last_uid < last_uid)
        .values(last_uid=last_uid, moved_at=DatabaseTime())
    )


def finish_first_scan(conn: Connection, account: str, folder: str, uidvalidity: int) -> None:
    """From now on what arrives is news."""
    advance(conn, account, folder, uidvalidity, 0)
    conn.execute(
        update(watermarks)
        .where(_is_at(account, folder, uidvalidity), watermarks.c.first_scan_done_at.is_(None))
        .values(first_scan_done_at=DatabaseTime())
    )


def forget(conn: Connection, account: str) -> int:
    """Read every folder of this mailbox again from its first mail; replay changes nothing."""
    return conn.execute(delete(watermarks).where(watermarks.c.account == account)).rowcount


def _is_at(account: str, folder: str, uidvalidity: int) -> ColumnElement[bool]:
    return (
        (watermarks.c.account == account)
        & (watermarks.c.folder == folder)
        & (watermarks.c.uidvalidity == uidvalidity)
    )


def acquire_lease(conn: Connection, account: str, *, claimed_by: str, lease_seconds: float) -> bool:
    """Take or extend the right to read this mailbox; False while another daemon has it."""
    insert_unless_there(conn, mailbox_leases, {"account": account})
    taken = conn.execute(
        update(mailbox_leases)
        .where(
            mailbox_leases.c.account == account,
            or_(
                mailbox_leases.c.claimed_by.is_(None),
                mailbox_leases.c.claimed_by == claimed_by,
                leases.is_over(mailbox_leases.c.lease_until),
            ),
        )
        .values(claimed_by=claimed_by, lease_until=DatabaseTime(lease_seconds))
    )
    return taken.rowcount == 1


def release_lease(conn: Connection, account: str, *, claimed_by: str) -> None:
    """Let another daemon read this mailbox at once."""
    conn.execute(
        update(mailbox_leases)
        .where(mailbox_leases.c.account == account, mailbox_leases.c.claimed_by == claimed_by)
        .values(claimed_by=None, lease_until=None)
    )


def heard(conn: Connection, account: str) -> None:
    """Every folder was looked at just now: the mailbox is not blind."""
    insert_unless_there(conn, mailbox_leases, {"account": account})
    conn.execute(
        update(mailbox_leases)
        .where(mailbox_leases.c.account == account)
        .values(heard_at=DatabaseTime(), blind_since=None, blind_because=None)
    )


def blind(conn: Connection, account: str, because: str) -> datetime:
    """The mailbox cannot be read; returns since when."""
    insert_unless_there(conn, mailbox_leases, {"account": account})
    conn.execute(
        update(mailbox_leases)
        .where(mailbox_leases.c.account == account, mailbox_leases.c.blind_since.is_(None))
        .values(blind_since=DatabaseTime())
    )
    conn.execute(
        update(mailbox_leases)
        .where(mailbox_leases.c.account == account)
        .values(blind_because=because)
    )
    since: datetime = conn.execute(
        select(mailbox_leases.c.blind_since).where(mailbox_leases.c.account == account)
    ).scalar_one()
    return since


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """What `status` and `check` say about one mailbox."""

    account: str
    claimed_by: str | None
    heard_at: datetime | None
    blind_since: datetime | None
    blind_because: str | None


def statuses(conn: Connection) -> list[MailboxStatus]:
    """Every mailbox that was ever read, by name."""
    rows = conn.execute(select(mailbox_leases).order_by(mailbox_leases.c.account))
    return [
        MailboxStatus(row.account, row.claimed_by, row.heard_at, row.blind_since, row.blind_because)
        for row in rows
    ]
