"""What `mailbot campaign preview` prints: headers, and text and HTML side by side."""

from __future__ import annotations

import re
from typing import Final

from rich.table import Table
from rich.text import Text

from mailbot.cli.campaign.letter_files import parts_of
from mailbot.cli.showing import console, printable
from mailbot.core.html_text import text_of_html
from mailbot.outbound.preview import Preview
from mailbot.store.campaigns import Campaign

_SIDE_BY_SIDE: Final = 78  # columns: two of 38, which is about what a phone shows
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def show_preview(campaign: Campaign, written: Preview) -> None:
    """The letter as its reader sees it; long lines wrap."""
    screen = console()
    headers, text, html = parts_of(written.message)
    screen.print(f"“{printable(campaign.name)}”, as line {written.line} of the audience gets it\n")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in headers:
        grid.add_row(name, printable(value))
    screen.print(grid)
    screen.print()
    shown = _UNPRINTABLE.sub("", text).rstrip()
    if html is None:
        screen.print(shown)
        screen.print(Text("\nThere is no HTML: every reader sees this text.", "dim"))
        return
    seen = _UNPRINTABLE.sub("", text_of_html(html)).rstrip()
    if screen.is_terminal and screen.width >= _SIDE_BY_SIDE:
        both = Table.grid(padding=(0, 2, 0, 0), expand=True)
        both.add_column(ratio=1, overflow="fold")
        both.add_column(ratio=1, overflow="fold")
        both.add_row(Text("The text", "bold"), Text("What the HTML says", "bold"))
        both.add_row(shown, seen)
        screen.print(both)
        return
    for heading, body in (("The text", shown), ("What the HTML says", seen)):
        screen.print(Text(f"{heading}\n", "bold"))
        screen.print(body + "\n")
