"""The door of the public page: it takes wishes, and nothing can be read through it.

With `[public] database_url` it is one table of PostgreSQL on which the page's role has INSERT and
nothing else; else a folder of files (spool.py). What `hand_in` has returned is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from sqlalchemy import Connection, delete, insert, select

from mailbot.config import PublicPageSettings
from mailbot.core.errors import DoorClosed, StoreError
from mailbot.core.wishes import Wish
from mailbot.store.engine import Database
from mailbot.store.spool import SpoolWriter, line_of
from mailbot.store.tables import door_wishes

_MOST_AT_ONCE: Final = 1_000  # lines that share one fsync


class _Writer(Protocol):
    def append(self, lines: Sequence[str]) -> None: ...
    def close(self) -> None: ...


def open_door(settings: PublicPageSettings) -> BatchingDoor:
    """By the settings. Raises DoorClosed where it cannot be opened at all."""
    public = settings.public
    if public.database_url is not None:
        return BatchingDoor(TableWriter(public.database_url))
    try:
        if not public.spool_folder.is_dir():
            public.spool_folder.mkdir()
            # For its own user and the daemon's group alone, whatever the umask: the daemon removes
            # what it has recorded.
            public.spool_folder.chmod(0o2770)
    except OSError as error:
        raise DoorClosed(
            f"the folder for wishes cannot be made ({(error.strerror or '').lower()}).",
            where=str(public.spool_folder),
            next_step="Make it, or name another one: spool under [public].",
        ) from error
    return BatchingDoor(SpoolWriter(public.spool_folder))


class BatchingDoor:
    """Wishes that wait together are stored together: one fsync, or one COMMIT."""

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def hand_in(self, wish: Wish) -> None:
        """Durable when this returns. Raises DoorClosed where it is not."""
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((line_of(wish), stored))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store())
        await stored

    async def close(self) -> None:
        """Store what still waits, and let go."""
        if self._storing is not None:
            await self._storing
        await asyncio.to_thread(self._writer.close)

    async def _store(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            error: BaseException | None = None
            try:
                await asyncio.to_thread(self._writer.append, [line for line, _ in batch])
            except Exception as raised:  # whatever it is: nobody may wait for ever
                error = raised if isinstance(raised, DoorClosed) else _closed(raised)
            for _, stored in batch:
                if stored.done():
                    continue  # who asked is gone; the wish counts all the same
                if error is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(error)


class TableWriter:
    """Adds rows by a role that may do nothing else."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._database: Database | None = None

    def append(self, lines: Sequence[str]) -> None:
        """Raises DoorClosed where the database is away or refuses."""
        rows = [{"line": line} for line in lines]
        try:
            if self._database is None:
                self._database = Database.open(self._url)
            with self._database.write() as conn:
                conn.execute(insert(door_wishes).inline(), rows)
        except StoreError as error:
            raise _closed(error) from error

    def close(self) -> None:
        """Drop the connections."""
        if self._database is not None:
            self._database.close()


def _closed(error: BaseException) -> DoorClosed:
    what = error.what if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
    where = error.where if isinstance(error, StoreError) else ""
    return DoorClosed(f"the wish cannot be stored ({what})", where=where)


def lines_in(conn: Connection, most: int) -> list[str]:
    """What waits in the table, oldest first, locked for this transaction; `take_away` ends it."""
    chosen = select(door_wishes.c.line).order_by(door_wishes.c.entered_at).limit(most)
    return list(conn.execute(chosen.with_for_update(skip_locked=True)).scalars())


def take_away(conn: Connection, lines: Sequence[str]) -> None:
    """These are recorded, in this transaction."""
    conn.execute(delete(door_wishes).where(door_wishes.c.line.in_(list(lines))))


def grants(role: str) -> str:
    """The SQL that makes `role` able to add wishes and to do nothing else."""
    name = '"' + role.replace('"', '""') + '"'
    return (
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name};\n"
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {name};\n"
        f"REVOKE CREATE ON SCHEMA public FROM {name};\n"
        f"GRANT USAGE ON SCHEMA public TO {name};\n"
        f"GRANT INSERT (line) ON {door_wishes.name} TO {name};\n"
    )
