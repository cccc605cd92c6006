"""What a customer asks for on the public page, as the page hands it to the door.

The page may only add wishes. What one does to the list is decided where it is taken in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class WishKind(StrEnum):
    """What is asked for."""

    LEAVE = "leave"  # no more offers
    UNDO = "undo"  # take back one LEAVE, within the hour
    COME_BACK = "come_back"  # a mail with a link, please
    CONFIRM = "confirm"  # that link was opened, and its button pressed


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish; a `wish_id` that comes again is the same wish."""

    wish_id: str  # 32 hex digits, random
    kind: WishKind
    token: str  # the opt-out token, verified by the page; "" for CONFIRM
    received_at: datetime  # aware, UTC
    source: str  # "one_click" (RFC 8058) or "page" (a button)
    undoes: str | None = None  # UNDO: wish_id of the LEAVE
    code: str | None = None  # CONFIRM: from the mail
    topic: str | None = None  # LEAVE: which offers are meant; kept as evidence, all are left
