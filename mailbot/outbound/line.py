"""One worker's line to the relay: a connection that is reused, cleaned, closed or dropped."""

from __future__ import annotations

import contextlib
from typing import Protocol

from mailbot.core.errors import RelayError
from mailbot.outbound.delivery import Relay


class RelayClient(Relay, Protocol):
    """A connection that can also be opened, cleaned and closed."""

    async def connect(self) -> None: ...
    async def reset(self) -> None: ...
    async def close(self) -> None: ...
    def abort(self) -> None: ...


class Line:
    """A worker's connection, and how many messages it carried."""

    def __init__(self) -> None:
        self.connection: RelayClient | None = None
        self.carried = 0

    async def close(self) -> None:
        """Say QUIT."""
        if self.connection is not None:
            with contextlib.suppress(RelayError):
                await self.connection.close()
        self.connection = None

    async def clean(self) -> None:
        """Say RSET, so that the next message starts anew; drop the line where that fails."""
        if self.connection is not None:
            try:
                await self.connection.reset()
            except RelayError:
                self.drop()

    def drop(self) -> None:
        """Hang up at once."""
        if self.connection is not None:
            self.connection.abort()
        self.connection = None
