"""/v1 over an installation of a test's own, asked in process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailbot.config import Settings, load, load_person_key, load_token_keys
from mailbot.core.consent import Source
from mailbot.core.scopes import Scope
from mailbot.lists.hand import Hand
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status import HandOver
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.store import api_keys, schema
from mailbot.store.engine import Database
from mailbot.web.api.app import api_app
from tests.cli.conftest import CONFIG

ORDER = {"type": "shipped", "to": "ann@example.org", "fields": {"order_number": "1001"}}


def installed(folder: Path) -> Path:
    """A configuration, its secrets and its database; returns the file."""
    for name, secret in (
        ("person-key", bytes(range(32)).hex()), ("token-key-1", bytes(range(1, 33)).hex()),
        ("imap-password", "x"),
    ):  # fmt: skip
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    config = folder / "mailbot.toml"
    config.write_text(CONFIG.replace("sqlite:///mailbot.db", f"sqlite:///{folder}/mailbot.db"))
    schema.upgrade(f"sqlite:///{folder}/mailbot.db")
    return config


def app_of(settings: Settings, database: Database) -> Any:
    person_key = load_person_key(settings)
    handing = HandOver(
        OrderStatusTypes(), person_key, Letterhead.of(settings, load_token_keys(settings))
    )
    hand = Hand(database, person_key, "7", "nobody", Source.API)
    return api_app(settings, hand, handing)


@dataclass
class Api:
    """Asks with a key that may do everything, unless told otherwise."""

    client: httpx.AsyncClient
    database: Database
    secret: str

    def key(self, *scopes: Scope, name: str = "small") -> str:
        with self.database.write() as conn:
            return api_keys.create(conn, name=name, scopes=scopes, created_by="ann")

    async def __call__(
        self, method: str, path: str, *, key: str | None = None, **more: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.secret}", **more.pop("headers", {})}
        return await self.client.request(method, f"/v1{path}", headers=headers, **more)

    async def hands_over(self, once: str = "o1", **changed: Any) -> httpx.Response:
        body = {**ORDER, **changed}
        return await self("POST", "/order-status", json=body, headers={"Idempotency-Key": once})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    installed(tmp_path)
    opened = Database.open(f"sqlite:///{tmp_path}/mailbot.db")
    yield opened
    opened.close()


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    with database.write() as conn:
        secret = api_keys.create(conn, name="shop", scopes=list(Scope), created_by="ann")
    app = app_of(load(tmp_path / "mailbot.toml"), database)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield Api(client, database, secret)
