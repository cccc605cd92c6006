"""Order status from the command line into the outbox: each message stored, then answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mailbot.cli.opening import OpenedForPersons, opened_for_persons, writing
from mailbot.cli.showing import print_json_line, printable
from mailbot.config import load_token_keys
from mailbot.core.errors import InputError, StoreError, StoreUnavailable
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status import Checked, Handed, HandOver, OrderStatus
from mailbot.outbound.order_status_types import OrderStatusTypes

_LONGEST_LINE = 1024 * 1024  # bytes
_PIECE = 64 * 1024  # bytes that are read, and stored in one transaction, at most
_NO_JSON = "Write one JSON object a line; mailbot order-status send --help shows one."


@dataclass(frozen=True, slots=True)
class Given:
    """What came in, and in which line (0 for the options): a message, or what is wrong with it."""

    line: int
    message: OrderStatus | InputError
    key: str = ""  # where it could be read

    @property
    def where(self) -> str:
        return f"line {self.line}" if self.line else ""


# A message that can be stored, or what is wrong with what came in.
_Judged = tuple[Given, Checked | InputError]


def one(
    type_name: str | None, to: str | None, key: str | None, fields: list[str]
) -> Iterator[list[Given]]:
    """The message that the options describe."""
    named: dict[str, object] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not name.strip():
            raise InputError(
                f"“{field}” is no NAME=VALUE.",
                where="--field",
                next_step="Write it like order_number=1001.",
            )
        named[name.strip()] = value
    missing = [
        option for option, value in (("--type", type_name), ("--to", to), ("--key", key))
        if not value
    ]  # fmt: skip
    if missing:
        raise InputError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
            next_step="One message takes --type, --to and --key; many come on standard input.",
        )
    message = {"type": type_name, "to": to, "idempotency_key": key, "fields": named}
    yield [Given(0, OrderStatus.read(message), key or "")]


def from_lines(source: BinaryIO) -> Iterator[list[Given]]:
    """What there is to read, at once: each line that is not blank; a fault is a value."""
    for lines in _numbered(source):
        given = [_read(number, raw) for number, raw in lines if raw is None or raw.strip()]
        if given:
            yield given


def _numbered(source: BinaryIO) -> Iterator[list[tuple[int, bytes | None]]]:
    """The lines of each piece that is there, with their numbers; None for one that is too long."""
    number, begun, is_too_long = 0, b"", False
    while piece := source.read1(_PIECE):  # type: ignore[attr-defined]  # a buffered reader has it
        lines: list[tuple[int, bytes | None]] = []
        *ended, rest = piece.split(b"\n")
        for end in ended:
            number += 1
            is_too_long = is_too_long or len(begun) + len(end) > _LONGEST_LINE
            lines.append((number, None if is_too_long else begun + end))
            begun, is_too_long = b"", False
        is_too_long = is_too_long or len(begun) + len(rest) > _LONGEST_LINE
        begun = b"" if is_too_long else begun + rest
        if lines:
            yield lines
    if begun or is_too_long:
        yield [(number + 1, None if is_too_long else begun)]


def _read(number: int, raw: bytes | None) -> Given:
    where, key = f"line {number}", ""
    try:
        if raw is None:
            raise InputError("the line is longer than 1 MB.", where=where, next_step=_NO_JSON)
        parsed = _parsed(raw, where)
        if isinstance(parsed, dict) and isinstance(parsed.get("idempotency_key"), str):
            key = parsed["idempotency_key"]
        return Given(number, OrderStatus.read(parsed, where), key)
    except InputError as error:
        return Given(number, error, key)


def _parsed(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        what = f"byte {raw[error.start]:#04x} is not UTF-8."
        raise InputError(what, where=where, next_step="Write UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise InputError("this is no JSON.", where=where, next_step=_NO_JSON) from error


def hand_over_all(config: Path, given: Iterable[list[Given]], *, as_json: bool) -> bool:
    """Store and answer each; True where every one was good. Raises StoreError where it stopped.

    What came in at once is stored in one transaction, and answered after it.
    """
    is_all_good = True
    with opened_for_persons(config) as installation:
        settings = installation.settings
        handing = HandOver(
            OrderStatusTypes(settings.order_status.templates_dir),
            installation.person_key,
            Letterhead.of(settings, load_token_keys(settings)),
        )
        for some in given:
            judged = [(one, _checked(handing, one)) for one in some]
            for one, answer in _stored(installation, handing, judged):
                if isinstance(answer, Handed):
                    _answer(one, answer, as_json=as_json)
                else:
                    is_all_good = False
                    _tell_fault(one, answer, as_json=as_json)
    return is_all_good


def _checked(handing: HandOver, one: Given) -> Checked | InputError:
    if isinstance(one.message, InputError):
        return one.message
    try:
        return handing.check(one.message)
    except InputError as error:
        return error


def _stored(
    installation: OpenedForPersons, handing: HandOver, judged: list[_Judged]
) -> Iterator[tuple[Given, Handed | InputError]]:
    """All at once; where the database fails, one by one, to store and answer what it takes."""
    try:
        answers = _written(installation, handing, judged)
    except StoreError:
        for one in judged:
            try:
                yield from _written(installation, handing, [one])
            except StoreError as error:
                raise StoreUnavailable(
                    f"stopped here: {error}",
                    where=one[0].where,
                    next_step="What was answered is stored. Hand all of it over again later: "
                    "nothing is sent twice.",
                ) from error
    else:
        yield from answers


def _written(
    installation: OpenedForPersons, handing: HandOver, judged: list[_Judged]
) -> list[tuple[Given, Handed | InputError]]:
    good = [checked for _, checked in judged if isinstance(checked, Checked)]
    if good:
        with writing(installation) as conn:
            became = iter(handing.store(conn, good))
    return [
        (one, checked if isinstance(checked, InputError) else next(became))
        for one, checked in judged
    ]


def _answer(one: Given, answer: Handed, *, as_json: bool) -> None:
    if as_json:
        print_json_line({**_line_of(one), "idempotency_key": one.key, "status": answer})
    else:
        sys.stdout.write(f"{answer}  {printable(one.key)}\n")
        sys.stdout.flush()


def _tell_fault(one: Given, error: InputError, *, as_json: bool) -> None:
    where = one.where
    place = where if not error.where or error.where == where else f"{where}, {error.where}"
    place = place.removeprefix(", ")
    if as_json:
        print_json_line({
            **_line_of(one), "idempotency_key": one.key or None, "status": "refused",
            "where": place, "what": error.what, "next_step": error.next_step,
        })  # fmt: skip
    at = f"{place}: " if place else ""
    what = error.what if error.what.endswith((".", "?")) else f"{error.what}."
    sys.stderr.write(printable(f"mailbot: {at}{what} {error.next_step}").rstrip() + "\n")


def _line_of(one: Given) -> dict[str, int]:
    return {"line": one.line} if one.line else {}
