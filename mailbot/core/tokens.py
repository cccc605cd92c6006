"""Signed tokens in addresses: whom a mail opts out, and which message a bounce is about.

Base32 in lower case, so that they survive mail software that folds case; the two kinds are signed
in contexts of their own and can never be swapped. Keys rotate; an old one verifies for ever.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal

from mailbot.core.address import Address, parse_address
from mailbot.core.errors import InputError, RefusedError, TokenError

MIN_SECRET_BYTES: Final = 32
_MAC_BYTES: Final = 12
_PERSON_BYTES: Final = 16
_OUTBOX_BYTES: Final = 8
_WISH_BYTES: Final = 16
_SECONDS_BYTES: Final = 8
_OPT_OUT: Final = b"mailbot/opt-out\0"
_UNDO: Final = b"mailbot/undo\0"
_RETURN_PATH: Final = b"mailbot/return-path\0"
_TICKET: Final = b"mailbot/undo-ticket\0"

# `u` an opt-out of one person, `r` its undoing, `b` the return path of one message.
TokenPrefix = Literal["u", "r", "b"]
_IN_TEXT: Final = {
    "u": re.compile(r"(?<![a-z0-9])u-([a-z2-7]{20,80})(?![a-z0-9])", re.IGNORECASE | re.ASCII),
    "r": re.compile(r"(?<![a-z0-9])r-([a-z2-7]{20,80})(?![a-z0-9])", re.IGNORECASE | re.ASCII),
    "b": re.compile(r"(?<![a-z0-9])b-([a-z2-7]{20,80})(?![a-z0-9])", re.IGNORECASE | re.ASCII),
}


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One signing key; a revoked (leaked) one signs no more, and its tokens still name people."""

    key_id: int
    secret: bytes = field(repr=False)
    is_revoked: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.key_id <= 255:
            raise InputError(f"Token key id {self.key_id} is not between 1 and 255.")
        if len(self.secret) < MIN_SECRET_BYTES:
            raise InputError(
                f"Token key {self.key_id} has {len(self.secret)} bytes.",
                next_step=f"It needs at least {MIN_SECRET_BYTES}, from a random source.",
            )


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """All keys that ever signed; the highest id that is not revoked signs new tokens."""

    keys: tuple[TokenKey, ...]

    def __post_init__(self) -> None:
        ids = [key.key_id for key in self.keys]
        if len(ids) != len(set(ids)):
            raise InputError("Two token keys have the same id.", next_step="Give each its own.")

    def signing(self) -> TokenKey:
        """Raises RefusedError where every key is revoked, or there is none."""
        usable = [key for key in self.keys if not key.is_revoked]
        if not usable:
            raise RefusedError("No token key can sign.", next_step="Add a new one under [keys].")
        return max(usable, key=lambda key: key.key_id)

    def find(self, key_id: int) -> TokenKey | None:
        return next((key for key in self.keys if key.key_id == key_id), None)


@dataclass(frozen=True, slots=True)
class PersonToken:
    """A token that we signed: for whom, and whether its key has leaked since."""

    person_hash: str
    key_id: int
    is_revoked: bool


def sign_opt_out(keys: TokenKeys, person_hash: str) -> str:
    """47 characters: key id, person hash (32 hex digits) and MAC."""
    return _sign(keys.signing(), _OPT_OUT, _person_bytes(person_hash))


def verify_opt_out(keys: TokenKeys, token: str) -> PersonToken:
    """Upper and lower case alike. Raises TokenError: forged, cut short, or of an unknown key."""
    return _verify_person(keys, _OPT_OUT, token)


def sign_undo(keys: TokenKeys, person_hash: str) -> str:
    """47 characters, like an opt-out token; neither passes for the other."""
    return _sign(keys.signing(), _UNDO, _person_bytes(person_hash))


def verify_undo(keys: TokenKeys, token: str) -> PersonToken:
    """Raises TokenError like `verify_opt_out`."""
    return _verify_person(keys, _UNDO, token)


def sign_return_path(keys: TokenKeys, outbox_id: int) -> str:
    """34 characters: key id, outbox id and MAC; what VERP puts into the envelope sender."""
    return _sign(keys.signing(), _RETURN_PATH, outbox_id.to_bytes(_OUTBOX_BYTES, "big"))


def verify_return_path(keys: TokenKeys, token: str) -> int:
    """The outbox id. Raises TokenError, also for a revoked key: its bounces may be forged."""
    key, outbox_id = _verify(keys, _RETURN_PATH, token, _OUTBOX_BYTES)
    if key.is_revoked:
        raise TokenError(f"The return path was signed by key {key.key_id}, which is revoked.")
    return int.from_bytes(outbox_id, "big")


@dataclass(frozen=True, slots=True)
class UndoTicket:
    """What the page that answered an opt-out hands out: which wish, and when it was heard."""

    wish_id: str  # 32 hex digits
    heard_at: datetime  # aware, UTC, whole seconds


def sign_undo_ticket(keys: TokenKeys, person_hash: str, ticket: UndoTicket) -> str:
    """60 characters, good for that person alone."""
    seconds = int(ticket.heard_at.timestamp()).to_bytes(_SECONDS_BYTES, "big")
    data = bytes.fromhex(ticket.wish_id) + seconds
    return _sign(keys.signing(), _TICKET + _person_bytes(person_hash), data)


def verify_undo_ticket(keys: TokenKeys, person_hash: str, text: str) -> UndoTicket:
    """Raises TokenError: forged, cut short, another person's, or of a revoked key."""
    context = _TICKET + _person_bytes(person_hash)
    key, data = _verify(keys, context, text, _WISH_BYTES + _SECONDS_BYTES)
    if key.is_revoked:
        raise TokenError(f"The ticket was signed by key {key.key_id}, which is revoked.")
    seconds = int.from_bytes(data[_WISH_BYTES:], "big")
    return UndoTicket(data[:_WISH_BYTES].hex(), datetime.fromtimestamp(seconds, UTC))


def opt_out_address(help_address: str, token: str) -> str:
    """`help+u-TOKEN@domain`: where List-Unsubscribe points."""
    return _tagged(help_address, "u", token)


def one_click_url(public_url: str, token: str) -> str:
    """`https://…/u/TOKEN`: one person's public page; `public_url` ends without a slash."""
    return f"{public_url}/u/{token}"


def undo_address(help_address: str, token: str) -> str:
    """`help+r-TOKEN@domain`: the way back, in the body of an acknowledgement and nowhere else."""
    return _tagged(help_address, "r", token)


def return_path_address(help_address: str, token: str) -> str:
    """`help+b-TOKEN@domain`: the envelope sender."""
    return _tagged(help_address, "b", token)


def tokens_in(addresses: Iterable[Address], prefix: TokenPrefix) -> tuple[str, ...]:
    """The tokens of that kind in the addresses' plus-tags, unverified, each once."""
    mark = f"+{prefix}-"
    found: dict[str, None] = {}
    for address in addresses:
        _, has_mark, token = address.local_part.lower().rpartition(mark)
        if has_mark and token:
            found[token] = None
    return tuple(found)


def tokens_in_text(text: str, prefix: TokenPrefix) -> tuple[str, ...]:
    """The same in a subject, for mailboxes that plus-addresses do not reach: `… u-TOKEN …`."""
    return tuple(dict.fromkeys(hit.lower() for hit in _IN_TEXT[prefix].findall(text)))


def _person_bytes(person_hash: str) -> bytes:
    person = bytes.fromhex(person_hash)
    if len(person) != _PERSON_BYTES:
        raise InputError(f"A person hash has 32 hex digits, not {len(person_hash)}.")
    return person


def _verify_person(keys: TokenKeys, context: bytes, token: str) -> PersonToken:
    key, person = _verify(keys, context, token, _PERSON_BYTES)
    return PersonToken(person.hex(), key.key_id, key.is_revoked)


def _tagged(help_address: str, prefix: TokenPrefix, token: str) -> str:
    address = _parsed(help_address)
    return f"{address.local_part}+{prefix}-{token}@{address.domain}"


@lru_cache(maxsize=16)  # one shop has one, and it stands in every message
def _parsed(help_address: str) -> Address:
    return parse_address(help_address)


def _sign(key: TokenKey, context: bytes, data: bytes) -> str:
    signed = bytes([key.key_id]) + data
    raw = signed + _mac(key, context, signed)
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _verify(keys: TokenKeys, context: bytes, token: str, size: int) -> tuple[TokenKey, bytes]:
    whole = 1 + size + _MAC_BYTES
    try:
        raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    except (binascii.Error, ValueError) as error:
        raise TokenError("The token is cut short or misspelt.") from error
    if len(raw) != whole or base64.b32encode(raw).decode().rstrip("=").lower() != token.lower():
        raise TokenError("The token is cut short or misspelt.")
    key = keys.find(raw[0])
    if key is None:
        raise TokenError(f"The token names key {raw[0]}, which is unknown here.")
    signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, context, signed)):
        raise TokenError("The token's signature is wrong: it was forged or altered.")
    return key, signed[1:]


def _mac(key: TokenKey, context: bytes, signed: bytes) -> bytes:
    return hmac.digest(key.secret, context + signed, "sha256")[:_MAC_BYTES]
