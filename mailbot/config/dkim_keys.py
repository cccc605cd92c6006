"""The keys that sign our mail (DKIM): read, judged, made, and as the record that publishes them.

The only door to the library of cryptography.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from mailbot.core.dkim import SigningKey
from mailbot.core.errors import InputError

GOOD_BITS: Final = 2048
_FEWEST_BITS: Final = 1024  # RFC 8301 §3.2: verifiers take no shorter one for valid
_MOST_BITS: Final = 4096  # beside it a record no longer fits where some servers keep it
_PIECE: Final = 255  # octets of one string of a TXT record (RFC 1035 §3.3.14)
_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")

Kind = Literal["rsa", "ed25519"]


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A private key that signs; `bits` is 256 for Ed25519."""

    _key: RSAPrivateKey | Ed25519PrivateKey

    @property
    def kind(self) -> Kind:
        """That of the record's `k=` tag."""
        return "rsa" if isinstance(self._key, RSAPrivateKey) else "ed25519"

    @property
    def algorithm(self) -> str:
        """That of the signature's `a=` tag."""
        return f"{self.kind}-sha256"

    @property
    def bits(self) -> int:
        """How long it is."""
        return self._key.key_size if isinstance(self._key, RSAPrivateKey) else 256

    def sign(self, data: bytes) -> bytes:
        """RSA: PKCS #1 v1.5 over SHA-256 (RFC 6376 §3.3.1); Ed25519: over the digest (RFC 8463)."""
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        digest = Hash(SHA256())
        digest.update(data)
        return self._key.sign(digest.finalize())

    @property
    def record(self) -> str:
        """The TXT record to publish at selector._domainkey.domain, as one text."""
        public = self._key.public_key()
        if self.kind == "rsa":
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            raw = public.public_bytes(serialization.Encoding.DER, form)
        else:
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k={self.kind}; p={base64.b64encode(raw).decode()}"

    @property
    def pem(self) -> str:
        """The private key itself: PKCS #8, unencrypted."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


def make_key(kind: Kind) -> DkimKey:
    """A new key: RSA of 2048 bits, which every receiver knows, or Ed25519."""
    if kind == "rsa":
        return DkimKey(generate_private_key(public_exponent=65537, key_size=GOOD_BITS))
    return DkimKey(Ed25519PrivateKey.generate())


def read_key(pem: str) -> DkimKey:
    """The key of a PEM file. Raises InputError: what it is instead, and what to do."""
    found = _BEGIN.search(pem)
    label = found[1] if found else ""
    what = _wrong_label(label)
    if what:
        raise InputError(f"it is {what}", next_step=_make_one())
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError as error:  # so the library says that it wants a password
        raise InputError(
            "it is encrypted with a password.",
            next_step="Write it without: openssl pkey -in KEY -out NEW-KEY; and protect the file.",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("it is no private key that can be read.", next_step=_make_one()) from error
    if isinstance(key, Ed25519PrivateKey):
        return DkimKey(key)
    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey").strip("_")
        raise InputError(
            f"it is a key for {kind}: DKIM knows RSA and Ed25519.", next_step=_make_one()
        )
    if not _FEWEST_BITS <= key.key_size <= _MOST_BITS:
        raise InputError(
            f"it is an RSA key of {key.key_size} bits; receivers take {_FEWEST_BITS} to "
            f"{_MOST_BITS} (RFC 8301).",
            next_step=_make_one(),
        )
    return DkimKey(key)


def zone_lines(selector: str, domain: str, key: SigningKey) -> str:
    """The record as a zone file takes it: strings of at most 255 octets between brackets."""
    record = key.record
    pieces = [record[at : at + _PIECE] for at in range(0, len(record), _PIECE)]
    strings = "\n".join(f'    "{piece}"' for piece in pieces)
    return f"{selector}._domainkey.{domain}. 3600 IN TXT (\n{strings} )"


def _wrong_label(label: str) -> str:
    if not label:
        return "no PEM file (-----BEGIN PRIVATE KEY-----)."
    if label == "OPENSSH PRIVATE KEY":
        return "a key for SSH."
    if "CERTIFICATE" in label:
        return "a certificate."
    return "a public key." if "PUBLIC" in label else ""


def _make_one() -> str:
    return "Make one: mailbot keys dkim SELECTOR DOMAIN --to FILE"
