"""A campaign's audience: a CSV file with any columns, every bad line named, nothing lost.

The file is read as it comes and never held: once to find what is wrong with it, once more to
store it. What is to be sent is decided by the list, not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mailbot.core.address import Address, parse_address
from mailbot.core.errors import AddressError, AudienceError
from mailbot.outbound.audience_rows import BadLine, CsvRows, open_rows
from mailbot.outbound.campaigns import AudienceLine

MOST_TOLD: Final = 1000  # bad lines and duplicates kept to be told; all are counted

_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
# What the column of addresses is called, without case and punctuation. The second row only counts
# where nothing of the first is there: "address" is often where somebody lives.
_EMAIL_HEADINGS: Final = (
    frozenset({
        "email", "emailaddress", "mail", "mailaddress", "emailadresse", "mailadresse", "courriel",
        "adresseemail", "correo", "correoelectronico", "epost", "emailadres", "indirizzoemail",
    }),
    frozenset({"address", "adresse", "recipient"}),
)  # fmt: skip
# Which addresses came before is remembered as one bit each of this many: 16 MB for any length.
_BITS: Final = 1 << 27


# Why a line's fields cannot be used, "" where they can.
FaultOf = Callable[[Mapping[str, str]], str]


def _no_fault(_: Mapping[str, str]) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A line whose person stands in an earlier one, which counts."""

    line: int
    first_line: int


@dataclass(frozen=True, slots=True)
class Audience:
    """An audience file that was read to its end; `columns` are the names a template uses."""

    rows: CsvRows
    headings: tuple[str, ...]
    columns: tuple[str, ...]
    email_index: int
    good: int = 0
    bad: int = 0
    duplicate: int = 0
    bad_lines: tuple[BadLine, ...] = ()  # the first MOST_TOLD
    duplicates: tuple[Duplicate, ...] = ()  # the first MOST_TOLD
    fault_of: FaultOf = _no_fault

    def lines(self) -> Iterator[AudienceLine]:
        """The good lines, from the file once more, the repeated ones among them."""
        for read in self.every_line():
            if isinstance(read, AudienceLine):
                yield read

    def every_line(self) -> Iterator[AudienceLine | BadLine]:
        """Each line below the heading, good or bad; blank ones are left out."""
        for line, cells in self.rows.records():
            if line == self.rows.heading_number:
                continue
            yield cells if isinstance(cells, BadLine) else self._judge(line, cells)

    @property
    def where(self) -> str:
        """What a message calls the file."""
        return self.rows.name

    def _judge(self, line: int, cells: list[str]) -> AudienceLine | BadLine:
        if len(cells) != len(self.columns):
            what = f"it has {len(cells)} columns, the heading {len(self.columns)}"
            return BadLine(line, what, cells)
        if any("\x00" in cell for cell in cells):
            return BadLine(line, "it holds a NUL character", cells)
        written = cells[self.email_index].strip()
        if not written:
            return BadLine(line, "it has no address", cells)
        try:
            address = parse_address(written)
        except AddressError as error:
            return BadLine(line, error.what.rstrip("."), cells)
        fields = {name: cell.strip() for name, cell in zip(self.columns, cells, strict=True)}
        fault = self.fault_of(fields)
        return BadLine(line, fault, cells) if fault else AudienceLine(line, address, fields)


def read_audience(
    path: Path,
    email_column: str | None = None,
    *,
    encoding: str | None = None,
    fields: Mapping[str, str] | None = None,
    fault_of: FaultOf = _no_fault,
) -> Audience:
    """Read the file to its end; what is wrong with single lines stands in the answer.

    With commas, semicolons or tabs, and a heading; UTF-8 where neither `encoding` nor a byte order
    mark says otherwise. `fields` names columns for the template: name to heading; `fault_of` may
    find more wrong with a line. Raises AudienceError, naming file and line, for a file that cannot
    be read at all, and InputError for an encoding that nobody knows.
    """
    return audience_of(open_rows(path, encoding), email_column, fields, fault_of)


def audience_of(
    rows: CsvRows,
    email_column: str | None,
    fields: Mapping[str, str] | None,
    fault_of: FaultOf = _no_fault,
) -> Audience:
    """Like `read_audience`, for rows that are open."""
    rows, headings = _divided(rows)
    where = rows.heading_where
    columns = _columns(where, headings, fields or {})
    email_index = _email_index(where, headings, email_column)
    return _counted(Audience(rows, headings, columns, email_index, fault_of=fault_of))


def _counted(audience: Audience) -> Audience:
    seen = bytearray(_BITS // 8)
    maybe_twice: set[int] = set()
    good = bad = 0
    bad_lines: list[BadLine] = []
    for read in audience.every_line():
        if isinstance(read, BadLine):
            bad += 1
            bad_lines += [read] if bad <= MOST_TOLD else []
            continue
        good += 1
        mark = _mark(read.address)
        byte, bit = mark % _BITS >> 3, 1 << (mark & 7)
        if seen[byte] & bit:
            maybe_twice.add(mark)
        seen[byte] |= bit
    del seen
    repeated, duplicates = _duplicates(audience, maybe_twice)
    return replace(
        audience,
        good=good,
        bad=bad,
        duplicate=repeated,
        bad_lines=tuple(bad_lines),
        duplicates=duplicates,
    )


def _duplicates(audience: Audience, marks: set[int]) -> tuple[int, tuple[Duplicate, ...]]:
    first_lines: dict[int, int] = {}
    found: list[Duplicate] = []
    count = 0
    for read in audience.lines() if marks else ():
        mark = _mark(read.address)
        if mark not in marks:
            continue
        first = first_lines.setdefault(mark, read.line)
        if first != read.line:
            count += 1
            found += [Duplicate(read.line, first)] if count <= MOST_TOLD else []
    return count, tuple(found)


def _mark(address: Address) -> int:
    return hash(address.match_key)


# -- the heading -----------------------------------------------------------------------------


def _divided(rows: CsvRows) -> tuple[CsvRows, tuple[str, ...]]:
    """The file with its delimiter, and the heading's cells: only one delimiter may divide it."""
    where = rows.heading_where
    readings = {}
    for delimiter in (rows.delimiter,) if rows.delimiter else _DELIMITERS:
        line, cells = next(replace(rows, delimiter=delimiter).records(), (-1, []))
        if line != rows.heading_number or isinstance(cells, BadLine):
            what = "the file is empty." if line < 0 else "the first line is no heading."
            raise AudienceError(what, where=where, next_step="Write the columns' names there.")
        readings[delimiter] = tuple(cell.strip() for cell in cells)
    dividing = [delimiter for delimiter, cells in readings.items() if len(cells) > 1]
    if len(dividing) > 1:
        names = " and ".join(_DELIMITERS[delimiter] for delimiter in dividing)
        raise AudienceError(
            f"the heading holds {names}: which of them divides the columns?",
            where=where,
            next_step="Use one, and put a heading that holds another in quotation marks.",
        )
    delimiter = dividing[0] if dividing else rows.delimiter or ","
    headings = readings[delimiter]
    if any(_is_address(cell) for cell in headings):
        raise AudienceError(
            "the first line holds an address instead of a heading.",
            where=where,
            next_step="Add a line above it with the columns' names, like: email,first_name",
        )
    return replace(rows, delimiter=delimiter), headings


def _is_address(cell: str) -> bool:
    try:
        parse_address(cell)
    except AddressError:
        return False
    return True


def _columns(where: str, headings: tuple[str, ...], fields: Mapping[str, str]) -> tuple[str, ...]:
    """The names by which a template knows the columns: "First name" is `First_name`.

    `fields` gives columns, by their headings, other names.
    """
    renamed = _renamed(where, headings, fields)
    columns: list[str] = []
    for number, heading in enumerate(headings, start=1):
        name = re.sub(r"\W+", "_", heading).strip("_")
        name = renamed.get(number - 1, f"_{name}" if name[:1].isdigit() else name)
        what = ""
        if not name:
            what = f"column {number} has no heading."
        elif name in columns:
            before = columns.index(name) + 1
            what = f"column {number} is called {heading!r}, like column {before}."
            if {number - 1, before - 1} & renamed.keys():
                what = f"columns {before} and {number} would both be the field “{name}”."
        if what:
            raise AudienceError(what, where=where, next_step="Give each column a name of its own.")
        columns.append(name)
    return tuple(columns)


def _renamed(where: str, headings: tuple[str, ...], fields: Mapping[str, str]) -> dict[int, str]:
    renamed: dict[int, str] = {}
    for name, wanted in fields.items():
        if not name.isidentifier() or name.startswith("__"):
            raise AudienceError(
                f"“{name}” cannot be the name of a field.",
                where=f"--field {name}={wanted}",
                next_step="Use letters, digits and _, like: --field first_name=Vorname",
            )
        index = _index_of(where, headings, wanted)
        if index in renamed:
            raise AudienceError(
                f"the column “{wanted}” is to be “{renamed[index]}” and “{name}”.",
                where=f"--field {name}={wanted}",
                next_step="Give it one name: a letter can use a field as often as it likes.",
            )
        renamed[index] = name
    return renamed


def _index_of(where: str, headings: tuple[str, ...], wanted: str) -> int:
    """Which column has this heading: as it is written, else in whatever case."""
    for written in (headings, [heading.casefold() for heading in headings]):
        for name in (wanted.strip(), wanted.strip().casefold()):
            if name in written:
                return written.index(name)
    listed = ", ".join(f"“{heading}”" for heading in headings)
    what, next_step = f"there is no column “{wanted}”.", f"There are: {listed}."
    raise AudienceError(what, where=where, next_step=next_step)


def _email_index(where: str, headings: tuple[str, ...], wanted: str | None) -> int:
    if wanted is not None:
        return _index_of(where, headings, wanted)
    listed = ", ".join(f"“{heading}”" for heading in headings)
    bare = [re.sub(r"[\W_]+", "", heading).casefold() for heading in headings]
    for names in _EMAIL_HEADINGS:
        found = [index for index, heading in enumerate(bare) if heading in names]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"“{headings[index]}”" for index in found)
            break
    what = "several columns may hold the address" if found else "no column is called “email”"
    raise AudienceError(
        f"{what}: {listed}.",
        where=where,
        next_step="Say which holds the address with --email-column.",
    )
