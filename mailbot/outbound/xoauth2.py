"""XOAUTH2: a login by bearer token, as Microsoft 365 and Gmail want it instead of a password.

aiosmtplib's own `auth_xoauth2` throws away the challenge in which the relay says why it refuses,
and writes a token of any length on the line of the command.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Protocol

from mailbot.outbound.wire import readable

# RFC 4954 §4: the AUTH command is subject to this limit; a longer answer waits for the relay's 334.
# Google's tokens fit, those of Microsoft do not, and each shows its own way in its manual.
_LONGEST_COMMAND = 512
_COMMAND = b"AUTH XOAUTH2 "
_CONTINUE = 334
_TOLD = ("status", "scope", "error", "error_description")


class Response(Protocol):
    """A reply, before it is judged."""

    @property
    def code(self) -> int: ...
    @property
    def message(self) -> str: ...


class Client(Protocol):
    """What the login needs of an open connection."""

    async def execute_command(self, *words: bytes) -> Response: ...


async def log_in(client: Client, answer: bytes) -> tuple[Response, str]:
    """Say AUTH XOAUTH2 with `answer`, which is encoded for the wire.

    Returns the relay's last word, 235 where it lets us in, and why it does not, "" where unsaid.
    """
    if len(_COMMAND) + len(answer) + len(b"\r\n") <= _LONGEST_COMMAND:
        response = await client.execute_command(b"AUTH", b"XOAUTH2", answer)
    else:
        response = await client.execute_command(b"AUTH", b"XOAUTH2")
        if response.code == _CONTINUE:
            response = await client.execute_command(answer)
    if response.code != _CONTINUE:
        return response, ""
    # The challenge is the refusal's reason; the refusal itself comes after an empty line.
    why = told_in(response.message)
    return await client.execute_command(b""), why


def told_in(challenge: str) -> str:
    """The reason in a challenge: base64 of JSON such as {"status":"401","scope":"…"}.

    "" for an empty one; what cannot be read is told as it is, ≤ 200 characters on one line.
    """
    try:
        told = json.loads(base64.b64decode(challenge.strip(), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        told = challenge
    if isinstance(told, dict):
        told = ", ".join(f"{name} {told[name]}" for name in _TOLD if told.get(name))
    return readable(str(told))[:200]
