"""Why somebody got a message or did not: the sentence, and whether it was right by the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mailbot.cli.showing import moment, words
from mailbot.core.eligibility import Eligible, MessageKind, decide
from mailbot.core.outbox_states import State
from mailbot.core.standing import PastEvent, reasons_at
from mailbot.store.campaigns import Campaign
from mailbot.store.deliveries import MessageStory
from mailbot.store.tables import CampaignState

_NOT_QUEUED: Final = {
    CampaignState.LOADING: "its audience is still being read",
    CampaignState.DRAFT: "it is a draft: nobody scheduled it yet",
    CampaignState.SCHEDULED: "it waits for its time",
    CampaignState.SENDING: "it is being queued",
    CampaignState.PAUSED: "it is paused",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A message, and whether what became of it was right by the list that was looked at.

    `is_right` is None where nothing was looked at, or where the ledger alone cannot tell.
    """

    message: MessageStory
    is_right: bool | None
    event: int | None  # that stood behind a message which was withheld


def judge(message: MessageStory, past: Sequence[PastEvent]) -> Judged:
    """By the events up to the sequence that the message saw."""
    if message.list_sequence is None:
        return Judged(message, None, None)
    standing = reasons_at(past, message.list_sequence)
    is_free = isinstance(decide(message.kind, standing), Eligible)
    if message.state is State.WITHHELD:
        reason = message.withheld_reason
        event = standing.get(reason) if reason else None
        # Without one it may have been an entry of an import that ended, or a hold that was kept.
        return Judged(message, True if event is not None else None, event)
    if message.state not in (State.SENT, State.UNCERTAIN, State.BOUNCED, State.REJECTED):
        return Judged(message, None, None)
    if not is_free and message.kind is MessageKind.ORDER_STATUS:
        return Judged(message, None, None)  # an address with another +tag may be the dead one
    return Judged(message, is_free, None)


def campaign_sentence(
    campaign: Campaign,
    judged: Judged | None,
    past: Sequence[PastEvent],
    *,
    is_member: bool,
    is_stopped: bool,
) -> str:
    """One sentence: why this person got this campaign, or did not.

    `is_stopped` says that no campaign sends at all (`mailbot stop-marketing`).
    """
    if judged is None:
        if not is_member:
            return f"did not get {campaign.name}: not in its audience."
        if campaign.state in _NOT_QUEUED:
            stopped = ", and all marketing is stopped" if is_stopped else ""
            return f"did not get {campaign.name} yet: {_NOT_QUEUED[campaign.state]}{stopped}."
        because = f" ({campaign.because})" if campaign.because else ""
        return f"did not get {campaign.name}: it was {campaign.state}{because} before their turn."
    return _of_message(campaign, judged, past, is_stopped=is_stopped)


def _of_message(
    campaign: Campaign, judged: Judged, past: Sequence[PastEvent], *, is_stopped: bool
) -> str:
    message, name = judged.message, campaign.name
    at = f"{moment(message.finished_at or message.created_at)} UTC"
    if message.state is State.SENT:
        return f"got {name} at {at}, {_before(message, past)}."
    if message.state is State.UNCERTAIN:
        return (
            f"may or may not have got {name} at {at}: the connection was lost at the end; it is "
            f"not sent again. It was tried {_before(message, past)}."
        )
    if message.state is State.WITHHELD:
        because = words(message.withheld_reason or "the list")
        behind = (
            f" because of event #{judged.event} ({because})" if judged.event else f": {because}"
        )
        return f"did not get {name}: withheld at {at}{behind}."
    if message.state in (State.QUEUED, State.DEFERRED, State.CLAIMED, State.SENDING):
        why = ": the relay put it off" if message.state is State.DEFERRED else ""
        stopped = ", and all marketing is stopped" if is_stopped else ""
        stands = f" (the campaign is {campaign.state}{stopped})"
        return f"did not get {name} yet: it waits{why}{stands}."
    if message.state is State.CANCELLED:
        because = f": {campaign.because}" if campaign.because else ""
        return f"did not get {name}: it was cancelled{because}."
    return f"did not get {name}: it {_FAILED[message.state]} at {at}."


_FAILED: Final = {
    State.BOUNCED: "came back, the address does not exist,",
    State.REJECTED: "was refused by the relay",
    State.EXPIRED: "was put off by the relay until its time was over",
}


def _before(message: MessageStory, past: Sequence[PastEvent]) -> str:
    """What the look saw, and what came too late for it."""
    seen = message.list_sequence
    if seen is None:
        return "without a look at the list that is known"
    later = next((one for one in past if one.sequence > seen), None)
    standing = sorted(reasons_at(past, seen))
    told = f"on the list then for {', '.join(map(words, standing))}" if standing else ""
    free = told or "not on the list then"
    if later is None:
        return f"{free} (seen up to #{seen})"
    kind = words(later.kind)
    return f"before event #{later.sequence} ({kind}), {free} (seen up to #{seen})"
