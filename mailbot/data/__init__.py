"""What ships inside the wheel, and how it is read: the vocabulary, templates, the SQL of grants."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

from mailbot.core.errors import InputError
from mailbot.core.words.classes import Classes, WordClass
from mailbot.core.words.folding import plain
from mailbot.core.words.vocabulary import Boundary, Entry, Vocabulary, Where

_Choice = TypeVar("_Choice", Where, Boundary)

_PROMISED: Final = "unsubscribe"
_TABLES: Final = (
    "entry", "courtesy", "misspelling", "come_back", "refusal", "interjection", "robot", "off",
)  # fmt: skip
_CLASS: Final = "class"
_KEYS: Final = frozenset(
    {"language", "form", "forms", "where", "boundary", "objects", "unless", "certain"}
)


def load_vocabulary(extra: Path | None = None) -> Vocabulary:
    """The shipped vocabulary, then the admin's file. Raises InputError with file and entry.

    The promised word always stays: no file can take it away.
    """
    shipped = _toml(
        resources.files(__package__).joinpath("vocabulary.toml").read_bytes(), "vocabulary.toml"
    )
    own = _toml(_bytes_of(extra), str(extra)) if extra is not None else {}
    # The admin's words for a class count in the shipped entries too.
    listed = _word_classes(shipped, "vocabulary.toml")
    classes = _classes((*listed, *_word_classes(own, str(extra))), str(extra or "vocabulary.toml"))
    tables = _tables(shipped, classes, "vocabulary.toml")
    if extra is not None:
        added = _tables(own, classes, str(extra))
        off = {plain(form) for entry in added["off"] for form in entry.forms} - {_PROMISED}
        kept = {name: _without(entries, off) for name, entries in tables.items()}
        tables = {name: (*entries, *added[name]) for name, entries in kept.items()}
    return Vocabulary(
        entries=tables["entry"],
        courtesies=_forms(tables["courtesy"]),
        misspellings=_forms(tables["misspelling"]),
        come_back=tables["come_back"],
        refusals=tables["refusal"],
        interjections=_forms(tables["interjection"]),
        robots=tables["robot"],
    )


def _forms(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(form for entry in entries for form in entry.forms)


def _without(entries: Iterable[Entry], off: set[str]) -> tuple[Entry, ...]:
    found = []
    for entry in entries:
        forms = tuple(form for form in entry.forms if plain(form) not in off)
        if forms:
            found.append(replace(entry, forms=forms))
    return tuple(found)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The vocabulary cannot be read: {error.strerror}.", where=str(path)
        ) from error


def _toml(raw: bytes, where: str) -> dict[str, Any]:
    try:
        read = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"This is not TOML in UTF-8: {error}.", where=where) from error
    known = (*_TABLES, _CLASS)
    unknown = sorted(set(read) - set(known))
    if unknown:
        raise InputError(
            f"Unknown tables: {', '.join(unknown)}.",
            where=where,
            next_step=f"Known are {', '.join(f'[[{name}]]' for name in known)}.",
        )
    return read


def _word_classes(read: dict[str, Any], where: str) -> tuple[WordClass, ...]:
    found = []
    for n, table in enumerate(_listed(read.get(_CLASS, []), where), start=1):
        place = f"{where}, {_CLASS} {n}"
        if set(table) != {"language", "name", "forms"}:
            raise InputError(
                "A class has these keys and no others: language, name, forms.", where=place
            )
        forms = _texts(table["forms"], "forms", place)
        try:
            found.append(WordClass(str(table["language"]), str(table["name"]), forms))
        except InputError as error:
            raise InputError(error.what, where=place, next_step=error.next_step) from error
    return tuple(found)


def _classes(given: Iterable[WordClass], where: str) -> Classes:
    try:
        return Classes(given)
    except InputError as error:
        raise InputError(error.what, where=where, next_step=error.next_step) from error


def _tables(read: dict[str, Any], classes: Classes, where: str) -> dict[str, tuple[Entry, ...]]:
    for name in ("courtesy", "interjection"):  # they stand around a form; one may be a letter
        listed = read.get(name, [])
        if isinstance(listed, list):
            read[name] = [
                {"where": "whole_subject", **one} if isinstance(one, dict) else one
                for one in listed
            ]
    return {
        name: tuple(
            _entry(table, classes, f"{where}, {name} {n}")
            for n, table in enumerate(_listed(read.get(name, []), f"{where}, {name}"), start=1)
        )
        for name in _TABLES
    }


def _listed(tables: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError("Entries are written as [[entry]].", where=where)
    return tables


def _entry(table: dict[str, Any], classes: Classes, where: str) -> Entry:
    unknown = sorted(set(table) - _KEYS)
    if unknown or "language" not in table or not {"form", "forms"} & set(table):
        raise InputError(
            f"Unknown keys: {', '.join(unknown)}." if unknown else "A key is missing.",
            where=where,
            next_step="Write language and forms, and where, boundary, objects, unless or certain.",
        )
    certain = table.get("certain", True)
    if not isinstance(certain, bool):
        raise InputError(
            f"certain = {certain!r} is neither true nor false.", where=where,
            next_step="Write certain = false, without quotes, or leave it out.",
        )  # fmt: skip
    language = str(table["language"])
    texts = {key: _texts(table.get(key, []), key, where) for key in ("forms", "objects", "unless")}
    if "form" in table and "forms" not in table:
        texts["forms"] = _texts([table["form"]], "forms", where)
    place = _choice(Where, table.get("where", Where.ANYWHERE), "where", where)
    boundary = _choice(Boundary, table.get("boundary", Boundary.WORD), "boundary", where)
    try:
        forms, objects, unless = (classes.expanded(one, language) for one in texts.values())
        return Entry(language, forms, place, boundary, objects, unless, certain)
    except InputError as error:
        raise InputError(error.what, where=where, next_step=error.next_step) from error


def _choice(choices: type[_Choice], value: object, key: str, where: str) -> _Choice:
    try:
        return choices(str(value))
    except ValueError as error:
        listed = ", ".join(choices)
        raise InputError(
            f"{key} = {value!r} is none of the choices.", where=where,
            next_step=f"Write one of {listed}.",
        ) from error  # fmt: skip


def _texts(value: object, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(
            f"{key} is not a list of texts.", where=where, next_step=f'Write {key} = ["…", "…"].'
        )
    return tuple(value)


@dataclass(frozen=True, slots=True)
class FieldNote:
    """What a field of an order-status template means, and a value as one hands it over."""

    meaning: str
    example: object


def order_status_fields() -> dict[str, FieldNote]:
    """Every field of the shipped order-status templates, in the order a person would name them."""
    raw = resources.files(__package__).joinpath("order_status_fields.toml").read_bytes()
    return {
        name: FieldNote(note["meaning"], note["example"])
        for name, note in tomllib.loads(raw.decode()).items()
    }
