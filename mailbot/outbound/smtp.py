"""One connection to the relay: the only door to aiosmtplib.

`mail`, `rcpt` and `data` are separate calls: `sendmail()` raises the same exception for a loss
before 354, when nothing can have been taken, and after the final dot, when nobody can know. Bytes
go out as they were composed: `send_message()` would fold a long List-Unsubscribe into an encoded
word, and break RFC 8058.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable
from typing import cast

import aiosmtplib
from aiosmtplib.auth import auth_xoauth2_encode

from mailbot.config import RelaySettings
from mailbot.core.errors import (
    ConfigError,
    RelayError,
    RelayLost,
    RelayRefused,
    RelayUnavailable,
)
from mailbot.core.smtp_replies import Reply, Stage
from mailbot.outbound import relay_words, xoauth2
from mailbot.outbound.dialogue import Dialogue, GarbledReply
from mailbot.outbound.tls import client_context
from mailbot.outbound.wire import is_reply_code, read_reply, readable, stuffed, unspeakable

# RFC 5321 §4.5.3.2.6: the relay may take ten minutes to answer the final dot.
DOT_TIMEOUT_SECONDS = 600.0
_QUIT_TIMEOUT_SECONDS = 5.0
_TROUBLE = (aiosmtplib.SMTPException, OSError)  # TimeoutError and ssl.SSLError are OSErrors
_EXTENSIONS = {"size", "8bitmime", "smtputf8", "pipelining"}
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_METHOD_UNKNOWN = frozenset({500, 501, 502, 504})  # RFC 4954 §4: try another AUTH mechanism
_LOGGED_IN = 235

# A password or a token, or what reads it anew for each login; that may raise ConfigError.
Secret = str | Callable[[], str | None] | None


class RelayConnection:
    """A connection for one task. Raises only RelayUnavailable, RelayRefused and RelayLost.

    After RelayLost, a 421, a cancellation or `abort()` nothing is open any more: each call then
    raises RelayLost.
    """

    def __init__(
        self,
        settings: RelaySettings,
        secret: Secret,
        *,
        dot_timeout_seconds: float = DOT_TIMEOUT_SECONDS,
    ) -> None:
        self.where = f"relay {settings.host}:{settings.effective_port}"
        self._settings = settings
        self._secret = secret
        self._dot_timeout = dot_timeout_seconds
        self._client: aiosmtplib.SMTP | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._dialogue: Dialogue | None = None  # from the login on
        self._offers: frozenset[str] = frozenset()  # extensions, in lower case
        self._takes_utf8 = False
        self._said_ahead = ""  # the recipient of a RCPT whose answer is still to be read

    async def connect(self) -> None:
        """Connect, EHLO, TLS and login as the settings ask. Never goes on in plain text."""
        try:
            # connect() itself can hang: the library's time-out covers each step, not all of them.
            async with asyncio.timeout(self._settings.timeout_seconds * 2):
                await self._open()
        except (*_TROUBLE, UnicodeError) as error:
            self.abort()
            # A TLS line that failed is closed over some turns; a loop that ends first leaks it.
            await asyncio.sleep(0.05)
            raise self._explain(error) from error
        except RelayLost as lost:
            raise RelayUnavailable(lost.what, where=self.where) from lost
        except BaseException:
            self.abort()
            raise

    async def mail(self, sender: str, *, size: int, smtputf8: bool, recipient: str = "") -> Reply:
        """MAIL FROM with the parameters that the relay offers; "" is the null reverse path.

        `smtputf8` says that the message needs it; without the relay's offer the answer is 5.6.7.
        A relay that offers PIPELINING (RFC 2920) hears of the `recipient` at once; the answer to
        that is still `rcpt`'s.
        """
        self._connected(Stage.MAIL)
        self._takes_utf8 = smtputf8 and "smtputf8" in self._offers
        if smtputf8 and not self._takes_utf8:
            # RFC 6531 §3.5: about this one message, found before anything is said.
            return Reply(550, "5.6.7", "the relay carries no addresses outside ASCII")
        refusal = unspeakable(sender, takes_utf8=self._takes_utf8)
        if refusal is not None:
            return refusal
        size_given = f" SIZE={size}" if "size" in self._offers else ""
        body = " BODY=8BITMIME" if "8bitmime" in self._offers else ""
        utf8 = " SMTPUTF8" if self._takes_utf8 else ""
        words = f"MAIL FROM:<{sender}>{size_given}{body}{utf8}"
        if not recipient or "pipelining" not in self._offers or (
            unspeakable(recipient, takes_utf8=self._takes_utf8) is not None
        ):  # fmt: skip
            return await self._say(Stage.MAIL, words)
        reply = await self._say(Stage.MAIL, f"{words}\r\nRCPT TO:<{recipient}>")
        if reply.code // 100 == 2:
            self._said_ahead = recipient
        elif self._dialogue is not None:
            # To a transaction that never began: read, or the next command would be answered by it.
            await self._reply(self._dialogue, Stage.MAIL, self._settings.timeout_seconds)
        return reply

    async def rcpt(self, recipient: str) -> Reply:
        """RCPT TO: one recipient a transaction."""
        said_ahead, self._said_ahead = self._said_ahead, ""
        if said_ahead and said_ahead == recipient and self._dialogue is not None:
            return await self._reply(self._dialogue, Stage.RCPT, self._settings.timeout_seconds)
        refusal = unspeakable(recipient, takes_utf8=self._takes_utf8)
        if refusal is not None:
            return refusal
        return await self._say(Stage.RCPT, f"RCPT TO:<{recipient}>")

    async def data(self, message: bytes) -> Reply:
        """DATA, body, final dot. A reply of 4xx or 5xx may be about DATA or about the dot.

        Raises RelayLost with stage `data` while nothing can have been taken, else `dot`.
        """
        reply = await self._say(Stage.DATA, "DATA")
        if reply.code // 100 in (4, 5):
            return reply
        if reply.code != 354:
            raise self._lost(f"the relay answered DATA with {reply}", Stage.DATA)
        dialogue = self._connected(Stage.DATA)
        try:
            dialogue.say(stuffed(message))  # raises before it writes, or not at all
        except OSError as error:
            raise self._lost(relay_words.lost(error), Stage.DATA) from error
        return self._judge_end(await self._reply(dialogue, Stage.DOT, self._dot_timeout))

    async def reset(self) -> None:
        """RSET: forget the transaction that did not end. RelayLost where the relay will not."""
        if self._said_ahead:
            raise self._lost("an answer of the relay was not waited for", Stage.MAIL)
        reply = await self._say(Stage.MAIL, "RSET")
        if reply.code // 100 != 2:
            raise self._lost(f"the relay answered RSET with {reply}", Stage.MAIL)

    async def close(self) -> None:
        """QUIT, and hang up whatever is answered. Never raises for what the relay does."""
        try:
            with contextlib.suppress(RelayLost):
                await self._say(Stage.CONNECT, "QUIT", seconds=_QUIT_TIMEOUT_SECONDS)
        finally:
            self.abort()

    def abort(self) -> None:
        """Hang up at once: what still waits to be written is never sent."""
        client, self._client, self._dialogue = self._client, None, None
        self._said_ahead = ""
        # The library lets go of its transport, and closes it gently, whenever it sees trouble.
        transport, self._transport = self._transport, None
        if transport is not None:
            # On Python 3.11.2 the transport of a TLS line that was lost has no protocol left.
            with contextlib.suppress(AttributeError):
                transport.abort()
        if client is not None:
            client.close()

    @property
    def certificate(self) -> dict[str, object] | None:
        """The relay's certificate as `ssl` tells it; None without TLS."""
        found = self._transport.get_extra_info("peercert") if self._transport else None
        return found if isinstance(found, dict) else None

    # Connecting

    async def _open(self) -> None:
        settings = self._settings
        secret = await self._read_secret()
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.effective_port,
            use_tls=settings.security == "tls",
            start_tls=False,  # asked for below, where a relay without it is refused
            local_hostname=settings.hello_name or _own_name(),
            timeout=settings.timeout_seconds,
            tls_context=await self._tls_context(),
        )
        self._client = client
        await client.connect()
        self._hold_transport()
        self._ask_nothing_unread(client)
        await client.ehlo()
        if settings.security == "starttls":
            await self._start_tls(client)
        if settings.username:
            await self._log_in(client, settings.username, secret)
        self._ask_nothing_unread(client)
        if client.transport is None:
            raise self._lost("the relay had closed the connection", Stage.CONNECT)
        self._offers = frozenset(_EXTENSIONS & client.esmtp_extensions.keys())
        self._dialogue = Dialogue.take_over(client.transport)

    def _ask_nothing_unread(self, client: aiosmtplib.SMTP) -> None:
        # The library keeps what came with a reply as the answer to the next command.
        if client.protocol is not None and client.protocol._buffer:  # noqa: SLF001 (it has no public name)
            raise self._lost("the relay gave an answer too many", Stage.CONNECT)

    def _hold_transport(self) -> None:
        if self._client is not None and self._client.transport is not None:
            # No isinstance: uvloop's transports are none of asyncio's classes.
            self._transport = cast("asyncio.WriteTransport", self._client.transport)

    async def _tls_context(self) -> ssl.SSLContext | None:
        if self._settings.security == "none":
            return None
        return await asyncio.to_thread(client_context, self._settings.ca_file, self.where)

    async def _start_tls(self, client: aiosmtplib.SMTP) -> None:
        if not client.supports_extension("starttls"):
            raise RelayRefused(
                "it offers no STARTTLS, and mailbot does not go on in plain text.",
                where=self.where,
                next_step="Correct relay.security or relay.port, or look who answers in its place.",
            )
        await client.starttls()
        self._hold_transport()
        await client.ehlo()  # RFC 3207 §4.2: what was offered in plain text is forgotten

    async def _read_secret(self) -> str:
        """The secret of now: a token is good for an hour, and a password may be changed."""
        if not callable(self._secret):
            return self._secret or ""
        try:
            return await asyncio.to_thread(self._secret) or ""
        except ConfigError as error:
            fault = error.faults[0]
            raise RelayRefused(
                f"the login cannot be read: {fault.what}", where=self.where, next_step=fault.write
            ) from error

    async def _log_in(self, client: aiosmtplib.SMTP, username: str, secret: str) -> None:
        if self._settings.oauth_token_file:
            await self._log_in_by_token(client, username, secret)
        else:
            await self._log_in_by_password(client, username, secret)

    async def _log_in_by_password(
        self, client: aiosmtplib.SMTP, username: str, password: str
    ) -> None:
        """AUTH by one mechanism: several tries with a wrong password may lock the account."""
        known = {
            "plain": client.auth_plain,
            "login": client.auth_login,
            "cram-md5": client.auth_crammd5,
        }
        usable = [name for name in known if name in client.server_auth_methods]
        if self._settings.security == "none":
            usable.sort()  # CRAM-MD5, the only one that hides the password by itself, comes first
        for name in usable:
            try:
                await known[name](username, password)
            except aiosmtplib.SMTPAuthenticationError as error:
                if error.code not in _METHOD_UNKNOWN or name == usable[-1]:
                    raise
            else:
                return
        raise relay_words.no_such_login("password", client.server_auth_methods, self.where)

    async def _log_in_by_token(self, client: aiosmtplib.SMTP, username: str, token: str) -> None:
        if "xoauth2" not in client.server_auth_methods:
            raise relay_words.no_such_login("token", client.server_auth_methods, self.where)
        answer = auth_xoauth2_encode(username, token)
        response, why = await xoauth2.log_in(client, answer)
        if response.code != _LOGGED_IN:
            reply = read_reply(response.code, response.message)
            raise relay_words.refused_token(reply, why, self.where, username)

    def _explain(self, error: BaseException) -> RelayError:
        """What kept us from connecting, in plain words."""
        if not isinstance(error, aiosmtplib.SMTPResponseException):
            return relay_words.not_connected(error, self.where)
        if not is_reply_code(error.code):
            return relay_words.no_smtp(_nonsense(error), self.where)
        reply = read_reply(error.code, error.message)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return relay_words.refused_login(reply, self.where, self._settings.username or "")
        return relay_words.refused_us(reply, self.where)

    # Talking

    async def _say(self, stage: Stage, command: str, *, seconds: float | None = None) -> Reply:
        dialogue = self._connected(stage)
        try:
            dialogue.say(command.encode() + b"\r\n")
        except OSError as error:
            raise self._lost(relay_words.lost(error), stage) from error
        return await self._reply(dialogue, stage, seconds or self._settings.timeout_seconds)

    def _connected(self, stage: Stage) -> Dialogue:
        """The open connection, ready for a command: nothing unasked-for waits to be read."""
        dialogue = self._dialogue
        if dialogue is None or not dialogue.is_open:
            raise self._lost("the relay had closed the connection", stage)
        if dialogue.has_unread:
            # A 250 too many would turn a message that is refused next into a sent one.
            raise self._lost("the relay gave an answer too many", stage)
        return dialogue

    async def _reply(self, dialogue: Dialogue, stage: Stage, seconds: float) -> Reply:
        """The answer; whatever breaks off here leaves a dead line and tells how far it had come."""
        try:
            code, text = await dialogue.reply(seconds)
        except GarbledReply as garbled:
            raise self._lost(_no_sense(garbled.text), stage) from garbled
        except OSError as error:  # TimeoutError is one
            raise self._lost(relay_words.lost(error), stage) from error
        except BaseException:  # cancelled: what was not finished is not to be taken
            self.abort()
            raise
        reply = read_reply(code, text)
        if code == 421:
            self.abort()  # RFC 5321 §3.8: it is closing the connection
        return reply

    def _judge_end(self, reply: Reply) -> Reply:
        """The answer to the final dot, or one that came before all of the body was gone."""
        if self._dialogue is None or not self._dialogue.unsent_bytes:
            return reply
        if reply.code // 100 in (4, 5):
            self.abort()  # a refusal stands, but the rest of the body is not worth sending
            return reply
        raise self._lost(f"the relay answered before it had the message: {reply}", Stage.DOT)

    def _lost(self, what: str, stage: Stage) -> RelayLost:
        self.abort()
        return RelayLost(what, stage=stage, where=self.where)


def _no_sense(text: str) -> str:
    return f"the relay's answer makes no sense: {readable(text)[:200]!r}"


def _nonsense(error: aiosmtplib.SMTPResponseException) -> str:
    return readable(error.message.removeprefix("Malformed SMTP response line: "))[:200]


def _own_name() -> str:
    name = socket.gethostname()
    # RFC 5321 §4.1.3: a machine without a name of its own says an address literal.
    return name if _NAME.fullmatch(name) else "[127.0.0.1]"
