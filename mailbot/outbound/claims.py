"""The rows this daemon holds: claimed under leases, kept alive by heartbeats, given back.

What is left of a lease is measured with CLOCK_BOOTTIME from before the database was asked: a
daemon that was frozen, or whose machine slept, knows that its leases are over when it wakes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from mailbot.core.errors import StoreError
from mailbot.core.pace import NO_LIMITS, Limits
from mailbot.outbound.delivery import boot_seconds
from mailbot.store import outbox
from mailbot.store.engine import Database
from mailbot.store.outbox import ClaimedRow

log = structlog.get_logger()

_MARGIN = 0.2  # of the lease: what clocks and a slow answer may eat


class Claims:
    """How sure the lease of each row is that this daemon holds."""

    def __init__(
        self,
        database: Database,
        claimed_by: str,
        lease_seconds: float,
        pace: Limits = NO_LIMITS,
    ) -> None:
        """`pace` holds for the offers of all campaigns together, whichever daemon claims them."""
        self.claimed_by = claimed_by
        self.lease_seconds = lease_seconds
        self._database = database
        self._pace = pace
        # Row id → the claim, and the boot time from which its lease counts. A row that went back to
        # the queue and was claimed anew is another claim: whoever has the old one is not sure.
        self._held: dict[int, tuple[ClaimedRow, float]] = {}

    async def take(self, limit: int, *, with_campaigns: bool, waiting: int = 0) -> list[ClaimedRow]:
        """Claim up to `limit` due rows, while `waiting` wait for a line. Raises StoreError."""
        at = boot_seconds()
        rows = await self._database.commit_quickly(
            lambda conn: outbox.claim(
                conn,
                claimed_by=self.claimed_by,
                lease_seconds=self.lease_seconds,
                limit=limit,
                with_campaigns=with_campaigns,
                pace=self._pace,
                waiting=waiting,
            )
        )
        for row in rows:
            self._held[row.id] = (row, at)
        return rows

    def holds(self, row: ClaimedRow) -> bool:
        """Whether this very claim is the latest of its row, and not done with."""
        return row.id in self._held and self._held[row.id][0] is row

    def is_sure(self, row: ClaimedRow) -> bool:
        """Whether the lease of this claim surely still holds."""
        if not self.holds(row):
            return False
        return boot_seconds() - self._held[row.id][1] < self.lease_seconds * (1 - _MARGIN)

    def forget(self, row: ClaimedRow) -> None:
        """This claim is done with."""
        if self.holds(row):
            del self._held[row.id]

    async def beat(self) -> None:
        """Heartbeats, until cancelled: the relay may take ten minutes for the final dot."""
        while True:
            await asyncio.sleep(self.lease_seconds / 4)
            held, at = list(self._held), boot_seconds()
            if not held:
                continue
            try:
                extended = await self._database.commit(
                    lambda conn, held=held: outbox.extend_leases(  # type: ignore[misc]
                        conn, held, claimed_by=self.claimed_by, lease_seconds=self.lease_seconds
                    )
                )
            except StoreError as error:
                log.error("heartbeat_failed", why=str(error))
                continue
            for row_id in self._held.keys() & set(extended):
                row, since = self._held[row_id]
                self._held[row_id] = (row, max(since, at))

    async def give_back(self, rows: Collection[ClaimedRow], wait_seconds: float = 0) -> None:
        """Rows that were not begun go back to the queue at once instead of with their lease.

        They are not due again before `wait_seconds` are over.
        """
        ids = [row.id for row in rows if self.holds(row)]
        for row in rows:
            self.forget(row)
        if not ids:
            return
        try:
            await self._database.commit(
                lambda conn: outbox.give_back(
                    conn, ids, claimed_by=self.claimed_by, wait_seconds=wait_seconds
                )
            )
        except StoreError as error:
            log.error("rows_not_given_back", count=len(ids), why=str(error))
