"""Wishes on their way from the public page to the list, as lines of files: the door on SQLite.

The page's process only adds. Each process writes segments of its own, under a lock that it holds
as long as it writes; what `append` has returned is on disk. The daemon reads what is there, records
it, and removes a segment once all of it is recorded and nobody holds its lock.

A line is `SHA-256 of the rest, 16 digits`, a blank, and JSON. A segment that was closed in order
ends with the number of its lines. Of one that was not, what stands behind its last good line was
never answered; a bad line before a good one means that wishes may be missing, and is told.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from mailbot.core.errors import DoorClosed, SpoolUnreadable
from mailbot.core.wishes import Wish, WishKind

log = structlog.get_logger(__name__)

SUFFIX: Final = ".wishes"
_SUM_DIGITS: Final = 16
_ID_DIGITS: Final = 32
_PLAIN: Final = re.compile(r"[\x21-\x7e]{0,200}")
_MOST_LINES: Final = 5_000  # of a segment
_OLDEST: Final = 60.0  # seconds: the next wish then begins a new one
_LONGEST_LINE: Final = 2_000  # bytes; a wish of ours has a third of that


def line_of(wish: Wish) -> str:
    """One line without its end; `wish_of` reads it."""
    plain = {
        "id": wish.wish_id,
        "kind": wish.kind,
        "token": wish.token,
        "at": wish.received_at.isoformat(),
        "source": wish.source,
    }
    for name in ("undoes", "code", "topic"):
        if (value := getattr(wish, name)) is not None:
            plain[name] = value
    return _summed(json.dumps(plain))


def wish_of(line: str) -> Wish:
    """Raises ValueError for anything but a line that `line_of` made."""
    plain = _checked(line)
    if not all(isinstance(value, str) for value in plain.values()):
        raise ValueError("something that is no text")
    texts = {name: str(value) for name, value in plain.items()}
    if not all(_PLAIN.fullmatch(value) for value in texts.values()):
        raise ValueError("something that no page of ours writes")
    if texts.get("source") not in ("one_click", "page"):
        raise ValueError("no source of a wish")
    wish_id = texts.get("id", "")
    if len(wish_id) != _ID_DIGITS or not set(wish_id) <= set("0123456789abcdef"):
        raise ValueError("no id of a wish")
    at = datetime.fromisoformat(texts.get("at", ""))
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return Wish(
        wish_id,
        WishKind(texts.get("kind", "")),
        texts.get("token", ""),
        at,
        texts.get("source", ""),
        undoes=texts.get("undoes"),
        code=texts.get("code"),
        topic=texts.get("topic"),
    )


def _summed(text: str) -> str:
    return f"{hashlib.sha256(text.encode()).hexdigest()[:_SUM_DIGITS]} {text}"


def _checked(line: str) -> dict[str, object]:
    text = line[_SUM_DIGITS + 1 :]
    if len(line) > _LONGEST_LINE or _summed(text) != line:
        raise ValueError("its checksum is wrong")
    plain = json.loads(text)
    if not isinstance(plain, dict):
        raise ValueError("no wish")  # noqa: TRY004  it is data, not a type of ours
    return plain


class SpoolWriter:
    """Segments of one process, one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None
        self._path = folder
        self._size = self._lines = 0
        self._began_at = 0.0

    def append(self, lines: Sequence[str]) -> None:
        """On disk, all of them, when this returns. Raises DoorClosed: none of them counts."""
        try:
            if self._handle is None or self._is_full():
                self.close()
                self._begin()
            self._write("".join(f"{line}\n" for line in lines).encode())
            self._lines += len(lines)
        except OSError as error:
            self._abandon()
            raise DoorClosed(
                f"the wish cannot be stored ({(error.strerror or str(error)).lower()}).",
                where=str(self._folder),
                next_step="Make room there, and let the public page's user write.",
            ) from error

    def close(self) -> None:
        """End the segment in order. Never raises: without its end it is read all the same."""
        if self._handle is None:
            return
        with suppress(OSError):
            self._write(f"{_summed(json.dumps({'lines': self._lines}))}\n".encode())
        self._let_go()

    def _is_full(self) -> bool:
        return self._lines >= _MOST_LINES or time.monotonic() - self._began_at > _OLDEST

    def _begin(self) -> None:
        """A new segment under our lock, known to the folder for good."""
        while self._handle is None:
            name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
            path = self._folder / name
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink == 0:  # the daemon saw it empty, and removed it
                os.close(handle)
                continue
            self._handle, self._path = handle, path
        self._size = self._lines = 0
        self._began_at = time.monotonic()
        _sync_folder(self._folder)

    def _write(self, data: bytes) -> None:
        assert self._handle is not None  # noqa: S101
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._handle, rest) :]
        os.fsync(self._handle)
        self._size += len(data)

    def _abandon(self) -> None:
        """What may stand behind the last answered line is taken away; nothing is added any more."""
        if self._handle is None:
            return
        with suppress(OSError):
            os.ftruncate(self._handle, self._size)
            os.fsync(self._handle)
        self._let_go()

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a segment is recorded: so many bytes, which are so many lines."""

    size: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Wishes of one segment, in their order, and how far it is recorded when they are."""

    segment: str
    wishes: tuple[Wish, ...]
    end: Mark


class Spool:
    """The daemon's side: what is there and was not recorded by this process yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: dict[str, Mark] = {}

    def waiting(self, most: int) -> Iterator[Batch]:
        """What waits, oldest segment first, in batches of at most `most`.

        A segment that is over is removed once all its batches were `done`. Raises SpoolUnreadable:
        a folder or segment cannot be read, or wishes may be missing in one.
        """
        try:
            names = sorted(path.name for path in self.folder.iterdir() if path.suffix == SUFFIX)
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        for gone in self._taken.keys() - set(names):
            del self._taken[gone]
        for name in names:
            yield from self._segment(name, most)

    def done(self, batch: Batch) -> None:
        """The batch is recorded."""
        self._taken[batch.segment] = batch.end

    def _segment(self, name: str, most: int) -> Iterator[Batch]:
        path, before = self.folder / name, self._taken.get(name, Mark())
        try:
            with path.open("rb") as file:
                # Asked before it is read: what is added later is seen next time.
                is_free = _is_free(file.fileno())
                file.seek(before.size)
                content = file.read()
        except FileNotFoundError:
            return  # another daemon was quicker
        except OSError as error:
            raise _unreadable(path, error) from error
        found = _read(path, content, before, is_free=is_free)
        for at in range(0, len(found), most):
            part = found[at : at + most]
            yield Batch(name, tuple(wish for wish, _ in part), part[-1][1])
        last = found[-1][1] if found else before
        if is_free and self._taken.get(name, Mark()) == last:
            self._remove(path, before.size + len(content))

    def _remove(self, path: Path, size: int) -> None:
        """Under its lock, and only as it was read: a writer may have come and gone since."""
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_size == size:
                path.unlink()
                self._taken.pop(path.name, None)


def _read(path: Path, content: bytes, before: Mark, *, is_free: bool) -> list[tuple[Wish, Mark]]:
    """Each wish, and how far the segment is read with it. Raises SpoolUnreadable."""
    found: list[tuple[Wish, Mark]] = []
    size, lines, bad = before.size, before.lines, 0
    for raw in content.split(b"\n")[:-1]:  # what stands behind is not written to its end
        size, lines = size + len(raw) + 1, lines + 1
        try:
            count = _count_of(raw.decode())
            wish = wish_of(raw.decode()) if count is None else None
        except ValueError:
            bad = bad or lines
            continue
        if bad or (count is not None and count != lines - 1):
            raise _damaged(path, bad or lines)
        if wish is not None:
            found.append((wish, Mark(size, lines)))
    if bad and not is_free:
        raise _damaged(path, bad)
    if bad:
        log.warning("spool_torn", segment=path.name, line=bad)
    return found


def _count_of(line: str) -> int | None:
    """The number in the last line of a segment; None for any other line. Raises ValueError."""
    plain = _checked(line)
    count = plain.get("lines")
    return count if isinstance(count, int) else None


def _is_free(handle: int) -> bool:
    """Whether no writer holds the segment."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(handle, fcntl.LOCK_UN)
    return True


def _damaged(path: Path, line: int) -> SpoolUnreadable:
    return SpoolUnreadable(
        "is damaged: wishes of customers may be missing.",
        where=f"{path}, line {line}",
        next_step="Restore the file, or take out what is readable, add it by `mailbot suppress "
        "add`, and move the file away.",
    )


def _unreadable(path: Path, error: OSError) -> SpoolUnreadable:
    is_missing = isinstance(error, FileNotFoundError)
    why = "is not there" if is_missing else f"cannot be read ({(error.strerror or '').lower()})"
    return SpoolUnreadable(
        f"{why}: customers may have left by the public page.",
        where=str(path),
        next_step="Start mailbot-public.service, which makes it; both users must be able to write.",
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
