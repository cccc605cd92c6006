"""The OpenAPI document of /v1, made of the models that judge what comes in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mailbot import __version__
from mailbot.core.scopes import Scope
from mailbot.web.api import models

_REF: Final = "#/components/schemas/{model}"
_KEY_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$"},
    "description": "Names this request for ever: sent again, it changes nothing.",
    "example": "order-1001-shipped",
}
_MODELS: Final[tuple[type[BaseModel], ...]] = (
    models.OrderStatusIn, models.HandedOver, models.MessageState, models.MessageChanges,
    models.AddressIn, models.Standing, models.SuppressionIn, models.Suppressed,
    models.SuppressionChanges, models.CampaignOut, models.Campaigns, models.ProblemOut,
)  # fmt: skip
_WORDS: Final = {
    "400": "The request cannot be read.",
    "401": "There is no key, or it opens nothing.",
    "403": "The key lacks the scope.",
    "404": "There is nothing of that name.",
    "408": "The request did not come in time.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "422": "It can be read, and cannot be used: each fault with its place.",
    "429": "Too many wrong keys.",
    "503": "The database is away: ask again, under the same key.",
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """OpenAPI 3.1, as plain values."""
    _, schemas = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mailbot",
            "version": __version__,
            "description": "Order status handed over, and the do-not-send list asked, by the "
            "shop's own programs. Each answer of an error is application/problem+json.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `mailbot api-keys create`; its scopes: "
                    + ", ".join(Scope),
                }
            },
        },
        "security": [{"key": []}],
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/order-status": {
            "post": _operation(
                "handOver", "Hand one message over.", Scope.ORDERS_WRITE,
                {"201": ("It is stored, durably.", models.HandedOver),
                 "200": ("It was handed over before.", models.HandedOver)},
                takes=models.OrderStatusIn, parameters=[{**_KEY_HEADER, "required": True}],
            ),
            "get": _operation(
                "orderStatusChanges", "What became of messages, after a cursor.",
                Scope.ORDERS_READ, {"200": ("In the order of change.", models.MessageChanges)},
                parameters=[_query("after", 0), _query("limit", 1000, least=1, most=10_000)],
                more=("422",),
            ),
        },
        "/v1/order-status/{idempotency_key}": {
            "get": _operation(
                "orderStatus", "Where one message stands.", Scope.ORDERS_READ,
                {"200": ("Now.", models.MessageState)},
                parameters=[_path("idempotency_key")], more=("404",),
            ),
        },
        "/v1/suppressions/check": {
            "post": _operation(
                "checkSuppression", "May this person get offers, and order status?",
                Scope.SUPPRESSIONS_READ, {"200": ("As the list stands now.", models.Standing)},
                takes=models.AddressIn,
            ),
        },
        "/v1/suppressions": {
            "post": _operation(
                "suppress", "Put somebody on the list.", Scope.SUPPRESSIONS_WRITE,
                {"201": ("It holds for all that is not yet on the wire.", models.Suppressed)},
                takes=models.SuppressionIn, parameters=[_KEY_HEADER],
            ),
            "get": _operation(
                "suppressionChanges", "What changed on the list since an event.",
                Scope.SUPPRESSIONS_READ,
                {"200": ("In the order of the ledger.", models.SuppressionChanges)},
                parameters=[_query("since", None), _query("limit", 1000, least=1, most=10_000)],
                more=("422",),
            ),
        },
        "/v1/campaigns": {
            "get": _operation(
                "campaigns", "Every campaign.", Scope.CAMPAIGNS_READ,
                {"200": ("Without counts.", models.Campaigns)},
            ),
        },
        "/v1/campaigns/{name}": {
            "get": _operation(
                "campaign", "One campaign, with its counts.", Scope.CAMPAIGNS_READ,
                {"200": ("In numbers, never a person.", models.CampaignOut)},
                parameters=[_path("name")], more=("404",),
            ),
        },
    }  # fmt: skip


def _operation(
    name: str,
    summary: str,
    scope: Scope,
    answers: dict[str, tuple[str, type[BaseModel]]],
    *,
    takes: type[BaseModel] | None = None,
    parameters: list[dict[str, Any]] | None = None,
    more: tuple[str, ...] = (),
) -> dict[str, Any]:
    problems = ["400", "401", "403", "429", "503", *more]
    if takes is not None:
        problems += ["408", "413", "415", "422"]
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "description": f"Needs the scope {scope}.",
        "responses": {
            **{
                status: {"description": words, "content": {"application/json": _ref(model)}}
                for status, (words, model) in answers.items()
            },
            **{
                status: {
                    "description": _WORDS[status],
                    "content": {"application/problem+json": _ref(models.ProblemOut)},
                }
                for status in sorted(set(problems))
            },
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if takes is not None:
        content = {"application/json": _ref(takes)}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}


def _query(name: str, default: int | None, *, least: int = 0, most: int = 2**53) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    if default is not None:
        schema["default"] = default
    return {"name": name, "in": "query", "required": default is None, "schema": schema}


def _path(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return {"name": name, "in": "path", "required": True, "schema": schema}
