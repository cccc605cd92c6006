"""What keeps us from a relay, in plain words: system, TLS and reply errors become RelayErrors."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Sequence

from mailbot.core.errors import RelayError, RelayRefused, RelayUnavailable
from mailbot.core.smtp_replies import Reply
from mailbot.outbound.wire import readable

_ERRNO = re.compile(r"\[Errno (\d+)\]")
_UNTRUSTED = "Name the authority that signed it in relay.ca_file, if it is really the relay's."
_ABOUT_CERTIFICATE = {  # by OpenSSL's X509_V_ERR
    9: "Look at this machine's clock.",  # not yet valid
    10: "Have whoever runs the relay renew it, or look at this machine's clock.",  # expired
    18: "Put this very certificate into a file, and name that in relay.ca_file.",  # self-signed
    62: "Correct relay.host: write a name that the certificate holds.",  # another name
    64: "Correct relay.host: write a name that the certificate holds.",  # another IP address
}
_BY_PASSWORD = frozenset({"plain", "login", "cram-md5"})


def lost(error: BaseException) -> str:
    """How a connection that stood was lost."""
    if isinstance(error, TimeoutError):
        return "the relay did not answer in time"
    reason = _system_reason(error)
    return f"the relay hung up ({reason})" if reason else "the relay hung up"


def not_connected(error: BaseException, where: str) -> RelayError:
    """Why no connection came about. The error's causes are looked through for the first reason."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RelayRefused(
                f"its certificate is not to be trusted: {cause.verify_message.rstrip('.')}.",
                where=where,
                next_step=_ABOUT_CERTIFICATE.get(cause.verify_code, _UNTRUSTED),
            )
        if isinstance(cause, ssl.SSLError):
            reason = (cause.reason or "no reason given").replace("_", " ").lower()
            return RelayRefused(
                f"TLS failed: {reason}.",
                where=where,
                next_step='Correct relay.security or relay.port: 465 is "tls", 587 "starttls".',
            )
        if isinstance(cause, socket.gaierror | UnicodeError):
            return RelayUnavailable(
                "no host of that name is known.",
                where=where,
                next_step="Correct relay.host, or look at this machine's DNS.",
            )
    if isinstance(error, TimeoutError):
        return RelayUnavailable(
            "it does not answer in time.",
            where=where,
            next_step="Is it running, does a firewall stand between, and is relay.security right?",
        )
    reason = next(filter(None, map(_system_reason, _causes(error))), "")
    if not reason:
        reason = "it hung up" if isinstance(error, ConnectionError) else str(error)
    return RelayUnavailable(
        f"it cannot be reached: {reason}.",
        where=where,
        next_step="Is it running, and does it take mail from this machine?",
    )


def no_smtp(answer: str, where: str) -> RelayUnavailable:
    """Whoever answers there speaks another protocol."""
    return RelayUnavailable(
        f"what answers there does not speak SMTP: {answer!r}.",
        where=where,
        next_step="Correct relay.host or relay.port.",
    )


def refused_us(reply: Reply, where: str) -> RelayError:
    """A reply at the banner, at EHLO or at STARTTLS that is not the one we need."""
    if reply.code // 100 != 5:
        return RelayUnavailable(f"it takes no mail now: {reply}", where=where)
    return RelayRefused(
        f"it refused us: {reply}",
        where=where,
        next_step="Ask whoever runs it whether this machine may send through it.",
        code=reply.code,
    )


def refused_login(reply: Reply, where: str, username: str) -> RelayError:
    """A reply to AUTH that is not 235."""
    if reply.code // 100 != 5:
        return RelayUnavailable(f"it cannot log {username} in now: {reply}", where=where)
    return RelayRefused(
        f"it refused the login of {username}: {reply}",
        where=where,
        next_step="Correct relay.username, or the password in relay.password_file.",
        code=reply.code,
    )


def refused_token(reply: Reply, why: str, where: str, username: str) -> RelayError:
    """A reply to AUTH XOAUTH2 that is not 235; `why` is what the relay's challenge told."""
    told = f"{reply} ({why})" if why else f"{reply}"
    if reply.code // 100 != 5:
        return RelayUnavailable(f"it cannot log {username} in now: {told}", where=where)
    return RelayRefused(
        f"it refused the token of {username}: {told}",
        where=where,
        next_step="Look whether what refreshes the token in relay.oauth_token_file still runs, and "
        "whether the token is this account's and allows sending by SMTP.",
        code=reply.code,
    )


def no_such_login(kind: str, methods: Sequence[str], where: str) -> RelayRefused:
    """The relay's EHLO names no mechanism for a login by `kind`, "password" or "token"."""
    offered = readable(", ".join(methods).upper()) or "no login at all"
    way = "use relay.oauth_token_file" if kind == "password" else "use relay.password_file"
    known = "xoauth2" in methods if kind == "password" else bool(_BY_PASSWORD & set(methods))
    instead = way if known else "remove relay.username"
    return RelayRefused(
        f"it offers no login by {kind} (offered: {offered}).",
        where=where,
        next_step=f"Correct relay.security or relay.port, or {instead}.",
    )


def _system_reason(error: BaseException) -> str:
    """The kernel's reason, also out of the library's list of several failed addresses."""
    if not isinstance(error, OSError):
        return ""
    if error.errno:
        return os.strerror(error.errno).lower()
    numbers = dict.fromkeys(int(number) for number in _ERRNO.findall(str(error)))
    return ", ".join(os.strerror(number).lower() for number in numbers)


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
