"""Requests that two servers could read in two ways are refused, and their connection is closed.

h11 reads a request with two lengths by its chunks, as RFC 9112 §6.3 allows. A web server in front
may read it by its other length: what one takes for the end is to the other a further request.
"""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_CLOSE = {"Connection": "close"}


class OneReading:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on where there is one way to read it."""
        app = self._app
        names = {name for name, _ in scope["headers"]}
        if scope["http_version"] not in ("1.0", "1.1"):
            app = PlainTextResponse("HTTP/1.1, please.\n", 505, _CLOSE)
        elif {b"content-length", b"transfer-encoding"} <= names:
            app = PlainTextResponse("A request has one length.\n", 400, _CLOSE)
        await app(scope, receive, send)
