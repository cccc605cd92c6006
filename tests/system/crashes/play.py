"""One cell of the matrix, played: the crash, what is true then, and how it ends."""

from __future__ import annotations

from pathlib import Path

from mailbot.core.outbox_states import State
from mailbot.store import outbox
from tests.servers import dovecot
from tests.system.crashes import promises, walks
from tests.system.crashes.furnished import Template
from tests.system.crashes.matrix import (
    Cell,
    EdgeCell,
    LinesCell,
    ResendCell,
    StepCell,
)
from tests.system.crashes.scene import Row, Scene, opened

AnyCell = EdgeCell | StepCell | ResendCell | LinesCell


def play(cell: AnyCell, template: Template, folder: Path, mail: dovecot.Dovecot | None) -> None:
    """Raises AssertionError where a promise is broken."""
    if isinstance(cell, LinesCell):
        _play_lines(cell, template, folder)
        return
    with opened(template, folder, mail) as scene:
        if isinstance(cell, EdgeCell):
            row = cell.walk.whom(scene)
            cell.walk.kill(scene, row, cell.edge, cell.moment)
        elif isinstance(cell, StepCell):
            row = walks.an_order(scene) if cell.is_order else walks.an_offer(scene)
            _kill_at_step(scene, row, cell)
        else:
            row = walks.an_order(scene)
            for _ in range(cell.copies):
                scene.dies("run", rows=[row], when="before", edge=(State.SENDING, State.SENT))
        _check_crash(scene, row, cell)
        scene.look_at_the_crash()
        scene.leave()
        if isinstance(cell, EdgeCell):
            cell.walk.mend(scene, row)
        # A report is read in its own time: nothing of the outbox waits for it.
        scene.go_on(lambda: mail is None or scene.row(row.id).state is cell.end.state)
        if isinstance(cell, ResendCell):
            _check_nothing_is_resent(scene)
        _check_end(scene, row, cell)


def _check_nothing_is_resent(scene: Scene) -> None:
    """However long it waits: the sweep finds nothing to send again."""
    with scene.database.write() as conn:
        assert outbox.resend_uncertain(conn, after_seconds=0) == ()


def _play_lines(cell: LinesCell, template: Template, folder: Path) -> None:
    with opened(template, folder, lines=3) as scene:
        scene.dies("run", rows=scene.offers(), when=cell.moment, edge=cell.edge)
        scene.look_at_the_crash()
        scene.leave()
        scene.go_on()
        promises.check(scene, None)


def _check_crash(scene: Scene, row: Row, cell: Cell) -> None:
    after = scene.row(row.id)
    possible = {cell.row}
    if isinstance(cell, EdgeCell):
        is_walked = (row.id, *cell.edge) in scene.walked()
        assert is_walked is (cell.moment == "after"), f"{cell.name}: {scene.walked()}"
        if is_walked and cell.row is State.QUEUED:
            # SQLite's group commit: the claim that came next was in the same COMMIT.
            possible.add(State.CLAIMED)
    assert after.state in possible, f"{cell.name}: {after} right after the crash"
    assert len(scene.whole(row)) == cell.copies, f"{cell.name}: at the relay after the crash"


def _kill_at_step(scene: Scene, row: Row, cell: StepCell) -> None:
    if cell.point == "dot":
        scene.dies_at_the_dot(row)
    else:
        scene.dies("run", rows=[row], when=cell.moment, point=cell.point)


def _check_end(scene: Scene, row: Row, cell: Cell) -> None:
    ended = scene.row(row.id)
    assert ended.state is cell.end.state, f"{cell.name}: ended as {ended}"
    assert len(scene.whole(row)) == cell.end.copies, f"{cell.name}: at the relay in the end"
    is_cancelled = isinstance(cell, EdgeCell) and cell.walk.cancels
    promises.check(scene, row, is_cancelled=is_cancelled)
