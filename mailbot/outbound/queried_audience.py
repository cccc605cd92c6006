"""An audience by query: its rows go into a file for a moment, and are read as any CSV file is.

So a query's people are judged, counted and named like those of a file, in the same flat memory.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from mailbot.config import AudienceSettings, Settings, read_secret
from mailbot.core.errors import AudienceError
from mailbot.outbound.audience import Audience, FaultOf, audience_of
from mailbot.outbound.audience_rows import open_rows
from mailbot.store.audience_query import Answer, asked
from mailbot.store.campaigns import Origin

_LARGEST_QUERY = 1024 * 1024  # bytes


@contextmanager
def queried_audience(
    settings: Settings,
    source: str,
    query_file: Path,
    email_column: str | None = None,
    *,
    fields: Mapping[str, str] | None = None,
    fault_of: FaultOf,
) -> Iterator[tuple[Audience, Origin]]:
    """The people, each by the number of its row from 1, and what to record about them.

    They can be read while the block lasts. Raises AudienceError (the source, the query, a column)
    and ConfigError (the file of the URL).
    """
    wanted = _source(settings, source)
    query = _query(query_file)
    url = wanted.url or read_secret(settings, wanted.url_file or "", key="audience.url_file")
    origin = Origin(source, query, hashlib.sha256(query.encode()).hexdigest())
    with _private_folder() as folder:
        path = folder / "rows.csv"
        with asked(
            url,
            query,
            where=f"audience “{source}”",
            query_where=str(query_file),
            seconds=wanted.timeout_seconds,
        ) as answer:
            _write(path, answer)
        rows = replace(
            open_rows(path, "utf-8"), query=str(query_file), heading_line=1, delimiter=","
        )
        yield audience_of(rows, email_column, fields, fault_of), origin


@contextmanager
def _private_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="mailbot-audience-")
    except OSError as error:
        raise _no_room(error, tempfile.gettempdir()) from error
    with folder as name:
        yield Path(name)


def _write(path: Path, answer: Answer) -> None:
    try:
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(answer.columns)
            for row in answer.rows:
                writer.writerow([as_text(value) for value in row])
    except OSError as error:
        raise _no_room(error, str(path.parent)) from error


def _no_room(error: OSError, folder: str) -> AudienceError:
    return AudienceError(
        f"the rows cannot be kept here while they are read ({(error.strerror or '').lower()}).",
        where=folder,
        next_step="Make room, or name another folder by the environment variable TMPDIR.",
    )


def as_text(value: Any) -> str:
    """What a letter shows of a database's value: "" for NULL, 12.50 as it is, dates by ISO 8601."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).decode("utf-8", "replace")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return str(value)


def _source(settings: Settings, name: str) -> AudienceSettings:
    for source in settings.audiences:
        if source.name == name:
            return source
    names = ", ".join(f"“{source.name}”" for source in settings.audiences)
    raise AudienceError(
        f"no [[audience]] in the settings is called “{name}”.",
        where="--audience-from",
        next_step=f"There are: {names}." if names else f"Add one to {settings.path}.",
    )


def _query(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_QUERY + 1)
        query = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what, next_step = f"byte {raw[error.start]:#04x} is not UTF-8.", "Save it as UTF-8."
        raise AudienceError(what, where=str(path), next_step=next_step) from error
    except OSError as error:
        what = f"the query cannot be read ({(error.strerror or str(error)).lower()})."
        raise AudienceError(what, where=str(path), next_step="Name a file of SQL.") from error
    if len(raw) > _LARGEST_QUERY or not query.strip() or "\x00" in query:
        what = "this is no query: it is empty, holds a NUL character, or more than 1 MB."
        raise AudienceError(what, where=str(path), next_step="Write one SELECT into it.")
    return query
