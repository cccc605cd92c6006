"""Order status from the command line into the outbox: each message stored, then answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mailbot.cli.opening import OpenedForPersons, opened_for_persons, writing
from mailbot.cli.showing import print_json_line, printable
from mailbot.config import load_token_keys
from mailbot.core.errors import InputError, StoreError, StoreUnavailable
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status import OrderStatus, hand_over
from mailbot.outbound.order_status_types import OrderStatusTypes

_LONGEST_LINE = 1024 * 1024  # bytes
_NO_JSON = "Write one JSON object a line; mailbot order-status send --help shows one."

# What came in, and where: an OrderStatus, or what is wrong with it.
Given = tuple[str, OrderStatus | InputError]


def one(
    type_name: str | None, to: str | None, key: str | None, fields: list[str]
) -> Iterator[Given]:
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
    yield (
        "",
        OrderStatus.read({"type": type_name, "to": to, "idempotency_key": key, "fields": named}),
    )


def from_lines(lines: Iterable[bytes]) -> Iterator[Given]:
    """Each line that is not blank; a fault is a value, so that the next line is read."""
    for number, raw in enumerate(lines, start=1):
        where = f"line {number}"
        if len(raw) > _LONGEST_LINE:
            raise InputError("the line is longer than 1 MB.", where=where, next_step=_NO_JSON)
        if raw.strip():
            try:
                yield where, OrderStatus.read(_parsed(raw, where), where)
            except InputError as error:
                yield where, error


def _parsed(raw: bytes, where: str) -> object:
    try:
        parsed = json.loads(raw.decode("utf-8-sig"))
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        what = f"byte {raw[error.start]:#04x} is not UTF-8."
        raise InputError(what, where=where, next_step="Write UTF-8.") from error
    except UnicodeEncodeError as error:
        what = "it holds half of a character (a lone surrogate like \\ud83d)."
        raise InputError(what, where=where, next_step="Cut no text inside an emoji.") from error
    except (ValueError, RecursionError) as error:
        raise InputError("this is no JSON.", where=where, next_step=_NO_JSON) from error
    return parsed


def hand_over_all(config: Path, given: Iterable[Given], *, as_json: bool) -> bool:
    """Store and answer each; True where every one was good. Raises StoreError where it stopped."""
    is_all_good = True
    with opened_for_persons(config) as installation:
        letterhead = Letterhead.of(installation.settings, load_token_keys(installation.settings))
        types = OrderStatusTypes(installation.settings.order_status.templates_dir)
        for where, message in given:
            try:
                if isinstance(message, InputError):
                    raise message
                is_new = _store(installation, message, types, letterhead)
            except InputError as error:
                is_all_good = False
                _tell_fault(where, error, as_json=as_json)
            except StoreError as error:
                raise StoreUnavailable(
                    f"stopped here: {error}",
                    where=where,
                    next_step="What was answered is stored. Hand all of it over again later: "
                    "nothing is sent twice.",
                ) from error
            else:
                _answer(message, is_new=is_new, as_json=as_json)
    return is_all_good


def _store(
    installation: OpenedForPersons,
    message: OrderStatus,
    types: OrderStatusTypes,
    letterhead: Letterhead,
) -> bool:
    with writing(installation) as conn:
        return hand_over(conn, message, types, installation.person_key, letterhead)


def _answer(message: OrderStatus, *, is_new: bool, as_json: bool) -> None:
    status = "queued" if is_new else "known"
    if as_json:
        print_json_line({"idempotency_key": message.idempotency_key, "status": status})
    else:
        sys.stdout.write(f"{status}  {printable(message.idempotency_key)}\n")
        sys.stdout.flush()


def _tell_fault(where: str, error: InputError, *, as_json: bool) -> None:
    place = where if not error.where or error.where == where else f"{where}, {error.where}"
    place = place.removeprefix(", ")
    if as_json:
        print_json_line({
            "status": "refused", "where": place, "what": error.what, "next_step": error.next_step,
        })  # fmt: skip
    at = f"{place}: " if place else ""
    what = error.what if error.what.endswith((".", "?")) else f"{error.what}."
    sys.stderr.write(printable(f"mailbot: {at}{what} {error.next_step}").rstrip() + "\n")
