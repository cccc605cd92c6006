"""A public page over a door of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from mailbot.config import PublicPageSettings, load_public_page
from mailbot.core.errors import DoorClosed
from mailbot.core.tokens import TokenKey, TokenKeys, sign_opt_out
from mailbot.core.wishes import Wish
from mailbot.web.public import public_app

SETTINGS = """\
[shop]
name = "Hollow & Finch <Teas>"
help_address = "help@hollowandfinch.example"
postal_address = "12 Quay Street, Bristol"
website = "https://hollowandfinch.example"
[keys]
tokens = [{ id = 1, file = "token-key-1" }]
[public]
url = "https://mail.hollowandfinch.example"
[log]
format = "json"
"""
KEY = TokenKey(1, bytes(range(1, 33)))
KEYS = TokenKeys((KEY,))
ANN = "ab" * 16
TOKEN = sign_opt_out(KEYS, ANN)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@dataclass
class Notebook:
    """A door that writes down what it is handed."""

    wishes: list[Wish] = field(default_factory=list)
    is_open: bool = True

    async def hand_in(self, wish: Wish) -> None:
        if not self.is_open:
            raise DoorClosed("No space left on device.")
        self.wishes.append(wish)

    async def close(self) -> None:
        self.is_open = False


@dataclass
class Clock:
    """Both clocks of the page, which stand still."""

    now: datetime = datetime(2027, 3, 9, 9, 0, tzinfo=UTC)
    seconds: float = 1000.0


SettingsMaker = Callable[..., PublicPageSettings]


@pytest.fixture
def settings_with(tmp_path: Path) -> SettingsMaker:
    """The settings above, with other lines in their tables."""

    def made(**changes: str) -> PublicPageSettings:
        text = SETTINGS
        for table, lines in changes.items():
            text = text.replace(f"[{table}]\n", f"[{table}]\n{lines}\n")
        path = tmp_path / "mailbot.toml"
        path.write_text(text)
        return load_public_page(path)

    return made


@pytest.fixture
def door() -> Notebook:
    return Notebook()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Visitor:
    """A browser without cookies, at one address."""

    client: httpx.AsyncClient
    door: Notebook

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def press(self, path: str, **fields: str) -> httpx.Response:
        return await self.client.post(path, data=fields)


VisitorMaker = Callable[..., Visitor]


@pytest.fixture
async def visiting(
    settings_with: SettingsMaker, door: Notebook, clock: Clock
) -> AsyncIterator[VisitorMaker]:
    """Visitors of a page with these settings and keys."""
    opened: list[httpx.AsyncClient] = []

    def visit(
        settings: PublicPageSettings | None = None,
        keys: TokenKeys = KEYS,
        address: tuple[str, int] = ("127.0.0.1", 40_000),
    ) -> Visitor:
        app = public_app(
            settings or settings_with(), keys, door,
            now=lambda: clock.now, seconds=lambda: clock.seconds,
        )  # fmt: skip
        transport = httpx.ASGITransport(app, client=address, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://page.example")
        opened.append(client)
        return Visitor(client, door)

    yield visit
    for client in opened:
        await client.aclose()


@pytest.fixture
def visitor(visiting: VisitorMaker) -> Visitor:
    return visiting()
