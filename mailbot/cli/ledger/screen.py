"""What `mailbot ledger verify` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from mailbot.cli.showing import console, counted
from mailbot.store.proof import Proof

_WHAT_NEXT: Final = (
    "Somebody, or a damaged disk, changed the database behind mailbot. Change nothing more:\n"
    "copy the database, run `mailbot stop-marketing`, and compare it with your last backup\n"
    "(docs/ledger.md says how to find who was taken off the list).\n"
    "What follows after this place was not looked at."
)


@contextmanager
def progress(total: int, what: str = "Events") -> Iterator[Callable[[int], None] | None]:
    """A bar on standard error while somebody watches a long walk; None in a pipe."""
    screen = console(to_errors=True)
    if not screen.is_terminal:
        yield None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def show_proof(found: Proof, witnesses: int) -> None:
    """What was looked at and what is wrong, and what to do about it."""
    screen = console()
    walked, fault = found.walked, found.fault
    if fault is not None:
        screen.print(Text(f"The ledger is not whole: {fault.what}.", "bold red"))
        screen.print(Padding.indent(Text(_WHAT_NEXT), 2))
        return
    erased = f", {walked.without_evidence:,} of people who were erased"
    many = f", {walked.batches:,} about many at once" if walked.batches else ""
    screen.print(
        Text("The ledger is whole: ", "bold green")
        + Text(
            f"{counted(walked.events, 'event')}{many}{erased if walked.without_evidence else ''}."
        )
    )
    listed = counted(found.entries, "entry", "entries")
    screen.print(f"The do-not-send list agrees with it: {listed}.")
    if witnesses:
        screen.print(
            f"It passes through {counted(witnesses, 'head')} written down outside the database."
        )
    screen.print(f"Head: {walked.head.sequence}:{walked.head.hash}")
    if not witnesses:
        screen.print("Keep it elsewhere: with --head it shows later that no end was cut off.")
