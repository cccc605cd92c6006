"""The claimed rows that wait for a line, and which of them goes next.

Order status and acknowledgements overtake every campaign, and one line is theirs alone: they never
wait for marketing that is on its way. Nothing goes to a domain faster than it takes mail; what
waits for one domain lets the others by.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

import structlog

from mailbot.core.eligibility import MessageKind
from mailbot.core.smtp_replies import Welcome
from mailbot.outbound.delivery import boot_seconds
from mailbot.outbound.domains import Domains
from mailbot.store.outbox import ClaimedRow

log = structlog.get_logger()


class WaitingRows:
    """Rows go in as they are claimed, and come out to lines that say when they are done."""

    def __init__(self, domains: Domains, lines: int) -> None:
        self._domains = domains
        self._urgent, self._offers = _Queue(domains), _Queue(domains)
        self._lines_for_offers = max(1, lines - 1)
        self._offers_under_way = 0
        self._asking: deque[asyncio.Future[None]] = deque()

    @property
    def ready(self) -> int:
        """How many rows wait for a line alone, as far as is known."""
        return len(self._urgent.rows) + len(self._offers.rows)

    def put(self, rows: Iterable[ClaimedRow]) -> None:
        for row in rows:
            is_offer = row.kind is MessageKind.CAMPAIGN
            (self._offers if is_offer else self._urgent).rows.append(row)
            self._wake_one()

    async def take(self) -> ClaimedRow:
        """The next row for this line, waited for. To be followed by `done`."""
        while (row := self.take_at_once()) is None:
            asked = asyncio.get_running_loop().create_future()
            self._asking.append(asked)
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._until_a_pause_ends()):
                        await asked
            except asyncio.CancelledError:
                if asked.done() and not asked.cancelled():
                    self._wake_one()  # it was our turn: somebody else takes it
                raise
            finally:
                with suppress(ValueError):
                    self._asking.remove(asked)
        return row

    def done(self, row: ClaimedRow, welcome: Welcome) -> None:
        """The line that took `row` is free again; what was said of our pace."""
        for slowed in self._domains.ended(_domain(row), welcome, boot_seconds()):
            log.warning(
                "domain_slowed" if slowed.domain else "relay_slowed",
                domain=slowed.domain or None,
                at_once=slowed.at_once,
                seconds_between=slowed.seconds_between,
            )
        if row.kind is MessageKind.CAMPAIGN:
            self._offers_under_way -= 1
        self._wake_one()

    def take_all(self) -> list[ClaimedRow]:
        """Every row that no line took yet; they wait no more."""
        return [*self._urgent.take_all(), *self._offers.take_all()]

    def take_too_many(self, most: int) -> list[ClaimedRow]:
        """The offers that wait for their domains beyond `most`, the last first."""
        return self._offers.take_held_beyond(most)

    def take_at_once(self) -> ClaimedRow | None:
        """The row that `take` would answer without waiting; None where there is none."""
        now = boot_seconds()
        row = self._urgent.take(now)
        if row is None and self._offers_under_way < self._lines_for_offers:
            row = self._offers.take(now)
            self._offers_under_way += row is not None
        if row is not None:
            self._domains.started(_domain(row), now)
        return row

    def _until_a_pause_ends(self) -> float | None:
        if not (self._urgent.held or self._offers.held):
            return None
        now = boot_seconds()
        ends_at = self._domains.next_at(now)
        return None if ends_at is None else ends_at - now

    def _wake_one(self) -> None:
        while self._asking:
            asked = self._asking.popleft()
            if not asked.done():
                asked.set_result(None)
                return


class _Queue:
    """Rows in their order; those whose domain has to wait stand aside, each domain for itself."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains
        self.rows: deque[ClaimedRow] = deque()
        self.held: dict[str, deque[ClaimedRow]] = {}

    def take(self, now: float) -> ClaimedRow | None:
        """The oldest row that may start."""
        for domain, rows in self.held.items():
            if self._domains.may_start(domain, now):
                row = rows.popleft()
                if not rows:
                    del self.held[domain]
                return row
        while self.rows:
            row = self.rows.popleft()
            domain = _domain(row)
            if domain not in self.held and self._domains.may_start(domain, now):
                return row
            self.held.setdefault(domain, deque()).append(row)
        return None

    def take_held_beyond(self, most: int) -> list[ClaimedRow]:
        taken: list[ClaimedRow] = []
        held = sum(map(len, self.held.values()))
        while held - len(taken) > most:
            longest = max(self.held, key=lambda domain: len(self.held[domain]))
            taken.append(self.held[longest].pop())
        self.held = {domain: rows for domain, rows in self.held.items() if rows}
        return taken

    def take_all(self) -> list[ClaimedRow]:
        rows = [row for rows in self.held.values() for row in rows] + list(self.rows)
        self.held.clear()
        self.rows.clear()
        return rows


def _domain(row: ClaimedRow) -> str:
    """As it stands in the address; "" once that is erased."""
    return (row.address or "").rpartition("@")[2].lower()
