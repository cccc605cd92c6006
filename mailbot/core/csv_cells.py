"""Cells of a CSV file that a spreadsheet shows and never calculates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection").
_STARTS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: str) -> str:
    """`value`; one that a spreadsheet would calculate gets an apostrophe in front."""
    return f"'{value}" if value.startswith(_STARTS_A_FORMULA) else value


def restorable_cell(value: str) -> str:
    """A safe cell from which `without_apostrophe` gives the value back, whatever it holds."""
    return f"'{value}" if value.startswith("'") else safe_cell(value)


def without_apostrophe(cell: str) -> str:
    """What `restorable_cell` was given."""
    return cell.removeprefix("'")


def safe_row(values: Iterable[object]) -> list[str]:
    """Each value as a safe cell, "" for None."""
    return [safe_cell("" if value is None else str(value)) for value in values]
