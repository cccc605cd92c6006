"""An SMTP server that says exactly what a test wants, for answers that no sane relay gives."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Self

Answer = bytes | Callable[["Peer"], None]

HOST = "127.0.0.1"
EXTENSIONS = ("SIZE 1000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_ANSWERS: dict[str, Answer] = {
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 taken\r\n",
    "RSET": b"250 2.0.0 ok\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
}
_PATIENCE = 20.0  # seconds: no test waits longer for the other side


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.said = b""  # since the last command
        self._unread = b""

    def say(self, words: bytes) -> None:
        """Send `words` as they are."""
        self.said += words
        self.connection.sendall(words)

    def read_until(self, mark: bytes) -> bytes:
        """What comes up to `mark` and with it; ConnectionError where the client leaves before."""
        while mark not in self._unread:
            came = self.connection.recv(65536)
            if not came:
                raise ConnectionError("the client left")
            self._unread += came
        found, end, self._unread = self._unread.partition(mark)
        return found + end

    def read_body(self) -> bytes:
        """The body as it is on the wire, with doubled dots and the line of the final dot."""
        lines: list[bytes] = []
        while not lines or lines[-1] != b".\r\n":
            lines.append(self.read_until(b"\r\n"))
        return b"".join(lines)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """The server's side of the handshake."""
        self.connection = context.wrap_socket(self.connection, server_side=True)


class ScriptedSmtp:
    """Serves one connection after the other in a thread.

    `answers` maps GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (before the body is read),
    "." or another command word to what is said: bytes, or a function of the Peer.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        extensions: tuple[str, ...] = EXTENSIONS,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
    ) -> None:
        lines = ["relay.test", *extensions]
        ehlo = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        self.answers: dict[str, Answer] = {
            "GREETING": b"220 relay.test\r\n",
            "EHLO": ehlo.encode(),
            **_ANSWERS,
        }
        self.answers.update(answers or {})
        self.heard: list[str] = []  # commands, in order
        self.bodies: list[bytes] = []  # as they came, with doubled and final dots
        self.left = threading.Event()  # the first client is gone, or was sent away
        self._tls, self._starttls = tls, starttls
        self._peer: Peer | None = None
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="scripted-smtp", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        if self._peer is not None:
            with contextlib.suppress(OSError):
                self._peer.connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=_PATIENCE)
        assert not self._thread.is_alive(), "the scripted server did not end"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            connection.settimeout(_PATIENCE)
            peer = self._peer = Peer(connection)
            with contextlib.suppress(OSError):  # ssl.SSLError is one
                self._converse(peer)
            peer.connection.close()
            self.left.set()

    def _converse(self, peer: Peer) -> None:
        if self._tls is not None:
            peer.start_tls(self._tls)
        self._answer(peer, "GREETING")
        while True:
            line = peer.read_until(b"\r\n").decode("utf-8", "replace").rstrip("\r\n")
            self.heard.append(line)
            command = (line.split(maxsplit=1) or [""])[0].upper()
            self._answer(peer, command)
            if command == "STARTTLS" and self._starttls is not None:
                peer.start_tls(self._starttls)
            elif command == "DATA" and peer.said.startswith(b"354"):
                self._answer(peer, "BODY")
                self.bodies.append(peer.read_body())
                self._answer(peer, ".")
            elif command == "QUIT":
                return

    def _answer(self, peer: Peer, step: str) -> None:
        peer.said = b""
        answer = self.answers.get(step, b"" if step == "BODY" else b"500 5.5.2 what?\r\n")
        if callable(answer):
            answer(peer)
        else:
            peer.say(answer)


def hang_up(peer: Peer) -> None:
    """Close without a word."""
    peer.connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionError("sent away")


def reset(peer: Peer) -> None:
    """Close as a crashed machine does, by TCP's RST."""
    peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.connection.close()
    raise ConnectionError("sent away")


def say_nothing(peer: Peer) -> None:
    """Leave the client waiting until it goes."""
    while peer.connection.recv(65536):
        pass
    raise ConnectionError("the client left")


def then_hang_up(words: bytes) -> Callable[[Peer], None]:
    """Say this, and close."""

    def answer(peer: Peer) -> None:
        peer.say(words)
        hang_up(peer)

    return answer


def byte_by_byte(words: bytes, seconds: float = 0.01) -> Callable[[Peer], None]:
    """Say this as over a very slow line."""

    def answer(peer: Peer) -> None:
        for number in range(len(words)):
            peer.say(words[number : number + 1])
            time.sleep(seconds)

    return answer


def after(seconds: float, words: bytes) -> Callable[[Peer], None]:
    """Say this late."""

    def answer(peer: Peer) -> None:
        time.sleep(seconds)
        peer.say(words)

    return answer


def in_turn(*answers: bytes) -> Callable[[Peer], None]:
    """Say the first, then the second, and so on."""
    waiting: Iterator[bytes] = iter(answers)
    return lambda peer: peer.say(next(waiting))
