"""What `mailbot campaign preflight` prints: a checklist, worst things in colour."""

from __future__ import annotations

from typing import Final

from rich.table import Table
from rich.text import Text

from mailbot.cli.showing import console, printable, words
from mailbot.core.cells import in_cells
from mailbot.core.checklist import Check
from mailbot.core.preflight import Severity
from mailbot.outbound.preflight import Preflight
from mailbot.store.campaigns import Campaign

_MARKS: Final = {
    "ok": ("ok", "green"),
    Severity.WARNING: ("look", "yellow"),
    Severity.ERROR: ("FAIL", "bold red"),
}


def as_json(campaign: Campaign, found: Preflight) -> dict[str, object]:
    """Plain values."""
    return {
        "name": campaign.name,
        "is_ready": found.is_ready,
        "letters": found.letters,
        "reachable_now": found.reachable,
        "excluded_now": in_cells(found.excluded),
        "checks": [
            {
                "check": check.name,
                "level": check.level,
                "faults": [
                    {
                        "severity": fault.severity,
                        "where": fault.where,
                        "what": fault.what,
                        "next_step": fault.next_step,
                    }
                    for fault in check.faults
                ],
            }
            for check in found.checks
        ],
    }


def show_preflight(campaign: Campaign, found: Preflight) -> None:
    """Item by item, who is left out, and the verdict."""
    screen = console()
    screen.print(f"Preflight of “{printable(campaign.name)}”\n")
    for check in found.checks:
        screen.print(_item(check))
    for reason, count in in_cells(found.excluded).items():
        screen.print(f"  {count:>9,}  left out, on the do-not-send list: {words(reason)}")
    errors = sum(check.level == Severity.ERROR for check in found.checks)
    if errors:
        screen.print(Text("\nNot to be sent before what says FAIL is mended.", "bold red"))
        screen.print("A letter is mended in its file: cancel this draft, and create it anew.")
    else:
        screen.print(Text("\nNothing stands in the way.", "bold green"))


def _item(check: Check) -> Table:
    mark, style = _MARKS[check.level]
    item = Table.grid(padding=(0, 1))
    item.add_column(width=4)
    item.add_column(overflow="fold")
    if not check.faults:
        item.add_row(Text(mark, style), printable(f"{check.name}: {check.fine}"))
    for number, fault in enumerate(check.faults):
        mark, style = _MARKS[fault.severity]
        name = "" if number else f"{check.name}: "
        item.add_row(Text(mark, style), printable(f"{name}{fault.where}: {fault.what}"))
        item.add_row("", Text(printable(fault.next_step), "italic"))
    return item
