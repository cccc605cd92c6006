"""What must be true of everybody, however a process died: see docs/reliability.md."""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy import func, select

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import TRANSITIONS, State
from mailbot.store import ledger
from mailbot.store.tables import delivery_attempts
from tests.system.crashes import furnished
from tests.system.crashes.scene import MOST_RESENDS, Row, Scene

_ENDED = frozenset({
    State.SENT, State.BOUNCED, State.REJECTED, State.EXPIRED, State.WITHHELD, State.CANCELLED,
    State.UNCERTAIN,
})  # fmt: skip


def check(scene: Scene, met: Row | None, *, is_cancelled: bool = False) -> None:
    """All of them; `met` is the row that the crash met, whose own end the cell knows better."""
    with scene.database.read() as conn:
        assert ledger.verify(conn) is None
    rows = scene.rows()
    assert [row.id for row in rows] == sorted(scene.rows_at_first), "no row is lost, none is new"
    for row in rows:
        assert row.state in _ENDED, f"{row} waits for nothing"
        assert len(scene.whole(row)) <= _attempts(scene, row), "an attempt is durable before MAIL"
        if row.kind is MessageKind.CAMPAIGN:
            _check_offer(scene, row)
        else:
            _check_order(scene, row)
        if met is None or row.id != met.id:
            _check_bystander(scene, row, is_cancelled=is_cancelled)
    _check_walked(scene)


def _attempts(scene: Scene, row: Row) -> int:
    with scene.database.read() as conn:
        chosen = select(func.count()).where(delivery_attempts.c.outbox_id == row.id)
        return int(conn.execute(chosen).scalar_one())


def _check_offer(scene: Scene, row: Row) -> None:
    copies = scene.whole(row)
    assert len(copies) <= 1, f"{row} was mailed twice"
    if row.state is State.SENT:
        assert len(scene.taken(row)) == 1, f"{row} is called sent, and was not"
    elif scene.taken(row):
        assert row.state in (State.UNCERTAIN, State.BOUNCED, State.CANCELLED), (
            f"{row} was mailed, and does not say so"
        )
    if row.who in (furnished.LEFT_BEFORE, furnished.LEFT_QUEUED):
        assert copies == [], f"{row} had opted out"
    if row.who == scene.leaver:
        assert len(copies) == scene.copies_at_leaving, f"{row} opted out between the steps"


def _check_order(scene: Scene, row: Row) -> None:
    copies = scene.whole(row)
    assert row.resends <= MOST_RESENDS
    assert len(copies) <= 1 + row.resends, f"{row} was sent more often than it says"
    assert {str(copy.message["Message-ID"]) for copy in copies} == {row.message_id}
    assert scene.taken(row), f"{row} is lost"
    assert row.state is State.SENT or row.resends == MOST_RESENDS


def _check_bystander(scene: Scene, row: Row, *, is_cancelled: bool) -> None:
    if row.kind is not MessageKind.CAMPAIGN:
        assert row.state is State.SENT
        return
    has_left = row.who == scene.leaver and not scene.copies_at_leaving
    has_left |= row.who in (furnished.LEFT_BEFORE, furnished.LEFT_QUEUED)
    allowed = {State.WITHHELD if has_left else State.SENT}
    if is_cancelled:
        allowed.add(State.CANCELLED)
    if row.id in scene.begun:
        # In the COMMIT that settled the row before it: its own MAIL FROM may have gone out.
        allowed = {State.UNCERTAIN}
    assert row.state in allowed, f"{row} should have ended as one of {sorted(allowed)}"


def _check_walked(scene: Scene) -> None:
    """Only along edges of the table, and each where the last one ended."""
    moves: dict[int, list[tuple[State, State]]] = {}
    for row_id, old, new in scene.walked():
        assert new in TRANSITIONS[old], f"row {row_id} went from {old} to {new}"
        moves.setdefault(row_id, []).append((old, new))
    for path in moves.values():
        assert all(one[1] == two[0] for one, two in pairwise(path)), path
