"""One crash in a house of its own: a process is armed and dies, then an unharmed daemon goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import and_, select, text, update

from mailbot.config import load
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import CLAIMABLE, State
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database, now
from mailbot.store.tables import outbox
from tests.house import wait_until
from tests.servers import dovecot
from tests.servers import relay as relays
from tests.system.crashes import failpoints, furnished
from tests.system.crashes.failpoints import Act, Plan, When
from tests.system.crashes.furnished import Template
from tests.test_story import is_offer

PATIENCE = 300.0  # seconds, for whatever is waited for: no test waits for a time, only for a fact
MOST_RESENDS = 3  # the promise, not what the code says today
_BETWEEN_LOOKS = 0.3  # seconds: many scenes look at the same time
_LIVES = Plan(frozenset())
_LAST_WORDS = failpoints.LAST_WORDS.decode()
_STATUS_LOST = 255
_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["tests.system.crashes.warmed"])


@dataclass(frozen=True, slots=True)
class Row:
    """What the outbox says of one message."""

    id: int
    who: str  # as it was when the scene began: an erasure empties the column
    kind: MessageKind
    state: State
    resends: int
    attempts: int
    message_id: str


@dataclass
class Scene:
    """A furnished installation, its relay, and the processes that come and go in it."""

    folder: Path
    database: Database
    relay: relays.Relay
    relay_port: int
    mail: dovecot.Dovecot | None
    rows_at_first: dict[int, str]  # row id → address
    lines: int = 1
    running: list[Any] = field(default_factory=list)
    begun: frozenset[int] = frozenset()  # stood in `sending` when the process died
    leaver: str = ""
    copies_at_leaving: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "mailbot.toml"

    @property
    def log(self) -> str:
        path = self.folder / "daemon.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    # What the database and the relay know

    def rows(self) -> list[Row]:
        with self.database.read() as conn:
            found = conn.execute(select(outbox).order_by(outbox.c.id)).all()
        return [
            Row(
                row.id, self.rows_at_first[row.id], MessageKind(row.kind), State(row.state),
                row.resends, row.attempts, row.message_id,
            )
            for row in found
        ]  # fmt: skip

    def row(self, row_id: int) -> Row:
        return next(row for row in self.rows() if row.id == row_id)

    def offers(self) -> list[Row]:
        """The offers to people who are on no list, in the order in which they go out."""
        left = {furnished.LEFT_BEFORE, furnished.LEFT_QUEUED}
        rows = [row for row in self.rows() if row.kind is MessageKind.CAMPAIGN]
        return [row for row in rows if row.who not in left]

    def order(self) -> Row:
        """The order status that goes first."""
        return next(row for row in self.rows() if row.who == furnished.ORDERED)

    def offer_to(self, who: str) -> Row:
        return next(
            row for row in self.rows() if row.who == who and row.kind is MessageKind.CAMPAIGN
        )

    def whole(self, row: Row) -> list[relays.Taken]:
        """The copies of this message that the relay got to the final dot, answered or not."""
        return _about(row, self.relay.whole)

    def taken(self, row: Row) -> list[relays.Taken]:
        """The copies that the relay answered 250, or would have."""
        return _about(row, self.relay.taken)

    def walked(self) -> list[tuple[int, State, State]]:
        """Each move of each row since the scene began, in order."""
        with self.database.read() as conn:
            found = conn.execute(
                text("SELECT outbox_id, old_state, new_state FROM walked ORDER BY id")
            ).all()
        return [(row_id, State(old), State(new)) for row_id, old, new in found]

    # Processes

    def start(self, *command: str, plan: Plan = _LIVES) -> Any:
        """`mailbot COMMAND` in a process of its own."""
        process = _forking.Process(
            target=failpoints.run,
            args=(
                plan, [*command, "--config", str(self.config)], str(self.folder / "daemon.log")
            ),
        )  # fmt: skip
        process.start()
        self.running.append(process)
        return process

    def run(self, *command: str) -> None:
        """A command that nobody kills."""
        process = self.start(*command)
        process.join(PATIENCE)
        assert process.exitcode == 0, f"{command} ended with {process.exitcode}:\n{self.log}"

    def dies(
        self,
        *command: str,
        rows: Sequence[Row],
        when: When,
        point: str | None = None,
        edge: tuple[State, State] | None = None,
        acts: tuple[Act, ...] = (),
    ) -> None:
        """`mailbot COMMAND` until it has killed itself there."""
        with self.database.read() as conn:
            since = conn.execute(text("SELECT coalesce(max(id), 0) FROM walked")).scalar_one()
        ids = frozenset(row.id for row in rows)
        deaths = self.log.count(_LAST_WORDS)
        process = self.start(*command, plan=Plan(ids, when, point, edge, since, acts))
        process.join(PATIENCE)
        # 255 is multiprocessing's word for a status that was lost; its last words were not.
        if process.exitcode == _STATUS_LOST and self.log.count(_LAST_WORDS) == deaths + 1:
            return
        self.is_killed(process)

    def dies_at_the_dot(self, row: Row) -> None:
        """`mailbot run`, killed when the relay has its whole message and has not answered."""
        started: list[Any] = []

        def kill(step: str, recipient: str) -> None:
            if step == "." and recipient == row.who:
                wait_until(lambda: bool(started), PATIENCE, "the daemon's pid is known")
                os.kill(started[0].pid, signal.SIGKILL)

        self.relay.on_step = kill
        started.append(self.start("run"))
        self.is_killed(started[0])
        self.relay.on_step = None
        # The relay's own thread writes it down as taken.
        wait_until(lambda: len(self.taken(row)) == len(self.whole(row)), PATIENCE, "it is taken")

    def is_killed(self, process: Any) -> None:
        """Wait for the end, which must be SIGKILL's."""
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL, (
            f"not killed: {process.exitcode}\n{self.rows()}\n{self.log}"
        )

    def look_at_the_crash(self) -> None:
        """Note which rows were begun: never more than there are lines."""
        self.begun = frozenset(row.id for row in self.rows() if row.state is State.SENDING)
        assert len(self.begun) <= self.lines, f"{self.begun} in sending, on {self.lines} lines"

    # What happens to the world

    def heal(self) -> None:
        """The relay takes everything again."""
        self.relay.script = relays.Script()
        self.relay.on_step = None

    def due_now(self) -> None:
        """Whatever was put off comes up at once: the test waits for no back-off."""
        is_put_off = and_(
            outbox.c.state.in_(sorted(CLAIMABLE)), outbox.c.not_before > DatabaseTime()
        )
        with self.database.read() as conn:
            if conn.execute(select(outbox.c.id).where(is_put_off).limit(1)).first() is None:
                return
        with self.database.write() as conn:
            conn.execute(update(outbox).where(is_put_off).values(not_before=DatabaseTime()))

    def grow_old(self, row: Row) -> None:
        """This message was handed over ten days ago."""
        with self.database.write() as conn:
            conn.execute(
                update(outbox).where(outbox.c.id == row.id)
                .values(created_at=now(conn) - timedelta(days=10))
            )  # fmt: skip

    def leave(self) -> None:
        """Between the steps, whoever is last in the queue opts out."""
        last = self.offers()[-1]
        self.leaver, self.copies_at_leaving = last.who, len(self.whole(last))
        furnished.opt_out(self.database, last.who)

    def point_relay(self, *, old: int, new: int) -> None:
        """Write another port for the relay into the settings."""
        written = self.config.read_text(encoding="utf-8")
        assert written.count(f"port = {old}\n") == 1
        self.config.write_text(written.replace(f"port = {old}\n", f"port = {new}\n"))

    def go_on(self, is_heard: Callable[[], bool] = lambda: True) -> None:
        """An unharmed daemon, until nothing is left to do, or to hear; then its orderly end."""
        seen = len(self.log)
        daemon = self.start("run")

        def is_quiet() -> bool:
            assert daemon.is_alive(), f"the unharmed daemon ended:\n{self.log}"
            time.sleep(_BETWEEN_LOOKS)
            self.due_now()
            has_started = "daemon_started" in self.log[seen:]
            return has_started and not self._is_busy() and is_heard()

        try:
            wait_until(is_quiet, PATIENCE, "all is quiet")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.rows()}\n{self.log}") from error
        self.end(daemon)

    def end(self, daemon: Any) -> None:
        """SIGTERM, and an orderly end."""
        daemon.terminate()
        daemon.join(PATIENCE)
        assert daemon.exitcode == 0, f"ended with {daemon.exitcode}:\n{self.log}"

    def _is_busy(self) -> bool:
        busy = {State.QUEUED, State.CLAIMED, State.SENDING, State.DEFERRED}
        return any(
            row.state in busy
            or (
                row.state is State.UNCERTAIN
                and row.kind is MessageKind.ORDER_STATUS
                and row.resends < MOST_RESENDS
            )
            for row in self.rows()
        )


def _about(row: Row, messages: Sequence[relays.Taken]) -> list[relays.Taken]:
    # A snapshot: the relay's thread appends meanwhile.
    is_marketing = row.kind is MessageKind.CAMPAIGN
    return [
        one for one in tuple(messages)
        if one.recipient == row.who and is_offer(one) is is_marketing
    ]  # fmt: skip


@contextmanager
def opened(
    template: Template, folder: Path, mail: dovecot.Dovecot | None = None, *, lines: int = 1
) -> Iterator[Scene]:
    """A scene in `folder`, which is made; all of its processes are ended with the block.

    On one line, whoever is claimed behind the row that dies waits for it.
    """
    with relays.running() as relay:
        imap_port = mail.plain_port if mail is not None else furnished.IMAP_PORT
        name = template.copy(folder, imap_port=imap_port, relay_port=relay.port, lines=lines)
        if mail is not None:
            config = folder / "mailbot.toml"
            written = config.read_text(encoding="utf-8")
            # Any user exists there: this scene's own.
            config.write_text(written.replace('username = "help"', f'username = "{folder.name}"'))
        database = Database.open(load(folder / "mailbot.toml").store.url)
        with database.read() as conn:
            at_first = {
                row.id: row.address for row in conn.execute(select(outbox.c.id, outbox.c.address))
            }
        scene = Scene(folder, database, relay, relay.port, mail, at_first, lines)
        try:
            yield scene
        finally:
            for process in scene.running:
                if process.is_alive():
                    process.kill()
                process.join(20)
            database.close()
            if name and template.server is not None:
                template.server.drop(name)
