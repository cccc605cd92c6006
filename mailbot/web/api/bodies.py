"""A request's JSON, read within bounds and checked against its model."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from mailbot.web.api.problems import Problem

LARGEST_BODY: Final = 256 * 1024  # bytes; an order of a hundred items has a tenth of that

_Model = TypeVar("_Model", bound=BaseModel)


async def read_json(request: Request, model: type[_Model], seconds: float) -> _Model:
    """Raises Problem: 415 no JSON, 413 too large, 408 too slow, 400 unreadable, 422 otherwise."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "Send application/json.", headers={"Accept-Post": "application/json"})
    raw = await _read_body(request, seconds)
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise Problem(400, f"Byte {error.start + 1} is not UTF-8.", code="unreadable") from error
    except json.JSONDecodeError as error:
        what = f"No JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        raise Problem(400, what, code="unreadable") from error
    except (ValueError, RecursionError) as error:  # NaN, a number of 5,000 digits, 1,000 brackets
        raise Problem(400, "This JSON holds what no mail can show.", code="unreadable") from error
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Problem(
            422, "Some fields are not as the document says.", code="invalid",
            errors=[
                {"where": ".".join(map(str, one["loc"])) or "body", "what": one["msg"]}
                for one in error.errors(include_input=False, include_url=False)
            ],
        ) from error  # fmt: skip


async def _read_body(request: Request, seconds: float) -> bytes:
    told = request.headers.get("content-length", "0")
    close = {"Connection": "close"}
    if told.isdigit() and int(told) > LARGEST_BODY:
        raise Problem(413, f"A body has at most {LARGEST_BODY:,} bytes.", headers=close)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise Problem(413, f"A body has at most {LARGEST_BODY:,} bytes.", headers=close)
    except TimeoutError as error:
        raise Problem(408, "The body did not come in time.", headers=close) from error
    return bytes(body)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def plain(model: BaseModel) -> dict[str, Any]:
    """A model as JSON has it, without what is not there."""
    return model.model_dump(mode="json", exclude_none=True)
