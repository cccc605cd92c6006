"""A situation as figures for Prometheus."""

from __future__ import annotations

from mailbot.cli.status.situation import Situation
from mailbot.core.consent import Reason
from mailbot.metrics import Figures, as_text


def as_metrics(found: Situation) -> str:
    """One page of text."""
    clock = found.clock
    times = clock.times
    return as_text(
        Figures(
            oldest_open_request=(found.now - clock.open.received_at).total_seconds()
            if clock.open
            else 0.0,
            answer_times={
                "0.5": times.median.total_seconds() if times.median is not None else None,
                "0.99": times.p99.total_seconds() if times.p99 is not None else None,
            },
            answered=times.count,
            blind={
                box.account: (found.now - box.blind_since).total_seconds()
                if box.blind_since
                else 0.0
                for box in found.mailboxes
            },
            listed={reason: found.listed.get(reason, 0) for reason in Reason},
            ledger_length=found.ledger_length,
            is_marketing_stopped=found.marketing.is_on,
            needs_a_person=len(found.needs),
        )
    )
