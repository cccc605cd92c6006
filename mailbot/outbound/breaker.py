"""A circuit breaker: while the relay is down, nobody knocks but one, and ever more rarely."""

from __future__ import annotations

import random
from datetime import timedelta

from mailbot.core.backoff import wait

_FIRST = timedelta(seconds=1)
_LONGEST = timedelta(minutes=5)


class Breaker:
    """Open after a failure for a growing while; closed again by the first success."""

    def __init__(self) -> None:
        self.failures = 0
        self.because = ""
        self._opens_at = 0.0

    def fail(self, now: float, because: str) -> float:
        """Note a failure at `now` (seconds); returns for how many seconds to keep away.

        Failures of connections that were under way together count as one.
        """
        self.because = because
        if now < self._opens_at:
            return self._opens_at - now
        self.failures += 1
        seconds = wait(self.failures, _FIRST, _LONGEST, random.random()).total_seconds()
        self._opens_at = now + seconds
        return seconds

    def succeed(self) -> None:
        """The relay takes mail."""
        self.failures = 0
        self.because = ""
        self._opens_at = 0.0

    def is_open(self, now: float) -> bool:
        """Whether to keep away at `now`."""
        return now < self._opens_at
