"""The start of a conversation: TLS or nothing, the login, a name; and its end. Part of
inbound/imap.py.

`client` is imapclient's IMAPClient, whose errors are imaplib's.
"""

from __future__ import annotations

import imaplib
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailbot import __version__
from mailbot.core.errors import MailboxRefused
from mailbot.inbound.imap_faults import explained, login_refused

if TYPE_CHECKING:
    from mailbot.config import MailboxSettings


def tls_context(where: str, ca_file: Path | None) -> ssl.SSLContext:
    """Verifies certificate and host name, by the system's CAs or by `ca_file` alone."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise MailboxRefused(
            f"the CA file {ca_file} cannot be used ({error.strerror or error}).",
            where=where,
            next_step="Name a readable PEM file as ca_file.",
        ) from error


def start_tls(client: Any, where: str, context: ssl.SSLContext | None) -> None:
    """STARTTLS or nothing: a server (or someone between) that does not offer it gets no login.

    A PREAUTH greeting is refused too: STARTTLS is impossible after it, and whoever sends it to
    a client that asked for TLS wants it to go on in clear (RFC 9051 §11.1).
    """
    with explained(where, "starting TLS"):
        is_offered = client.has_capability("STARTTLS")
        is_preauthenticated = (client.welcome or b"").startswith(b"* PREAUTH")
    if not is_offered or is_preauthenticated:
        raise MailboxRefused(
            "the server does not offer STARTTLS, and mailbot sends no password in clear.",
            where=where,
            next_step='Write security = "tls" and port = 993, or ask who runs the server.',
        )
    with explained(where, "starting TLS"):
        client.starttls(context)


def log_in(client: Any, where: str, settings: MailboxSettings, password: str) -> None:
    """LOGIN, or AUTHENTICATE PLAIN where LOGIN cannot say the name or the password."""
    username = settings.username
    if any(sign in username + password for sign in "\r\n\0"):
        raise MailboxRefused(
            "the user name or password holds a line break.",
            where=where,
            next_step="Write the password alone, on one line, into its file.",
        )
    with explained(where, "logging in"):
        capabilities = client.capabilities()
        if b"LOGINDISABLED" in capabilities and settings.security == "none":
            raise MailboxRefused(
                "the server takes no password on an unencrypted connection.",
                where=where,
                next_step='Write security = "starttls" or "tls".',
            )
        is_plain_better = not (username + password).isascii() or b"LOGINDISABLED" in capabilities
        try:
            if is_plain_better and b"AUTH=PLAIN" in capabilities:
                client.plain_login(username, password)  # UTF-8 (RFC 4616); LOGIN is ASCII
            else:
                # imaplib quotes the password and not the user name.
                quoted = username.replace("\\", "\\\\").replace('"', '\\"')
                client.login(f'"{quoted}"', password)
        except imaplib.IMAP4.error as error:
            raise login_refused(where, error) from error


def introduce(client: Any, where: str) -> None:
    """ID (RFC 2971), where offered: some providers open no folder to a nameless client."""
    with explained(where, "introducing itself"):
        if client.has_capability("ID"):
            try:
                client.id_({"name": "mailbot", "version": __version__})
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error:
                return  # refused: it is a courtesy


def log_out(client: Any, seconds: float) -> None:
    """LOGOUT, and no longer a wait than this for whatever the server still has to say.

    Raises anything: the connection may be in any state.
    """
    until = time.monotonic() + seconds
    imap = client._imap  # noqa: SLF001 - imapclient waits as long as the server talks
    client.socket().settimeout(seconds)
    tag = imap._command("LOGOUT")  # noqa: SLF001
    while imap.tagged_commands[tag] is None and (left := until - time.monotonic()) > 0:
        client.socket().settimeout(left)
        imap._get_response()  # noqa: SLF001
