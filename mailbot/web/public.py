"""The public page: who opens it sees one button, who presses it leaves (RFC 8058).

GET and HEAD change nothing, because link scanners open everything. What is answered with 200 is
durably in the hands of the door; what it may do to the list is the daemon's to decide. The page
knows no person: every right link gets the same answer, whoever it belongs to.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from mailbot.config import PublicPageSettings
from mailbot.core.errors import DoorClosed, TokenError
from mailbot.core.tokens import (
    TokenKeys,
    UndoTicket,
    sign_undo_ticket,
    verify_opt_out,
    verify_undo_ticket,
)
from mailbot.core.wishes import Wish, WishKind
from mailbot.web.addresses import ClientAddresses
from mailbot.web.forms import read_form
from mailbot.web.headers import StrictHeaders
from mailbot.web.health import HEALTHY
from mailbot.web.limits import WrongLinks
from mailbot.web.pages import Pages
from mailbot.web.strictness import OneReading

log = structlog.get_logger()

UNDO_WITHIN: Final = timedelta(hours=1)
_TRY_AGAIN: Final = {"Retry-After": "120"}
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


class Door(Protocol):
    """Where wishes go: it can add, and read nothing."""

    async def hand_in(self, wish: Wish) -> None:
        """The wish is durable when this returns. Raises DoorClosed where it cannot be stored."""

    async def close(self) -> None:
        """Store what still waits, and let go."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a right link is about."""

    token: str  # lower case, as it was signed
    person_hash: str


def _utc_now() -> datetime:
    return datetime.now(UTC)


def public_app(
    settings: PublicPageSettings,
    keys: TokenKeys,
    door: Door,
    *,
    now: Callable[[], datetime] = _utc_now,
    seconds: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """The whole page, under the path of `[public] url` and at the root alike.

    `now` and `seconds` are the clocks of wishes and of limits.
    """
    public = _Public(settings, keys, door, now, WrongLinks(
        settings.public.wrong_links_per_minute, seconds
    ))  # fmt: skip
    routes: list[BaseRoute] = [
        Route("/u/{token}", public.leaving, methods=["GET", "POST"]),
        Route("/b/{token}", public.coming_back, methods=["GET", "POST"]),
        Route("/c/{code}", public.confirming, methods=["GET", "POST"]),
        Route("/health", public.health),
        Route("/robots.txt", _robots),
    ]
    path = urlsplit(settings.public.url or "").path
    app = Starlette(
        routes=[Mount(path, routes=routes), *routes] if path else routes,
        exception_handlers={
            HTTPException: public.refusal,
            DoorClosed: public.closed,
            ClientDisconnect: _gone,
            Exception: public.failure,
        },
    )
    app.router.redirect_slashes = False  # RFC 8058 §3.1: no redirect, ever
    return StrictHeaders(OneReading(app), public.style_hash)


class _Public:
    def __init__(
        self,
        settings: PublicPageSettings,
        keys: TokenKeys,
        door: Door,
        now: Callable[[], datetime],
        wrong_links: WrongLinks,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._door = door
        self._now = now
        self._wrong_links = wrong_links
        self._clients = ClientAddresses(settings.public.trusted_proxies)
        self._pages = Pages(settings)
        self._is_door_open = True

    @property
    def style_hash(self) -> str:
        return self._pages.style_hash

    # -- /u/TOKEN ----------------------------------------------------------------------------

    async def leaving(self, request: Request) -> Response:
        """One button; its POST, and the mail program's own, leave. Undo is POSTed here too."""
        person = self._person(request)
        if person is None:
            return self._wrong_link(request)
        if request.method != "POST":
            way_back = f"../b/{person.token}"
            return self._pages.answer(request, "leave", does="leave", other_way=way_back)
        form = await self._form(request)
        if _is_one_click(form):
            await self._hand_in(Wish(
                _new_id(), WishKind.LEAVE, person.token, self._now(), "one_click"
            ), person)  # fmt: skip
            return PlainTextResponse("Unsubscribed.\n")
        if form.get("do") == "leave":
            wish = Wish(_new_id(), WishKind.LEAVE, person.token, self._now(), "page")
            await self._hand_in(wish, person)
            ticket = sign_undo_ticket(
                self._keys, person.person_hash, UndoTicket(wish.wish_id, wish.received_at)
            )
            return self._pages.answer(request, "left", ticket=ticket)
        if form.get("do") == "undo":
            return await self._undo(request, person, form.get("ticket", ""))
        raise HTTPException(400)

    async def _undo(self, request: Request, person: Person, text: str) -> Response:
        try:
            ticket = verify_undo_ticket(self._keys, person.person_hash, text)
        except TokenError as error:
            raise HTTPException(400) from error
        if self._now() - ticket.heard_at > UNDO_WITHIN:
            way_back = f"../b/{person.token}"
            return self._pages.answer(request, "too_late", 410, other_way=way_back)
        await self._hand_in(Wish(
            _new_id(), WishKind.UNDO, person.token, self._now(), "page", undoes=ticket.wish_id
        ), person)  # fmt: skip
        return self._pages.answer(request, "undone")

    # -- /b/TOKEN and /c/CODE ----------------------------------------------------------------

    async def coming_back(self, request: Request) -> Response:
        """Ask for a mail with a link; without it nobody is brought back."""
        person = self._person(request)
        if person is None:
            return self._wrong_link(request)
        if request.method != "POST":
            return self._pages.answer(request, "come_back", does="come_back")
        if (await self._form(request)).get("do") != "come_back":
            raise HTTPException(400)
        await self._hand_in(
            Wish(_new_id(), WishKind.COME_BACK, person.token, self._now(), "page"), person
        )
        return self._pages.answer(request, "asked_to_come_back")

    async def confirming(self, request: Request) -> Response:
        """The link of that mail. Only the daemon knows which codes are right."""
        code = request.path_params["code"]
        if _CODE.fullmatch(code) is None:
            return self._wrong_link(request)
        if request.method != "POST":
            return self._pages.answer(request, "confirm", does="confirm")
        if (await self._form(request)).get("do") != "confirm":
            raise HTTPException(400)
        # Anybody can make up a code: each counts as a wrong link, or the door would fill up.
        if self._wrong_links.are_too_many(self._clients.of(request)):
            return self._wait(request)
        await self._hand_in(
            Wish(_new_id(), WishKind.CONFIRM, "", self._now(), "page", code=code), None
        )
        return self._pages.answer(request, "confirmed")

    # -- the rest ----------------------------------------------------------------------------

    async def health(self, request: Request) -> Response:
        """200 while wishes are taken; 503 after one could not be stored, until one can."""
        del request
        if self._is_door_open:
            return PlainTextResponse(HEALTHY)
        return PlainTextResponse("Wishes cannot be stored.\n", 503, _TRY_AGAIN)

    async def refusal(self, request: Request, error: Exception) -> Response:
        """What a request is told that is no request of ours."""
        status = getattr(error, "status_code", 400)
        headers = getattr(error, "headers", None)
        if status == 404:
            return self._pages.answer(request, "wrong_page", 404)
        if status == 405 and request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        return self._pages.answer(request, "wrong_request", status, headers=headers)

    async def closed(self, request: Request, error: Exception) -> Response:
        """Nothing is promised that was not stored."""
        self._is_door_open = False
        log.error("wish_not_stored", why=str(error))
        return self._pages.answer(request, "closed", 503, headers=_TRY_AGAIN)

    async def failure(self, request: Request, error: Exception) -> Response:
        """A bug; the server logs where it is."""
        del error
        return self._pages.answer(request, "closed", 500)

    def _person(self, request: Request) -> Person | None:
        """Also of a revoked key: the daemon holds such a wish for a person to decide."""
        token = request.path_params["token"]
        try:
            verified = verify_opt_out(self._keys, token)
        except TokenError:
            return None
        return Person(token.lower(), verified.person_hash)

    def _wrong_link(self, request: Request) -> Response:
        if self._wrong_links.are_too_many(self._clients.of(request)):
            return self._wait(request)
        return self._pages.answer(request, "wrong_link", 404)

    def _wait(self, request: Request) -> Response:
        return self._pages.answer(request, "wait", 429, headers={"Retry-After": "60"})

    async def _form(self, request: Request) -> Mapping[str, str]:
        return await read_form(request, self._settings.public.timeout_seconds)

    async def _hand_in(self, wish: Wish, person: Person | None) -> None:
        await self._door.hand_in(wish)
        self._is_door_open = True
        about = {"person": person.person_hash[:12]} if person else {}
        log.info("wish_taken", kind=wish.kind, source=wish.source, wish=wish.wish_id, **about)


def _is_one_click(form: Mapping[str, str]) -> bool:
    """RFC 8058 §3.2, and whoever writes it in another case."""
    return any(
        name.strip().lower() == "list-unsubscribe" and value.strip().lower() == "one-click"
        for name, value in form.items()
    )


def _new_id() -> str:
    return secrets.token_hex(16)


async def _robots(request: Request) -> Response:
    del request
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody waits for an answer any more."""
    del request, error
    return Response(status_code=400)
