"""A CSV file as records with their line numbers, in any encoding, never held.

Whatever a single line has is that line's fault; the file is refused where no line could be trusted.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from mailbot.core.errors import AudienceError
from mailbot.core.text_encodings import known_encoding, marked_encoding

_LONGEST_LINE: Final = 1024 * 1024  # bytes of UTF-8, characters of other encodings
_NOT_UTF_8: Final = (
    "If it is Windows' or an older Excel's, add --encoding windows-1252; "
    'else save it as "CSV UTF-8".'
)
Stamp = tuple[int, int, int]  # inode, size in bytes, time of the last change in ns


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that names nobody: its number in the file, why, and its cells as far as read."""

    line: int
    why: str
    cells: list[str] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class CsvRows:
    """A file that can be read again and again; `delimiter` is "" where nobody knows it yet."""

    path: Path
    encoding: str
    heading_line: int
    delimiter: str
    stamp: Stamp
    query: str = ""  # the query's file, where a query gave these rows: they count from 1

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.query or str(self.path)

    @property
    def unit(self) -> str:
        """What messages call one of its records."""
        return "row" if self.query else "line"

    @property
    def heading_where(self) -> str:
        """Where the columns get their names."""
        return self.query or f"{self.path}, line {self.heading_line}"

    @property
    def heading_number(self) -> int:
        """The number by which `records` gives the heading."""
        return 0 if self.query else self.heading_line

    def records(self) -> Iterator[tuple[int, list[str] | BadLine]]:
        """Each record from the heading on with the number of its first line, without blank ones.

        Raises AudienceError where the file ends within quotation marks, changed since it was
        opened first, or cannot be read.
        """
        lines = self._lines()
        for _ in range(1, self.heading_line):
            next(lines, None)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        for row in count():
            line = row if self.query else reader.line_num + self.heading_line
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                is_long = not self.query and reader.line_num + self.heading_line - 1 > line
                yield line, self._judged(error, line, is_long=is_long)
                continue
            if self.query or any(cell.strip() for cell in cells):
                yield line, cells

    def _judged(self, error: csv.Error, first: int, *, is_long: bool) -> BadLine:
        reason = str(error)
        if is_long or "unexpected end" in reason:
            raise AudienceError(
                "a quotation mark is opened here and not closed.",
                where=f"{self.path}, line {first}",
                next_step="Close it, or take it out.",
            ) from error
        if "limit" in reason:
            return BadLine(first, f"a cell has more than {csv.field_size_limit():,} characters")
        if "new-line" in reason:
            return BadLine(first, "a carriage return stands in it outside of quotation marks")
        return BadLine(first, "a quotation mark stands where none can be read")

    def _lines(self) -> Iterator[str]:
        with _readable(self.path) as file:
            if _stamp(file) != self.stamp:
                raise AudienceError(
                    "the file changed while it was read.",
                    where=str(self.path),
                    next_step="Try again once nobody writes it. Nothing was scheduled.",
                )
            yield from (
                self._utf_8_lines(file) if self.encoding == "utf-8" else self._other_lines(file)
            )

    def _utf_8_lines(self, file: BinaryIO) -> Iterator[str]:
        number = 0
        while raw := file.readline(_LONGEST_LINE + 1):
            number += 1
            where = f"{self.path}, line {number}"
            _check_line(raw, where, is_heading=number == self.heading_line)
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                what = f"byte {raw[error.start]:#04x} is not UTF-8."
                raise AudienceError(what, where=where, next_step=_NOT_UTF_8) from error

    def _other_lines(self, file: BinaryIO) -> Iterator[str]:
        text = io.TextIOWrapper(file, self.encoding, newline="\n")
        number = 1
        try:
            while line := text.readline(_LONGEST_LINE + 1):
                where = f"{self.path}, line {number}"
                _check_line(
                    line.encode("utf-8", "replace"), where, is_heading=number == self.heading_line
                )
                yield line.removeprefix("\ufeff") if number == 1 else line
                number += 1
        except UnicodeError as error:
            raise AudienceError(
                f"this is not {self.encoding}: not every byte of it means something there.",
                where=f"{self.path}, at or soon after line {number}",
                next_step="Name the encoding that it was saved in with --encoding.",
            ) from error
        finally:
            text.detach()  # the file is closed by whoever opened it


def open_rows(path: Path, encoding: str | None) -> CsvRows:
    """The file, its encoding known, and its heading's line: the second where Excel's `sep=` leads.

    Raises AudienceError for what is no file of text, InputError for an unknown encoding.
    """
    if not path.is_file():
        what = "this is no file." if path.exists() else "there is no such file."
        raise AudienceError(what, where=str(path), next_step="Name a CSV file.")
    with _readable(path) as file:
        beginning, stamp = file.read(64), _stamp(file)
    if beginning.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise AudienceError(
            "this is a workbook (Excel, LibreOffice) or a ZIP file, not a CSV file.",
            where=f"{path}, line 1",
            next_step='Open it and save the sheet as "CSV UTF-8".',
        )
    name = known_encoding(encoding or marked_encoding(beginning)[1] or "utf-8")
    if name == "utf-8-sig":
        name = "utf-8"
    start = beginning.decode(name, "ignore").removeprefix("\ufeff")
    if start[:4].lower() == "sep=" and start[5:6] in ("\r", "\n"):
        return CsvRows(path, name, 2, start[4], stamp)
    return CsvRows(path, name, 1, "", stamp)


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise AudienceError(
            f"the file cannot be read ({(error.strerror or str(error)).lower()}).",
            where=str(path),
            next_step="Let the user you are read it.",
        ) from error


def _stamp(file: BinaryIO) -> Stamp:
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_line(raw: bytes, where: str, *, is_heading: bool) -> None:
    if len(raw) > _LONGEST_LINE:
        raise AudienceError(
            "the line is longer than 1 MB.", where=where, next_step="Is this a CSV file?"
        )
    if is_heading and b"\r" in raw.rstrip(b"\r\n"):
        raise AudienceError(
            "the line ends are those of old Macintoshes (CR alone).",
            where=where,
            next_step="Save it with the line ends of Windows or Unix.",
        )
