"""Who asks, by which key, and may they."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from starlette.requests import Request

from mailbot.core.scopes import Scope
from mailbot.store import api_keys
from mailbot.store.api_keys import ApiKey
from mailbot.store.engine import Connection, Database, now
from mailbot.web.api.problems import Problem
from mailbot.web.limits import WrongLinks

_WRONG_KEYS_A_MINUTE: Final = 60  # of all clients: right keys are never slowed
_NOTED_EACH: Final = timedelta(hours=1)
_ASK: Final = {"WWW-Authenticate": 'Bearer realm="mailbot"'}
_GONE: Final = {"WWW-Authenticate": 'Bearer realm="mailbot", error="invalid_token"'}


class Keys:
    """Looks each request's key up; a revoked one opens nothing from that moment on."""

    def __init__(self, database: Database, seconds: Callable[[], float]) -> None:
        self._database = database
        self._wrong = WrongLinks(_WRONG_KEYS_A_MINUTE, seconds)

    async def of(self, request: Request, scope: Scope) -> ApiKey:
        """Raises Problem: 401 without a good key, 403 where it lacks the scope, 429; StoreError."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Problem(401, "Send a key: Authorization: Bearer mb_…", headers=_ASK)
        key, at = await self._database.look(
            lambda conn: (api_keys.found_by(conn, secret.strip()), now(conn))
        )
        if key is None or not key.is_good(at):
            if self._wrong.are_too_many("everybody"):
                raise Problem(429, "Too many wrong keys.", headers={"Retry-After": "60"})
            raise Problem(401, "This key opens nothing.", headers=_GONE)
        if scope not in key.scopes:
            raise Problem(
                403, f"This key may not do that: it lacks {scope}.", code="scope-missing",
                next_step=f"mailbot api-keys create NAME --scope {scope}",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )  # fmt: skip
        if key.last_used_at is None or at - key.last_used_at > _NOTED_EACH:
            await self._database.commit(partial(_note, key.id))
        return key


def _note(key_id: int, conn: Connection) -> None:
    api_keys.note_use(conn, key_id)
