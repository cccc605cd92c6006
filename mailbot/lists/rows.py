"""The rows of a list: which column holds the address, and what else its format looks at."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, NamedTuple

from mailbot.core.address import parse_address
from mailbot.core.errors import AddressError, InputError
from mailbot.core.import_formats import ADDRESS_COLUMNS, PLAIN, Format, recognised
from mailbot.lists.json_rows import objects
from mailbot.lists.lines import MAX_LINE, Batch

_DELIMITERS: Final = (",", ";", "\t", "|")
_MAX_LINES_OF_A_ROW: Final = 100
_UNREADABLE_OBJECTS: Final = 100  # and a file is given up


class Row(NamedTuple):
    """One row: where it begins, its address as written, what the format reads, what is wrong."""

    number: int
    address: str
    reads: tuple[str, ...]
    text: str  # as it stands in the file, perhaps cut
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the file is to be read, as far as somebody said so."""

    column: str | None = None
    format: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is read: its format (None: a plain list), header, and columns from 0."""

    format: Format | None
    delimiter: str
    header: tuple[str, ...]  # empty where the file has none
    address_at: int
    reads_at: tuple[int, ...]
    is_json: bool = False

    @property
    def name(self) -> str:
        return self.format.name if self.format is not None else PLAIN


def rows_of(batches: Iterator[Batch], wanted: Wanted) -> tuple[Layout, Iterator[Row]]:
    """The layout, and every row behind the header. Raises InputError where no column is clear."""
    first = next(batches, Batch(1, [], {}))
    everything = chain([first], batches)
    begins = next((line for line in first.lines if line.strip()), "")
    if not begins:
        raise InputError("this file is empty.")
    if begins.lstrip()[:1] in "{[" and wanted.delimiter is None:
        return _json_rows(objects(everything), wanted)
    delimiter = wanted.delimiter or _delimiter(begins)
    sample = [line for line in first.lines[:20] if line.strip()]
    layout = _layout([_closed(line, delimiter) or [line] for line in sample], delimiter, wanted)
    return layout, _table_rows(everything, layout)


def _delimiter(line: str) -> str:
    counts = {one: line.count(one) for one in _DELIMITERS}
    return max(counts, key=lambda one: counts[one])


def _layout(sample: Sequence[Sequence[str]], delimiter: str, wanted: Wanted) -> Layout:
    header = tuple(cell.strip() for cell in sample[0])
    if any(_is_address(cell) for cell in header):
        if wanted.format not in (None, PLAIN):
            raise InputError(
                f"the first line is no header of {wanted.format}: {_shown(header)}",
                next_step="Its columns are known by their names: keep the header line.",
            )
        at = _column_without_header(header, wanted.column)
        return Layout(None, delimiter, (), at, ())
    names = [cell.lower() for cell in header]
    found = _format_of(header, wanted)
    if found is None or wanted.column is not None:
        at = _column(header, sample[1:2], wanted.column)
    else:
        at = names.index(found.address)
    reads = tuple(names.index(name) for name in found.reads) if found is not None else ()
    return Layout(found, delimiter, header, at, reads)


def _format_of(header: Sequence[str], wanted: Wanted) -> Format | None:
    if wanted.format == PLAIN:
        return None
    found = recognised(header, wanted.format)
    if found is None and wanted.format is not None:
        raise InputError(
            f"these are not the columns of {wanted.format}: {_shown(header)}",
            next_step="Leave --format out, or name the column: --format csv --column NAME.",
        )
    return found


def _column_without_header(cells: Sequence[str], column: str | None) -> int:
    if column is None:
        return next(at for at, cell in enumerate(cells) if _is_address(cell))
    if column.isdecimal() and 1 <= int(column) <= len(cells):
        return int(column) - 1
    raise InputError(
        f"the file has no header, and no column “{column}”.",
        where="--column",
        next_step=f"Give its number, from 1 to {len(cells)}.",
    )


def _column(header: Sequence[str], sample: Sequence[Sequence[str]], column: str | None) -> int:
    names = [cell.strip().lower() for cell in header]
    if column is not None:
        if column.strip().lower() in names:
            return names.index(column.strip().lower())
        if column.isdecimal() and 1 <= int(column) <= len(names):
            return int(column) - 1
        raise InputError(
            f"there is no column “{column}” but {_shown(header)}.",
            where="--column",
            next_step="Name one of these, or give its number from 1.",
        )
    for name in ADDRESS_COLUMNS:
        if name in names:
            return names.index(name)
    holds = [at for cells in sample for at, cell in enumerate(cells) if _is_address(cell)]
    if len(holds) == 1:
        return holds[0]
    raise InputError(
        f"which column holds the addresses? There are {_shown(header)}.",
        next_step="Name it: --column NAME, or its number from 1.",
    )


def _shown(cells: Sequence[str]) -> str:
    listed = ", ".join(repr(cell[:40]) for cell in cells[:12])
    return f"{listed} …" if len(cells) > 12 else listed


def _is_address(cell: str) -> bool:
    if "@" not in cell:
        return False
    try:
        parse_address(cell)
    except AddressError:
        return False
    return True


_Line = tuple[int, str, str]  # its number, its text, what is wrong with it


def _table_rows(batches: Iterable[Batch], layout: Layout) -> Iterator[Row]:
    is_header = bool(layout.header)
    is_single = len(layout.header) <= 1 and layout.address_at == 0 and not layout.reads_at
    delimiter = layout.delimiter
    lines = _numbered(batches)
    ahead: deque[_Line] = deque()  # read in search of a quote's end, and not used up
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        number, text, wrong = line
        if wrong:
            yield Row(number, "", (), text, wrong)
        elif not text or text.isspace():
            continue
        elif is_header:
            is_header = False
        elif '"' in text:
            text, cells = _quoted(text, ahead, lines, delimiter)
            if cells is None:
                yield Row(number, "", (), text, "has a quote that is not closed as it should be")
            else:
                yield _row(number, cells, text, layout)
        elif is_single and delimiter not in text:
            yield Row(number, text, (), text)
        else:
            yield _row(number, text.split(delimiter), text, layout)


def _row(number: int, cells: list[str], text: str, layout: Layout) -> Row:
    try:
        reads = tuple([cells[at] for at in layout.reads_at])
        return Row(number, cells[layout.address_at], reads, text)
    except IndexError:
        wrong = f"has {len(cells)} of {len(layout.header) or layout.address_at + 1} columns"
        return Row(number, "", (), text, wrong)


def _quoted(
    text: str, ahead: deque[_Line], lines: Iterator[_Line], delimiter: str
) -> tuple[str, list[str] | None]:
    """A row with quotes, whose cells may hold line feeds; without cells where it is none.

    What was read ahead in vain stays in `ahead`: each of those lines is a row of its own.
    """
    try:
        return text, next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end" not in str(error):
            return text, None
    row, used = text, 0
    while True:
        if used == len(ahead):
            following = next(lines, None)
            if following is None:
                return text, None
            ahead.append(following)
        _, more, wrong = ahead[used]
        used += 1
        if wrong or used >= _MAX_LINES_OF_A_ROW or len(row) + len(more) > MAX_LINE:
            return text, None
        row = f"{row}\n{more}"
        if '"' in more and (cells := _closed(row, delimiter)) is not None:
            for _ in range(used):
                ahead.popleft()
            return row, cells


def _closed(row: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([row], delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _numbered(batches: Iterable[Batch]) -> Iterator[_Line]:
    for batch in batches:
        for index, line in enumerate(batch.lines):
            yield batch.first + index, line, batch.broken.get(index, "")


def _json_rows(
    found: Iterator[tuple[int, dict[str, str] | None, str]], wanted: Wanted
) -> tuple[Layout, Iterator[Row]]:
    before: list[tuple[int, dict[str, str] | None, str]] = []
    first: dict[str, str] | None = None
    for one in islice(found, _UNREADABLE_OBJECTS):
        before.append(one)
        if (first := one[1]) is not None:
            break
    if first is None:
        raise InputError("no object of this JSON can be read.")
    header = tuple(first)
    known = _format_of(header, wanted)
    sample = [list(first.values())]
    at = header.index(known.address) if known else _column(header, sample, wanted.column)
    reads = tuple(header.index(name) for name in known.reads) if known is not None else ()
    layout = Layout(known, "", header, at, reads, is_json=True)
    return layout, _rows_of_objects(chain(before, found), layout)


def _rows_of_objects(
    found: Iterable[tuple[int, dict[str, str] | None, str]], layout: Layout
) -> Iterator[Row]:
    address, reads = layout.header[layout.address_at], [layout.header[at] for at in layout.reads_at]
    for number, texts, text in found:
        if texts is None:
            yield Row(number, "", (), text, "is no JSON that mailbot can read")
        elif address not in texts:
            yield Row(number, "", (), text, f"has no “{address}”")
        else:
            yield Row(number, texts[address], tuple(texts.get(name, "") for name in reads), text)
