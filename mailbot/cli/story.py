"""`why`: the whole story of one person on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.opening import ConfigOption, JsonOption, opened

if TYPE_CHECKING:
    from mailbot.store.consent import StoryEvent
    from mailbot.store.deliveries import MessageStory


def why(
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell why a person gets mail or not: each event with its evidence, each message.

    Case and +tag do not matter. Exit code 1 where nothing is known of the address.

    Example: mailbot why Ann+teas@example.org
    """
    from mailbot.cli.showing import print_json
    from mailbot.store import consent, deliveries, suppressions

    with opened(config) as mailbot:
        _, person = mailbot.person(address)
        with mailbot.database.read() as conn:
            reasons = sorted(suppressions.reasons(conn, person))
            events = consent.story(conn, person)
            messages = deliveries.messages_to(conn, person)
    is_known = bool(events or messages)
    if as_json:
        print_json({
            "address": address, "person_hash": person.person_hash, "reasons": reasons,
            "events": [asdict(event) for event in events],
            "messages": [asdict(message) for message in messages],
        })  # fmt: skip
    else:
        _tell(address, reasons, events, messages)
    raise typer.Exit(0 if is_known else 1)


def _tell(
    address: str, reasons: Sequence[str], events: list[StoryEvent], messages: list[MessageStory]
) -> None:
    from mailbot.cli.showing import console, shown, table

    screen = console()
    if not events and not messages:
        screen.print(f"Nothing is known of {address}: no event, no message.", markup=False)
        return
    if reasons:
        listed = ", ".join(reason.replace("_", " ") for reason in reasons)
        screen.print(f"{address} gets no offers: {listed}.", style="bold", markup=False)
    else:
        screen.print(f"{address} may get offers.", style="bold", markup=False)
    screen.print()
    for event in events:
        screen.print(
            f"{shown(event.received_at)}  {shown(event.kind)} by {shown(event.source)}",
            style="bold", markup=False,
        )  # fmt: skip
        proof = {
            "address": event.address or "(erased)",
            **event.evidence,
            "rule": event.rule,
            "recorded": f"{shown(event.recorded_at)}, no. {event.sequence} of the ledger, "
            f"under policy {event.policy_version}",
        }
        for name, text in proof.items():
            screen.print(f"    {name}: {text}", markup=False)
    if messages:
        screen.print()
        screen.print(table(
            "Messages", ["queued", "what", "became", "why", "list no."],
            [_message(message) for message in messages],
        ))  # fmt: skip


def _message(message: MessageStory) -> tuple[object, ...]:
    what = message.campaign or message.type or "answer to the opt-out"
    reason = message.withheld_reason.replace("_", " ") if message.withheld_reason else ""
    return (
        message.created_at, f"{message.kind.replace('_', ' ')}: {what}", message.state,
        reason or message.last_reply, message.list_sequence,
    )  # fmt: skip
