"""How writes that wait at the same time are committed: together on SQLite, side by side elsewhere.

SQLite has one writer and pays for each COMMIT: writes that wait together share one. PostgreSQL
gathers the commits of concurrent transactions by itself, and has locks on rows: two functions in
one transaction would take theirs in the order in which they happened to be called, which is no
order at all, and wait in a circle with somebody else. There each has a transaction of its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import Connection

from mailbot.core.errors import StoreUnavailable

PARALLEL_WRITERS = 8
_LARGEST_GROUP = 256

T = TypeVar("T")
Write = Callable[[], AbstractContextManager[Connection]]  # one transaction, as Database.write


class ParallelCommitter:
    """A few threads that each run one write in a transaction of its own."""

    def __init__(self, write: Write, where: str) -> None:
        self._write, self._where = write, where
        self._threads = ThreadPoolExecutor(PARALLEL_WRITERS, thread_name_prefix="store-write")
        self._is_closed = False

    def submit(self, function: Callable[[Connection], T]) -> Future[T]:
        if self._is_closed:
            raise StoreUnavailable("the database was closed", where=self._where)
        return self._threads.submit(self._run, function)

    def close(self) -> None:
        self._is_closed = True
        self._threads.shutdown(wait=True)

    def _run(self, function: Callable[[Connection], T]) -> T:
        with self._write() as conn:
            return function(conn)


class GroupCommitter:
    """One thread that runs the waiting writes together in one transaction."""

    def __init__(self, write: Write, where: str) -> None:
        self._write, self._where = write, where
        self._waiting: queue.SimpleQueue[tuple[Callable[[Connection], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="store-write", daemon=True)
        self._is_closed = False
        self._starting = threading.Lock()

    def submit(self, function: Callable[[Connection], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._starting:
            if self._is_closed:
                raise StoreUnavailable("the database was closed", where=self._where)
            if not self._thread.ident:
                self._thread.start()
            self._waiting.put((function, future))
        return future

    def close(self) -> None:
        with self._starting:
            self._is_closed = True
            if not self._thread.ident:
                return
            self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            is_last = False
            while len(group) < _LARGEST_GROUP:
                try:
                    entry = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if entry is None:
                    is_last = True
                    break
                group.append(entry)
            self._run(group)
            if is_last:
                return

    def _run(self, group: list[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        # A caller that was cancelled while it waited wants nothing done any more.
        group = [(work, future) for work, future in group if future.set_running_or_notify_cancel()]
        if not group:
            return
        try:
            with self._write() as conn:
                results = [function(conn) for function, _ in group]
        except BaseException as error:
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            for function, future in group:
                self._run_alone(function, future)
            return
        for (_, future), result in zip(group, results, strict=True):
            future.set_result(result)

    def _run_alone(self, function: Callable[[Connection], Any], future: Future[Any]) -> None:
        try:
            with self._write() as conn:
                result = function(conn)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
