"""What `mailbot replay` prints: the requests that were missed, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mailbot.cli.showing import console, counted, moment, printable, table, words
from mailbot.config import Settings
from mailbot.core.consent import ADDS, Kind, Reason
from mailbot.core.errors import MailboxError
from mailbot.inbound.missed import Effect, Findings, Missed
from mailbot.inbound.watch import account_of

_UNBOUNDED: Final = 100_000  # columns
_MOST_NAMED: Final = 3  # persons of one mail


class Bar:
    """How far it is, on standard error where that is a terminal; it vanishes at the end."""

    def __init__(self) -> None:
        screen = console(to_errors=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self._task = self._progress.add_task("reading …", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Give the line back to whatever is said next."""
        self._progress.stop()

    def show(self, folder: str, done: int, total: int | None) -> None:
        """So many mails of the folder are done."""
        name = printable(folder)[-30:]
        self._progress.update(self._task, description=name, completed=done, total=total)


def show_found(
    findings: Findings, *, is_applied: bool, is_shadow: bool, settings: Settings
) -> None:
    """The missed ones, the numbers, and what to do next."""
    read = counted(findings.read, "mail")
    if not findings.missed:
        typer.echo(f"No request was missed: {read} read, {_recognised(findings)}.")
        return
    _show_missed(findings.missed, _names(settings), is_applied=is_applied)
    copies = f", {counted(findings.copies, 'further copy', 'further copies')}"
    typer.echo(
        f"\n{read} read, {_recognised(findings)}{copies if findings.copies else ''}:"
        f" {len(findings.missed):,} missed."
    )
    if is_applied:
        typer.echo("All that was missed is carried out now.")
    elif is_shadow:
        typer.echo("Nothing was changed, and nothing will be while recognition.mode is shadow.")
    else:
        typer.echo("Nothing was changed. To carry it out, run the same command with --apply.")


def _recognised(findings: Findings) -> str:
    requests = counted(findings.requests, "request")
    unread = f", {findings.unreadable:,} unreadable among them" if findings.unreadable else ""
    return f"{requests} recognised{unread}, {findings.recorded:,} already recorded"


def _names(settings: Settings) -> dict[str, str]:
    """Accounts as the settings call them."""
    return {account_of(box): box.name for box in settings.mailboxes}


def _show_missed(missed: Sequence[Missed], names: Mapping[str, str], *, is_applied: bool) -> None:
    """The table where it fits, else each on lines of its own."""
    change = "Changed" if is_applied else "Would change"
    whole = table(
        "Mailbox", "Folder", "UID", "Received (UTC)", "Verdict", "Rule", "Who", change,
        wide=change, right=["UID"],
    )  # fmt: skip
    rows = [_row(one, names) for one in missed]
    for row in rows:
        whole.add_row(*row)
    screen = console()
    unbounded = screen.options.update(max_width=_UNBOUNDED)
    if screen.measure(whole, options=unbounded).maximum <= screen.width:
        screen.print(whole)
        return
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(overflow="fold")
    for number, (mailbox, folder, uid, received, verdict, rule, who, effect) in enumerate(rows):
        if number:
            shown.add_row("")
        shown.add_row(Text(who or "(nobody is named)", "bold"))
        shown.add_row(f"{effect}")
        shown.add_row(f"{verdict} by {rule}, received {received or '(unknown)'} UTC")
        shown.add_row(Text(f"{mailbox}, {folder}, mail {uid}", "dim"))
    screen.print(shown)


def _row(one: Missed, names: Mapping[str, str]) -> tuple[str, ...]:
    place = one.place
    return (
        printable(names.get(place.account, place.account)),
        printable(place.folder),
        str(place.uid),
        moment(one.received_at),
        words(one.verdict),
        one.rule,
        printable(_some(one.who, ", ")),
        _in_words(one),
    )


def _in_words(one: Missed) -> str:
    """What the mail does to the list; the person is named where it is not plain who."""
    if not one.effects:
        return "a person looks at it"
    is_plain = len(one.effects) == 1 and one.effects[0].address is not None
    parts = [effect_in_words(each) if is_plain else _named(each) for each in one.effects]
    return _some(parts, "; ") + (", in review" if one.opens_review else "")


def _some(parts: Sequence[str], between: str) -> str:
    """A report may name dozens; JSON has them all."""
    more = len(parts) - _MOST_NAMED
    shown = [*parts[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
    return between.join(shown)


def _named(effect: Effect) -> str:
    who = effect.address or f"person {effect.person.person_hash[:12]}"
    return f"{printable(who)}: {effect_in_words(effect)}"


def effect_in_words(effect: Effect) -> str:
    """What it does to the list, or why nothing."""
    if effect.kind is Kind.OPT_IN:
        ended = effect.before - effect.after
        if ended:
            return f"off the list ({_listed(ended)})"
        if effect.after:
            return f"stays on the list ({_listed(effect.after)})"
        return "was not on the list"
    added = ADDS[effect.kind]
    if added not in effect.after:
        return "stays off the list: wanted offers again later"
    if added in effect.before:
        return f"stays on the list ({words(added)})"
    return f"on the list ({words(added)})"


def _listed(reasons: frozenset[Reason]) -> str:
    return ", ".join(sorted(words(reason) for reason in reasons))


def found_as_json(
    findings: Findings, *, is_applied: bool, failures: Sequence[MailboxError]
) -> dict[str, object]:
    """Plain values; `is_complete` is False where a mailbox or folder could not be read."""
    return {
        "is_applied": is_applied,
        "is_complete": not failures,
        "mails_read": findings.read,
        "requests_recognised": findings.requests,
        "already_recorded": findings.recorded,
        "further_copies": findings.copies,
        "unreadable": findings.unreadable,
        "missed": [_as_json(one) for one in findings.missed],
    }


def _as_json(one: Missed) -> dict[str, object]:
    return {
        "account": one.place.account,
        "folder": one.place.folder,
        "uidvalidity": one.place.uidvalidity,
        "uid": one.place.uid,
        "received_at": one.received_at,
        "verdict": one.verdict,
        "rule": one.rule,
        "who": list(one.who),
        "opens_review": one.opens_review,
        "changes": [
            {
                "kind": each.kind,
                "address": each.address,
                "person_hash": each.person.person_hash,
                "reasons_before": sorted(each.before),
                "reasons_after": sorted(each.after),
            }
            for each in one.effects
        ],
    }
