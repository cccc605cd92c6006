"""The public page as a process: keys, door, sockets, and a watchdog that asks the door."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from mailbot.config import PublicPageSettings, load_token_keys
from mailbot.core.wishes import Wish
from mailbot.log import configure as configure_log
from mailbot.web import serving
from mailbot.web.public import Door, public_app
from mailbot.web.sockets import listening

log = structlog.get_logger()

STUCK_AFTER: Final = 60.0  # seconds; whoever pressed has given up long ago


def run(settings: PublicPageSettings, open_door: Callable[[PublicPageSettings], Door]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Wishes go through `open_door`.

    Raises ConfigError, ListenError, or StoreError where it cannot even start.
    """
    help_address = {settings.shop.help_address.lower()}
    configure_log(settings.log.level, settings.log.format, own_addresses=help_address)
    keys = load_token_keys(settings)
    sockets = listening(settings.public.listen)

    async def serve() -> None:
        door = WatchedDoor(open_door(settings), time.monotonic)
        try:
            app = public_app(settings, keys, door)
            await serving.serve(
                app,
                sockets,
                name="public_page",
                patience=settings.public.timeout_seconds,
                most_connections=settings.public.connections,
                is_stuck=door.is_stuck,
            )
        finally:
            await door.close()
            log.info("public_page_stopped")

    try:
        asyncio.run(serve())
    finally:
        for listener in sockets:
            listener.close()
    return 0


class WatchedDoor:
    """A door, and whether it still hands on: answering pages alone proves nothing to a watchdog."""

    def __init__(self, door: Door, clock: Callable[[], float]) -> None:
        """`clock` answers seconds that only go forward."""
        self._door = door
        self._clock = clock
        self._under_way: dict[str, float] = {}  # wish → since when, the oldest first

    async def hand_in(self, wish: Wish) -> None:
        """As the door does."""
        self._under_way[wish.wish_id] = self._clock()
        try:
            await self._door.hand_in(wish)
        finally:
            del self._under_way[wish.wish_id]

    async def close(self) -> None:
        """As the door does."""
        await self._door.close()

    def is_stuck(self) -> bool:
        """Whether a wish waits for longer than any disk or database takes."""
        since = next(iter(self._under_way.values()), None)
        return since is not None and self._clock() - since > STUCK_AFTER
