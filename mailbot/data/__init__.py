"""What ships inside the wheel, and how it is read: the vocabulary, templates, the SQL of grants."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Final

from mailbot.core.errors import InputError
from mailbot.core.vocabulary import Boundary, Entry, Vocabulary, Where

_KEYS: Final = frozenset({"language", "form", "where", "boundary"})


def load_vocabulary(extra: Path | None = None) -> Vocabulary:
    """The shipped vocabulary, then the admin's file. Raises InputError with file and entry.

    The shipped entries always stay: no file can take the promised word away.
    """
    shipped = resources.files(__package__).joinpath("vocabulary.toml").read_bytes()
    entries = _entries(shipped, "vocabulary.toml")
    if extra is not None:
        try:
            entries += _entries(extra.read_bytes(), str(extra))
        except OSError as error:
            raise InputError(
                f"The vocabulary cannot be read: {error.strerror}.", where=str(extra)
            ) from error
    return Vocabulary(entries)


def _entries(raw: bytes, where: str) -> tuple[Entry, ...]:
    try:
        tables = tomllib.loads(raw.decode("utf-8")).get("entry", [])
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"This is not TOML in UTF-8: {error}.", where=where) from error
    if not isinstance(tables, list):
        raise InputError("Entries are written as [[entry]].", where=where)
    return tuple(_entry(table, f"{where}, entry {n}") for n, table in enumerate(tables, start=1))


def _entry(table: dict[str, Any], where: str) -> Entry:
    unknown = sorted(set(table) - _KEYS)
    if unknown or not {"language", "form"} <= set(table):
        raise InputError(
            f"Unknown keys: {', '.join(unknown)}." if unknown else "A key is missing.",
            where=where,
            next_step="Write language and form, and where or boundary if they differ.",
        )
    try:
        return Entry(
            language=str(table["language"]),
            form=str(table["form"]),
            where=Where(table.get("where", Where.ANYWHERE)),
            boundary=Boundary(table.get("boundary", Boundary.WORD)),
        )
    except ValueError as error:
        raise InputError(str(error), where=where) from error
