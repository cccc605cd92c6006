"""Who may be written to now, by pace: counted in the database, where every daemon counts.

Whoever counts holds the first row of `paces`. It is never waited for: while one daemon counts,
another claims its order status and comes back. A message whose domain has no place free is put off
to about when it has one, so that the next claim looks at others; it is counted when it goes, never
before. Where no pace is set none of this is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, tuple_, update

from mailbot.core.pace import CATCHES_UP, Limits, Pace
from mailbot.store.columns import DatabaseTime, UtcDateTime, insert_unless_there
from mailbot.store.engine import now
from mailbot.store.tables import outbox, paces

EVERYBODY: Final = 0  # instead of a campaign's id
LOOKED_AT: Final = 500  # rows a claim, where domains have a pace: most may have to wait
_NOT_LONGER: Final = timedelta(hours=1)  # put off: the pace may be changed meanwhile
_LONGEST_DOMAIN: Final = 255

_Key = tuple[int, str]

_FIRST_ROW = select(paces.c.domain).where(paces.c.campaign_id == EVERYBODY, paces.c.domain == "")
_PUT_OFF = (
    update(outbox)
    .where(outbox.c.id == bindparam("of_row"))
    .values(not_before=bindparam("later", type_=UtcDateTime()))
)


@dataclass(slots=True)
class _Line:
    """One pace while places on it are given away."""

    pace: Pace
    free: int
    put_off_to: datetime | None
    taken: int = 0


def may_count(conn: Connection) -> bool:
    """Lock the paces until the transaction ends; False where another daemon counts right now."""
    return conn.execute(_FIRST_ROW.with_for_update(skip_locked=True)).first() is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that is due."""

    id: int
    address: str


class Counting:
    """Gives places to the rows of one campaign. To be made after `may_count`, and then `stored`."""

    def __init__(
        self, conn: Connection, campaign_id: int, of_all: Limits, of_campaign: Limits, waiting: int
    ) -> None:
        """`waiting` is how many claimed rows wait for a line already."""
        self._conn = conn
        self._at = now(conn)
        self._waiting = waiting
        self._overall = self._read({
            (scope, ""): limits.per_hour
            for scope, limits in ((EVERYBODY, of_all), (campaign_id, of_campaign))
            if limits.per_hour
        })  # fmt: skip
        self._by_domain = {
            scope: limits.per_hour_and_domain
            for scope, limits in ((EVERYBODY, of_all), (campaign_id, of_campaign))
            if limits.per_hour_and_domain
        }
        self._lines: dict[_Key, _Line] = dict(self._overall)

    @property
    def has_domains(self) -> bool:
        """Whether domains have a pace."""
        return bool(self._by_domain)

    @property
    def free(self) -> int | None:
        """How many rows may go now, whomever to; None is any number."""
        return min((line.free for line in self._overall.values()), default=None)

    def choose(self, due: Sequence[Candidate], most: int) -> list[int]:
        """The ids of those, at most `most`, that may go now; the others, by domain, are put off."""
        domains = {row.id: _domain(row.address) for row in due}
        if self._by_domain:
            self._lines |= self._read({
                (scope, domain): per_hour
                for scope, per_hour in self._by_domain.items()
                for domain in sorted(set(domains.values()))
            })  # fmt: skip
        chosen: list[int] = []
        put_off: list[dict[str, object]] = []
        for row in due:
            theirs = [self._lines[scope, domains[row.id]] for scope in self._by_domain]
            if all(line.free for line in theirs):
                if len(chosen) == most:
                    break
                for line in (*theirs, *self._overall.values()):
                    line.free, line.taken = line.free - 1, line.taken + 1
                chosen.append(row.id)
            else:
                put_off.append({"of_row": row.id, "later": self._later(theirs)})
        if put_off:
            self._conn.execute(_PUT_OFF, put_off)
        self._store()
        return chosen

    def _later(self, lines: Sequence[_Line]) -> datetime:
        """About when a place on all of these lines is free, behind all that were put off before."""
        latest = self._at
        for line in lines:
            after = line.pace.took(line.taken, self._at)
            known = line.put_off_to
            line.put_off_to = after if known is None else max(after, known + line.pace.interval)
            latest = max(latest, line.put_off_to)
        for line in lines:
            line.put_off_to = min(latest, self._at + _NOT_LONGER)
        return min(latest, self._at + _NOT_LONGER)

    def _read(self, wanted: dict[_Key, int]) -> dict[_Key, _Line]:
        if not wanted:
            return {}
        found = {
            (row.campaign_id, row.domain): row
            for row in self._conn.execute(
                select(paces).where(tuple_(paces.c.campaign_id, paces.c.domain).in_(list(wanted)))
            )
        }
        lines = {}
        for key, per_hour in wanted.items():
            row = found.get(key)
            pace = Pace(per_hour, row.next_at if row else None)
            free = min(pace.allows(self._at), max(0, pace.at_once() - self._waiting))
            lines[key] = _Line(pace, free, row.put_off_to if row else None)
        return lines

    def _store(self) -> None:
        changed = [
            {"of_scope": scope, "of_domain": domain,
             "next_free": line.pace.took(line.taken, self._at), "off": line.put_off_to}
            for (scope, domain), line in self._lines.items()
            if line.taken or (domain and line.put_off_to)
        ]  # fmt: skip
        if not changed:
            return
        insert_unless_there(self._conn, paces, [
            {"campaign_id": one["of_scope"], "domain": one["of_domain"], "next_at": self._at}
            for one in changed
        ])  # fmt: skip
        self._conn.execute(_STORE, changed)


_STORE = (
    update(paces)
    .where(
        paces.c.campaign_id == bindparam("of_scope"), paces.c.domain == bindparam("of_domain")
    )
    .values(
        next_at=bindparam("next_free", type_=UtcDateTime()),
        put_off_to=bindparam("off", type_=UtcDateTime()),
    )
)  # fmt: skip


def next_place(conn: Connection, scopes: Collection[int]) -> datetime | None:
    """When a place is free on the paces of all these campaigns; None before the first message.

    A time that is past says that one is free now. Each domain's own pace is not asked.
    """
    newest = (
        select(paces.c.next_at)
        .where(paces.c.campaign_id.in_(list(scopes)), paces.c.domain == "")
        .order_by(paces.c.next_at.desc())
        .limit(1)
    )
    return conn.execute(newest).scalar()


def forget_idle(conn: Connection) -> None:
    """Forget the paces that say nothing any more: their next place is long free."""
    if not may_count(conn):
        return
    is_idle = and_(
        paces.c.next_at < DatabaseTime(-CATCHES_UP.total_seconds()),
        or_(paces.c.put_off_to.is_(None), paces.c.put_off_to < DatabaseTime()),
        or_(paces.c.campaign_id != EVERYBODY, paces.c.domain != ""),
    )
    conn.execute(delete(paces).where(is_idle))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()[:_LONGEST_DOMAIN]
