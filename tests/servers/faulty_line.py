"""A TCP line that fails on command, between a client and a real server: a proxy on a free port.

A fault holds for every connection, open or new, until `heal`; and it strikes at a place in the
server's answers, not at a moment, so that a test is the same test each time it runs.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_APART = 0.03  # seconds; packets this far apart are read apart
_CHUNK = 65_536


class End(StrEnum):
    """How a connection ends in the middle of an answer."""

    EOF = "eof"  # the server closes, and says so
    RST = "rst"  # the connection is reset
    SILENCE = "silence"  # nothing more comes; what the client sends is swallowed


@dataclass(frozen=True, slots=True)
class At:
    """A place in the answers of a connection: `plus` bytes behind the first `behind`.

    Counted from the moment the fault is set, or from the greeting of a later connection.
    """

    behind: bytes = b""
    plus: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends at this place; with `is_once` the line is sound from then on."""

    at: At
    how: End
    is_once: bool = False


@dataclass(frozen=True, slots=True)
class Parted:
    """The answer comes in two packets, parted at this place by `seconds`."""

    at: At
    seconds: float = _APART


@dataclass(frozen=True, slots=True)
class Dribble:
    """Every answer comes in packets of this many bytes."""

    size: int = 1


@dataclass(frozen=True, slots=True)
class Delay:
    """Every packet of answers comes this much later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Corrupt:
    """The byte at this place is another one."""

    at: At
    byte: bytes


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Connections are taken and bytes are swallowed; nothing is ever answered."""


Fault = Cut | Parted | Dribble | Delay | Corrupt | BlackHole | None


class Place:
    """Finds one `At` in a stream that comes in chunks of any size."""

    def __init__(self, at: At) -> None:
        self._behind = at.behind
        self._missing: int | None = None if at.behind else at.plus
        self._plus = at.plus
        self._tail = b""

    def find(self, chunk: bytes) -> int | None:
        """Where in `chunk` the place lies (its length: right behind it); None before and after."""
        start = 0
        if self._missing is None:
            joined = self._tail + chunk
            found = joined.find(self._behind)
            if found < 0:
                self._tail = joined[-(len(self._behind) - 1) :] if len(self._behind) > 1 else b""
                return None
            start = found + len(self._behind) - len(self._tail)
            self._missing = self._plus
        if self._missing < 0:
            return None
        if start + self._missing <= len(chunk):
            place, self._missing = start + self._missing, -1
            return place
        self._missing -= len(chunk) - start
        return None


class FaultyLine:
    """Listens on `port` and stands before the server on `target`; a context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._fault: Fault = None
        self._age = 0  # counts the faults: each connection looks for the place anew
        self.struck = 0  # how often the fault of now struck
        self._pairs: list[_Pair] = []
        self._threads: list[threading.Thread] = []
        self.taken = 0  # connections so far
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_listening()
        for pair in self._pairs:
            pair.end(End.EOF)
        for thread in self._threads:
            thread.join(timeout=5)

    # -- commands ------------------------------------------------------------------------------

    def be(self, fault: Fault) -> None:
        """From now on the line has this fault, for every connection."""
        with self._lock:
            self._fault, self._age, self.struck = fault, self._age + 1, 0

    def heal(self) -> None:
        """The line is sound; connections that fell silent stay so, as behind a NAT that forgot."""
        self.be(None)
        if self._listener is None:
            self._listen()

    def refuse(self) -> None:
        """Nobody listens any more, and what is open is reset."""
        self._stop_listening()
        self.end(End.RST)

    def end(self, how: End) -> None:
        """End every open connection now."""
        for pair in list(self._pairs):
            pair.end(how)

    def state(self) -> tuple[Fault, int]:
        """The fault and its age."""
        with self._lock:
            return self._fault, self._age

    # -- inside --------------------------------------------------------------------------------

    def strike(self) -> None:
        """The fault of now has struck; where it is for once, that was it."""
        with self._lock:
            self.struck += 1
            if isinstance(self._fault, Cut) and self._fault.is_once:
                self._fault, self._age = None, self._age + 1

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.taken += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(self, client, server)
            self._pairs.append(pair)
            self._start(pair.carry_questions)
            self._start(pair.carry_answers)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


class _Pair:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, line: FaultyLine, client: socket.socket, server: socket.socket) -> None:
        self._line = line
        self._client, self._server = client, server
        self._is_silent = False
        self._place: Place | None = None
        self._age = -1

    def carry_questions(self) -> None:
        """What the client says, to the server."""
        with contextlib.suppress(OSError):
            while chunk := self._client.recv(_CHUNK):
                if isinstance(self._line.state()[0], BlackHole):
                    self._is_silent = True
                if not self._is_silent:
                    self._server.sendall(chunk)
        _close(self._server)
        _close(self._client)

    def carry_answers(self) -> None:
        """What the server says, to the client, as the fault has it."""
        with contextlib.suppress(OSError):
            while chunk := self._server.recv(_CHUNK):
                if not self._is_silent:
                    self._answer(chunk)
        if not self._is_silent:
            _close(self._client)

    def end(self, how: End) -> None:
        if how is End.SILENCE:
            self._is_silent = True
            return
        if how is End.RST:
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                # close() alone sends nothing while the other thread reads from it.
                self._client.shutdown(socket.SHUT_RD)
                self._client.close()
        else:
            _close(self._client)
        _close(self._server)

    def _answer(self, chunk: bytes) -> None:
        fault, age = self._line.state()
        if age != self._age:
            self._place, self._age = _place_of(fault), age
        found = None if self._place is None else self._place.find(chunk)
        if found is not None:
            self._line.strike()
        match fault:
            case BlackHole():
                self._is_silent = True
            case Cut(how=how) if found is not None:
                self._client.sendall(chunk[:found])
                self.end(how)
            case Parted(seconds=seconds) if found is not None:
                self._client.sendall(chunk[:found])
                time.sleep(seconds)
                self._client.sendall(chunk[found:])
            case Corrupt(byte=byte) if found is not None:
                self._client.sendall(chunk[: found - 1] + byte + chunk[found:])
            case Dribble(size=size):
                for start in range(0, len(chunk), size):
                    self._client.sendall(chunk[start : start + size])
                    time.sleep(0.0002)
            case Delay(seconds=seconds):
                time.sleep(seconds)
                self._client.sendall(chunk)
            case _:
                self._client.sendall(chunk)


def _place_of(fault: Fault) -> Place | None:
    match fault:
        case Cut(at=at) | Parted(at=at):
            return Place(at)
        case Corrupt(at=at):  # found when its byte has come, which may be in the next chunk
            return Place(At(at.behind, at.plus + 1))
        case _:
            return None


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
