"""What commands print: readable at 80 columns on a terminal, plain lines without colour to a pipe.

Text from mail and files may hold anything; `printable` takes out what could move the cursor.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

# Control characters, and what turns the direction of writing.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_PIPE_COLUMNS: Final = 10_000  # never wrapped: one record, one line
_NARROWEST: Final = 16  # columns for what gives way; an address in less is a riddle


def console(*, to_errors: bool = False) -> Console:
    """Standard output (or error) as it is: a terminal's width and colours, else neither."""
    file = sys.stderr if to_errors else sys.stdout
    is_narrow = file.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(
        file=file,
        width=None if is_narrow else _PIPE_COLUMNS,
        markup=False,
        highlight=False,
        emoji=False,
    )


class _Listing(Table):
    """A table where it fits; on a terminal too narrow for it, one row under another, in full."""

    def __init__(self, *, wide: str, **how: Any) -> None:
        super().__init__(**how)
        self._wide = wide
        self._rows: list[tuple[RenderableType | None, ...]] = []

    def add_row(self, *cells: RenderableType | None, **how: Any) -> None:
        self._rows.append(cells)
        super().add_row(*cells, **how)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._needs() <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        for number, row in enumerate(self._rows):
            if number:
                yield Text("")
            one = Table.grid(padding=(0, 1, 0, 0))
            one.add_column(style="dim", overflow="fold")
            one.add_column(overflow="fold")
            for column, cell in zip(self.columns, row, strict=False):
                if str(cell or ""):
                    one.add_row(column.header, cell)
            yield one

    def _needs(self) -> int:
        """The width under which a column would be cut."""
        whole = 0
        for number, column in enumerate(self.columns):
            cells = [column.header, *(row[number] for row in self._rows if number < len(row))]
            widest = max(cell_len(line) for cell in cells for line in str(cell or "").split("\n"))
            whole += 1 + (min(widest, _NARROWEST) if column.header == self._wide else widest)
        return whole - 1


def table(*headings: str, wide: str = "", right: Iterable[str] = ()) -> Table:
    """A table in which only the column `wide` gives way; those in `right` hold numbers.

    Where even that does not fit the terminal, each row is shown as lines of its own.
    """
    made = _Listing(
        wide=wide,
        box=box.SIMPLE_HEAD if sys.stdout.isatty() else None,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        border_style="dim",
    )
    numbers = set(right)
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in numbers else "left"
        made.add_column(heading, no_wrap=heading != wide, overflow="fold", justify=justify)
    return made


def print_json(value: object) -> None:
    """One JSON document; times as ISO 8601."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain_value) + "\n")


def print_json_line(value: object) -> None:
    """One JSON object on one line, handed on at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_plain_value) + "\n")
    sys.stdout.flush()


def _plain_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def printable(text: str) -> str:
    """On one line, without control characters."""
    return _UNPRINTABLE.sub(" ", text)


def words(name: str) -> str:
    """A reason, state or kind as people write it: "opt out"."""
    return name.replace("_", " ")


def moment(at: datetime | None) -> str:
    """Year to minute, in UTC; "" for None."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if at else ""


def span(length: timedelta) -> str:
    """A length of time in its largest unit: "3 min", "2 days"."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("day", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{seconds} s"


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 message", "1,204 messages"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
