"""What all lines ask of the database, done together, round after round.

One transaction records the outcomes of messages that ended and begins the next attempts; when it
is durable, one look reads the list for all that were begun. So a line never has more than one row
in `sending`: its last outcome is in the same transaction as its next beginning, or in an earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from mailbot.core.errors import StoreError, StoreUnavailable
from mailbot.core.outbox_states import State
from mailbot.outbound.claims import Claims
from mailbot.outbound.delivery import Attempt, Seen, boot_seconds
from mailbot.outbound.list_memory import ListMemory
from mailbot.outbound.settlement import Ended, Settlement
from mailbot.store import deliveries, switches
from mailbot.store.engine import Connection, Database
from mailbot.store.outbox import ClaimedRow

log = structlog.get_logger()

# A round costs as much for one line as for ten, so it waits a moment for lines that are under way.
_GATHER_SECONDS = 0.002
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds between two tries of a database that is away

Tell = Callable[[Ended, State | None], None]


@dataclass(slots=True)
class Begun:
    """An attempt that is durable. Calling it answers with the look that was made right after, and
    from the second time on with a new one; raises StoreError where the list cannot be read.
    """

    attempt: Attempt
    _rounds: Rounds = field(repr=False)
    _first: asyncio.Future[Seen] | None = field(default=None, repr=False)

    async def __call__(self) -> Seen:
        first, self._first = self._first, None
        return await (first or self._rounds.look_again(self.attempt.row.id))


@dataclass(slots=True)
class _Beginning:
    """A line that waits for its row's attempt to be durable."""

    row: ClaimedRow
    begun: asyncio.Future[Begun | None]


class Rounds:
    """Shared by the lines of one sender; `run` does the work."""

    def __init__(
        self, database: Database, claims: Claims, settlement: Settlement, tell: Tell
    ) -> None:
        self._database, self._claims = database, claims
        self._settlement, self._tell = settlement, tell
        self._memory = ListMemory()
        self._ended: list[Ended] = []
        self._beginnings: list[_Beginning] = []
        self._under_way = 0  # lines that were handed an attempt and have not told its outcome
        self._gathered = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    async def begin(self, row: ClaimedRow) -> Begun | None:
        """Make the row's attempt durable; None where the lease is lost or the database is away."""
        begun: asyncio.Future[Begun | None] = asyncio.get_running_loop().create_future()
        self._beginnings.append(_Beginning(row, begun))
        self._wanted.set()
        return await begun

    def settle(self, ended: Ended) -> None:
        """Write the outcome down, however long the database takes: it is known only here."""
        self._ended.append(ended)
        self._settled.clear()
        self._wanted.set()
        self.let_go()

    def let_go(self) -> None:
        """A line has done with its attempt: no round waits for it any more."""
        self._under_way -= 1
        if not self._under_way:
            self._gathered.set()

    async def look_again(self, row_id: int) -> Seen:
        """Ask the list about one row. Raises StoreError."""
        future: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._start_look({row_id: future})
        return await future

    async def finish(self, seconds: float) -> None:
        """Wait until all outcomes are durable, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    async def run(self) -> None:
        """Round after round, until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._wanted.wait()
            await self._gather()
            self._wanted.clear()
            ended, self._ended = _one_of_each_row(self._ended)
            if self._ended:
                self._wanted.set()
            beginnings, self._beginnings = self._beginnings, []
            try:
                await self._round(ended, beginnings)
            except StoreUnavailable as error:
                self._tell_unavailable(error, ended, beginnings)
                self._ended = ended + self._ended
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._wanted.set()
                continue
            pause = _FIRST_PAUSE
            if not self._ended:
                self._settled.set()

    async def _gather(self) -> None:
        if self._under_way:
            self._gathered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_SECONDS):
                    await self._gathered.wait()

    # One round

    async def _round(self, ended: list[Ended], beginnings: Sequence[_Beginning]) -> None:
        """Takes out of `ended` what is settled. Raises StoreUnavailable."""
        for one in [one for one in ended if one.outcome.state is State.BOUNCED]:
            await self._settle_alone(one)  # see Settlement.settle
            ended.remove(one)
        rows: dict[int, _Beginning] = {}
        for beginning in beginnings:
            older = rows.get(beginning.row.id)  # the same row, claimed again while that one waited
            if older is not None and not older.begun.done():
                older.begun.set_result(None)
            rows[beginning.row.id] = beginning
        try:
            reached, attempts = await self._database.commit_quickly(
                partial(self._write, tuple(ended), tuple(rows))
            )
        except StoreUnavailable:
            raise
        except StoreError as error:
            # One of them is at fault: it must not keep the others from being written down.
            log.error("round_failed", why=str(error), count=len(ended) + len(rows))
            for one in tuple(ended):
                await self._settle_alone(one)
                ended.remove(one)
            reached, attempts = {}, {}
        for one in ended:
            self._told(one, reached.get(one.attempt.row.id))
        ended.clear()
        self._hand_out(rows, attempts)

    def _write(
        self, ended: Sequence[Ended], row_ids: Collection[int], conn: Connection
    ) -> tuple[Mapping[int, State], Mapping[int, int]]:
        reached = self._settlement.settle(conn, ended) if ended else {}
        attempts = deliveries.begin_attempts(
            conn,
            row_ids,
            claimed_by=self._claims.claimed_by,
            lease_seconds=self._claims.lease_seconds,
        ) if row_ids else {}  # fmt: skip
        return reached, attempts

    async def _settle_alone(self, one: Ended) -> None:
        try:
            reached = await self._database.commit(partial(self._write, (one,), ()))
        except StoreUnavailable:
            raise
        except StoreError:
            log.exception("outcome_lost", outbox_id=one.attempt.row.id, outcome=one.outcome.state)
            self._claims.forget(one.attempt.row)
        else:
            self._told(one, reached[0].get(one.attempt.row.id))

    def _told(self, one: Ended, state: State | None) -> None:
        self._claims.forget(one.attempt.row)
        self._tell(one, state)

    def _hand_out(self, rows: Mapping[int, _Beginning], attempts: Mapping[int, int]) -> None:
        """Let the lines go on, each with the look that is under way for all of them."""
        looks: dict[int, asyncio.Future[Seen]] = {}
        loop = asyncio.get_running_loop()
        for row_id, beginning in rows.items():
            attempt_id = attempts.get(row_id)
            if attempt_id is None:
                if not beginning.begun.done():
                    beginning.begun.set_result(None)
                continue
            attempt = Attempt(
                beginning.row, attempt_id, partial(self._claims.is_sure, beginning.row)
            )
            self._under_way += 1
            if beginning.begun.done():  # cancelled while it waited: nobody will send it
                self.settle(Ended(attempt, attempt.ends(State.QUEUED, "stopped before MAIL")))
                continue
            looks[row_id] = loop.create_future()
            beginning.begun.set_result(Begun(attempt, self, looks[row_id]))
        if looks:
            self._start_look(looks)

    # Looking

    def _start_look(self, waiting: Mapping[int, asyncio.Future[Seen]]) -> None:
        task = asyncio.create_task(self._look(waiting))
        self._tasks.add(task)  # or it might be collected before it ends
        task.add_done_callback(self._tasks.discard)

    async def _look(self, waiting: Mapping[int, asyncio.Future[Seen]]) -> None:
        known, asked_at = self._memory.furthest, boot_seconds()
        try:
            looks = await self._database.look_quickly(
                lambda conn: deliveries.look_before_sending(
                    conn, tuple(waiting), claimed_by=self._claims.claimed_by
                )
            )
            for row_id, future in waiting.items():
                look = looks.get(row_id)
                if look is None:
                    gone = f"message {row_id} is not in the outbox any more"
                    _fail(future, StoreError(gone, where=self._database.where))
                    continue
                distrust = self._memory.distrust(look.list_sequence, known)
                if distrust:
                    await self._distrust_list(distrust)
                if not future.done():
                    future.set_result(Seen(look, asked_at, distrust))
        except Exception as error:
            for future in waiting.values():
                _fail(future, error)

    async def _distrust_list(self, why: str) -> None:
        """Stop all marketing until somebody has looked: mailbot restore accept."""
        log.critical("list_went_back", what=why)
        try:
            await self._database.commit(
                lambda conn: switches.turn(conn, switches.LIST_DISTRUSTED, is_on=True, because=why)
            )
        except StoreError as error:
            log.error("marketing_not_stopped", why=str(error))  # the next look says it again
        else:
            self._memory = ListMemory()  # the switch keeps watch from here on

    # A database that is away

    def _tell_unavailable(
        self, error: StoreError, ended: Sequence[Ended], beginnings: Sequence[_Beginning]
    ) -> None:
        for one in ended:
            log.error(
                "outcome_not_recorded",
                outbox_id=one.attempt.row.id,
                outcome=one.outcome.state,
                why=str(error),
            )
        for beginning in beginnings:
            log.error("attempt_not_begun", outbox_id=beginning.row.id, why=str(error))
            if not beginning.begun.done():
                # The lease runs out, and the row is queued again.
                beginning.begun.set_result(None)


def _fail(look: asyncio.Future[Seen], error: Exception) -> None:
    if not look.done():
        look.set_exception(error)
        look.exception()  # a line that was cancelled meanwhile does not ask


def _one_of_each_row(ended: Sequence[Ended]) -> tuple[list[Ended], list[Ended]]:
    """The first attempt of each row, and those that a later round writes down.

    A late answer to one attempt may meet the outcome of the next.
    """
    first: dict[int, Ended] = {}
    later = [one for one in ended if first.setdefault(one.attempt.row.id, one) is not one]
    return list(first.values()), later
