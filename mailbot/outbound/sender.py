"""The sender: claims due rows and sends them over a handful of connections to the relay.

Claim → commit the attempt → look at the list → MAIL, RCPT, DATA → record. The steps of one message
stand in delivery.py, leases in claims.py; here is who does them, when, and what happens when the
relay, the database or the daemon stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

import structlog

from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import (
    InputError,
    RelayError,
    RelayRefused,
    StoreError,
    StoreUnavailable,
)
from mailbot.core.outbox_states import State
from mailbot.core.smtp_replies import Outcome, Stage
from mailbot.outbound.breaker import Breaker
from mailbot.outbound.claims import Claims
from mailbot.outbound.delivery import (
    Attempt,
    Delivered,
    ListMemory,
    Outgoing,
    Settlement,
    Stopped,
    boot_seconds,
    deliver,
    settle,
)
from mailbot.outbound.line import Line, RelayClient
from mailbot.store import deliveries, switches
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Database
from mailbot.store.outbox import ClaimedRow

log = structlog.get_logger()

_IDLE_SECONDS = 1.0  # between two looks for due rows when there are none
_CLOSE_AFTER_SECONDS = 20.0  # an idle connection is not kept from other clients of the relay
_FOR_EVER = 1_000_000_000  # tries


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
    ) -> None:
        self._database = database
        self._plan = plan
        self._connect = connect
        self._connections = connections
        self._composers = composers
        self._claims = Claims(database, claimed_by, plan.lease_seconds)
        self._settlement = Settlement(timedelta(hours=plan.retry_hours), policy_version)
        self._sends_marketing = sends_marketing
        self._relay = Breaker()
        self._marketing = Breaker()  # our marketing sender was refused: order status goes on
        self._list = ListMemory()
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
        heart = asyncio.create_task(self._claims.beat())
        workers = [asyncio.create_task(self._work()) for _ in range(self._connections)]
        for task in (heart, *workers):
            task.add_done_callback(lambda _: stop.set())
        try:
            await self._claim_until(stop)
            await self._claims.give_back_waiting()
            await self._finish()
        finally:
            for task in (heart, *workers):
                task.cancel()
            ends = await asyncio.gather(heart, *workers, return_exceptions=True)
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
        return self._claims.waiting.qsize() <= self._connections

    async def _claim(self) -> bool:
        """Claim a batch when the workers run low; whether there were rows."""
        at = boot_seconds()
        if self._relay.is_open(at) or not self._is_running_low():
            self.progressed_at = at
            return False
        try:
            count = await self._claims.take(
                # While the relay is in doubt one row asks for all.
                1 if self._relay.failures else self._plan.batch_size,
                with_campaigns=self._sends_marketing and not self._marketing.is_open(at),
            )
        except StoreError as error:
            log.error("claim_failed", why=str(error))
            return False
        self.progressed_at = boot_seconds()
        return count > 0

    async def _work(self) -> None:
        """One connection's worth of sending."""
        line = Line()
        try:
            while True:
                try:
                    # Not wait_for: on 3.11 it swallows a cancellation that meets a row.
                    async with asyncio.timeout(_CLOSE_AFTER_SECONDS if line.connection else None):
                        row = await self._claims.waiting.get()
                except TimeoutError:
                    await line.close()
                    continue
                self._in_flight += 1
                self._quiet.clear()
                try:
                    await self._carry(line, row)
                except Exception:
                    # A fault of ours: the lease runs out, and the row is looked at again.
                    log.exception("worker_failed", outbox_id=row.id)
                    line.drop()
                finally:
                    self._in_flight -= 1
                    if not self._in_flight:
                        self._quiet.set()
                    self._claims.forget(row.id)
                    if self._is_running_low():
                        self._woken.set()
        finally:
            line.drop()

    async def _carry(self, line: Line, row: ClaimedRow) -> None:
        """One row over one line, which is opened before and kept clean after."""
        if line.connection is None:
            line.connection, line.carried = await self._open(row), 0
        if line.connection is None:
            return
        delivered = await self._send(line.connection, row)
        line.carried += 1
        self._note(row, delivered, is_fresh=line.carried == 1)
        if not delivered.is_connected:
            line.drop()
        elif line.carried >= self._plan.messages_per_connection:
            await line.close()
        elif not delivered.is_clean:
            await line.clean()

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
        await self._claims.give_back([row.id])
        return None

    async def _send(self, connection: RelayClient, row: ClaimedRow) -> Delivered:
        """Compose, begin the attempt, deliver, record."""
        outgoing: Outgoing | None = None
        fault = "the address was erased"
        if row.address is not None:
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
        attempt = await self._begin(row)
        if attempt is None:
            return Delivered(None)
        if outgoing is None:
            state = State.CANCELLED if row.address is None else State.REJECTED
            delivered = Delivered(attempt.ends(state, fault))
        else:
            delivered = await self._deliver(connection, attempt, outgoing)
        if delivered.outcome is not None:
            await self._record(attempt, delivered.outcome)
        return delivered

    async def _begin(self, row: ClaimedRow) -> Attempt | None:
        """Make the attempt durable; None where the lease is lost or the database is away."""
        try:
            attempt_id = await self._database.commit(
                lambda conn: deliveries.begin_attempt(
                    conn,
                    row.id,
                    claimed_by=self._claims.claimed_by,
                    lease_seconds=self._plan.lease_seconds,
                )
            )
        except StoreError as error:
            log.error("attempt_not_begun", outbox_id=row.id, why=str(error))
            return None  # the lease runs out, and the row is queued again
        if attempt_id is None:
            return None
        return Attempt(
            row, attempt_id, self._claims.claimed_by, lambda: self._claims.is_sure(row.id)
        )

    async def _deliver(
        self, connection: RelayClient, attempt: Attempt, outgoing: Outgoing
    ) -> Delivered:
        try:
            delivered = await deliver(self._database, connection, attempt, outgoing, self._list)
            if self._list.went_back:
                await self._distrust_list()
            return delivered
        except StoreError as error:
            # Nothing leaves while the list cannot be read.
            log.error("look_failed", outbox_id=attempt.row.id, why=str(error))
            return Delivered(attempt.ends(State.QUEUED, f"the list could not be read: {error}"))
        except Stopped as stopped:
            connection.abort()
            is_past_data = stopped.stage is Stage.DOT
            state = State.UNCERTAIN if is_past_data else State.QUEUED
            await self._record(attempt, attempt.ends(state, str(stopped)), tries=3)
            raise

    async def _distrust_list(self) -> None:
        """Stop all marketing until somebody has looked: mailbot restore accept."""
        what = self._list.went_back
        log.critical("list_went_back", what=what)
        try:
            await self._database.commit(
                lambda conn: switches.turn(conn, switches.LIST_DISTRUSTED, is_on=True, because=what)
            )
        except StoreError as error:
            log.error("marketing_not_stopped", why=str(error))  # the next look says it again
        else:
            self._list = ListMemory()  # the switch keeps watch from here on

    async def _record(
        self, attempt: Attempt, outcome: DeliveryOutcome, tries: int = _FOR_EVER
    ) -> None:
        """Write the outcome down, however long the database takes: it is known only here."""
        pause = 0.2
        for _ in range(tries):
            try:
                state = await self._database.commit(
                    lambda conn: settle(conn, attempt, outcome, self._settlement)
                )
            except StoreUnavailable as error:
                log.error(
                    "outcome_not_recorded",
                    outbox_id=attempt.row.id,
                    outcome=outcome.state,
                    why=str(error),
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10)
                continue
            _tell(attempt, outcome, state)
            return

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


_EVENTS = {
    State.SENT: "message_sent",
    State.WITHHELD: "message_withheld",
    State.DEFERRED: "message_deferred",
    State.BOUNCED: "message_bounced",
    State.REJECTED: "message_rejected",
    State.EXPIRED: "message_expired",
    State.UNCERTAIN: "message_uncertain",
    State.QUEUED: "message_queued_again",
    State.CANCELLED: "message_cancelled",
}
_WORTH_A_LOOK = frozenset({State.REJECTED, State.EXPIRED, State.UNCERTAIN})
# An order the customer is not told about: the shop has to know.
_ORDER_WORTH_A_LOOK = _WORTH_A_LOOK | {State.BOUNCED, State.WITHHELD}


def _tell(attempt: Attempt, outcome: DeliveryOutcome, state: State | None) -> None:
    bound = log.bind(
        outbox_id=attempt.row.id,
        message_kind=attempt.row.kind,
        person=attempt.row.person.person_hash[:12],
        list_sequence=outcome.list_sequence,
    )
    why = outcome.withheld_reason or outcome.reply
    is_order = attempt.row.kind is MessageKind.ORDER_STATUS
    if state is None:
        bound.warning("outcome_came_late", outcome=outcome.state, why=why)
    elif state in (_ORDER_WORTH_A_LOOK if is_order else _WORTH_A_LOOK):
        bound.warning(_EVENTS[state], why=why)
    else:
        bound.info(_EVENTS[state], why=why)
