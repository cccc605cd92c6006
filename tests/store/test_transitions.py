"""Whatever daemons, people and relays do in whatever order: a row moves along TRANSITIONS only."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from mailbot.core.errors import RefusedError
from mailbot.core.outbox_states import TRANSITIONS, State
from mailbot.store import campaigns, deliveries, outbox, sent_messages
from mailbot.store.columns import DatabaseTime
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Database
from mailbot.store.tables import CampaignState
from mailbot.store.tables import outbox as rows
from tests.databases import Databases
from tests.people import person
from tests.store.filling import campaign_under_way, let_leases_run_out, queue_order_status

DAEMONS = ("daemon-1", "daemon-2")
PEOPLE = tuple(f"c{number}@example.org" for number in range(6))
ORDERS = 2
ROWS = st.integers(1, len(PEOPLE) + ORDERS)


class Outbox(RuleBasedStateMachine):
    """Two daemons over one outbox of a campaign and two order-status messages."""

    def __init__(self, databases: Databases) -> None:
        super().__init__()
        self.database = Database.open(databases.migrated())
        self.attempts: list[tuple[int, int]] = []  # (row, attempt) ever begun
        self.seen: dict[int, State] = {}
        self.steps = 1  # edges that one call may take

    @initialize()
    def fill(self) -> None:
        campaign_under_way(self.database, *PEOPLE)
        for who in PEOPLE[:ORDERS]:
            queue_order_status(self.database, who, key=f"order of {who}")
        self.seen = self.states()

    def states(self) -> dict[int, State]:
        with self.database.read() as conn:
            found = conn.execute(select(rows.c.id, rows.c.state))
            return {row.id: State(row.state) for row in found}

    @rule(daemon=st.sampled_from(DAEMONS), limit=st.integers(1, 8))
    def claim(self, daemon: str, limit: int) -> None:
        with self.database.write() as conn:
            outbox.claim(
                conn, claimed_by=daemon, lease_seconds=60, limit=limit, with_campaigns=True
            )

    @rule(daemon=st.sampled_from(DAEMONS))
    def begin(self, daemon: str) -> None:
        """A daemon begins whatever is there; the store lets it begin its own claims alone."""
        for row_id in self.seen:
            with self.database.write() as conn:
                begun = deliveries.begin_attempts(
                    conn, [row_id], claimed_by=daemon, lease_seconds=60
                )
            self.attempts.extend(begun.items())

    @rule(data=st.data(), state=st.sampled_from(State))
    def record(self, data: st.DataObject, state: State) -> None:
        """Any outcome, timely or late, of any attempt ever begun, as a confused daemon might."""
        if self.attempts:
            row_id, attempt = data.draw(st.sampled_from(self.attempts))
            with self.database.write() as conn:
                deliveries.record_outcomes(conn, [DeliveryOutcome(row_id, attempt, state, "said")])

    @rule(daemon=st.sampled_from(DAEMONS), row_id=ROWS)
    def give_back(self, daemon: str, row_id: int) -> None:
        with self.database.write() as conn:
            outbox.give_back(conn, [row_id], claimed_by=daemon)

    @rule()
    def die_and_recover(self) -> None:
        self.steps = 2  # sending → uncertain → queued, for order status
        let_leases_run_out(self.database)
        with self.database.write() as conn:
            outbox.recover_expired(conn, resend_after_seconds=0)

    @rule()
    def let_deferred_rows_come_due(self) -> None:
        with self.database.write() as conn:
            conn.execute(update(rows).values(not_before=DatabaseTime(-1)))

    @rule(who=st.sampled_from(PEOPLE))
    def opt_out(self, who: str) -> None:
        with self.database.write() as conn:
            outbox.withhold_marketing_of(conn, person(who), "opt_out")

    @rule(row_id=ROWS)
    def bounce_later(self, row_id: int) -> None:
        with self.database.write() as conn:
            sent_messages.mark_bounced(conn, [row_id], "5.1.1")

    @rule(verb=st.sampled_from(["pause", "resume", "resume", "resume", "cancel"]))
    def steer(self, verb: str) -> None:
        try:
            with self.database.write() as conn:
                if verb == "pause":
                    campaigns.pause(conn, "spring", "")
                elif verb == "resume":
                    campaigns.resume(conn, "spring")
                else:
                    campaigns.cancel(conn, "spring", "")
        except RefusedError:
            with self.database.read() as conn:
                assert campaigns.get(conn, "spring").state in CampaignState

    @invariant()
    def every_move_is_an_edge(self) -> None:
        now = self.states()
        for row_id, old in self.seen.items():
            new = now[row_id]
            reach = TRANSITIONS[old]
            if self.steps == 2:
                reach = reach.union(*(TRANSITIONS[middle] for middle in reach))
            assert new == old or new in reach, f"row {row_id} went from {old} to {new}"
        self.seen, self.steps = now, 1

    @invariant()
    def a_row_has_an_owner_while_and_only_while_it_is_leased(self) -> None:
        with self.database.read() as conn:
            for row in conn.execute(select(rows.c.state, rows.c.claimed_by)):
                is_leased = row.state in (State.CLAIMED, State.SENDING)
                assert is_leased is (row.claimed_by is not None), row

    def teardown(self) -> None:
        self.database.close()


@pytest.mark.timeout(240)  # to shrink a failure takes a while
def test_a_row_moves_along_transitions_only(databases: Databases, engine: str) -> None:
    class OutboxHere(Outbox):
        def __init__(self) -> None:
            super().__init__(databases)

    run_state_machine_as_test(
        OutboxHere,
        settings=settings(
            max_examples=60 if engine == "sqlite" else 20,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
