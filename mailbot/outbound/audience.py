"""A campaign's audience from a CSV file: any columns, one of them the address.

Nothing is lost quietly: every line that cannot be used is told with its number and the reason.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mailbot.core.address import parse_address
from mailbot.core.errors import AddressError, AudienceError
from mailbot.outbound.campaigns import AudienceLine

_ADDRESS_COLUMNS = (
    "email", "e-mail", "mail", "address", "email address", "e-mail address", "email_address",
)  # fmt: skip
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of the file that nobody can be mailed by."""

    line: int
    why: str


class Audience:
    """A CSV file, read line by line, as often as it is asked for.

    `columns` are its header. Raises AudienceError where the file as a whole cannot be used.
    """

    def __init__(self, path: Path, address_column: str | None = None) -> None:
        self._path = path
        with self._reading() as file:
            header = file.readline()
            self._delimiter = max(_DELIMITERS, key=header.count)
            self.columns = next(csv.reader([header], delimiter=self._delimiter), [])
        self.columns = [column.strip() for column in self.columns]
        if not any(self.columns):
            raise AudienceError(
                "the file is empty", where=str(path), next_step="Its first line names the columns."
            )
        twice = {column for column in self.columns if self.columns.count(column) > 1}
        if twice:
            raise AudienceError(
                f"the column “{min(twice)}” stands there twice", where=f"{path}, line 1",
                next_step="Give each column a name of its own.",
            )  # fmt: skip
        self.address_column = self._find_address_column(address_column)

    def lines(self, bad: list[BadLine]) -> Iterator[AudienceLine]:
        """The lines that can be mailed; the others are appended to `bad`.

        A person who stands there twice is taken once. Raises AudienceError for bytes that are no
        UTF-8, naming the line.
        """
        seen: dict[str, int] = {}
        for number, cells in self._rows():
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(self.columns):
                bad.append(
                    BadLine(number, f"has {len(cells)} cells for {len(self.columns)} columns")
                )
                continue
            fields = dict(zip(self.columns, [cell.strip() for cell in cells], strict=False))
            text = fields.pop(self.address_column, "")
            try:
                address = parse_address(text)
            except AddressError as error:
                bad.append(BadLine(number, f"“{text}” is no address: {error.what}"))
                continue
            first = seen.setdefault(address.match_key, number)
            if first != number:
                bad.append(BadLine(number, f"“{text}” stands in line {first} already"))
                continue
            missing = {column: "" for column in self.columns if column not in fields}
            missing.pop(self.address_column, None)
            yield AudienceLine(number, address, {**missing, **fields})

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        with self._reading() as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            before = 0
            try:
                for cells in reader:
                    if before:
                        yield before + 1, cells
                    before = reader.line_num
            except csv.Error as error:
                raise AudienceError(
                    f"this is no CSV ({error})", where=f"{self._path}, line {reader.line_num}"
                ) from error

    @contextmanager
    def _reading(self) -> Iterator[IO[str]]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise AudienceError(
                "this is not UTF-8", where=f"{self._path}, line {self._first_bad_line()}",
                next_step="Save it as “CSV UTF-8” and run the same command again.",
            ) from error  # fmt: skip
        except OSError as error:
            raise AudienceError(
                f"cannot be read ({error.strerror})", where=str(self._path),
                next_step="Name a CSV file that is there.",
            ) from error  # fmt: skip

    def _first_bad_line(self) -> int:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8-sig")
                except UnicodeDecodeError:
                    return number
        return 1

    def _find_address_column(self, wanted: str | None) -> str:
        if wanted is not None:
            if wanted in self.columns:
                return wanted
            raise AudienceError(
                f"there is no column “{wanted}”", where=f"{self._path}, line 1",
                next_step=f"It has: {', '.join(self.columns)}.",
            )  # fmt: skip
        for column in self.columns:
            if column.lower() in _ADDRESS_COLUMNS:
                return column
        raise AudienceError(
            "no column holds the address", where=f"{self._path}, line 1",
            next_step=f"Name it with --email-column; there are: {', '.join(self.columns)}.",
        )  # fmt: skip
