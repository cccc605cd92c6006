"""The lines of a file that could not be read, in a file of their own beside it."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, Final, TextIO

from mailbot.core.csv_cells import safe_row
from mailbot.core.errors import InputError, RefusedError

_HEADER: Final = ("line", "what is wrong", "the line")
_MAX_CHARS: Final = 500


class BadLinesFile:
    """Made at the first bad line, readable by its owner alone; `count` says how many there are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: TextIO | None = None
        self._writer: Any = None
        self._part = path.with_name(f".{path.name}.part")

    def add(self, number: int, wrong: str, text: str) -> None:
        """One line; cells that a spreadsheet would calculate are made safe.

        Raises RefusedError where another file has this name, InputError where none can be made.
        """
        if self._writer is None:
            self._open()
        self.count += 1
        shown = text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + " …"
        self._writer.writerow(safe_row((number, wrong, shown.replace("\0", "␀"))))

    def _open(self) -> None:
        try:
            if self.path.exists() and not self._is_ours():
                raise RefusedError(
                    "this file is there already, and holds no bad lines of an import.",
                    where=str(self.path),
                    next_step="Name another one: --bad-lines FILE",
                )
            number = os.open(
                self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise InputError(
                f"the bad lines cannot be written here ({(error.strerror or str(error)).lower()}).",
                where=str(self.path),
                next_step="Name a place for them: --bad-lines FILE",
            ) from error
        self._file = os.fdopen(number, "w", encoding="utf-8", errors="replace", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(_HEADER)

    def _is_ours(self) -> bool:
        with self.path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(200).strip() == ",".join(_HEADER)

    def close(self) -> None:
        """Give the file its name, in place of an earlier try's; nothing where no line is bad."""
        if self._file is None:
            return
        self._file.close()
        self._part.replace(self.path)
