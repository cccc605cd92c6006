"""The routes of /v1."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mailbot.config import Settings
from mailbot.core.address import parse_address
from mailbot.core.cells import in_cells
from mailbot.core.consent import Source, batch_digest
from mailbot.core.eligibility import Eligible, MessageKind, decide
from mailbot.core.errors import InputError, KeyReusedError, MailbotError, NotFoundError
from mailbot.core.scopes import Scope
from mailbot.lists.by_hand import put_on_list
from mailbot.lists.giving_out import record_giving_out
from mailbot.lists.hand import Hand
from mailbot.outbound.order_reports import MOST_CHANGES, report
from mailbot.outbound.order_status import Checked, Handed, HandOver, OrderStatus
from mailbot.store import campaign_figures, campaigns, ledger, listing, order_reports, suppressions
from mailbot.store.api_keys import ApiKey
from mailbot.store.campaigns import Campaign
from mailbot.store.engine import Connection, Database
from mailbot.web.api import models
from mailbot.web.api.bodies import plain, read_json
from mailbot.web.api.document import document
from mailbot.web.api.keys import Keys
from mailbot.web.api.problems import Problem, problem_of
from mailbot.web.strictness import OneReading

log = structlog.get_logger(__name__)

_LONGEST_KEY: Final = 200
_PAGE: Final = 1_000


def api_app(settings: Settings, hand: Hand, handing: HandOver) -> ASGIApp:
    """`hand` is the installation's; each change is recorded by the name of the key that asked."""
    api = _Api(settings, hand, handing)
    app = Starlette(
        routes=[
            Route("/v1/openapi.json", _document, methods=["GET"]),
            Route("/v1/order-status", api.hand_over, methods=["POST"]),
            Route("/v1/order-status", api.changes, methods=["GET"]),
            Route("/v1/order-status/{key:path}", api.one_message, methods=["GET"]),
            Route("/v1/suppressions", api.suppress, methods=["POST"]),
            Route("/v1/suppressions", api.suppressions, methods=["GET"]),
            Route("/v1/suppressions/check", api.check, methods=["POST"]),
            Route("/v1/campaigns", api.campaigns, methods=["GET"]),
            Route("/v1/campaigns/{name:path}", api.campaign, methods=["GET"]),
        ],
        exception_handlers={
            Problem: _problem,
            MailbotError: _our_error,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            Exception: _bug,
        },
    )
    app.router.redirect_slashes = False
    return OneReading(app)


class _Api:
    def __init__(self, settings: Settings, hand: Hand, handing: HandOver) -> None:
        self._settings = settings
        self._hand = hand
        self._handing = handing
        self._database: Database = hand.database
        self._keys = Keys(hand.database, time.monotonic)

    # -- order status ------------------------------------------------------------------------

    async def hand_over(self, request: Request) -> Response:
        """201 for a new message, 200 for one that was handed over before; durable with either."""
        key = await self._keys.of(request, Scope.ORDERS_WRITE)
        name = _idempotency_key(request)
        body = await self._body(request, models.OrderStatusIn)
        message = {"type": body.type, "to": body.to, "fields": body.fields, "idempotency_key": name}
        checked = await asyncio.to_thread(self._check, message)
        became = await self._database.commit(partial(self._store, checked))
        log.info("order_status_handed_over", by=key.name, became=became, type=body.type)
        status = 201 if became is Handed.QUEUED else 200
        place = {"Location": f"/v1/order-status/{name}"} if name.isascii() else {}
        out = models.HandedOver(idempotency_key=name, became=became.value)
        return JSONResponse(plain(out), status, place)

    def _check(self, message: Mapping[str, object]) -> Checked:
        return self._handing.check(OrderStatus.read(message))

    def _store(self, checked: Checked, conn: Connection) -> Handed:
        (answer,) = self._handing.store(conn, [checked])
        if isinstance(answer, KeyReusedError):
            raise answer
        return answer

    async def changes(self, request: Request) -> Response:
        """What became of messages, after a cursor."""
        await self._keys.of(request, Scope.ORDERS_READ)
        after = _number(request, "after", 0)
        limit = _number(request, "limit", _PAGE, least=1, most=MOST_CHANGES)
        told = await asyncio.to_thread(report, self._database, after, limit)
        out = models.MessageChanges(
            changes=[_message(one) for one in told.changes],
            cursor=told.cursor,
            has_more=told.has_more,
        )
        return JSONResponse(plain(out))

    async def one_message(self, request: Request) -> Response:
        """Where one message stands now."""
        await self._keys.of(request, Scope.ORDERS_READ)
        name = request.path_params["key"]
        found = await self._database.look(lambda conn: order_reports.standing_of(conn, name))
        if found is None:
            raise Problem(404, "No message was handed over under that key.")
        return JSONResponse(plain(_message(found)))

    # -- the list ----------------------------------------------------------------------------

    async def check(self, request: Request) -> Response:
        """May this person get offers, and order status?"""
        await self._keys.of(request, Scope.SUPPRESSIONS_READ)
        body = await self._body(request, models.AddressIn)
        person = self._hand.person_key.identify(parse_address(body.address))
        reasons = await self._database.look(lambda conn: suppressions.reasons(conn, person))
        out = models.Standing(
            may_get_offers=isinstance(decide(MessageKind.CAMPAIGN, reasons), Eligible),
            may_get_order_status=isinstance(decide(MessageKind.ORDER_STATUS, reasons), Eligible),
            reasons=sorted(reasons),
        )
        return JSONResponse(plain(out))

    async def suppress(self, request: Request) -> Response:
        """Put somebody on the list; with an Idempotency-Key once, however often it is asked."""
        key = await self._keys.of(request, Scope.SUPPRESSIONS_WRITE)
        once = _idempotency_key(request) if "idempotency-key" in request.headers else None
        body = await self._body(request, models.SuppressionIn)
        change = await asyncio.to_thread(
            put_on_list, self._hand_of(key), body.address, body.because, body.note.strip(), once
        )
        log.info("suppressed", by=key.name, because=body.because, event_number=change.sequence)
        out = models.Suppressed(
            event=change.sequence,
            reasons=sorted(change.reasons),
            offers_withheld=change.withheld,
        )
        return JSONResponse(plain(out), 201)

    async def suppressions(self, request: Request) -> Response:
        """What changed on the list since an event; recorded as given out to this key."""
        key = await self._keys.of(request, Scope.SUPPRESSIONS_READ)
        since = _number(request, "since", None)
        limit = _number(request, "limit", _PAGE, least=1, most=10_000)
        found = await asyncio.to_thread(self._give_out, key, since, limit)
        out = models.SuppressionChanges(
            changes=[
                models.SuppressionChange(
                    sequence=one.sequence,
                    address=one.address,
                    may_get_offers=not one.reasons,
                    reasons=sorted(one.reasons),
                    kind=one.kind,
                    at=one.at,
                )
                for one in found.changes
            ],
            next_since=found.next_since,
            is_all=found.is_all,
        )
        return JSONResponse(out.model_dump(mode="json"))

    def _give_out(self, key: ApiKey, since: int, limit: int) -> listing.Changes:
        with self._database.read() as conn:
            length = ledger.head_sequence(conn)
            if since > length:
                raise InputError(
                    f"the list has come to {length}, not to {since} yet.",
                    where="since",
                    next_step="Was a backup restored? Then ask from 0, and take the list anew.",
                )
            found = listing.changes(conn, since, limit)
        named = {one.person.person_hash for one in found.changes}
        if named:
            record_giving_out(
                self._hand_of(key),
                count=len(named),
                digest=batch_digest(named),
                evidence={"reason": "by the API", "what": "changes", "since": str(since)},
            )
        return found

    # -- campaigns ---------------------------------------------------------------------------

    async def campaigns(self, request: Request) -> Response:
        """All of them, without counting."""
        await self._keys.of(request, Scope.CAMPAIGNS_READ)
        found = await self._database.look(campaigns.every)
        out = models.Campaigns(campaigns=[_campaign(one) for one in found])
        return JSONResponse(plain(out))

    async def campaign(self, request: Request) -> Response:
        """One, with its counts."""
        await self._keys.of(request, Scope.CAMPAIGNS_READ)
        name = request.path_params["name"]
        try:
            out = await self._database.look(lambda conn: _counted(conn, name))
        except NotFoundError as error:
            raise Problem(404, "There is no campaign of that name.") from error
        return JSONResponse(plain(out))

    # -- what several of them do ---------------------------------------------------------------

    async def _body(self, request: Request, model: type[Any]) -> Any:
        return await read_json(request, model, self._settings.api.timeout_seconds)

    def _hand_of(self, key: ApiKey) -> Hand:
        return replace(self._hand, who=f"API key {key.name}", source=Source.API)


def _idempotency_key(request: Request) -> str:
    """The header, bare or as a quoted string (the IETF's draft). Raises Problem."""
    written = request.headers.get("idempotency-key", "").strip()
    if len(written) > 1 and written[0] == written[-1] == '"':
        written = written[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not written or len(written) > _LONGEST_KEY or not written.isprintable():
        raise Problem(
            400, f"Send the header Idempotency-Key: 1 to {_LONGEST_KEY} printable characters.",
            code="idempotency-key-missing",
            next_step="It names this message for ever, like order-1001-shipped.",
        )  # fmt: skip
    return written


def _number(
    request: Request, name: str, default: int | None, *, least: int = 0, most: int = 2**53
) -> int:
    written = request.query_params.get(name)
    if written is None and default is not None:
        return default
    if written is None or not (written.isascii() and written.isdigit() and len(written) <= 16):
        raise Problem(400, f"{name} is a number from {least} on.", code="invalid")
    number = int(written)
    if not least <= number <= most:
        raise Problem(400, f"{name} is a number from {least} to {most}.", code="invalid")
    return number


def _message(change: order_reports.OrderStatusChange) -> models.MessageState:
    return models.MessageState(
        idempotency_key=change.idempotency_key,
        type=change.type,
        state=change.state,
        changed_at=change.changed_at,
        reason=change.withheld_reason,
        reply=change.reply or None,
    )


def _campaign(one: Campaign) -> models.CampaignOut:
    return models.CampaignOut(
        name=one.name, state=one.state, send_at=one.send_at, audience=one.audience_count
    )


def _counted(conn: Connection, name: str) -> models.CampaignOut:
    found = campaigns.get(conn, name)
    progress = campaign_figures.progress(conn, found.id)
    return _campaign(found).model_copy(
        update={
            "by_state": {str(state): count for state, count in progress.by_state.items()},
            "withheld": dict(in_cells(progress.withheld)),
        }
    )


async def _document(request: Request) -> Response:
    del request
    return JSONResponse(document())


_Answering = Callable[[Request, Exception], Awaitable[Response]]


async def _problem(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Problem)  # noqa: S101
    return error.answer()


async def _our_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, MailbotError)  # noqa: S101
    found = problem_of(error)
    if found.status >= 500:
        log.error("api_unavailable", why=str(error))
    return found.answer()


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    status = getattr(error, "status_code", 400)
    words = {404: "There is nothing at this address.", 405: "Not by this method."}
    headers = getattr(error, "headers", None)
    return Problem(status, words.get(status, str(error)), headers=headers).answer()


async def _bug(request: Request, error: Exception) -> Response:
    """The server logs where it is."""
    del request, error
    return Problem(500, "This is a bug in mailbot; its log says where.").answer()


async def _gone(request: Request, error: Exception) -> Response:
    del request, error
    return Response(status_code=400)
