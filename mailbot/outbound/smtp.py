"""One connection to the relay: the only door to aiosmtplib.

`mail`, `rcpt` and `data` are separate calls: `sendmail()` raises the same exception for a loss
before 354, when nothing can have been taken, and after the final dot, when nobody can know. Bytes
go out as they were composed: `send_message()` would fold a long List-Unsubscribe into an encoded
word, and break RFC 8058.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosmtplib
from aiosmtplib import SMTPResponse

from mailbot.config import RelaySettings
from mailbot.core.errors import RelayError, RelayLost, RelayRefused, RelayUnavailable
from mailbot.core.smtp_replies import Reply, Stage

# RFC 5321 §4.5.3.2.6: the relay may take ten minutes to answer the final dot.
DOT_TIMEOUT_SECONDS = 600.0
_BARE_LINE_END = re.compile(rb"\r\n|\r|\n")
_LINE_DOT = re.compile(rb"(?m)^\.")


class RelayConnection:
    """A connection for one task. Raises only RelayUnavailable, RelayRefused and RelayLost."""

    def __init__(
        self,
        settings: RelaySettings,
        password: str | None,
        *,
        dot_timeout_seconds: float = DOT_TIMEOUT_SECONDS,
    ) -> None:
        self.where = f"relay {settings.host}:{settings.effective_port}"
        self._settings = settings
        self._password = password
        self._dot_timeout = dot_timeout_seconds
        self._client: aiosmtplib.SMTP | None = None

    async def connect(self) -> None:
        """Connect, EHLO, TLS and login as the settings ask. Never goes on in plain text."""
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.effective_port,
            use_tls=settings.security == "tls",
            start_tls=False,  # asked for below, where a relay without it is refused
            local_hostname=settings.hello_name or socket.gethostname(),
            timeout=settings.timeout_seconds,
            tls_context=await asyncio.to_thread(self._tls_context),
        )
        try:
            # connect() itself can hang: the library's time-out covers each step, not all of them.
            async with asyncio.timeout(settings.timeout_seconds * 2):
                await client.connect()
                await client.ehlo()
                if settings.security == "starttls":
                    await self._start_tls(client)
                if settings.username:
                    await client.login(settings.username, self._password or "")
        except BaseException as error:
            client.close()
            if isinstance(error, aiosmtplib.SMTPException | OSError | TimeoutError):
                raise self._explain(error) from error
            raise
        self._client = client

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._settings.security == "none":
            return None
        ca_file = self._settings.ca_file
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)

    async def _start_tls(self, client: aiosmtplib.SMTP) -> None:
        if not client.supports_extension("starttls"):
            raise RelayRefused(
                "the relay offers no STARTTLS, and mailbot does not go on in plain text.",
                where=self.where,
                next_step="Correct security or port, or look who answers in the relay's place.",
            )
        await client.starttls()

    async def mail(self, sender: str, *, size: int, smtputf8: bool) -> Reply:
        """MAIL FROM with the parameters that the relay offers; "" is the null reverse path."""
        client = self._connected(Stage.MAIL)
        options = []
        if client.supports_extension("size"):
            options.append(f"SIZE={size}")
        if client.supports_extension("8bitmime"):
            options.append("BODY=8BITMIME")
        if smtputf8:
            if not client.supports_extension("smtputf8"):
                # RFC 6531 §3.5: about this one address, found before anything is said.
                return Reply(550, "5.6.7", "the relay carries no addresses outside ASCII")
            options.append("SMTPUTF8")
        command = " ".join([f"MAIL FROM:<{sender}>", *options])
        return await self._say(Stage.MAIL, command)

    async def rcpt(self, recipient: str) -> Reply:
        """RCPT TO: one recipient a transaction."""
        return await self._say(Stage.RCPT, f"RCPT TO:<{recipient}>")

    async def data(self, message: bytes) -> Reply:
        """DATA, body, final dot. A reply of 4xx or 5xx may be about DATA or about the dot.

        Raises RelayLost with stage `data` while nothing can have been taken, else `dot`.
        """
        reply = await self._say(Stage.DATA, "DATA")
        if reply.code // 100 in (4, 5):
            return reply
        if reply.code != 354:
            self.abort()
            raise RelayLost(f"the relay answered DATA with {reply}", stage=Stage.DATA)
        client = self._connected(Stage.DOT)
        protocol = client.protocol
        if protocol is None:
            raise RelayLost("the connection was lost before the body", stage=Stage.DATA)
        async with self._told(Stage.DOT):
            protocol.write(stuffed(message))
            return _reply(await protocol.read_response(timeout=self._dot_timeout))

    async def reset(self) -> None:
        """RSET: forget the transaction that did not end."""
        await self._say(Stage.MAIL, "RSET")

    async def close(self) -> None:
        """QUIT, and hang up whatever is answered."""
        if self._client is None:
            return
        try:
            await self._say(Stage.CONNECT, "QUIT")
        finally:
            self.abort()

    def abort(self) -> None:
        """Hang up at once: what was not finished is not taken."""
        if self._client is not None:
            transport = self._client.transport
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            self._client.close()
            self._client = None

    @property
    def certificate(self) -> dict[str, object] | None:
        """The relay's certificate as `ssl` tells it; None without TLS."""
        found = self._client.get_transport_info("peercert") if self._client else None
        return found if isinstance(found, dict) else None

    def _connected(self, stage: Stage) -> aiosmtplib.SMTP:
        if self._client is None or not self._client.is_connected:
            raise RelayLost("the relay had closed the connection", stage=stage, where=self.where)
        return self._client

    async def _say(self, stage: Stage, command: str) -> Reply:
        client = self._connected(stage)
        async with self._told(stage):
            return _reply(await client.execute_command(command.encode("utf-8")))

    @asynccontextmanager
    async def _told(self, stage: Stage) -> AsyncIterator[None]:
        """Whatever breaks off here leaves a dead connection and tells how far it had come."""
        try:
            yield
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            self.abort()
            what = str(error).strip() or type(error).__name__
            raise RelayLost(what, stage=stage, where=self.where) from error
        except asyncio.CancelledError:
            self.abort()
            raise

    def _explain(self, error: BaseException) -> RelayError:
        """What stopped us from connecting, in plain words."""
        if isinstance(error, aiosmtplib.SMTPResponseException):
            return self._explain_reply(error)
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return RelayRefused(
                    f"its certificate is not to be trusted ({cause.verify_message}).",
                    where=self.where,
                    next_step="Correct host, or name its authority in relay.ca_file.",
                )
            if isinstance(cause, ssl.SSLError):
                return RelayRefused(
                    f"TLS failed ({cause.reason or cause}).",
                    where=self.where,
                    next_step="Correct security or port: 465 speaks tls, 587 starttls.",
                )
            if isinstance(cause, socket.gaierror):
                return RelayUnavailable(
                    "no host of that name is known.",
                    where=self.where,
                    next_step="Correct relay.host, or look at this machine's DNS.",
                )
        if isinstance(error, aiosmtplib.SMTPNotSupported):
            return RelayRefused(
                f"it cannot do what the settings ask ({error}).",
                where=self.where,
                next_step="Correct security, port, or username.",
            )
        if isinstance(error, TimeoutError):
            return RelayUnavailable("it does not answer in time.", where=self.where)
        return RelayUnavailable(
            f"it cannot be reached ({error}).", where=self.where, next_step="Is it running?"
        )

    def _explain_reply(self, error: aiosmtplib.SMTPResponseException) -> RelayError:
        reply = Reply.parse(error.code, error.message)
        if not 500 <= reply.code <= 599:
            return RelayUnavailable(f"it said {reply}", where=self.where)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return RelayRefused(
                f"it refused the login of {self._settings.username} ({reply}).",
                where=self.where,
                next_step="Correct relay.username, or the password in relay.password_file.",
                code=reply.code,
            )
        return RelayRefused(
            f"it refused us ({reply}).",
            where=self.where,
            next_step="Ask whoever runs it whether this machine may send through it.",
            code=reply.code,
        )


def stuffed(message: bytes) -> bytes:
    """The body as it goes over the wire: CRLF, dots doubled, final dot (RFC 5321 §4.5.2)."""
    lines = _BARE_LINE_END.sub(b"\r\n", message)
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    return _LINE_DOT.sub(b"..", lines) + b".\r\n"


def _reply(response: SMTPResponse) -> Reply:
    return Reply.parse(response.code, response.message)


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
