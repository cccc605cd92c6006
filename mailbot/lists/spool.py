"""Persons sorted on disk: each goes into a file by the beginning of its hash, each file is sorted.

A spool stands in a private folder, holds addresses, and is gone when it is closed. One whose
process was killed goes when the next one is opened beside it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mailbot.core.errors import StoreUnavailable
from mailbot.core.person import PERSON_HASH_DIGITS

_PREFIX: Final = ".mailbot-sorting-"
_LOCK: Final = "lock"
_HELD: Final = 100_000  # persons in memory before they are written
BEGINNINGS: Final = tuple(f"{number:02x}" for number in range(256))
_HASH: Final = PERSON_HASH_DIGITS
_BOTH: Final = 2 * PERSON_HASH_DIGITS

SpooledPerson = tuple[str, str, str]  # person hash, untagged hash, address


class Spool:
    """Persons of several groups; in each they come out by hash, each hash once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._count = 0

    def add(self, group: str, person_hash: str, untagged_hash: str, address: str) -> None:
        """Keep one person; the address has no line feed. Raises StoreUnavailable (disk full)."""
        self._held[group, person_hash[:2]].append(f"{person_hash}{untagged_hash}{address}\n")
        self._count += 1
        if self._count >= _HELD:
            self._write()

    def _write(self) -> None:
        with _explained(self._folder):
            for (group, digits), lines in self._held.items():
                with (self._folder / f"{group}.{digits}").open("ab", buffering=0) as file:
                    _write_all(file.fileno(), "".join(lines).encode())
        self._held.clear()
        self._count = 0

    def groups(self) -> list[str]:
        """The groups that hold somebody, sorted."""
        self._write()
        return sorted({path.name.rpartition(".")[0] for path in self._folder.glob("*.??")})

    def sorted(self, group: str) -> Iterator[SpooledPerson]:
        """Its persons by hash. Of several spellings of one the first in order stands for all."""
        for part in self.parts(group):
            yield from part

    def parts(self, group: str) -> Iterator[list[SpooledPerson]]:
        """The same in pieces of a 256th, each of whom the hash begins alike."""
        for digits in BEGINNINGS:
            yield self.part(group, digits)

    def part(self, group: str, digits: str) -> list[SpooledPerson]:
        """One piece; `digits` is one of BEGINNINGS."""
        if self._count:
            self._write()
        path = self._folder / f"{group}.{digits}"
        if not path.exists():
            return []
        with _explained(self._folder):
            lines = path.read_bytes().decode().split("\n")
        lines.pop()
        lines.sort()
        last, part = "", []
        for line in lines:
            person_hash = line[:_HASH]
            if person_hash != last:
                part.append((person_hash, line[_HASH:_BOTH], line[_BOTH:]))
                last = person_hash
        return part


def _write_all(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


@contextmanager
def spool_in(parent: Path) -> Iterator[Spool]:
    """A spool in a folder of its own below `parent`. Raises StoreUnavailable."""
    _remove_abandoned(parent)
    with _explained(parent):
        folder, lock = _locked_folder(parent)
    try:
        yield Spool(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder of mode 0700, and its lock file, locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)  # another one came before the lock was ours, and took it for abandoned


def _remove_abandoned(parent: Path) -> None:
    """What a killed process left: its lock is free."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder / _LOCK, os.O_WRONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreUnavailable(
                "the disk is full: the file cannot be sorted.",
                where=str(folder),
                next_step="Make room (as much as three times the file), and run it again.",
            ) from error
        raise StoreUnavailable(
            f"the file cannot be sorted here ({(error.strerror or str(error)).lower()}).",
            where=str(folder),
            next_step="Give mailbot's user the right to write there.",
        ) from error


def folder_beside(url: str) -> Path:
    """Where to sort: beside a SQLite database, whose disk has the room, else in $TMPDIR."""
    engine, _, rest = url.partition(":///")
    if engine.startswith("sqlite") and rest:
        return Path(rest.partition("?")[0]).absolute().parent
    return Path(tempfile.gettempdir())
