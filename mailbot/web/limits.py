"""Who tried too many wrong links. Bounded memory, and nobody with a right link is ever counted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MOST_CLIENTS: Final = 10_000


class WrongLinks:
    """So many wrong links a minute for each client, measured by a bucket that leaks evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        """`clock` answers seconds that only go forward."""
        self._size = float(per_minute)
        self._leak = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def are_too_many(self, client: str) -> bool:
        """Count one more; whether that is one too many."""
        at = self._clock()
        level, then = self._buckets.pop(client, (0.0, at))
        level = max(0.0, level - (at - then) * self._leak)
        is_full = level + 1 > self._size
        self._buckets[client] = (level if is_full else level + 1, at)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)  # who tried longest ago
        return is_full
