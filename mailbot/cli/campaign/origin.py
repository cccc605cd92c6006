"""Where a campaign's people came from, as its commands tell it."""

from __future__ import annotations

from mailbot.store.campaigns import Campaign


def origin_as_json(campaign: Campaign) -> dict[str, str] | None:
    """Plain values; None where a file gave its people."""
    origin = campaign.origin
    if origin is None:
        return None
    return {"source": origin.source, "query": origin.query, "query_sha256": origin.query_hash}


def origin_line(campaign: Campaign) -> str:
    """One line for people; "" where a file gave its people."""
    origin = campaign.origin
    if origin is None:
        return ""
    return f"Its people came from “{origin.source}”, by the query with SHA-256 {origin.query_hash}."
