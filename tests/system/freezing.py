"""`mailbot run` that can be frozen at an exact step, as SIGSTOP or a sleeping machine may do it.

    python -m tests.system.freezing STEP --config FILE

freezes itself the first time that a row is `claimed` or `begun`, before it says `mail`, or before
it writes the `body`; with `signal` whenever it gets SIGUSR1. It never freezes inside a transaction
of its own: another daemon would wait for that lock, on SQLite as long as the frost lasts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from mailbot.__main__ import main
from mailbot.core.outbox_states import State
from mailbot.core.smtp_replies import Reply
from mailbot.outbound.dialogue import Dialogue
from mailbot.outbound.smtp import RelayConnection
from mailbot.store.engine import Connection, Database
from mailbot.store.tables import outbox

_OF_STATE = {"claimed": State.CLAIMED, "begun": State.SENDING}
_writing = threading.RLock()
_databases: list[Database] = []
_frozen = threading.Event()


def is_frozen(pid: int) -> bool:
    """Whether the kernel holds this process stopped."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0] == "T"


def _freeze() -> None:
    """Until SIGCONT."""
    with _writing, ExitStack() as held:
        for database in _databases:
            held.enter_context(database._writing)  # SQLite's writers: also those that ask no thread
        os.kill(os.getpid(), signal.SIGSTOP)


def _freeze_once() -> None:
    if not _frozen.is_set():
        _frozen.set()
        _freeze()


def _freeze_by_signal() -> None:
    # Blocked in every thread, and taken by one that is never in a transaction.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

    def wait() -> None:
        while True:
            signal.sigwait({signal.SIGUSR1})
            _freeze()

    threading.Thread(target=wait, name="freezer", daemon=True).start()


def _freeze_before_mail() -> None:
    mail = RelayConnection.mail

    async def frozen_mail(self: RelayConnection, sender: str, **options: Any) -> Reply:
        _freeze_once()  # the whole event loop with it
        return await mail(self, sender, **options)

    RelayConnection.mail = frozen_mail  # type: ignore[method-assign]


def _freeze_before_body() -> None:
    """After the relay's 354: with the body in our hands, and nothing of it on the wire."""
    say = Dialogue.say

    def frozen_say(self: Dialogue, words: bytes) -> None:
        if words.endswith(b"\r\n.\r\n"):
            _freeze_once()
        say(self, words)

    Dialogue.say = frozen_say  # type: ignore[method-assign]


def _freeze_at_state(state: State) -> None:
    def freezing(commit: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def commit_then_freeze(self: Database, function: Callable[[Connection], Any]) -> Any:
            result = await commit(self, function)
            with self.read() as conn:
                is_there = conn.execute(select(outbox.c.id).where(outbox.c.state == state)).first()
            if is_there:
                _freeze_once()
            return result

        return commit_then_freeze

    for name in ("commit", "commit_quickly"):
        setattr(Database, name, freezing(getattr(Database, name)))


def _keep_out_of_transactions() -> None:
    write = Database.write

    @contextmanager
    def guarded(self: Database, *, is_journaled: bool = True) -> Iterator[Connection]:
        with _writing, write(self, is_journaled=is_journaled) as conn:
            yield conn

    Database.write = guarded  # type: ignore[method-assign]
    make = Database.__init__

    def remembered(self: Database, engine: Engine) -> None:
        make(self, engine)
        _databases.append(self)

    Database.__init__ = remembered  # type: ignore[method-assign]


if __name__ == "__main__":
    _step = sys.argv[1]
    _keep_out_of_transactions()
    if _step == "signal":
        _freeze_by_signal()
    elif _step == "mail":
        _freeze_before_mail()
    elif _step == "body":
        _freeze_before_body()
    else:
        _freeze_at_state(_OF_STATE[_step])
    sys.argv = ["mailbot", "run", *sys.argv[2:]]
    sys.exit(main())
