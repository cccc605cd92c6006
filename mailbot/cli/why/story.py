"""What is known of one person: gathered for the screen of `mailbot why`, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailbot.cli.why.answer import Judged, campaign_sentence, judge
from mailbot.core.address import Address
from mailbot.core.person import Person
from mailbot.store import campaigns, deliveries, ledger, past, suppressions, switches
from mailbot.store.engine import Connection
from mailbot.store.ledger import StoryEvent
from mailbot.store.past import ImportedBy
from mailbot.store.suppressions import Suppression


@dataclass(frozen=True, slots=True)
class Story:
    """Everything, oldest first. `answer` is the sentence about the campaign that was named."""

    address: Address
    entries: Sequence[Suppression]
    events: Sequence[StoryEvent]
    imports: Sequence[ImportedBy]
    messages: Sequence[Judged]
    answer: str | None
    by_untagged: bool  # an entry names the same mailbox with another +tag, or without one

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of the address."""
        return not (self.events or self.imports or self.messages)


def tell(conn: Connection, named: Address, person: Person, campaign_name: str | None) -> Story:
    """Gather it. Raises NotFoundError for a campaign that does not exist."""
    campaign = campaigns.get(conn, campaign_name) if campaign_name is not None else None
    entries = suppressions.of_person(conn, person)
    imports = past.imports_of(conn, person)
    known = past.events_of(conn, person) + [one.past for one in imports]
    known.sort(key=lambda one: one.sequence)
    judged = [judge(message, known) for message in deliveries.messages_to(conn, person)]
    answer = None
    if campaign is not None:
        judged = [one for one in judged if one.message.campaign == campaign.name]
        answer = campaign_sentence(
            campaign, judged[-1] if judged else None, known,
            is_member=past.is_in_audience(conn, campaign.id, person),
            is_stopped=switches.is_marketing_stopped(conn),
        )  # fmt: skip
    return Story(
        named, entries, ledger.story(conn, person), imports, judged, answer,
        any(entry.person_hash != person.person_hash for entry in entries),
    )  # fmt: skip


def as_json(story: Story) -> dict[str, object]:
    """Plain values."""
    return {
        "address": story.address.text,
        "answer": story.answer,
        "is_on_list": bool(story.entries),
        "reasons": [one.reason for one in story.entries],
        "found_without_tag": story.by_untagged,
        "events": [_event(event) for event in story.events],
        "imports": [
            {"sequence": one.sequence, "kind": one.kind, "received_at": one.received_at,
             "policy_version": one.policy_version, "evidence": one.evidence}
            for one in story.imports
        ],
        "messages": [_message(one) for one in story.messages],
    }  # fmt: skip


def _event(event: StoryEvent) -> dict[str, object]:
    return {
        "sequence": event.sequence,
        "kind": event.kind,
        "source": event.source,
        "received_at": event.received_at,
        "recorded_at": event.recorded_at,
        "rule": event.rule,
        "policy_version": event.policy_version,
        "address": event.address,
        "evidence": event.evidence,
    }


def _message(judged: Judged) -> dict[str, object]:
    message = judged.message
    return {
        "id": message.outbox_id,
        "kind": message.kind,
        "campaign": message.campaign,
        "type": message.type,
        "state": message.state,
        "withheld_reason": message.withheld_reason,
        "withheld_by_event": judged.event,
        "is_right_by_list": judged.is_right,
        "created_at": message.created_at,
        "finished_at": message.finished_at,
        "attempts": message.attempts,
        "list_sequence": message.list_sequence,
        "last_reply": message.last_reply,
    }
