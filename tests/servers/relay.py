"""A relay that records what it took, and misbehaves as it is told (aiosmtpd, on 127.0.0.1).

As a process of its own, for tests that kill: `python -m tests.servers.relay --port N --record FILE`
writes one JSON line a message, on disk before it answers 250.
"""

from __future__ import annotations

import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that was answered 250."""

    sender: str
    recipient: str
    content: bytes
    at: float

    @property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass(frozen=True, slots=True)
class Heard:
    """One MAIL, RCPT, DATA or final dot ("."), and when it was heard, by CLOCK_BOOTTIME."""

    step: str
    sender: str
    session: int
    at: float


@dataclass(slots=True)
class Script:
    """What to answer instead of 250; a value "" hangs up, a number of seconds waits first."""

    mail: str | None = None
    rcpt: dict[str, str] = field(default_factory=dict)  # recipient → reply
    dot: str | None = None
    dot_seconds: float = 0
    hang_up_after_dot: bool = False  # the message is taken; its answer is lost


class _Session(SMTP):
    """aiosmtpd's session, which also tells the relay of DATA before it answers 354."""

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 (aiosmtpd calls it by this name)
        if self.envelope is not None and self.envelope.rcpt_tos and self.session is not None:
            envelope = self.envelope
            await self.event_handler.hears(
                "DATA", self.session, envelope.mail_from or "", envelope.rcpt_tos[0]
            )
        await super().smtp_DATA(arg)


class Relay:
    """The running relay. `taken`, `whole` and `heard` grow; `script` may change at any time.

    `taken` is what was answered 250, `whole` also what came to its final dot and was refused, or
    got no answer.

    `on_step` is called with a step ("MAIL", "RCPT", "DATA", ".") and the recipient ("" for MAIL)
    before it is answered. It may take its time: only that one session waits.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        record: Path | None = None,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: ssl.SSLContext | None = None,
        smtputf8: bool = True,
    ) -> None:
        self.taken: list[Taken] = []
        self.whole: list[Taken] = []
        self.commands: list[str] = []
        self.sessions = 0
        self.script = Script()
        self.heard: list[Heard] = []
        self.on_rcpt: Callable[[str], None] = lambda recipient: None
        self.on_step: Callable[[str, str], None] | None = None
        self.port = port
        self._record = record
        self._login = login
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._smtputf8 = smtputf8
        self._served: list[SMTP] = []
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="test-relay", daemon=True)
        self._is_ready = threading.Event()

    def start(self) -> Relay:
        self._thread.start()
        assert self._is_ready.wait(10), "the test relay did not start"
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def to(self, recipient: str) -> list[Taken]:
        return [taken for taken in self.taken if taken.recipient.lower() == recipient.lower()]

    # aiosmtpd's hooks

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.commands.append(f"MAIL FROM:<{address}> {' '.join(options)}".strip())
        await self.hears("MAIL", session, address, "")
        if self.script.mail is not None:
            return self._answer(server, self.script.mail)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.commands.append(f"RCPT TO:<{address}>")
        self.on_rcpt(address)
        await self.hears("RCPT", session, envelope.mail_from or "", address)
        scripted = self.script.rcpt.get(address)
        if scripted is not None:
            return self._answer(server, scripted)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        script = self.script
        content = envelope.content
        assert isinstance(content, bytes)
        sender = "" if envelope.mail_from == "<>" else envelope.mail_from or ""
        came = [Taken(sender, who, content, time.time()) for who in envelope.rcpt_tos]
        self.whole += came
        try:
            await self.hears(".", session, envelope.mail_from or "", envelope.rcpt_tos[0])
        except asyncio.CancelledError:
            # Its client is gone meanwhile. Who has a whole message takes it all the same.
            if script.dot is None:
                self._take(came)
            raise
        if script.dot_seconds:
            await asyncio.sleep(script.dot_seconds)
        if script.dot is not None:
            return self._answer(server, script.dot)
        self._take(came)
        if script.hang_up_after_dot:
            return self._answer(server, "")
        return "250 2.0.0 taken"

    async def hears(self, step: str, session: Session, sender: str, recipient: str) -> None:
        """Write it down, and let the test act before it is answered."""
        at = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.heard.append(Heard(step, sender, id(session), at))
        if self.on_step is not None:
            await asyncio.to_thread(self.on_step, step, recipient)

    def _answer(self, server: SMTP, reply: str) -> str:
        if reply == "":
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return reply or "250 nobody hears this"

    def _take(self, came: list[Taken]) -> None:
        for taken in came:
            self._write_down(taken)
            self.taken.append(taken)

    def _write_down(self, taken: Taken) -> None:
        if self._record is None:
            return
        line = json.dumps({
            "sender": taken.sender,
            "recipient": taken.recipient,
            "message_id": taken.message["Message-ID"],
            "subject": str(taken.message["Subject"]),
            "at": taken.at,
        })  # fmt: skip
        with self._record.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _authenticate(self, *args: Any) -> AuthResult:
        mechanism_data = args[-1]
        assert isinstance(mechanism_data, LoginPassword)
        given = (mechanism_data.login.decode(), mechanism_data.password.decode())
        return AuthResult(success=given == self._login, handled=False)  # aiosmtpd answers

    def _protocol(self) -> SMTP:
        self.sessions += 1
        session = _Session(
            self,
            hostname="relay.test",
            enable_SMTPUTF8=self._smtputf8,
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_require_tls=self._tls is not None,
            auth_required=self._login is not None,
            authenticator=self._authenticate if self._login else None,
            loop=self._loop,
        )
        self._served.append(session)
        return session

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            self._loop.create_server(self._protocol, HOST, self.port, ssl=self._implicit_tls)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._is_ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._server.close()
            for session in self._served:
                if isinstance(session.transport, asyncio.WriteTransport):
                    with suppress(AttributeError):  # a TLS session that is over, on Python 3.11.2
                        session.transport.abort()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            for _ in range(100):
                self._loop.run_until_complete(asyncio.sleep(0.02))
                # A TLS handshake that a client broke off ends when its end is read.
                open_sockets = self._loop._selector.get_map()  # type: ignore[attr-defined]
                if len(open_sockets) == 1:  # the loop's own
                    break
            self._loop.close()


@contextmanager
def running(**options: Any) -> Iterator[Relay]:
    """A relay for the length of a block."""
    relay = Relay(**options).start()
    try:
        yield relay
    finally:
        relay.stop()


def recorded(path: Path) -> list[dict[str, Any]]:
    """The messages that a relay process took, oldest first; a torn last line is not one."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--dot-seconds", type=float, default=0)
    options = parser.parse_args()
    relay = Relay(port=options.port, record=options.record)
    relay.script.dot_seconds = options.dot_seconds
    relay.start()
    print(relay.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
