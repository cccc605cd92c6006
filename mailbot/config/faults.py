"""Every fault of a configuration in plain words: what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mailbot.core.address import parse_address
from mailbot.core.errors import AddressError, ConfigFault, MailbotError

# pydantic's error type → what is wrong, what to write. {value} {key} {example} and pydantic's ctx.
_WORDS: Final = {
    "missing": ("is missing.", "Write {example}."),
    "string_type": ("{value} is not text in quotes.", "Write {example}."),
    "string_too_short": ("is empty.", "Write {example}."),
    "string_too_long": ("{value} is too long.", "Write at most {max_length} characters."),
    "path_type": ("{value} is not a path in quotes.", "Write {example}."),
    "int_type": ("{value} is not a whole number.", "Write {example}."),
    "int_parsing": ("{value} is not a whole number.", "Write {example}."),
    "int_parsing_size": ("{value} is far too large.", "Write {example}."),
    "int_from_float": ("{value} is not a whole number.", "Write {example}."),
    "finite_number": ("{value} is not a whole number.", "Write {example}."),
    "greater_than_equal": ("{value} is too small.", "Write {ge} or more."),
    "less_than_equal": ("{value} is too large.", "Write {le} or less."),
    "bool_type": ("{value} is neither true nor false.", "Write true or false, without quotes."),
    "bool_parsing": ("{value} is neither true nor false.", "Write true or false, without quotes."),
    "literal_error": ("{value} is none of the choices.", "Write {choices}."),
    "tuple_type": ("{value} is not a list.", "Write {example}."),
    "too_short": ("is an empty list.", "Write {example}."),
    "model_type": ("{value} is not a table.", "Write {example}."),
}
_OTHER_WORDS: Final = ("{value} cannot be used ({reason}).", "Write {example}.")
_SECRET_WORDS: Final = ("password", "passwd", "secret", "api_key", "private_key")

Location = tuple[int | str, ...]


def dotted(location: Location) -> str:
    """("mailbox", 0, "port") → "mailbox[0].port"; tables of a list are counted from 0."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def in_plain_words(error: ValidationError, model: type[BaseModel]) -> list[ConfigFault]:
    """The faults behind pydantic's answer about `model`."""
    details = [detail for detail in error.errors(include_url=False) if not _is_echo(detail)]
    return [ConfigFault(dotted(detail["loc"]), *_explain(detail, model)) for detail in details]


def across_tables(data: Mapping[str, Any], model: type[BaseModel]) -> list[ConfigFault]:
    """Faults that only two settings together have; looks at whatever of `data` can be read."""
    lease = _number(data, model, "sender", "lease_seconds")
    wait = _number(data, model, "relay", "timeout_seconds")
    return [
        *_same_sender(data),
        *_lease_too_short(lease, wait),
        *_listed_twice(data.get("mailbox"), ("mailbox",), "name"),
        *_listed_twice(data.get("audience"), ("audience",), "name"),
        *_listed_twice(_setting(data, "keys", "tokens"), ("keys", "tokens"), "id"),
        *_none_can_sign(_setting(data, "keys", "tokens")),
        *_filed_where_mail_is_heard(data.get("mailbox")),
        *_signs_nothing(data),
        *_never_so_many_days(
            _number(data, model, "recognition", "bounce_days"),
            _number(data, model, "recognition", "bounce_within_days"),
        ),
    ]


def unknown(key: str, location: Location, model: type[BaseModel]) -> tuple[str, str]:
    """What to say about a setting `key` that the table at `location` of `model` does not have."""
    table = _model_at(model, location)
    known = _names(table) if table else {}
    homes = [name for name, inner in _tables(model) if key in _names(inner)]
    if homes:
        return "is not a setting of this table.", f"It belongs under {' or '.join(homes)}."
    if any(word in key.lower() for word in _SECRET_WORDS) and "file" not in key.lower():
        return (
            "is not a setting: no secret may stand in this file.",
            "Write the secret into a file of its own and name that with password_file.",
        )
    near = difflib.get_close_matches(key.lower(), known, n=1)
    if near:
        return "is not a setting.", f"Did you mean {near[0]}?"
    return "is not a setting.", f"Remove it; known here: {', '.join(known)}."


def _is_echo(detail: ErrorDetails) -> bool:
    """A list all of whose entries were refused is also called too short."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    location = detail["loc"]
    key = str(location[-1]) if location else ""
    context = detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, MailbotError):
        return cause.what, cause.next_step
    if detail["type"] == "extra_forbidden":
        return unknown(key, location[:-1], model)
    example = _example(location, model)
    field = _field_at(model, location)
    options = get_args(field.annotation) if field and detail["type"] == "literal_error" else ()
    choices = " or ".join(_as_toml(option) for option in options)
    what, write = _WORDS.get(detail["type"], _OTHER_WORDS)
    facts = {**context, "value": _as_toml(detail["input"]), "key": key, "example": example}
    facts |= {"choices": choices, "reason": detail["msg"]}
    return what.format(**facts), write.format(**facts)


def _same_sender(data: Mapping[str, Any]) -> Iterator[ConfigFault]:
    senders = [_setting(data, table, "from_address") for table in ("campaigns", "order_status")]
    try:
        offers, orders = (parse_address(str(sender)).match_key for sender in senders)
    except AddressError:
        return  # told where it stands
    if offers == orders:
        yield ConfigFault(
            "order_status.from_address",
            f"{senders[1]!r} sends the campaigns too: who blocks the offers would lose the mail "
            "about the order.",
            "Give order status an address of its own.",
        )


def _lease_too_short(lease: int | None, wait: int | None) -> Iterator[ConfigFault]:
    if lease is not None and wait is not None and lease <= wait:
        yield ConfigFault(
            "sender.lease_seconds",
            f"{lease} is not more than relay.timeout_seconds ({wait}): a message could be handed "
            "to another daemon while this one still waits for the relay's answer.",
            f"Write more than {wait}, best {2 * wait}, or lower relay.timeout_seconds.",
        )


def _listed_twice(entries: object, location: Location, key: str) -> Iterator[ConfigFault]:
    seen: dict[object, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, Sequence) else ()):
        value = entry.get(key) if isinstance(entry, Mapping) else None
        if not isinstance(value, int | str):
            continue
        first = seen.setdefault(value, index)
        if first != index:
            yield ConfigFault(
                dotted((*location, index, key)),
                f"{_as_toml(value)} is taken by {dotted((*location, first))}.",
                f"Give each its own {key}.",
            )


def _none_can_sign(tokens: object) -> Iterator[ConfigFault]:
    entries = tokens if isinstance(tokens, list) else []
    if entries and all(isinstance(one, Mapping) and one.get("revoked") is True for one in entries):
        yield ConfigFault(
            "keys.tokens",
            "every key is revoked, so that none can sign the way out in a new mail.",
            "Add a new key (`mailbot keys create DIR` makes one) with a higher id.",
        )


def _filed_where_mail_is_heard(mailboxes: object) -> Iterator[ConfigFault]:
    """A mail moved into INBOX is new there (RFC 3501 §5.1: INBOX is any case), and moved again; in
    staff's folder it would be a second wish, later than the first."""
    for index, box in enumerate(mailboxes if isinstance(mailboxes, Sequence) else ()):
        if not isinstance(box, Mapping) or box.get("filing") != "move":
            continue
        target, staffs = box.get("filing_folder"), box.get("opt_out_folder")
        if not isinstance(target, str) or not target.strip():
            continue  # the default, or told elsewhere
        name = target.strip().upper()
        key = dotted(("mailbox", index, "filing_folder"))
        write = "Make a folder of its own for filed mail, and name that."
        if name == "INBOX":
            yield ConfigFault(key, "is the inbox: a mail filed there is new there.", write)
        elif isinstance(staffs, str) and name == staffs.strip().upper():
            yield ConfigFault(key, "is the opt_out_folder: what stands there is a wish.", write)


def _signs_nothing(data: Mapping[str, Any]) -> Iterator[ConfigFault]:
    """A key for a domain that no mail of ours is from; and two for one place in the DNS."""
    tables = (("campaigns", "from_address"), ("order_status", "from_address"))
    senders = [str(_setting(data, *setting)) for setting in (*tables, ("shop", "help_address"))]
    entries = data.get("dkim")
    places: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries if isinstance(entries, Sequence) else ()):
        if not isinstance(entry, Mapping):
            continue
        domain, selector = str(entry.get("domain")), str(entry.get("selector"))
        first = places.setdefault((domain.lower(), selector.lower()), index)
        if first != index:
            what = f"{selector!r} of {domain} is taken by {dotted(('dkim', first))}."
            yield ConfigFault(dotted(("dkim", index, "selector")), what, "Give each key its own.")
        try:
            ours = [parse_address(sender).domain for sender in senders]
            signing = parse_address(f"x@{domain}").domain
        except AddressError:
            continue  # told where it stands
        if not any(one == signing or one.endswith(f".{signing}") for one in ours):
            yield ConfigFault(
                dotted(("dkim", index, "domain")),
                f"no mail of ours is from {domain}: this key would sign nothing.",
                f"Write one of these, or what they end in: {', '.join(sorted(set(ours)))}.",
            )


def _never_so_many_days(days: int | None, within: int | None) -> Iterator[ConfigFault]:
    if days is not None and within is not None and days > within:
        yield ConfigFault(
            "recognition.bounce_within_days",
            f"{within} days never hold bounces of {days} days (bounce_days): nobody would be taken "
            "for gone.",
            f"Write {days} or more, or lower bounce_days.",
        )


def _setting(data: Mapping[str, Any], table: str, key: str) -> object:
    found = data.get(table)
    return found.get(key) if isinstance(found, Mapping) else None


def _number(data: Mapping[str, Any], model: type[BaseModel], table: str, key: str) -> int | None:
    """The setting or its default; None where it is no number (which is told elsewhere)."""
    value = _setting(data, table, key)
    if value is None:
        field = _field_at(model, (table, key))
        value = field.default if field else None
    try:
        return int(str(value))
    except ValueError:
        return None


def _names(table: type[BaseModel]) -> dict[str, FieldInfo]:
    """The settings of a table under the names they have in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _tables(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The tables of the file: how each is headed, and its settings."""
    for name, field in _names(model).items():
        inner = _table_in(field.annotation)
        if inner is not None:
            yield (f"[[{name}]]" if inner is not field.annotation else f"[{name}]"), inner


def _table_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, str):
            field = _names(found).get(part) if found else None
            found = _table_in(field.annotation) if field else None
    return found


def _field_at(model: type[BaseModel], location: Location) -> FieldInfo | None:
    names = [part for part in location if isinstance(part, str)]
    table = _model_at(model, tuple(names[:-1]))
    return _names(table).get(names[-1]) if table and names else None


def _example(location: Location, model: type[BaseModel]) -> str:
    """`key = value` as it could stand in the file, or the head of the table."""
    key, field = str(location[-1]), _field_at(model, location)
    heads = dict(_tables(model))
    if len(location) == 1 or (len(location) == 2 and isinstance(location[1], int)):
        key = str(location[0])  # a whole table, or one of several
        head = next((head for head in heads if head.strip("[]") == key), key)
        return f"{head} on a line of its own, and its settings below"
    if field is None:
        return key
    value = field.examples[0] if field.examples else field.get_default()
    if isinstance(location[-1], int):  # one entry of a list
        return _as_toml(value[0]) if isinstance(value, list | tuple) else _as_toml(value)
    return f"{key} = {_as_toml(value)}"


def _as_toml(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_as_toml(one)}" for key, one in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_as_toml(one) for one in value)}]"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"
