"""The sender: claims due rows and sends them over a handful of connections to the relay.

Claim → commit the attempt → look at the list → MAIL, RCPT, DATA → record. The steps of one message
stand in delivery.py, what is asked of the database in rounds.py, leases in claims.py, who goes next
in waiting.py; here is who does them, when, and what happens when the relay, the database or the
daemon stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import InputError, RelayError, RelayRefused, StoreError
from mailbot.core.outbox_states import State
from mailbot.core.pace import NO_LIMITS, Limits
from mailbot.core.smtp_replies import Outcome, Stage, Welcome
from mailbot.outbound.breaker import Breaker
from mailbot.outbound.claims import Claims
from mailbot.outbound.delivery import Delivered, Outgoing, Stopped, boot_seconds, deliver
from mailbot.outbound.domains import Domains
from mailbot.outbound.line import Line, RelayClient
from mailbot.outbound.rounds import Begun, Rounds
from mailbot.outbound.settlement import Ended, Settlement
from mailbot.outbound.telling import Telling
from mailbot.outbound.waiting import WaitingRows
from mailbot.store.engine import Database
from mailbot.store.outbox import ClaimedRow

log = structlog.get_logger()

_IDLE_SECONDS = 1.0  # between two looks for due rows when there are none
_CLOSE_AFTER_SECONDS = 20.0  # an idle connection is not kept from other clients of the relay
_LAST_WORD_SECONDS = 2.0  # what the database gets for the outcomes that a stop leaves
_TELL_SECONDS = 10.0
_HELD_BATCHES = 2  # so many claimed batches may wait for slow domains
_HELD_BACK_SECONDS = 60.0


class Composer(Protocol):
    """Turns a claimed row into bytes with an envelope. Raises InputError where it cannot."""

    async def compose(self, row: ClaimedRow) -> Outgoing: ...


class SenderPlan(Protocol):
    """The settings the sender reads; config.SenderSettings is one."""

    @property
    def lease_seconds(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def retry_hours(self) -> float: ...
    @property
    def stop_seconds(self) -> float: ...
    @property
    def messages_per_connection(self) -> int: ...
    @property
    def domain_connections(self) -> int: ...


class Sender:
    """Runs until its stop event, then finishes what is in DATA and gives the rest back."""

    def __init__(
        self,
        database: Database,
        plan: SenderPlan,
        *,
        connect: Callable[[], RelayClient],
        connections: int,
        composers: Mapping[MessageKind, Composer],
        claimed_by: str,
        policy_version: str,
        sends_marketing: bool = True,
        pace: Limits = NO_LIMITS,
        before_offers: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`before_offers` is awaited before each claim of offers; where it raises, none is made."""
        self._before_offers = before_offers
        self._database = database
        self._plan = plan
        self._connect = connect
        self._connections = connections
        self._composers = composers
        self._claims = Claims(database, claimed_by, plan.lease_seconds, pace)
        domains = Domains(domain_connections=plan.domain_connections, connections=connections)
        self._waiting = WaitingRows(domains, connections)
        self._telling = Telling()
        settlement = Settlement(timedelta(hours=plan.retry_hours), policy_version)
        self._rounds = Rounds(database, self._claims, settlement, self._telling.tell)
        self._sends_marketing = sends_marketing
        self._relay = Breaker()
        self._marketing = Breaker()  # our marketing sender was refused: order status goes on
        self._in_flight = 0
        self._quiet = asyncio.Event()  # set while nothing is in flight
        self._quiet.set()
        self._woken = asyncio.Event()
        self.progressed_at = boot_seconds()

    def wake(self) -> None:
        """Something was queued: look at once."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set. Database and relay may go away and come back meanwhile.

        Raises what ended a worker or the heartbeat, if anything did: half a sender is none.
        """
        parts = [
            asyncio.create_task(part)
            for part in (self._claims.beat(), self._rounds.run(), self._keep_telling())
        ]
        lines = [asyncio.create_task(self._work()) for _ in range(self._connections)]
        for task in (*parts, *lines):
            task.add_done_callback(lambda _: stop.set())
        try:
            await self._claim_until(stop)
            await self._claims.give_back(self._waiting.take_all())
            await self._finish()
        finally:
            ends = await _ended(lines)
            await self._rounds.finish(_LAST_WORD_SECONDS)
            ends += await _ended(parts)
            self._telling.tell_counts()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _claim_until(self, stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._woken.clear()
                if await self._claim() and self._is_running_low():
                    continue
                woken = asyncio.create_task(self._woken.wait())
                await asyncio.wait(
                    {stopped, woken}, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                woken.cancel()
        finally:
            stopped.cancel()

    def _is_running_low(self) -> bool:
        return self._waiting.ready <= max(self._connections, self._plan.batch_size // 2)

    async def _claim(self) -> bool:
        """Claim a batch; whether there were rows. Order status is claimed however many wait."""
        at = boot_seconds()
        self.progressed_at = at
        if self._relay.is_open(at):
            return False
        with_campaigns = (
            self._sends_marketing and self._is_running_low() and not self._marketing.is_open(at)
        )
        try:
            rows = await self._claims.take(
                # While the relay is in doubt one row asks for all.
                1 if self._relay.failures else self._plan.batch_size,
                with_campaigns=with_campaigns and await self._may_take_offers(),
                waiting=self._waiting.ready,
            )
        except StoreError as error:
            log.error("claim_failed", why=str(error))
            return False
        self._waiting.put(rows)
        # What one slow domain keeps waiting must not fill the room of the others.
        too_many = self._waiting.take_too_many(self._plan.batch_size * _HELD_BATCHES)
        await self._claims.give_back(too_many, _HELD_BACK_SECONDS)
        self.progressed_at = boot_seconds()
        return bool(rows)

    async def _may_take_offers(self) -> bool:
        """Who left by the page is on the list before the next offers are claimed."""
        if self._before_offers is None:
            return True
        try:
            await self._before_offers()
        except StoreError as error:
            log.error("offers_not_claimed", why=str(error))
            return False
        return True

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            self._telling.tell_counts()

    async def _work(self) -> None:
        """One connection's worth of sending."""
        line = Line()
        try:
            while True:
                try:
                    # Not wait_for: on 3.11 it swallows a cancellation that meets a row.
                    row = self._waiting.take_at_once()
                    if row is None:
                        patience = _CLOSE_AFTER_SECONDS if line.connection else None
                        async with asyncio.timeout(patience):
                            row = await self._waiting.take()
                except TimeoutError:
                    await line.close()
                    continue
                self._in_flight += 1
                self._quiet.clear()
                said = Welcome.UNSAID
                try:
                    said = await self._carry(line, row)
                except Exception:
                    # A fault of ours: the lease runs out, and the row is looked at again.
                    log.exception("worker_failed", outbox_id=row.id)
                    self._claims.forget(row)
                    line.drop()
                finally:
                    self._waiting.done(row, said)
                    self._in_flight -= 1
                    if not self._in_flight:
                        self._quiet.set()
                    if self._is_running_low():
                        self._woken.set()
        finally:
            line.drop()

    async def _carry(self, line: Line, row: ClaimedRow) -> Welcome:
        """One row over one line, which is opened before and kept clean after.

        Returns what was said about our pace.
        """
        if not self._claims.holds(row):
            return Welcome.UNSAID  # it was claimed again while it waited, and stands behind
        if line.connection is None:
            line.connection, line.carried = await self._open(row), 0
        if line.connection is None:
            return Welcome.UNSAID
        delivered = await self._send(line.connection, row)
        line.carried += 1
        self._note(row, delivered, is_fresh=line.carried == 1)
        if not delivered.is_connected:
            line.drop()
        elif line.carried >= self._plan.messages_per_connection:
            await line.close()
        elif not delivered.is_clean:
            await line.clean()
        return delivered.welcome

    async def _open(self, row: ClaimedRow) -> RelayClient | None:
        """A new connection; where there is none, the row goes back and the breaker opens."""
        if not self._relay.is_open(boot_seconds()):
            connection = self._connect()
            try:
                await connection.connect()
            except RelayError as error:
                seconds = self._relay.fail(boot_seconds(), str(error))
                log.error(
                    "relay_unavailable",
                    why=str(error),
                    next_try_in=round(seconds, 1),
                    needs_a_person=isinstance(error, RelayRefused),
                )
            else:
                return connection
        await self._claims.give_back([row])
        return None

    async def _send(self, connection: RelayClient, row: ClaimedRow) -> Delivered:
        """Compose, begin the attempt, deliver, record."""
        outgoing: Outgoing | None = None
        fault = row.damage or "the address was erased"
        if row.address is not None and not row.damage:
            try:
                outgoing = await self._composers[row.kind].compose(row)
            except InputError as error:
                fault = str(error)
            except StoreError:
                raise
            except Exception:
                # A fault of ours, and the same at every further try: told once, not for ever.
                log.exception("message_not_composed", outbox_id=row.id)
                fault = "mailbot failed to compose it; its log says where"
        begun = await self._rounds.begin(row)
        if begun is None:
            self._claims.forget(row)
            return Delivered(None)
        attempt = begun.attempt
        if outgoing is None:
            state = State.CANCELLED if row.address is None else State.REJECTED
            delivered = Delivered(attempt.ends(state, fault))
        else:
            delivered = await self._deliver(connection, begun, outgoing)
        if delivered.outcome is not None:
            self._rounds.settle(Ended(attempt, delivered.outcome))
        return delivered

    async def _deliver(
        self, connection: RelayClient, begun: Begun, outgoing: Outgoing
    ) -> Delivered:
        attempt = begun.attempt
        try:
            return await deliver(connection, attempt, outgoing, begun)
        except StoreError as error:
            # Nothing leaves while the list cannot be read.
            log.error("look_failed", outbox_id=attempt.row.id, why=str(error))
            unread = attempt.ends(State.QUEUED, f"the list could not be read: {error}")
            return Delivered(unread, is_clean=False)  # it may have been a look before DATA
        except Stopped as stopped:
            connection.abort()
            is_past_data = stopped.stage is Stage.DOT
            state = State.UNCERTAIN if is_past_data else State.QUEUED
            self._rounds.settle(Ended(attempt, attempt.ends(state, str(stopped))))
            raise
        except Exception:
            self._rounds.let_go()  # a fault of ours, with an outcome that nobody knows
            raise

    def _note(self, row: ClaimedRow, delivered: Delivered, *, is_fresh: bool) -> None:
        """What an outcome says about the relay."""
        if delivered.said is None:
            return
        if delivered.said is Outcome.UNCERTAIN:
            # Where it loses every answer, a whole campaign would wait for a person's word.
            self._relay.fail(boot_seconds(), delivered.reply)
            return
        if delivered.said is not Outcome.RELAY_TROUBLE:
            self._relay.succeed()
            if row.kind is MessageKind.CAMPAIGN:
                self._marketing.succeed()
            return
        if not delivered.is_connected and not is_fresh:
            return  # an idle connection that the relay had closed: no sign of trouble
        is_about_marketing = row.kind is MessageKind.CAMPAIGN and delivered.is_connected
        breaker = self._marketing if is_about_marketing else self._relay
        seconds = breaker.fail(boot_seconds(), delivered.reply)
        log.error(
            "relay_trouble",
            why=delivered.reply,
            message_kind=row.kind,
            next_try_in=round(seconds, 1),
        )

    async def _finish(self) -> None:
        """What is in DATA may finish within the stop time-out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._plan.stop_seconds):
                await self._quiet.wait()


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> list[BaseException | None]:
    """Cancel what still runs; returns how each ended."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)
