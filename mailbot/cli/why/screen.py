"""What `mailbot why` prints: one screen of 80 × 24 for a usual person, the newest on top."""

from __future__ import annotations

from typing import Final

from rich.padding import Padding
from rich.text import Text

from mailbot.cli.showing import console, counted, moment, printable, table, words
from mailbot.cli.why.answer import Judged
from mailbot.cli.why.story import Story
from mailbot.core.consent import Kind
from mailbot.core.eligibility import Eligible, MessageKind, decide
from mailbot.core.outbox_states import State
from mailbot.store.ledger import StoryEvent

# What fits on one screen; --all has the rest.
_EVENTS: Final = 4
_IN_FULL: Final = 2  # of these
_MESSAGES: Final = 5
_LINES_OF_EVIDENCE: Final = 3
_LONGEST_REPLY: Final = 60  # characters shown; --json has all of it
# The lines of evidence that tell most, in their order; the others come after them.
_FIRST: Final = ("address", "Subject", "note", "evidence", "notes", "by")


def show_standing(story: Story) -> None:
    """The answer first, then how this person stands on the list."""
    screen = console()
    screen.print(Text(printable(story.address.text), "bold"))
    if story.answer is not None:
        screen.print(printable(story.answer))
    if not story.entries:
        screen.print("is not on the do-not-send list: gets offers and order status.")
        return
    for entry in story.entries:
        since = f"since {moment(entry.since_at)} UTC"
        screen.print(f"is on the do-not-send list: {words(entry.reason)}, {since}")
    if story.by_untagged:
        screen.print("(found by the same mailbox with another +tag, or without one)")
    reasons = {entry.reason for entry in story.entries}
    if isinstance(decide(MessageKind.ORDER_STATUS, reasons), Eligible):
        screen.print("gets order status, and no offers.")
    else:
        screen.print("gets neither offers nor order status.")


def show_events(story: Story, *, show_all: bool) -> None:
    """The newest first, older ones in a line each."""
    screen = console()
    screen.print()
    if not story.events and not story.imports:
        screen.print("No event names this person.")
        return
    screen.print(Text("What happened", "bold"))
    for one in reversed(story.imports):
        file = one.evidence.get("file") or one.evidence.get("file_name") or "a file"
        screen.print(
            f"#{one.sequence}  {moment(one.received_at)} UTC  {words(one.kind)} with many others, "
            f"from {printable(file)}, policy {one.policy_version}"
        )
    newest = list(reversed(story.events))
    for place, event in enumerate(newest if show_all else newest[:_EVENTS]):
        what = f"{words(event.kind)} by {words(event.source)}"
        screen.print(
            f"#{event.sequence}  {moment(event.received_at)} UTC  {what}, rule {event.rule}, "
            f"policy {event.policy_version}"
        )
        if show_all or place < _IN_FULL:
            for line in _evidence(event, None if show_all else _LINES_OF_EVIDENCE):
                screen.print(Padding.indent(Text(line, "dim"), 4))
    if not show_all and len(newest) > _EVENTS:
        screen.print(f"… {counted(len(newest) - _EVENTS, 'older event')}: --all")


def _evidence(event: StoryEvent, most: int | None) -> list[str]:
    # A link names the person by a hash alone: then there was no address that could be erased.
    is_by_link = event.evidence and event.kind is not Kind.ERASED
    told = "not told (by a link)" if is_by_link else "(erased)"
    known = {"address": event.address or told, **event.evidence}
    names: list[str] = [name for name in _FIRST if name in known]
    names += [name for name in known if name not in names]
    return [printable(f"{name}: {known[name]}") for name in names[:most]]


def show_messages(story: Story, *, show_all: bool) -> None:
    """The newest first; `Right` says whether each agrees with the list that was looked at."""
    screen = console()
    screen.print()
    if not story.messages:
        screen.print("No message to this person is known.")
        return
    screen.print(Text("Messages", "bold"))
    shown = table("When (UTC)", "What", "State", "List", "Right", "The relay said",
                  wide="The relay said")  # fmt: skip
    newest = list(reversed(story.messages))
    for judged in newest if show_all else newest[:_MESSAGES]:
        message = judged.message
        what = message.campaign or words(message.type or message.kind)
        state = message.state.value
        if message.withheld_reason:
            state += f": {words(message.withheld_reason)}"
        shown.add_row(
            moment(message.finished_at or message.created_at), printable(what)[:20], state,
            "" if message.list_sequence is None else f"#{message.list_sequence}", _right(judged),
            printable(message.last_reply or "")[:_LONGEST_REPLY],
        )  # fmt: skip
    screen.print(shown)
    if not show_all and len(newest) > _MESSAGES:
        screen.print(f"… {counted(len(newest) - _MESSAGES, 'older message')}: --all")
    if any(one.message.state is State.UNCERTAIN for one in story.messages):
        screen.print("uncertain: it may or may not have arrived; mailbot cannot know.")
    if any(one.is_right is False for one in story.messages):
        screen.print(Text("NO: this disagrees with the list that was looked at. Report it.", "red"))


def _right(judged: Judged) -> str:
    return {True: "yes", False: "NO", None: "–"}[judged.is_right]
