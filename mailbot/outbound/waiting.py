"""The claimed rows that wait for a line, and which of them goes next.

Order status and acknowledgements overtake every campaign, and one line is theirs alone: they never
wait for marketing that is on its way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from mailbot.core.eligibility import MessageKind
from mailbot.store.outbox import ClaimedRow


class WaitingRows:
    """Rows go in as they are claimed, and come out to lines that say when they are done."""

    def __init__(self, lines: int) -> None:
        self._urgent: deque[ClaimedRow] = deque()
        self._offers: deque[ClaimedRow] = deque()
        self._lines_for_offers = max(1, lines - 1)
        self._offers_under_way = 0
        self._asking: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._offers)

    def put(self, rows: Iterable[ClaimedRow]) -> None:
        for row in rows:
            is_offer = row.kind is MessageKind.CAMPAIGN
            (self._offers if is_offer else self._urgent).append(row)
            self._wake_one()

    async def take(self) -> ClaimedRow:
        """The next row for this line, waited for. To be followed by `done`."""
        while (row := self._next()) is None:
            asked = asyncio.get_running_loop().create_future()
            self._asking.append(asked)
            try:
                await asked
            except asyncio.CancelledError:
                if asked in self._asking:
                    self._asking.remove(asked)
                else:
                    self._wake_one()  # it was our turn: somebody else takes it
                raise
        return row

    def done(self, row: ClaimedRow) -> None:
        """The line that took `row` is free again."""
        if row.kind is MessageKind.CAMPAIGN:
            self._offers_under_way -= 1
            self._wake_one()

    def take_all(self) -> list[ClaimedRow]:
        """Every row that no line took yet; they wait no more."""
        rows = [*self._urgent, *self._offers]
        self._urgent.clear()
        self._offers.clear()
        return rows

    def _next(self) -> ClaimedRow | None:
        if self._urgent:
            return self._urgent.popleft()
        if self._offers and self._offers_under_way < self._lines_for_offers:
            self._offers_under_way += 1
            return self._offers.popleft()
        return None

    def _wake_one(self) -> None:
        while self._asking:
            asked = self._asking.popleft()
            if not asked.done():
                asked.set_result(None)
                return
