"""How much mail each recipient domain gets at once, and how soon the next.

A domain that says "too many" gets half as many at once, then ever fewer by the minute; what it
takes speeds it up again, slowly. So does TCP with a line whose width nobody knows. One relay
carries all: what it says about one domain slows that domain, and about us, everything.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf

from mailbot.core.smtp_replies import Welcome

FIRST_INTERVAL, LONGEST_INTERVAL = 1.0, 60.0  # seconds between two messages to a slow domain
TAKEN_FOR_A_STEP = 10  # so many in a row were taken: a little faster
FORGET_SECONDS = 3600.0  # who got nothing for so long begins anew
MOST_REMEMBERED = 1_000  # slow domains to which nothing is under way
# So many domains in a row, with nothing taken between: it is not they, it is the relay.
DOMAINS_FOR_THE_RELAY = 5


@dataclass(slots=True)
class _Flow:
    """What goes one way: to a domain, or through the relay at all."""

    widest: int
    at_once: int = field(init=False)
    interval: float = 0.0
    opens_at: float = 0.0
    under_way: int = 0
    of_before: int = 0  # under way when it was slowed: what becomes of them is no news
    taken: int = 0  # in a row, since the last step
    ended_at: float = 0.0

    def __post_init__(self) -> None:
        self.at_once = self.widest

    @property
    def is_at_full_speed(self) -> bool:
        return self.at_once == self.widest and not self.interval

    def wait(self, now: float) -> float:
        if self.under_way >= self.at_once:
            return inf
        return max(0.0, self.opens_at - now)

    def start(self, now: float) -> None:
        self.under_way += 1
        self.opens_at = max(self.opens_at, now + self.interval)

    def end(self, welcome: Welcome, slows: Welcome, now: float) -> bool:
        """Count what ended; whether it was news that slows this flow."""
        self.under_way -= 1
        self.ended_at = now
        if self.of_before:
            self.of_before -= 1
        elif welcome is slows:
            self.slow(now)
            return True
        elif welcome is Welcome.TAKEN:
            self.taken += 1
            if self.taken >= TAKEN_FOR_A_STEP:
                self._speed_up()
        return False

    def slow(self, now: float) -> None:
        """Half as many at once; where it is one already, half as often."""
        if self.at_once > 1:
            self.at_once //= 2
        else:
            self.interval = min(max(FIRST_INTERVAL, self.interval * 2), LONGEST_INTERVAL)
        self.taken, self.of_before = 0, self.under_way
        self.opens_at = max(self.opens_at, now + max(FIRST_INTERVAL, self.interval))

    def _speed_up(self) -> None:
        self.taken = 0
        if self.interval > FIRST_INTERVAL:
            self.interval /= 2
        elif self.interval:
            self.interval = 0.0
        elif self.at_once < self.widest:
            self.at_once += 1


@dataclass(frozen=True, slots=True)
class Slowed:
    """News of a slower pace: `domain` is "" where it is that of everything."""

    domain: str
    at_once: int
    seconds_between: float


class Domains:
    """The pace of every domain, for one task. Times are seconds of one clock that never goes back.

    Of `connections` to the relay at most `domain_connections` carry mail to one domain. A domain to
    which nothing is under way and that was not slowed takes no memory.
    """

    def __init__(self, *, domain_connections: int, connections: int) -> None:
        self._widest = min(domain_connections, connections)
        self._busy: dict[str, _Flow] = {}
        self._idle: OrderedDict[str, _Flow] = OrderedDict()  # slowed ones, the longest idle first
        self._relay = _Flow(connections)
        self._complaining: set[str] = set()  # domains, since anything was taken

    def __len__(self) -> int:
        """How many domains are remembered."""
        return len(self._busy) + len(self._idle)

    def wait(self, domain: str, now: float) -> float:
        """Seconds until a message to `domain` may start, 0 for now.

        `inf` where it has to wait for another to end: ask again after the next `ended`.
        """
        flow = self._find(domain, now)
        return max(self._relay.wait(now), flow.wait(now) if flow else 0.0)

    def may_start(self, domain: str, now: float) -> bool:
        """Whether a message to `domain` may start now."""
        return not self.wait(domain, now)

    def started(self, domain: str, now: float) -> None:
        """A message to `domain` is under way. To be followed by `ended`, whatever becomes of it."""
        flow = self._find(domain, now) or _Flow(self._widest)
        self._idle.pop(domain, None)
        self._busy[domain] = flow
        flow.start(now)
        self._relay.start(now)

    def ended(self, domain: str, welcome: Welcome, now: float) -> list[Slowed]:
        """A message is no more under way. UNSAID where it was withheld, lost, or judged by itself.

        Returns what goes more slowly from now on. Raises KeyError where none had started.
        """
        flow = self._busy[domain]
        slowed = {"": self._relay} if self._relay.end(welcome, Welcome.RELAY_TOO_MANY, now) else {}
        if flow.end(welcome, Welcome.DOMAIN_TOO_MANY, now):
            slowed[domain] = flow
            self._complaining.add(domain)
        elif welcome is Welcome.TAKEN:
            self._complaining.clear()
        if len(self._complaining) >= DOMAINS_FOR_THE_RELAY:
            self._complaining.clear()
            self._relay.slow(now)
            slowed[""] = self._relay
        if not flow.under_way:
            del self._busy[domain]
            if not flow.is_at_full_speed:
                self._idle[domain] = flow
        self._forget(now)
        return [Slowed(name, one.at_once, one.interval) for name, one in slowed.items()]

    def next_at(self, now: float) -> float | None:
        """When the next pause ends, after `now`; None where only an end can make room.

        At that time a domain may start for which `wait` was neither 0 nor `inf`.
        """
        flows = [self._relay, *self._busy.values(), *self._idle.values()]
        times = [flow.opens_at for flow in flows if flow.opens_at > now]
        return min(times, default=None)

    def _find(self, domain: str, now: float) -> _Flow | None:
        flow = self._busy.get(domain) or self._idle.get(domain)
        if flow is None or flow.under_way or now - flow.ended_at < FORGET_SECONDS:
            return flow
        del self._idle[domain]
        return None

    def _forget(self, now: float) -> None:
        while self._idle:
            longest = next(iter(self._idle.values()))
            is_old = now - longest.ended_at >= FORGET_SECONDS
            if not is_old and len(self._idle) <= MOST_REMEMBERED:
                return
            self._idle.popitem(last=False)
