"""What `mailbot review` prints: reviews, their mail, and what became of a decision."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mailbot.cli.showing import console, counted, moment, printable, span, table, words
from mailbot.core.consent import Reason
from mailbot.core.deadlines import IsBusinessDay, legally_due_at
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.reading.first_lines import first_lines
from mailbot.inbound.review import Decided
from mailbot.inbound.review_mail import FoundMail, MissingMail
from mailbot.store.reviews import ReviewItem
from mailbot.store.tables import ReviewState

_OF_EACH: Final = ("Held", "Rule", "Folder", "Why")
_MAIN_HEADERS: Final = (
    "From", "Sender", "Reply-To", "To", "Cc", "Date", "Subject", "List-Id", "Auto-Submitted",
)  # fmt: skip
_UNBOUNDED: Final = 100_000  # columns
_LONGEST_HEADER: Final = 500  # characters
MOST_LINES: Final = 20

# -- several ---------------------------------------------------------------------------------------


def show_waiting(items: Sequence[ReviewItem], at: datetime, is_business_day: IsBusinessDay) -> None:
    """The open ones in their order, and how to go on."""
    if not items:
        typer.echo("Nothing waits for a decision.")
        return
    shown = table("Id", "Due (UTC)", "In", "By law", *_OF_EACH, wide="Why", right=["Id"])
    for item in items:
        due = moment(item.due_at) if item.person else "–"
        law = f"{legally_due_at(item.counts_from, is_business_day):%Y-%m-%d}"
        shown.add_row(str(item.id), due, _left(item, at), law, *_of_each(item))
    _show_several(
        shown, [(item, f"{_due(item, at)}; {_by_law(item, is_business_day)}") for item in items]
    )
    if sys.stdout.isatty():
        typer.echo("\nLook at one: mailbot review show ID")


def show_decided(items: Sequence[ReviewItem], count: int) -> None:
    """The decided ones in their order, and how many there are if not all are shown."""
    typer.echo()
    if not items:
        typer.echo("None is decided.")
        return
    console().print(Text("Decided", "bold"))
    shown = table("Id", "Decided (UTC)", "As", "By", *_OF_EACH, wide="Why", right=["Id"])
    for item in items:
        by = printable(item.decided_by or "")
        shown.add_row(str(item.id), moment(item.decided_at), item.state, by, *_of_each(item))
    _show_several(shown, [(item, _decision(item)) for item in items])
    if count > len(items):
        typer.echo(f"\nThe newest {len(items)} of {count:,}; --limit shows more.")


def _show_several(whole: Table, items: Sequence[tuple[ReviewItem, str]]) -> None:
    """The table where it fits, else each on lines of its own."""
    screen = console()
    unbounded = screen.options.update(max_width=_UNBOUNDED)
    if screen.measure(whole, options=unbounded).maximum <= screen.width:
        screen.print(whole)
    else:
        _show_one_below_another(items)


def _show_one_below_another(items: Sequence[tuple[ReviewItem, str]]) -> None:
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(justify="right", no_wrap=True, style="bold")
    shown.add_column(overflow="fold")
    for place, (item, headline) in enumerate(items):
        if place:
            shown.add_row("", "")
        shown.add_row(str(item.id), headline)
        shown.add_row("", _held(item))
        shown.add_row("", f"{item.rule}: {printable(item.because)}")
        shown.add_row("", Text(f"in {printable(item.place.folder)}", "dim"))
    console().print(shown)


def _due(item: ReviewItem, at: datetime) -> str:
    """In words, with the time."""
    if item.person is None:
        return "waits as long as it takes"
    if at >= item.due_at:
        return f"overdue since {moment(item.due_at)} UTC"
    return f"due in {span(item.due_at - at)}, at {moment(item.due_at)} UTC"


def _by_law(item: ReviewItem, is_business_day: IsBusinessDay) -> str:
    return f"by law until {legally_due_at(item.counts_from, is_business_day):%Y-%m-%d}"


def _left(item: ReviewItem, at: datetime) -> str:
    if item.person is None:
        return "no end"
    return "overdue" if at >= item.due_at else span(item.due_at - at)


def _decision(item: ReviewItem) -> str:
    return f"{item.state} by {printable(item.decided_by or '')}, {moment(item.decided_at)} UTC"


def _of_each(item: ReviewItem) -> tuple[str, ...]:
    return _held(item), item.rule, printable(item.place.folder), printable(item.because)


def _held(item: ReviewItem) -> str:
    """The address as far as it is known."""
    if item.person is None:
        return "(nobody)"
    return printable(item.address) if item.address else f"(erased, {item.person.person_hash[:12]})"


# -- one, with its mail ----------------------------------------------------------------------------


def show_item(item: ReviewItem, at: datetime, is_business_day: IsBusinessDay) -> None:
    """Everything that is known of it without its mail."""
    is_open = item.state is ReviewState.OPEN
    held = "Held" if is_open and item.person else "Was held" if item.person else "Holds"
    place = item.place
    due = {
        "Due": _due(item, at).removeprefix("due "),
        "By law": f"{moment(legally_due_at(item.counts_from, is_business_day))} UTC "
        "(ten business days)",
    }
    rows = (due if is_open else {"Decided": _decision(item)}) | {
        held: _held(item),
        "Rule": item.rule,
        "Why": printable(item.because),
        "Received": f"{moment(item.counts_from)} UTC",
        "Seen": f"{moment(item.opened_at)} UTC",
        "Place": printable(f"{place.folder}, UID {place.uid}, {place.account}"),
    }
    screen = console()
    screen.print(Text(f"Review {item.id}", "bold"))
    _show_pairs(rows)
    if is_open and item.person:
        unless = Text("Undecided, it becomes an opt-out. Order status goes on.")
        screen.print(Padding.indent(unless, 2))


def show_mail(mail: FoundMail) -> None:
    """Its main headers and first lines."""
    screen = console()
    screen.print()
    screen.print(Text(f"The mail, in {printable(mail.folder)} now" if mail.was_moved
                      else "The mail", "bold"))  # fmt: skip
    _show_pairs(main_headers(mail.message))
    screen.print()
    text = first_lines(mail.message, MOST_LINES)
    for line in text.lines or ("(no text)",):
        screen.print(Padding.indent(Text(printable(line)), 2))
    if text.has_more:
        screen.print(Text("  …", "dim"))


def show_kept(mail: MissingMail, evidence: Mapping[str, str]) -> None:
    """Why the mail is not shown, and what was kept of it."""
    screen = console()
    screen.print()
    screen.print(Text("The mail is not shown", "bold"))
    screen.print(Padding.indent(Text(printable(f"{mail.because}.")), 2))
    screen.print()
    screen.print(Text("What was kept of it" if evidence else "Nothing was kept of it.", "bold"))
    _show_pairs({name: printable(text) for name, text in evidence.items()})


def show_next_step(item: ReviewItem) -> None:
    """How to decide, where it is open."""
    if item.state is not ReviewState.OPEN:
        return
    accept = f"mailbot review accept {item.id}"
    if item.person is None:
        accept = "mailbot suppress add ADDRESS, then dismiss"
    # Not by the console, which would break what is to be typed.
    typer.echo(f"\nA request?  {accept}\nNone?       mailbot review dismiss {item.id}")


def main_headers(message: InboundMessage) -> dict[str, str]:
    """Decoded and printable, those that are there."""
    found = {name: ", ".join(message.headers_named(name)) for name in _MAIN_HEADERS}
    return {name: printable(text)[:_LONGEST_HEADER] for name, text in found.items() if text}


def _show_pairs(rows: Mapping[str, str]) -> None:
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(no_wrap=True, style="dim")
    shown.add_column(overflow="fold")
    for name, text in rows.items():
        shown.add_row(name, Text(text))
    console().print(Padding.indent(shown, 2))


# -- what became of a decision ---------------------------------------------------------------------


def tell_accepted(decided: Decided, _reason: str) -> None:
    """Who is out, and what of their mail is withheld."""
    start = f"Review {decided.item.id} accepted"
    person = _named(decided.item)
    if Reason.OPT_OUT in decided.reasons:
        typer.echo(f"{start}: {person} is opted out (event {decided.sequence}).")
    else:
        typer.echo(
            f"{start} (event {decided.sequence}), and changes nothing: {person} wished for offers "
            "again after that mail."
        )
    if decided.withheld:
        is_one = decided.withheld == 1
        typer.echo(f"  {decided.withheld:,} waiting {'offer is' if is_one else 'offers are'} "
                   "withheld.")  # fmt: skip
    if decided.also_held_by:
        typer.echo(f"  Of the same person, still open: {_numbers(decided.also_held_by)}.")


def tell_dismissed(decided: Decided, reason: str) -> None:
    """Whether the person is free, and what stays withheld."""
    start = f"Review {decided.item.id} dismissed"
    if decided.sequence is None:
        typer.echo(f"{start}. It held nobody.")
        if reason:
            typer.echo("  The reason is not kept: only what is decided about a person is.")
        return
    start = f"{start} (event {decided.sequence}): {_named(decided.item)}"
    if not decided.reasons:
        typer.echo(f"{start} is not held any more, and gets offers.")
    elif decided.reasons == {Reason.HELD} and decided.also_held_by:
        wait = "wait" if len(decided.also_held_by) > 1 else "waits"
        typer.echo(f"{start} stays held: {_numbers(decided.also_held_by)} {wait} as well.")
    else:
        listed = ", ".join(words(each) for each in sorted(decided.reasons))
        typer.echo(f"{start} stays on the do-not-send list ({listed}).")
    if decided.withheld:
        typer.echo(f"  Withheld meanwhile, and not sent later: {counted(decided.withheld, 'offer')}"
                   ".")  # fmt: skip


def _named(item: ReviewItem) -> str:
    if item.address:
        return printable(item.address)
    return f"the person {item.person.person_hash[:12]}" if item.person else "nobody"


def _numbers(ids: Sequence[int]) -> str:
    listed = " and ".join(filter(None, (", ".join(map(str, ids[:-1])), str(ids[-1]))))
    return f"review{'s' if len(ids) > 1 else ''} {listed}"
