"""A web process: it listens, is patient for so long, and ends after its answers."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from mailbot import notify
from mailbot.web.sockets import name_of

log = structlog.get_logger()

_KEEP_ALIVE_SECONDS: Final = 5
STOP_SECONDS: Final = 10  # TimeoutStopSec= in mailbot-public.service is longer
_ALIVE_SECONDS: Final = 5
_LARGEST_HEAD: Final = 16 * 1024  # bytes of request line and headers
_ANSWER_TIMES: Final = 3  # times the time for a request: for storing it, and for reading the answer
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n"
)


def serve(
    app: ASGIApp,
    sockets: list[socket.socket],
    *,
    name: str,
    patience: float,
    most_connections: int,
    is_stuck: Callable[[], bool] = lambda: False,
) -> Coroutine[Any, Any, None]:
    """Serves until SIGTERM or SIGINT; answers that are under way may end. To be awaited.

    `name` begins the events of the log. systemd's watchdog is fed unless `is_stuck`.
    """
    return _Server(name, _config(app, patience, most_connections, is_stuck)).serve(sockets)


def _config(
    app: ASGIApp, patience: float, most_connections: int, is_stuck: Callable[[], bool]
) -> uvicorn.Config:
    async def tell_alive() -> None:
        if is_stuck():
            log.critical("part_stuck", parts=["door"])
        else:
            notify.tell("WATCHDOG=1")

    return uvicorn.Config(
        app,
        http=type("_Protocol", (PatientProtocol,), {
            "patience": patience, "most_connections": most_connections,
        }),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",  # what a stranger sends is no warning to us
        access_log=False,  # it would hold tokens and addresses; the apps tell what was done
        proxy_headers=False,  # addresses.py knows whom to believe
        server_header=False,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        timeout_keep_alive=int(min(_KEEP_ALIVE_SECONDS, patience)),
        timeout_graceful_shutdown=STOP_SECONDS,
        callback_notify=tell_alive,
        timeout_notify=_ALIVE_SECONDS,
    )  # fmt: skip


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to waiting and to the number of those who wait.

    uvicorn itself waits for a first request, and for a reader of its answer, as long as they like.
    """

    patience: float  # seconds for a request to arrive
    most_connections: int
    _deadline: asyncio.TimerHandle | None = None
    _is_waiting = True  # for a request, rather than with one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self.connections.discard(self)
            transport.write(_FULL)
            transport.close()
            return
        self._end_after(self.patience)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:
            self._end_after(self.patience)  # a further request begins
        super().data_received(data)
        self._watch_answer()

    def on_response_complete(self) -> None:
        self._is_waiting = True
        self._end_never()  # the keep-alive timer of uvicorn goes on
        super().on_response_complete()
        self._watch_answer()  # to a request that was sent behind the last one, unasked

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_never()
        super().connection_lost(exc)

    def _watch_answer(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if self._is_waiting and cycle is not None and not cycle.response_complete:
            self._is_waiting = False
            self._end_after(self.patience * _ANSWER_TIMES)

    def _end_after(self, seconds: float) -> None:
        self._end_never()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _end_never(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """One that tells systemd, and whose end by a signal is no failure."""

    def __init__(self, name: str, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        notify.tell("READY=1")
        log.info(f"{self._name}_started", listens=[name_of(one) for one in sockets or ()])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify.tell("STOPPING=1")
        log.info(f"{self._name}_stopping")
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def stop(*_: Any) -> None:
            self.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        yield
