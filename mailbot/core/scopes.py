"""What a key of the API may do. A key may have several; none includes another."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """One right."""

    ORDERS_WRITE = "orders:write"  # hand order status over
    ORDERS_READ = "orders:read"  # learn what became of it
    SUPPRESSIONS_READ = "suppressions:read"  # ask the list, and take its changes
    SUPPRESSIONS_WRITE = "suppressions:write"  # put somebody on it
    CAMPAIGNS_READ = "campaigns:read"  # states and counts
