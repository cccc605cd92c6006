"""DKIM signatures (RFC 6376), relaxed/relaxed, by RSA and by Ed25519 (RFC 8463).

The key itself is passed in, as whatever can `sign`. Signed are the headers that a reader or a mail
program acts on; those that must not be added later are named once more than they are there.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from mailbot.core.mail_headers import CRLF

# RFC 6376 §5.4.1, and what RFC 8058 §3.1 asks of one-click: both List-Unsubscribe headers.
_SIGNED: Final = (
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding", "In-Reply-To", "References", "List-Id", "Feedback-ID",
    "Precedence", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip
# Whoever added one of these would make the letter say something else.
_SEALED: Final = (
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Content-Type", "List-Unsubscribe",
    "List-Unsubscribe-Post",
)  # fmt: skip
_BLANKS: Final = re.compile(rb"[ \t]+")
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")
_TRAILING: Final = re.compile(rb"[ \t]+(?=\r\n)")
_LINE: Final = 72


class SigningKey(Protocol):
    """A private key; `algorithm` is that of the `a=` tag; `record` is what publishes it."""

    @property
    def algorithm(self) -> str: ...
    @property
    def bits(self) -> int: ...
    @property
    def record(self) -> str: ...
    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, as the algorithm asks for it."""
        ...


@dataclass(frozen=True, slots=True)
class DkimIdentity:
    """Who answers for a message: the key's record is at `selector._domainkey.domain`, A-labels."""

    domain: str
    selector: str
    key: SigningKey

    def answers_for(self, from_domain: str) -> bool:
        """Whether a signature of it is aligned with mail from `from_domain` (RFC 7489 §3.1.1)."""
        return from_domain == self.domain or from_domain.endswith(f".{self.domain}")


def sign(message: bytes, identities: Iterable[DkimIdentity], at: datetime) -> bytes:
    """The message with one DKIM-Signature an identity in front; lines end in CRLF.

    Whatever is changed in it afterwards, but blanks at line ends and the folding, breaks them.
    """
    head, _, body = message.partition(CRLF + CRLF)
    fields = _fields(head)
    body_hash = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
    names = _names(fields)
    covered = b"".join(_covered(fields, names))
    lines = [_signature(one, names, covered, body_hash, at) for one in identities]
    return b"".join([*lines, message])


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Name in lower case and value of each header field, relaxed (RFC 6376 §3.4.2)."""
    found = []
    for line in _FOLD.sub(b"", head).split(CRLF):
        name, _, value = line.partition(b":")
        found.append((name.strip().lower(), _BLANKS.sub(b" ", value).strip()))
    return found


def _relaxed_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4: blanks run together, none at line ends, no empty lines at the end."""
    if not body.endswith(CRLF) and body:
        body += CRLF
    relaxed = _TRAILING.sub(b"", _BLANKS.sub(b" ", body)).rstrip(CRLF)
    return relaxed + CRLF if relaxed else b""


def _names(fields: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """The `h=` tag: each signed field as often as it is there, the sealed ones once more."""
    there = [name for name, _ in fields]
    names: list[str] = []
    for name in _SIGNED:
        count = there.count(name.lower().encode())
        names += [name] * (count + (name in _SEALED))
    return names


def _covered(fields: Sequence[tuple[bytes, bytes]], names: Iterable[str]) -> Iterable[bytes]:
    """The header lines in the order of `names`; of several the last comes first (§5.4.2)."""
    waiting: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        waiting.setdefault(name, []).append(value)
    for signed in names:
        key = signed.lower().encode()
        if values := waiting.get(key):
            yield key + b":" + values.pop() + CRLF


def _signature(
    identity: DkimIdentity, names: Sequence[str], covered: bytes, body_hash: str, at: datetime
) -> bytes:
    tags = [
        f"v=1; a={identity.key.algorithm}; c=relaxed/relaxed; t={int(at.timestamp())};",
        f"d={identity.domain}; s={identity.selector};",
        *_folded("h=", names),
        f"bh={body_hash};",
        "b=",
    ]
    field = "DKIM-Signature: " + "\r\n ".join(tags)
    ((name, value),) = _fields(field.encode())
    signature = base64.b64encode(identity.key.sign(covered + name + b":" + value)).decode()
    pieces = [signature[start : start + _LINE] for start in range(0, len(signature), _LINE)]
    return (field + "\r\n ".join(pieces)).encode() + CRLF


def _folded(tag: str, names: Sequence[str]) -> Iterable[str]:
    """`h=A:B:…;` in lines that fit; folded behind a colon (§3.5)."""
    line = tag
    for at, name in enumerate(names):
        piece = name + (":" if at + 1 < len(names) else ";")
        if len(line) + len(piece) > _LINE:
            yield line
            line = ""
        line += piece
    yield line
