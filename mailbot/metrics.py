"""mailbot's figures in the text format of Prometheus; the door to prometheus-client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge, generate_latest


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured at one moment; times in seconds, None where there is nothing to measure."""

    oldest_open_request: float  # 0 where none is open
    answer_times: Mapping[str, float | None]  # by quantile: "0.5", "0.99"
    answered: int
    blind: Mapping[str, float]  # by mailbox; 0 where it can be read
    listed: Mapping[str, int]  # by reason
    ledger_length: int
    is_marketing_stopped: bool
    needs_a_person: int


def as_text(figures: Figures) -> str:
    """One page, as a scraper or node_exporter's textfile collector reads it."""
    registry = CollectorRegistry()

    def gauge(name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"mailbot_{name}", help_text, labels, registry=registry)

    gauge(
        "oldest_open_request_seconds", "Age of the oldest mail in review, from receipt; 0: none."
    ).set(figures.oldest_open_request)
    took = gauge(
        "suppression_seconds",
        "From receipt of an opt-out by mail to the list, over the last 30 days.",
        "quantile",
    )
    for quantile, seconds in figures.answer_times.items():
        if seconds is not None:
            took.labels(quantile).set(seconds)
    gauge("suppressions_measured", "How many opt-outs these quantiles are of.").set(
        figures.answered
    )
    blind = gauge(
        "mailbox_blind_seconds", "For how long a mailbox cannot be read; 0: it can.", "mailbox"
    )
    for mailbox, seconds in figures.blind.items():
        blind.labels(mailbox).set(seconds)
    listed = gauge("suppressions", "Entries of the do-not-send list.", "reason")
    for reason, count in figures.listed.items():
        listed.labels(reason).set(count)
    gauge("ledger_events", "Events in the ledger.").set(figures.ledger_length)
    gauge("marketing_stopped", "1 where all marketing is stopped.").set(
        figures.is_marketing_stopped
    )
    gauge("needs_a_person", "How many things `mailbot status` names.").set(figures.needs_a_person)
    return generate_latest(registry).decode()
