"""An IMAP server that says exactly what a test wants, for answers that no sane server gives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Self

Answer = Callable[[socket.socket, bytes], None]
OK = b"%s OK done\r\n"


class ScriptedImap:
    """Serves one connection in a thread. `answers` maps a command word to bytes (`%s` is the tag)
    or to a function of (socket, tag); other commands are answered OK."""

    def __init__(
        self,
        answers: Mapping[str, bytes | Answer] | None = None,
        *,
        capabilities: str = "IMAP4rev1 IDLE",
        greeting: bytes = b"* OK here\r\n",
    ) -> None:
        self.answers: dict[str, bytes | Answer] = {
            "CAPABILITY": b"* CAPABILITY " + capabilities.encode() + b"\r\n" + OK,
            "EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n* OK [UIDNEXT 2] n\r\n" + OK,
            "SEARCH": b"* SEARCH 1\r\n" + OK,
            "LOGOUT": b"* BYE bye\r\n" + OK,
        }
        self.answers.update(answers or {})
        self.greeting = greeting
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(10)
                connection.sendall(self.greeting)
                self._converse(connection)
        except OSError:
            return  # the test is over

    def _converse(self, connection: socket.socket) -> None:
        tag = b""
        with connection.makefile("rb") as lines:
            for line in lines:
                self.heard.append(line.rstrip())
                words = line.split()
                if line.startswith(b"DONE"):
                    command = "DONE"  # completes IDLE, under IDLE's tag
                else:
                    tag = words[0]
                    command = words[2 if words[1] == b"UID" else 1].decode().upper()
                answer = self.answers.get(command, OK)
                if callable(answer):
                    answer(connection, tag)
                else:
                    connection.sendall(answer.replace(b"%s", tag))


def hang_up(connection: socket.socket, _tag: bytes) -> None:
    """Close without a word."""
    connection.shutdown(socket.SHUT_RDWR)


def say_nothing(_connection: socket.socket, _tag: bytes) -> None:
    """Leave the client waiting."""
