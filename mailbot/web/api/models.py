"""What goes into /v1 and comes out of it. The OpenAPI document is made of these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store.tables import CampaignState

Text = Annotated[str, Field(min_length=1, max_length=320)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class OrderStatusIn(_In):
    """One message about one order. Its name for ever is the header Idempotency-Key."""

    type: Text = Field(examples=["shipped"])
    to: Text = Field(examples=["ann@example.org"])
    fields: dict[str, Any] = Field(default={}, examples=[{"order_number": "1001"}])


class HandedOver(_Out):
    """It is stored, durably, and will be sent."""

    idempotency_key: str
    became: Literal["queued", "known"] = Field(description="known: it was handed over before.")


class MessageState(_Out):
    """Where one message stands."""

    idempotency_key: str
    type: str
    state: State
    changed_at: datetime | None = Field(default=None, description="When it came to an end.")
    reason: Reason | None = Field(default=None, description="Why it was withheld.")
    reply: str | None = Field(default=None, description="The relay's last answer.")


class MessageChanges(_Out):
    """What became of messages, in the order of change."""

    changes: list[MessageState]
    cursor: int = Field(description="Ask with this as `after` the next time.")
    has_more: bool


class AddressIn(_In):
    """One address; in a body, since addresses in URLs end in logs."""

    address: Text = Field(examples=["ann@example.org"])


class Standing(_Out):
    """What may be sent to this person now."""

    may_get_offers: bool
    may_get_order_status: bool
    reasons: list[Reason]


class SuppressionIn(_In):
    """Somebody who is to get no more offers."""

    address: Text = Field(examples=["ann@example.org"])
    because: Literal["opt_out", "complaint", "undeliverable"] = "opt_out"
    note: str = Field(default="", max_length=1000, description="How you know: kept as evidence.")


class Suppressed(_Out):
    """The event that put the person on the list."""

    event: int
    reasons: list[Reason]
    offers_withheld: int


class SuppressionChange(_Out):
    """What one event changed, and how the person stands now."""

    sequence: int
    address: str | None = Field(description="null once erased, or where only a link named it.")
    may_get_offers: bool
    reasons: list[Reason]
    kind: str
    at: datetime


class SuppressionChanges(_Out):
    """What changed on the list. The ledger records that it was given out, to which key."""

    changes: list[SuppressionChange]
    next_since: int
    is_all: bool


class CampaignOut(_Out):
    """One campaign in numbers: never a person, and no count of fewer than five by reason."""

    name: str
    state: CampaignState
    send_at: datetime | None = None
    audience: int
    by_state: dict[str, int] | None = None
    withheld: dict[str, int] | None = None


class Campaigns(_Out):
    """Every campaign, newest first."""

    campaigns: list[CampaignOut]


class FieldFault(_Out):
    """What is wrong with one field."""

    where: str
    what: str


class ProblemOut(_Out):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    next_step: str | None = None
    errors: list[FieldFault] | None = None
