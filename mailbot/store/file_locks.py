"""A file that one thread of one process has locked at a time, and nobody waits for without end."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_APART: Final = 0.002  # seconds between two tries


class FileLock:
    """The lock of the file `path`, whose folder is made where it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ours = threading.Lock()  # among the threads of this process

    @contextmanager
    def held(self, patience: float) -> Iterator[None]:
        """Raises TimeoutError, an OSError, where somebody else keeps it for `patience` seconds."""
        until = time.monotonic() + patience
        if not self._ours.acquire(timeout=patience):
            raise self._too_long(patience)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not _is_taken(lock):
                    if time.monotonic() >= until:
                        raise self._too_long(patience)
                    time.sleep(_APART)
                yield
            finally:
                os.close(lock)
        finally:
            self._ours.release()

    def _too_long(self, patience: float) -> TimeoutError:
        what = f"another process has kept it locked for {patience:g} seconds (is one stopped?)"
        return TimeoutError(errno.ETIMEDOUT, what, str(self._path))


def _is_taken(lock: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
