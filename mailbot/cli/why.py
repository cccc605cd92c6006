"""`mailbot why`: the whole story of one person on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailbot.core.address import Address
    from mailbot.store.deliveries import MessageStory
    from mailbot.store.ledger import StoryEvent
    from mailbot.store.suppressions import Suppression

_LONGEST_REPLY = 60  # characters shown; --json has all of it


def why(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Case and a +tag do not matter.")
    ],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Tell one person's whole story: what they asked, what they were sent, what was withheld.

    Each event with its evidence, the rule that understood it and the policy in
    force; each message with the state of the list (#) that was looked at before
    it was sent or withheld. Exit code 1 where nothing is known of the address.

    [bold]Examples[/bold]
      mailbot why ann@example.org
      mailbot why "Ann <ann+shop@example.org>" --json
    """
    from mailbot.cli.opening import opened_for_persons
    from mailbot.core.address import parse_address
    from mailbot.store import deliveries, ledger, suppressions

    named = parse_address(address)
    with opened_for_persons(config) as installation, installation.database.read() as conn:
        person = installation.person_key.identify(named)
        entries = suppressions.of_person(conn, person)
        story = ledger.story(conn, person)
        messages = deliveries.messages_to(conn, person)
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({
            "address": named.text,
            "person_hash": person.person_hash,
            "is_on_list": bool(entries),
            "reasons": [one.reason for one in entries],
            "events": [_event_as_json(event) for event in story],
            "messages": [_message_as_json(message) for message in messages],
        })  # fmt: skip
    else:
        _show_standing(named, entries)
        _show_events(story)
        _show_messages(messages)
    if not story and not messages:
        raise typer.Exit(1)


def _event_as_json(event: StoryEvent) -> dict[str, object]:
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


def _message_as_json(message: MessageStory) -> dict[str, object]:
    return {
        "id": message.outbox_id,
        "kind": message.kind,
        "campaign": message.campaign,
        "type": message.type,
        "state": message.state,
        "withheld_reason": message.withheld_reason,
        "created_at": message.created_at,
        "finished_at": message.finished_at,
        "attempts": message.attempts,
        "list_sequence": message.list_sequence,
        "last_reply": message.last_reply,
    }


def _show_standing(named: Address, entries: Sequence[Suppression]) -> None:
    from rich.text import Text

    from mailbot.cli.showing import console, moment, printable, words
    from mailbot.core.eligibility import Eligible, MessageKind, decide

    screen = console()
    screen.print(Text(printable(named.text), "bold"))
    if not entries:
        screen.print("is not on the do-not-send list: gets offers and order status.")
        return
    for entry in entries:
        since = f"since {moment(entry.since_at)} UTC"
        screen.print(f"is on the do-not-send list: {words(entry.reason)}, {since}")
    reasons = {entry.reason for entry in entries}
    if isinstance(decide(MessageKind.ORDER_STATUS, reasons), Eligible):
        screen.print("gets order status, and no offers.")
    else:
        screen.print("gets neither offers nor order status.")


def _show_events(story: Sequence[StoryEvent]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from mailbot.cli.showing import console, moment, printable, words

    screen = console()
    screen.print()
    screen.print(Text("What happened", "bold") if story else "No event names this person.")
    for event in story:
        what = f"{words(event.kind)} by {words(event.source)}"
        screen.print(
            f"#{event.sequence}  {moment(event.received_at)} UTC  {what}, rule {event.rule}, "
            f"policy {event.policy_version}"
        )
        evidence = {"address": event.address or "(erased)", **event.evidence}
        for name, value in evidence.items():
            screen.print(Padding.indent(Text(printable(f"{name}: {value}"), "dim"), 4))


def _show_messages(messages: Sequence[MessageStory]) -> None:
    from rich.text import Text

    from mailbot.cli.showing import console, moment, printable, table, words

    screen = console()
    screen.print()
    screen.print(Text("Messages", "bold") if messages else "No message to this person is known.")
    if not messages:
        return
    shown = table("When (UTC)", "What", "State", "List", "The relay said", wide="The relay said")
    for message in messages:
        what = message.campaign or words(message.type or message.kind)
        state = message.state.value
        if message.withheld_reason:
            state += f": {words(message.withheld_reason)}"
        seen = "" if message.list_sequence is None else f"#{message.list_sequence}"
        shown.add_row(
            moment(message.finished_at or message.created_at),
            printable(what)[:20],
            state,
            seen,
            printable(message.last_reply or "")[:_LONGEST_REPLY],
        )
    screen.print(shown)
