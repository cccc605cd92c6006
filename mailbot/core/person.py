"""Who a person is to the list: keyed hashes of the match key; erasure can forget the address.

The person key never rotates: nobody could re-hash those who were erased.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mailbot.core.address import Address
from mailbot.core.errors import InputError

MIN_SECRET_BYTES: Final = 32
PERSON_HASH_DIGITS: Final = 32
_BLOCK_BYTES: Final = 64  # of SHA-256


@dataclass(frozen=True, slots=True)
class Person:
    """32 lower-case hex digits each; the two are equal where the address has no `+tag`."""

    person_hash: str
    untagged_hash: str


def is_same(one: Person, other: Person) -> bool:
    """Whether the two are one mailbox, with or without +tag: the rule by which the list matches."""
    return one.person_hash == other.person_hash or one.untagged_hash == other.untagged_hash


@dataclass(frozen=True, slots=True)
class PersonKey:
    """The secret behind every person hash; it is never printed, compared or stored."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET_BYTES:
            raise InputError(
                f"The person key has {len(self.secret)} bytes.",
                next_step=f"It needs at least {MIN_SECRET_BYTES}, from a random source.",
            )

    @property
    def key_id(self) -> str:
        """8 hex digits that name the key, derived from it."""
        return self._mac("key id", b"")[:8]

    @property
    def check_value(self) -> str:
        """32 hex digits for the database: right key or wrong key, and nothing else about it."""
        return self._mac("check value", b"mailbot")[:32]

    def identify(self, address: Address) -> Person:
        """The person behind `address`; equal match keys give equal hashes."""
        exact = self._hash(address.match_key)
        untagged_key = address.untagged_key
        untagged = exact if untagged_key == address.match_key else self._hash(untagged_key)
        return Person(exact, untagged)

    def content_digest(self, content: bytes) -> str:
        """64 hex digits by which the same content is known again, and nobody can guess it."""
        return self._mac("content", content)

    def return_code(self, wish_id: str) -> str:
        """32 hex digits for a confirmation mail: nobody without the key can make one up."""
        return self._mac("return code", wish_id.encode())[:32]

    def hasher(self) -> Callable[[str], str]:
        """What hashes one match key after another like `identify`, several times faster.

        HMAC by its definition (RFC 2104), the two keyed starts computed once.
        """
        secret = self.secret
        if len(secret) > _BLOCK_BYTES:
            secret = hashlib.sha256(secret).digest()
        padded = secret.ljust(_BLOCK_BYTES, b"\0")
        start_inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + b"mailbot/person\0")
        start_outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

        def hash_of(match_key: str) -> str:
            inner, outer = start_inner.copy(), start_outer.copy()
            inner.update(match_key.encode())
            outer.update(inner.digest())
            return outer.hexdigest()[:PERSON_HASH_DIGITS]

        return hash_of

    def _hash(self, match_key: str) -> str:
        return self._mac("person", match_key.encode())[:PERSON_HASH_DIGITS]

    def _mac(self, purpose: str, data: bytes) -> str:
        message = b"mailbot/" + purpose.encode() + b"\0" + data
        return hmac.digest(self.secret, message, "sha256").hex()
