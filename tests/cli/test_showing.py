"""Tables on terminals of any width: what is in them can be read on each."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mailbot.cli.showing import table

ROWS = [
    ("ines.duarte@correio.example", "opt out", "2026-11-23 16:08", "7"),
    ("margaret.shaw@oldmail.example", "undeliverable", "2026-11-23 16:09", "12"),
]


def shown(columns: int) -> str:
    made = table("Address", "Reason", "Since (UTC)", "Mails", wide="Address", right=["Mails"])
    for row in ROWS:
        made.add_row(*row)
    screen = Console(file=io.StringIO(), width=columns, markup=False, highlight=False)
    screen.print(made)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_each_row_is_one_line_where_the_terminal_is_wide_enough() -> None:
    lines = shown(80).splitlines()
    assert [line.split()[0] for line in lines] == ["Address", *(row[0] for row in ROWS)]
    assert lines[2].split() == [
        "margaret.shaw@oldmail.example", "undeliverable", "2026-11-23", "16:09", "12"
    ]  # fmt: skip


def test_the_wide_column_gives_way_first() -> None:
    lines = shown(60).splitlines()
    assert lines[0].startswith("Address  ")
    assert all("Since (UTC)" not in line for line in lines[1:])
    assert "undeliverable 2026-11-23 16:09" in shown(60)


@pytest.mark.parametrize("columns", [50, 40, 30])
def test_on_a_narrow_terminal_each_cell_stands_under_its_heading_and_nothing_is_cut(
    columns: int,
) -> None:
    text = shown(columns)
    assert max(map(len, text.splitlines())) <= columns
    assert text.count("Since (UTC)") == len(ROWS)
    whole = "".join(text.split())
    for row in ROWS:
        for cell in row[1:]:
            assert "".join(cell.split()) in whole
        assert row[0][:12] in text
    if columns >= 42:
        assert all(row[0] in text for row in ROWS)


def test_an_empty_cell_takes_no_line_of_a_narrow_terminal() -> None:
    made = table("Address", "Reason", "A very long heading of a column", wide="Address")
    made.add_row("ann@example.org", "", "here")
    screen = Console(file=io.StringIO(), width=44)
    screen.print(made)
    assert isinstance(screen.file, io.StringIO)
    assert "Reason" not in screen.file.getvalue()
