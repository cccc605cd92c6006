"""The public page as a customer meets it, each page in a language, from the app itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import httpx

from mailbot.config import PublicPageSettings
from mailbot.core.tokens import TokenKey, TokenKeys, sign_opt_out
from mailbot.core.wishes import Wish
from mailbot.web.pages import LANGUAGES
from mailbot.web.public import public_app
from tests.pictures.mails import SHOP, Mail

_KEYS: Final = TokenKeys((TokenKey(1, bytes(range(1, 33))),))
_TOKEN: Final = sign_opt_out(_KEYS, "ab" * 16)
_CODE: Final = "a1b2c3d4e5f6a1b2c3d4e5f6"


class _OpenDoor:
    async def hand_in(self, wish: Wish) -> None:
        """Nobody asks what became of it."""

    async def close(self) -> None:
        """Nothing to let go."""


def all_pages() -> Iterator[Mail]:
    """Each page in each language: `leave-en`, `left-de` and so on."""
    for language in LANGUAGES:
        yield from asyncio.run(_in_language(language))


def pictured_pages() -> Iterator[Mail]:
    """The few that stand in the documentation: one page of each language."""
    wanted = {"leave-en", "left-de", "come_back-fr", "wrong_link-es"}
    for page in all_pages():
        if page.name in wanted:
            yield Mail(f"public-{page.name}", page.page)


async def _in_language(language: str) -> list[Mail]:
    settings = PublicPageSettings.model_validate({
        "shop": {
            "name": SHOP.name,
            "help_address": SHOP.help_address.envelope,
            "postal_address": SHOP.postal_address,
            "website": "https://hollowandfinch.example",
        },
        "keys": {"tokens": [{"id": 1, "file": "token-key-1"}]},
    })  # fmt: skip
    app = public_app(settings, _KEYS, _OpenDoor())
    asked = {
        "leave": ("GET", f"/u/{_TOKEN}", {}),
        "left": ("POST", f"/u/{_TOKEN}", {"do": "leave"}),
        "come_back": ("GET", f"/b/{_TOKEN}", {}),
        "asked_to_come_back": ("POST", f"/b/{_TOKEN}", {"do": "come_back"}),
        "confirm": ("GET", f"/c/{_CODE}", {}),
        "confirmed": ("POST", f"/c/{_CODE}", {"do": "confirm"}),
        "wrong_link": ("GET", f"/u/{_TOKEN[:-4]}", {}),
        "wrong_request": ("POST", f"/u/{_TOKEN}", {"do": "nothing"}),
    }
    found = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://page.example",
        headers={"Accept-Language": language},
    ) as client:  # fmt: skip
        for name, (method, path, fields) in asked.items():
            answer = await client.request(method, path, data=fields)
            found.append(Mail(f"{name}-{language}", answer.text))
    return found
