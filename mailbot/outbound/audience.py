"""A campaign's audience: a CSV file with any columns, every bad line named, nothing lost.

The file is read as it comes and never held: once to find what is wrong with it, once more to
store it. What is to be sent is decided by the list, not here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mailbot.core.address import Address, parse_address
from mailbot.core.errors import AddressError, AudienceError
from mailbot.outbound.campaigns import AudienceLine

MOST_TOLD: Final = 1000  # bad lines and duplicates kept to be told; all are counted

_LONGEST_LINE: Final = 1024 * 1024  # bytes
_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
_AS_UTF_8: Final = (
    'Save it as UTF-8 (Excel: "CSV UTF-8"; else: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW).'
)
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


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that names nobody: its number in the file, and why."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A line whose person stands in an earlier one, which counts."""

    line: int
    first_line: int


@dataclass(frozen=True, slots=True)
class Audience:
    """An audience file that was read to its end; `columns` are the names a template uses."""

    path: Path
    delimiter: str
    headings: tuple[str, ...]
    columns: tuple[str, ...]
    email_index: int
    good: int = 0
    bad: int = 0
    duplicate: int = 0
    bad_lines: tuple[BadLine, ...] = ()  # the first MOST_TOLD
    duplicates: tuple[Duplicate, ...] = ()  # the first MOST_TOLD

    def lines(self) -> Iterator[AudienceLine]:
        """The good lines, from the file once more, the repeated ones among them."""
        for read in self.every_line():
            if isinstance(read, AudienceLine):
                yield read

    def every_line(self) -> Iterator[AudienceLine | BadLine]:
        """Each line below the heading, good or bad; blank ones are left out."""
        for line, cells in _records(self.path, self.delimiter):
            if line == 1:
                continue
            yield cells if isinstance(cells, BadLine) else self._judge(line, cells)

    def _judge(self, line: int, cells: list[str]) -> AudienceLine | BadLine:
        if len(cells) != len(self.columns):
            return BadLine(line, f"it has {len(cells)} columns, the heading {len(self.columns)}")
        if any("\x00" in cell for cell in cells):
            return BadLine(line, "it holds a NUL character")
        written = cells[self.email_index].strip()
        if not written:
            return BadLine(line, "it has no address")
        try:
            address = parse_address(written)
        except AddressError as error:
            return BadLine(line, error.what.rstrip("."))
        fields = {name: cell.strip() for name, cell in zip(self.columns, cells, strict=True)}
        return AudienceLine(line, address, fields)


def read_audience(path: Path, email_column: str | None = None) -> Audience:
    """Read the file to its end; what is wrong with single lines stands in the answer.

    UTF-8, with commas, semicolons or tabs, and a heading. Raises AudienceError, naming file and
    line, for a file that cannot be read at all.
    """
    if not path.is_file():
        what = "this is no file." if path.exists() else "there is no such file."
        raise AudienceError(what, where=str(path), next_step="Name a CSV file.")
    delimiter, headings = _heading(path)
    columns = _columns(path, headings)
    empty = Audience(path, delimiter, headings, columns, _email_index(path, headings, email_column))
    return _counted(empty)


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


def _heading(path: Path) -> tuple[str, tuple[str, ...]]:
    """The delimiter and the heading's cells: only one delimiter may divide it."""
    readings = {}
    for delimiter in _DELIMITERS:
        line, cells = next(_records(path, delimiter), (0, []))
        if line != 1 or isinstance(cells, BadLine):
            what = "the file is empty." if line == 0 else "the first line is no heading."
            raise AudienceError(
                what, where=f"{path}, line 1", next_step="Write the columns' names there."
            )
        readings[delimiter] = tuple(cell.strip() for cell in cells)
    dividing = [delimiter for delimiter, cells in readings.items() if len(cells) > 1]
    if len(dividing) > 1:
        names = " and ".join(_DELIMITERS[delimiter] for delimiter in dividing)
        raise AudienceError(
            f"the heading holds {names}: which of them divides the columns?",
            where=f"{path}, line 1",
            next_step="Use one, and put a heading that holds another in quotation marks.",
        )
    delimiter = dividing[0] if dividing else ","
    headings = readings[delimiter]
    if any(_is_address(cell) for cell in headings):
        raise AudienceError(
            "the first line holds an address instead of a heading.",
            where=f"{path}, line 1",
            next_step="Add a line above it with the columns' names, like: email,first_name",
        )
    return delimiter, headings


def _is_address(cell: str) -> bool:
    try:
        parse_address(cell)
    except AddressError:
        return False
    return True


def _columns(path: Path, headings: tuple[str, ...]) -> tuple[str, ...]:
    """The names by which a template knows the columns: "First name" is `First_name`."""
    columns: list[str] = []
    for number, heading in enumerate(headings, start=1):
        name = re.sub(r"\W+", "_", heading).strip("_")
        name = f"_{name}" if name[:1].isdigit() else name
        what = ""
        if not name:
            what = f"column {number} has no heading."
        elif name in columns:
            what = f"column {number} is called {heading!r}, like column {columns.index(name) + 1}."
        if what:
            raise AudienceError(
                what, where=f"{path}, line 1", next_step="Give each column a name of its own."
            )
        columns.append(name)
    return tuple(columns)


def _email_index(path: Path, headings: tuple[str, ...], wanted: str | None) -> int:
    listed = ", ".join(f"“{heading}”" for heading in headings)
    if wanted is not None:
        folded = [heading.casefold() for heading in headings]
        if wanted.strip().casefold() in folded:
            return folded.index(wanted.strip().casefold())
        what, next_step = f"there is no column “{wanted}”.", f"There are: {listed}."
        raise AudienceError(what, where=f"{path}, line 1", next_step=next_step)
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
        where=f"{path}, line 1",
        next_step="Say which holds the address with --email-column.",
    )


# -- the file --------------------------------------------------------------------------------


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str] | BadLine]]:
    """Each record with the number of its first line; blank ones are left out."""
    reader = csv.reader(_text_lines(path), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > line or "unexpected end" in str(error) or "limit" in str(error):
                raise AudienceError(
                    "a quotation mark is opened here and not closed.",
                    where=f"{path}, line {line}",
                    next_step="Close it, or take it out.",
                ) from error
            yield line, BadLine(line, "a quotation mark stands where none can be read")
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


def _text_lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(_LONGEST_LINE + 1):
                number += 1
                yield _decoded(raw, f"{path}, line {number}", is_first=number == 1)
    except OSError as error:
        raise AudienceError(
            f"the file cannot be read ({(error.strerror or str(error)).lower()}).",
            where=str(path),
            next_step="Let the user you are read it.",
        ) from error


def _decoded(raw: bytes, where: str, *, is_first: bool) -> str:
    if is_first and raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        what = "this is a workbook (Excel, LibreOffice) or a ZIP file, not a CSV file."
        raise AudienceError(
            what, where=where, next_step='Open it and save the sheet as "CSV UTF-8".'
        )
    if is_first and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AudienceError("the file is UTF-16, not UTF-8.", where=where, next_step=_AS_UTF_8)
    if len(raw) > _LONGEST_LINE:
        raise AudienceError(
            "the line is longer than 1 MB.", where=where, next_step="Is this a CSV file?"
        )
    if b"\r" in raw.rstrip(b"\r\n"):
        raise AudienceError(
            "the line ends are those of old Macintoshes (CR alone).",
            where=where,
            next_step="Save it with the line ends of Windows or Unix.",
        )
    try:
        return raw.decode("utf-8-sig" if is_first else "utf-8")
    except UnicodeDecodeError as error:
        what = f"byte {raw[error.start]:#04x} is not UTF-8."
        raise AudienceError(what, where=where, next_step=_AS_UTF_8) from error
