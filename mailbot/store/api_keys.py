"""The keys of the API: who may ask for what. Only digests are stored.

A key is 256 random bits, so its SHA-256 is enough: a slow hash is for what people think up.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from mailbot.core.errors import NotFoundError, RefusedError
from mailbot.core.scopes import Scope
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import now
from mailbot.store.tables import api_keys

PREFIX: Final = "mb_"
_SECRET_BYTES: Final = 32
_SHOWN: Final = len(PREFIX) + 6  # digits of a key by which a person knows it again


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key; times are UTC, `last_used_at` by the hour. `starts_with` is how it begins."""

    id: int
    name: str
    starts_with: str
    scopes: frozenset[Scope]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_good(self, at: datetime) -> bool:
        """Whether it opens anything at that time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


def create(
    conn: Connection,
    *,
    name: str,
    scopes: Collection[Scope],
    created_by: str,
    expires_at: datetime | None = None,
) -> str:
    """Make a key; returns it, which nobody can do again. RefusedError: the name is taken."""
    taken = select(api_keys.c.id).where(api_keys.c.name == name)
    if conn.execute(taken).first() is not None:
        raise RefusedError(
            "there is a key of that name, or there was.",
            where=name,
            next_step="Names stand in the ledger: give the new key another, like shop-2.",
        )
    raw = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode().lower().rstrip("=")
    key = PREFIX + raw
    conn.execute(insert(api_keys).values(
        name=name, starts_with=key[:_SHOWN], digest=_digest(key), scopes=sorted(scopes),
        created_at=now(conn), created_by=created_by, expires_at=expires_at,
    ))  # fmt: skip
    return key


def found_by(conn: Connection, key: str) -> ApiKey | None:
    """Whose key that is, good or not; None where it is nobody's."""
    row = conn.execute(select(api_keys).where(api_keys.c.digest == _digest(key))).first()
    return _key(row) if row is not None else None


def every(conn: Connection) -> list[ApiKey]:
    """All keys, also the revoked ones, oldest first."""
    return [_key(row) for row in conn.execute(select(api_keys).order_by(api_keys.c.id))]


def revoke(conn: Connection, name: str) -> ApiKey:
    """From now on it opens nothing. Raises NotFoundError; a second time changes nothing."""
    conn.execute(
        update(api_keys)
        .where(api_keys.c.name == name, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=DatabaseTime())
    )
    row = conn.execute(select(api_keys).where(api_keys.c.name == name)).first()
    if row is None:
        raise NotFoundError(
            "there is no key of that name.", where=name, next_step="See: mailbot api-keys list"
        )
    return _key(row)


def note_use(conn: Connection, key_id: int) -> None:
    """It was used just now."""
    conn.execute(
        update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=DatabaseTime())
    )


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: Any) -> ApiKey:
    return ApiKey(
        row.id, row.name, row.starts_with, frozenset(map(Scope, row.scopes)), row.created_at,
        row.created_by, row.expires_at, row.revoked_at, row.last_used_at,
    )  # fmt: skip
