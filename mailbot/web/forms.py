"""A request's form, read within bounds: so many bytes, so many seconds, so few fields."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive

LARGEST_BODY: Final = 64 * 1024  # bytes; ours is under 200, and a mail program may add some
_MOST_FIELDS: Final = 20
_LARGEST_FIELD: Final = 4096
_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


async def read_form(request: Request, seconds: float) -> Mapping[str, str]:
    """The fields of a form, the last of each name.

    Raises HTTPException: 415 no form, 413 too large, 408 too slow, 400 unreadable. What is too
    large or too slow is not read to its end.
    """
    written, _options = parse_options_header(request.headers.get("content-type", ""))
    if written.decode("latin-1").lower() not in _TYPES:
        raise HTTPException(415, headers={"Accept-Post": ", ".join(_TYPES)})
    body = await _read_body(request, seconds)
    again = Request(request.scope, _replay(body))
    try:
        form = await again.form(max_files=0, max_fields=_MOST_FIELDS, max_part_size=_LARGEST_FIELD)
    except (MultiPartException, ValueError, LookupError) as error:  # of a charset nobody knows
        raise HTTPException(400) from error
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


async def _read_body(request: Request, seconds: float) -> bytes:
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > LARGEST_BODY:
        raise HTTPException(413, headers={"Connection": "close"})
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise HTTPException(413, headers={"Connection": "close"})
    except TimeoutError as error:
        raise HTTPException(408, headers={"Connection": "close"}) from error
    return bytes(body)


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
