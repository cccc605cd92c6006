"""After the commit: who left has no more business in the queue of a campaign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mailbot.core.consent import ADDS, Kind
from mailbot.inbound.consequences import Change
from mailbot.store import outbox, suppressions
from mailbot.store.engine import Database

_LEAVING: Final = frozenset({Kind.OPT_OUT, Kind.COMPLAINT, Kind.UNDELIVERABLE})  # a hold may end


def withhold(database: Database, changes: Iterable[Change]) -> None:
    """Withhold the waiting offers of whom these changes took off the list of recipients.

    For the console's truth; the guarantee is the look before sending. An old wish that is heard
    again withholds nothing from somebody who came back since.
    """
    for change in changes:
        if change.kind not in _LEAVING:
            continue
        reason = ADDS[change.kind]
        with database.write() as conn:
            if reason in suppressions.reasons(conn, change.person):
                outbox.withhold_marketing_of(conn, change.person, reason)
