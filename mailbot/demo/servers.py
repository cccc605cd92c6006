"""The demo's two servers: help@'s IMAP server and the relay, in memory, on 127.0.0.1.

Both run in one thread with its own event loop. The relay is also the post office of the little
town: what is addressed to help@ (any plus-address too) it puts into help@'s INBOX.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, DictBackend
from pymap.imap import IMAPServer
from pysasl.hashing import Cleartext

from mailbot.core.errors import MailbotError
from mailbot.demo.inbox import Inbox

HOST = "127.0.0.1"
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message that the relay took: its envelope, its bytes, and when the final dot came."""

    sender: str  # empty: the null sender of an acknowledgement or a report
    recipient: str
    content: bytes
    taken_at: datetime


@dataclass(slots=True)
class MailServers:
    """The running servers: their ports, and what the relay has taken so far."""

    inbox: Inbox
    smtp_port: int
    _taken: list[Delivered] = field(default_factory=list)

    def take(self, sender: str, recipient: str, message: bytes) -> None:
        """The relay took one message."""
        self._taken.append(Delivered(sender, recipient, message, datetime.now(UTC)))

    def delivered(self) -> tuple[Delivered, ...]:
        """Every message the relay took for somebody else than help@, in order."""
        return tuple(self._taken)


class PostOffice:
    """aiosmtpd's handler: takes everything, and brings help@'s mail into help@'s INBOX."""

    def __init__(self, servers: MailServers) -> None:
        self._servers = servers
        self._help = _without_tag(servers.inbox.account)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.content
        message = content if isinstance(content, bytes) else (content or "").encode()
        for recipient in envelope.rcpt_tos:
            if _without_tag(recipient) == self._help:
                marked = b"Delivered-To: " + recipient.encode() + b"\r\n" + message
                await asyncio.to_thread(self._servers.inbox.put, marked)
            else:
                self._servers.take(_plain(envelope.mail_from), recipient, message)
        return "250 2.0.0 taken"


class _QuickConfig(Config):
    """pymap without what only costs time here: password stretching, and a look-up of the host."""

    @property
    def greeting(self) -> bytes:
        return b"help@ of the demo is ready"


@contextmanager
def mail_servers(account: str, password: str) -> Iterator[MailServers]:
    """Run both servers while the block runs; `account` is help@'s address and its IMAP user.

    Raises MailbotError when they do not come up.
    """
    runner = _Runner(account, password)
    thread = threading.Thread(target=runner.run, name="demo-servers", daemon=True)
    thread.start()
    try:
        if not runner.is_ready.wait(START_SECONDS) or runner.servers is None:
            raise MailbotError(
                f"The demo's mail servers did not start: {runner.fault or 'no answer'}.",
                next_step=f"They need two free ports on {HOST}.",
            ) from runner.fault
        yield runner.servers
    finally:
        runner.stop()
        thread.join(START_SECONDS)


class _Runner:
    """The thread's side: brings both servers up, says so, and waits to be stopped."""

    def __init__(self, account: str, password: str) -> None:
        self.account = account
        self.password = password
        self.is_ready = threading.Event()
        self.servers: MailServers | None = None
        self.fault: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as fault:  # told to the thread that waits for is_ready
            self.fault = fault
        finally:
            self.is_ready.set()

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        imap = await _start_imap(self.account, self.password)
        inbox = Inbox(HOST, _port_of(imap), self.account, self.password)
        servers = MailServers(inbox, smtp_port=0)
        smtp = await self._loop.create_server(
            functools.partial(SMTP, PostOffice(servers), hostname=HOST, enable_SMTPUTF8=True),
            host=HOST,
            port=0,
        )
        servers.smtp_port = _port_of(smtp)
        self.servers = servers
        self.is_ready.set()
        await self._stop.wait()
        # Not wait_closed(): from Python 3.12.1 on it waits for clients that keep a connection.
        smtp.close()
        imap.close()


class _WholeAnswers:
    """Sends what pymap writes in one piece when it drains.

    pymap writes an answer bit by bit, each a packet of its own. imapclient's idle_check reads
    without blocking, and takes the first half of a line for a broken connection.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        self._waiting += data

    async def drain(self) -> None:
        waiting = bytes(self._waiting)
        self._waiting.clear()
        self._writer.write(waiting)
        await self._writer.drain()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


async def _start_imap(account: str, password: str) -> asyncio.Server:
    backend, config = await DictBackend.init(
        argparse.Namespace(
            host=HOST, port=0, debug=False, cert=None, key=None, tls=False,
            demo_data=False, demo_user=account, demo_password=password,
            passlib_cfg=None, proxy_protocol=None,
        ),
        hash_context=Cleartext(),
    )  # fmt: skip
    config.apply_context()
    callback: Any = ProxyProtocolReader(config.proxy_protocol).get_callback(
        IMAPServer(backend.login, config)
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await callback(reader, _WholeAnswers(writer))

    return await asyncio.start_server(serve, host=HOST, port=0)


def _plain(sender: str | None) -> str:
    return "" if sender in (None, "<>") else str(sender)


def _without_tag(address: str) -> str:
    local_part, _, domain = address.casefold().rpartition("@")
    return f"{local_part.partition('+')[0]}@{domain}"


def _port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
