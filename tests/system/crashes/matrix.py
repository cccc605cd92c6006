"""The crash matrix: each edge and each step, what is true right after, and how it ends.

The tests check every column; docs/reliability.md shows them (python -m tests.system.crashes.matrix
prints its tables).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailbot.core.outbox_states import TRANSITIONS, State
from tests.system.crashes import walks
from tests.system.crashes.failpoints import When
from tests.system.crashes.scene import MOST_RESENDS
from tests.system.crashes.walks import Walk

QUEUED, CLAIMED, SENDING, SENT = State.QUEUED, State.CLAIMED, State.SENDING, State.SENT
DEFERRED, BOUNCED, REJECTED, EXPIRED = (
    State.DEFERRED, State.BOUNCED, State.REJECTED, State.EXPIRED,
)  # fmt: skip
WITHHELD, UNCERTAIN, CANCELLED = State.WITHHELD, State.UNCERTAIN, State.CANCELLED

_AGAIN = "claimed and sent"
_LEASE = "its lease runs out, it is queued, claimed and sent"
_DOUBT = "its lease runs out; a person decides"
_RESENT = "its lease runs out, it is uncertain, and sent again under its Message-ID"
_STAYS = "nothing: it is over"
_LOOK = "the look before sending finds the person listed"
_NO_WORD = "the command never said that it was done; it is claimed and sent"


@dataclass(frozen=True, slots=True)
class End:
    """`copies` is how many whole messages the relay ever got."""

    state: State
    copies: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One kill -9, and what must be true of the row that it met."""

    name: str
    place: str  # the edge, or the step
    who: str
    when: str
    row: State  # right after the crash
    copies: int  # whole messages at the relay right after the crash
    then: str
    end: End


@dataclass(frozen=True, slots=True)
class EdgeCell(Cell):
    edge: tuple[State, State]
    moment: When
    walk: Walk


@dataclass(frozen=True, slots=True)
class StepCell(Cell):
    point: str
    moment: When
    is_order: bool


@dataclass(frozen=True, slots=True)
class ResendCell(Cell):
    """Each daemon that sends this order status dies before it has written the relay's 250 down."""


@dataclass(frozen=True, slots=True)
class LinesCell:
    """Three lines at work at the COMMIT of a round; whoever's row it is."""

    name: str
    edge: tuple[State, State]
    moment: When


# Edge → its walks, each with what is at the relay at the crash, and for the kill before and the
# kill after the COMMIT: what happens next, and how it ends.
_Fate = tuple[str, State, int]
_EDGES: tuple[tuple[State, State, Walk, int, _Fate, _Fate], ...] = (
    (QUEUED, CLAIMED, walks.CLAIM, 0, (_AGAIN, SENT, 1), (_LEASE, SENT, 1)),
    (QUEUED, WITHHELD, walks.OPT_OUT_OF_QUEUED, 0, (_LOOK, WITHHELD, 0), (_STAYS, WITHHELD, 0)),
    (QUEUED, CANCELLED, walks.CANCEL_QUEUED, 0, (_NO_WORD, SENT, 1), (_STAYS, CANCELLED, 0)),
    (QUEUED, CANCELLED, walks.ERASE_QUEUED, 0, (_NO_WORD, SENT, 1), (_STAYS, CANCELLED, 0)),
    (CLAIMED, QUEUED, walks.GIVE_BACK, 0, (_LEASE, SENT, 1), (_AGAIN, SENT, 1)),
    (CLAIMED, QUEUED, walks.SWEEP_CLAIMED, 0, ("the next sweep queues it; claimed and sent",
     SENT, 1), (_AGAIN, SENT, 1)),
    (CLAIMED, QUEUED, walks.PAUSE, 0, ("the command never said that it was done; " + _LEASE,
     SENT, 1), ("it waits for `campaign resume`; then claimed and sent", SENT, 1)),
    (CLAIMED, SENDING, walks.BEGIN, 0, (_LEASE, SENT, 1), (_DOUBT, UNCERTAIN, 0)),
    (CLAIMED, SENDING, walks.BEGIN_ORDER, 0, (_LEASE, SENT, 1), (_RESENT, SENT, 1)),
    (CLAIMED, WITHHELD, walks.OPT_OUT_OF_CLAIMED, 0, (_LOOK, WITHHELD, 0), (_STAYS, WITHHELD, 0)),
    (CLAIMED, CANCELLED, walks.CANCEL_CLAIMED, 0,
     ("the command never said that it was done; " + _LEASE, SENT, 1), (_STAYS, CANCELLED, 0)),
    (SENDING, SENT, walks.SETTLE, 1, (_DOUBT, UNCERTAIN, 1), (_STAYS, SENT, 1)),
    (SENDING, SENT, walks.SETTLE_ORDER, 1, (_RESENT, SENT, 2), (_STAYS, SENT, 1)),
    (SENDING, DEFERRED, walks.DEFER, 0, (_DOUBT, UNCERTAIN, 0),
     ("claimed again at its time, and sent", SENT, 1)),
    (SENDING, BOUNCED, walks.BOUNCE, 0, (_DOUBT, UNCERTAIN, 0), (_STAYS, BOUNCED, 0)),
    (SENDING, REJECTED, walks.REJECT, 0, (_DOUBT, UNCERTAIN, 0), (_STAYS, REJECTED, 0)),
    (SENDING, EXPIRED, walks.EXPIRE, 0, (_DOUBT, UNCERTAIN, 0), (_STAYS, EXPIRED, 0)),
    (SENDING, WITHHELD, walks.LAST_LOOK, 0, (_DOUBT, UNCERTAIN, 0), (_STAYS, WITHHELD, 0)),
    (SENDING, QUEUED, walks.OUR_TROUBLE, 0, (_DOUBT, UNCERTAIN, 0), (_AGAIN, SENT, 1)),
    (SENDING, CANCELLED, walks.CANCELLED_MEANWHILE, 0, (_DOUBT, UNCERTAIN, 0),
     (_STAYS, CANCELLED, 0)),
    (SENDING, UNCERTAIN, walks.SWEEP_BEGUN, 0, ("the next sweep; a person decides", UNCERTAIN, 0),
     ("a person decides", UNCERTAIN, 0)),
    (SENDING, UNCERTAIN, walks.ANSWER_LOST, 1, (_DOUBT, UNCERTAIN, 1),
     ("a person decides", UNCERTAIN, 1)),
    (DEFERRED, CLAIMED, walks.CLAIM_OF_DEFERRED, 0, (_AGAIN, SENT, 1), (_LEASE, SENT, 1)),
    (DEFERRED, WITHHELD, walks.OPT_OUT_OF_DEFERRED, 0, (_LOOK, WITHHELD, 0), (_STAYS, WITHHELD, 0)),
    (DEFERRED, CANCELLED, walks.CANCEL_DEFERRED, 0, (_NO_WORD, SENT, 1), (_STAYS, CANCELLED, 0)),
    (UNCERTAIN, SENT, walks.LATE_SENT, 1, ("a person decides", UNCERTAIN, 1), (_STAYS, SENT, 1)),
    (UNCERTAIN, BOUNCED, walks.LATE_BOUNCED, 1, ("a person decides", UNCERTAIN, 1),
     (_STAYS, BOUNCED, 1)),
    (UNCERTAIN, BOUNCED, walks.REPORT_OF_UNCERTAIN, 1, ("the report is read again", BOUNCED, 1),
     (_STAYS, BOUNCED, 1)),
    (UNCERTAIN, QUEUED, walks.RESEND, 1, ("the next sweep; sent again under its Message-ID",
     SENT, 2), ("sent again under its Message-ID", SENT, 2)),
    (UNCERTAIN, CANCELLED, walks.ERASE_UNCERTAIN, 1,
     ("the command never said that it was done; a person decides", UNCERTAIN, 1),
     (_STAYS, CANCELLED, 1)),
    (SENT, BOUNCED, walks.REPORT_OF_SENT, 1, ("the report is read again", BOUNCED, 1),
     (_STAYS, BOUNCED, 1)),
)  # fmt: skip

# The way of one message between the COMMITs: (what was done last, point, when, row, at relay).
_STEPS: tuple[tuple[str, str, When, State, int], ...] = (
    ("claimed; to be composed", "compose", "before", CLAIMED, 0),
    ("composed; the attempt not begun", "compose", "after", CLAIMED, 0),
    ("the attempt begun; before the look", "look", "before", SENDING, 0),
    ("the list looked at", "look", "after", SENDING, 0),
    ("before MAIL FROM", "mail", "before", SENDING, 0),
    ("MAIL FROM answered 250", "mail", "after", SENDING, 0),
    ("RCPT answered 250; before the look at the lease", "rcpt", "after", SENDING, 0),
    ("the lease is sure; before DATA", "data", "before", SENDING, 0),
    ("DATA answered 354", "body", "before", SENDING, 0),
    ("half of the body on the wire", "half_body", "before", SENDING, 0),
    ("the dot on the wire; no answer", "dot", "before", SENDING, 1),
    ("the dot answered 250", "data", "after", SENDING, 1),
    ("before the outcome is handed in", "settle", "before", SENDING, 1),
    ("the outcome handed in; no COMMIT", "settle", "after", SENDING, 1),
    ("the outcome durable; before it is told", "tell", "before", SENT, 1),
    ("told; before the next row", "tell", "after", SENT, 1),
)


def edges() -> list[EdgeCell]:
    """Two cells for each way along each edge: before the COMMIT and after it."""
    cells: list[EdgeCell] = []
    for old, new, walk, copies, before, after in _EDGES:
        number = len([cell for cell in cells if cell.edge == (old, new)]) // 2
        variant = f"-{number + 1}" if number else ""
        kills: tuple[tuple[When, State, _Fate], ...] = (
            ("before", old, before), ("after", new, after)
        )  # fmt: skip
        for moment, row, fate in kills:
            then, end, at_end = fate
            cells.append(EdgeCell(
                f"{old}-{new}{variant}-{moment}", f"{old} → {new}", walk.who, f"{moment} COMMIT",
                row, copies, then, End(end, at_end), (old, new), moment, walk,
            ))  # fmt: skip
    return cells


def steps() -> list[StepCell]:
    """Two cells for each step: an offer that dies there, and an order status."""
    return [_step(*step, is_order=is_order) for step in _STEPS for is_order in (False, True)]


def _step(
    words: str, point: str, moment: When, row: State, copies: int, *, is_order: bool
) -> StepCell:
    if row is CLAIMED:
        then, end = _LEASE, End(SENT, 1)
    elif row is SENT:
        then, end = _STAYS, End(SENT, 1)
    elif is_order:
        then, end = _RESENT, End(SENT, copies + 1)
    else:
        then, end = _DOUBT, End(UNCERTAIN, copies)
    kind = "order" if is_order else "offer"
    return StepCell(
        f"{point}-{moment}-{kind}", words, "order status" if is_order else "an offer", "",
        row, copies, then, end, point, moment, is_order,
    )  # fmt: skip


def resends() -> ResendCell:
    """One copy and three more, all under one Message-ID; then a person is asked."""
    return ResendCell(
        "resend-limit", "sending → sent, killed before COMMIT four times", "order status", "",
        SENDING, 1 + MOST_RESENDS, "nothing: it was resent three times; a person decides",
        End(UNCERTAIN, 1 + MOST_RESENDS),
    )  # fmt: skip


def several_lines() -> list[LinesCell]:
    """The edges of a round, which settles some rows and begins others in one COMMIT."""
    moments: tuple[When, When] = ("before", "after")
    return [
        LinesCell(f"three-lines-{old}-{new}-{moment}", (old, new), moment)
        for old, new in ((CLAIMED, SENDING), (SENDING, SENT))
        for moment in moments
    ]


def uncovered() -> set[tuple[State, State]]:
    """Edges of the table without a cell, and cells without an edge."""
    of_table = {(old, new) for old, targets in TRANSITIONS.items() for new in targets}
    return of_table ^ {cell.edge for cell in edges()}


def tables() -> Iterator[str]:
    """The lines of the tables in docs/reliability.md."""
    yield "| edge | walked by | killed | row then | at the relay then | next | ends as | cell |"
    yield "|---|---|---|---|---|---|---|---|"
    for cell in edges():
        yield _line(cell.place, cell.who, cell.when, cell)
    yield ""
    yield "| step | of | row then | at the relay then | next | ends as | cell |"
    yield "|---|---|---|---|---|---|---|"
    for step in (*steps(), resends()):
        yield _line(step.place, step.who, None, step)


def _line(place: str, who: str, when: str | None, cell: Cell) -> str:
    columns = [
        place, who, *([when] if when else []), f"`{cell.row}`", _copies(cell.copies),
        cell.then, f"`{cell.end.state}`, {_copies(cell.end.copies)}", f"`{cell.name}`",
    ]  # fmt: skip
    return f"| {' | '.join(columns)} |"


def _copies(count: int) -> str:
    return {0: "nothing", 1: "1 whole message"}.get(count, f"{count} whole messages")


if __name__ == "__main__":
    print("\n".join(tables()))  # noqa: T201
