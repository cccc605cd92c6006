"""When a campaign stops itself: too many complaints, or too many addresses that do not exist.

And when a relay is not believed any more that the addresses of order status do not exist.

The shares are those at which mailbox providers begin to refuse a sender (Google and Yahoo: 0.3 %
complaints). Counted from the start, or from when a person let it go on despite the brake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction


class Trouble(StrEnum):
    """What is counted against a campaign."""

    COMPLAINTS = "complaints"
    UNDELIVERABLE = "undeliverable"


HIGHEST_SHARE = {
    Trouble.COMPLAINTS: Fraction(3, 1000),
    Trouble.UNDELIVERABLE: Fraction(5, 100),
}
FEWEST_SENT = 200
FEWEST_EVENTS = 3
# A relay that refuses everybody is known before two hundred people are: so many, and more than
# this share of all that was tried.
FEWEST_REFUSED, HIGHEST_SHARE_OF_FEW = 10, Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Braked:
    """A campaign has to stop: `events` of `sent` messages."""

    trouble: Trouble
    events: int
    sent: int

    @property
    def because(self) -> str:
        """In words for a person, with the numbers."""
        what = {
            Trouble.COMPLAINTS: "complained",
            Trouble.UNDELIVERABLE: "cannot be delivered",
        }[self.trouble]
        share = f"{100 * self.events / self.sent:.1f} %"
        highest = f"{float(100 * HIGHEST_SHARE[self.trouble]):g} %"
        return f"{self.events:,} of {self.sent:,} {what} ({share}, at most {highest})"


def needed_to_go_on(trouble: Trouble, events: int) -> int:
    """How many sent messages are enough for `events` not to brake."""
    if events < FEWEST_EVENTS:
        return 0
    # Not more than the share; ceiling division.
    return -(-events * HIGHEST_SHARE[trouble].denominator // HIGHEST_SHARE[trouble].numerator)


def braked(trouble: Trouble, events: int, sent: int) -> Braked | None:
    """Whether `events` of `sent` messages are too many. `sent` counts what failed as well."""
    if events < FEWEST_EVENTS or not sent:
        return None
    share = Fraction(events, sent)
    is_many = sent >= FEWEST_SENT and share > HIGHEST_SHARE[trouble]
    is_nearly_all = (
        trouble is Trouble.UNDELIVERABLE
        and events >= FEWEST_REFUSED
        and share > HIGHEST_SHARE_OF_FEW
    )
    return Braked(trouble, events, sent) if is_many or is_nearly_all else None


# Of order status, whatever else goes out: so many refusals with fewer messages taken since the
# first of them. By number and not by the hour, so that it holds for a small shop and for a long
# outage, and ends by itself once the relay takes mail again.
MOST_REFUSALS_BELIEVED = 10


def relay_doubted_since(
    refused_at: Sequence[datetime], taken_at: Sequence[datetime]
) -> datetime | None:
    """Since when a relay that refuses a recipient for good is not believed; None while it is.

    The times of the newest refusals and of the newest messages taken, newest first; of each no more
    than `MOST_REFUSALS_BELIEVED` are looked at.
    """
    refused = refused_at[:MOST_REFUSALS_BELIEVED]
    if len(refused) < MOST_REFUSALS_BELIEVED:
        return None
    since = min(refused)
    taken = sum(at >= since for at in taken_at[:MOST_REFUSALS_BELIEVED])
    return since if taken < MOST_REFUSALS_BELIEVED else None
