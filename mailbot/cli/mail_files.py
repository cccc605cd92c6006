"""Mails out of files, folders and mbox files, one after the other; what is huge is read in part."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO, Final

from mailbot.core.errors import InputError

# More than the rules look at: 64 kB of header, 256 kB of body, and what the parts around cost.
_MOST_BYTES: Final = 1024 * 1024
# RFC 4155: the line above each mail of an mbox. Text that begins a paragraph with "From " has no
# time of day in it.
_MBOX_LINE: Final = re.compile(rb"From \S.*\d\d:\d\d")

# As asctime() writes it, with or without seconds, an offset before or after the year.
_MBOX_TIME: Final = re.compile(
    rb" ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d)(?::(\d\d))?"
    rb"(?: ([+-]\d{4})| [A-Z]{1,5})? (\d{4})(?: ([+-]\d{4}))?\b"
)

_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

# {"file": …} and, in an mbox, {"message": …}, counted from 1.
Place = dict[str, object]


def every_mail(paths: Iterable[Path], unread: list[Path]) -> Iterator[tuple[Place, bytes]]:
    """Each mail, folders in the order of their names. Raises InputError where a path is missing.

    A file that cannot be read is told on standard error and added to `unread`; the next is read.
    """
    for place, raw, _ in every_delivered_mail(paths, unread):
        yield place, raw


def every_delivered_mail(
    paths: Iterable[Path], unread: list[Path]
) -> Iterator[tuple[Place, bytes, datetime | None]]:
    """Like `every_mail`, with the time of the line above each mail of an mbox; else None."""
    given = list(paths)
    for path in given:
        if not os.path.lexists(path):
            raise InputError(
                "there is no such file or folder.", where=str(path), next_step="Name a mail."
            )
    for path in given:
        for file in _files(path):
            try:
                yield from _mails(file)
            except OSError as error:
                sys.stderr.write(f"mailbot: {file}: {(error.strerror or str(error)).lower()}\n")
                unread.append(file)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            file = Path(folder, name)
            if file.is_file():  # no socket, no pipe that nobody writes to
                yield file


def _mails(path: Path) -> Iterator[tuple[Place, bytes, datetime | None]]:
    with path.open("rb") as file:
        start = file.readline(_MOST_BYTES)
        if not _MBOX_LINE.match(start):
            yield {"file": str(path)}, start + file.read(_MOST_BYTES - len(start)), None
            return
        for number, (line, raw) in enumerate(_of_mbox(file, start), start=1):
            yield {"file": str(path), "message": number}, raw, delivered_at(line)


def _of_mbox(file: BinaryIO, above: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The mails of an mbox whose first line, `above`, was read: each with the line above it."""
    kept: list[bytes] = []
    size = 0
    is_after_blank = False
    while line := file.readline(_MOST_BYTES):
        if is_after_blank and _MBOX_LINE.match(line):
            yield above, b"".join(kept)
            above, kept, size = line, [], 0
        elif size + len(line) <= _MOST_BYTES:
            kept.append(line)
            size += len(line)
        is_after_blank = not line.strip()
    yield above, b"".join(kept)


def delivered_at(line: bytes) -> datetime | None:
    """The time in the line above a mail of an mbox, in UTC unless it has an offset.

    None where it has none that can be read.
    """
    found = _MBOX_TIME.search(line)
    if found is None:
        return None
    month, day, hour, minute, second, before, year, after = found.groups(b"")
    offset = (before or after or b"+0000").decode()
    try:
        zone = timezone(timedelta(hours=int(offset[:3]), minutes=int(offset[0] + offset[3:])))
        local = datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute),
            int(second or b"0"), tzinfo=zone,
        )  # fmt: skip
        return local.astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February; the year 1 with an offset
        return None
