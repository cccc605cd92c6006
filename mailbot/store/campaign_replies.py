"""What the relay said about messages of a campaign: counted, and without names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from mailbot.core.anonymous_words import anonymous
from mailbot.core.outbox_states import State
from mailbot.store.tables import delivery_attempts, outbox

_AT_ONCE: Final = 1000
_MOST_WORDINGS: Final = 5000  # beyond these the rare ones are let go: memory stays flat


@dataclass(frozen=True, slots=True)
class Replies:
    """`by_words` counts what `core.anonymous_words` left; `wordless` has nothing kept, or rare."""

    by_words: Counter[str]
    wordless: int


def of_state(conn: Connection, campaign_id: int, state: State) -> Replies:
    """What was said last about the campaign's messages in `state`."""
    chosen = (
        select(outbox.c.last_reply)
        .where(outbox.c.campaign_id == campaign_id, outbox.c.state == state)
        .execution_options(yield_per=_AT_ONCE)
    )
    found: Counter[str] = Counter()
    total = 0
    with conn.execute(chosen) as rows:
        for reply in rows.scalars():
            total += 1
            found[anonymous(reply or "")] += 1
            if len(found) > 2 * _MOST_WORDINGS:
                found = Counter(dict(found.most_common(_MOST_WORDINGS)))
    found.pop("", None)
    return Replies(found, total - found.total())


def bounced_later(conn: Connection, campaign_id: int) -> int:
    """How many messages the relay had taken before a report said that they came back."""
    chosen = select(func.count()).select_from(
        outbox.join(delivery_attempts, delivery_attempts.c.id == outbox.c.attempt_id)
    ).where(
        outbox.c.campaign_id == campaign_id,
        outbox.c.state == State.BOUNCED,
        delivery_attempts.c.outcome == State.SENT,
    )  # fmt: skip
    return conn.execute(chosen).scalar_one()
