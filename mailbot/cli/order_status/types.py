"""`mailbot order-status types`: which there are, what each asks for, and a line to copy."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.outbound.order_status_types import OrderStatusTypes


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    needs: list[str]
    may_have: list[str]


def types(
    type_name: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="One type, each field explained.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The types that may be handed over, and the fields that each asks for.

    With TYPE its fields one by one, what each means, and a JSON line to copy
    for `mailbot order-status send`. Dates and money are shown in the mail as
    you hand them over.

    [bold]Examples[/bold]
      mailbot order-status types
      mailbot order-status types shipped
      mailbot order-status types shipped --json
    """
    from mailbot.cli.showing import print_json
    from mailbot.config import load
    from mailbot.outbound.order_status_types import OrderStatusTypes

    known = OrderStatusTypes(load(config).order_status.templates_dir)
    if type_name is not None:
        known.template(type_name)  # or an error that lists them
        one = _type(known, type_name)
        print_json(_as_json(one)) if as_json else _show_one(one)
        return
    every = [_type(known, name) for name in known.names]
    if as_json:
        print_json([_as_json(one) for one in every])
    else:
        _show_all(every)


def _type(known: OrderStatusTypes, name: str) -> _Type:
    from mailbot.core.compose import PROVIDED_FIELDS
    from mailbot.core.templates import fields_of, required_fields_of

    template = known.template(name)
    needs = required_fields_of(template) - PROVIDED_FIELDS
    may_have = {*(fields_of(template) - PROVIDED_FIELDS - needs), "name"}
    return _Type(name, _in_order(needs), _in_order(may_have))


def _in_order(fields: set[str] | frozenset[str]) -> list[str]:
    """As the documentation names them; an admin's own fields after those."""
    from mailbot.data import order_status_fields

    place = {name: number for number, name in enumerate(order_status_fields())}
    return sorted(fields, key=lambda name: (place.get(name, len(place)), name))


def _example(one: _Type, fields: list[str]) -> dict[str, object]:
    from mailbot.data import order_status_fields

    notes = order_status_fields()
    return {
        "type": one.name,
        "to": "ann@example.org",
        "idempotency_key": f"LT-1042-{one.name}",
        "fields": {name: notes[name].example if name in notes else "…" for name in fields},
    }


def _as_json(one: _Type) -> dict[str, Any]:
    return {
        "type": one.name,
        "needs": one.needs,
        "may_have": one.may_have,
        "example": _example(one, [*one.needs, *one.may_have]),
    }


def _show_all(every: list[_Type]) -> None:
    from mailbot.cli.showing import console, table

    shown = table("Type", "Needs", "May have", wide="May have")
    for one in every:
        shown.add_row(one.name, ", ".join(one.needs), ", ".join(one.may_have))
    console().print(shown)
    sys.stdout.write(
        "\nA line to copy, for `mailbot order-status send`:\n\n"
        f"{_line(_example(every[-1], every[-1].needs))}\n\n"
        f"Each field explained: mailbot order-status types {every[-1].name}\n"
    )


def _show_one(one: _Type) -> None:
    from mailbot.cli.showing import console, table
    from mailbot.data import order_status_fields

    notes = order_status_fields()
    shown = table("Field", "", "What it is", wide="What it is")
    for name in [*one.needs, *one.may_have]:
        meaning = notes[name].meaning if name in notes else "a field of your own template"
        shown.add_row(name, "needed" if name in one.needs else "", meaning)
    console().print(shown)
    sys.stdout.write(
        "\nA line to copy, for `mailbot order-status send`; take out what you do not have:\n\n"
        f"{_line(_example(one, [*one.needs, *one.may_have]))}\n"
    )


def _line(message: dict[str, object]) -> str:
    """On one line, however wide the terminal is: whoever copies it gets one JSON line."""
    return json.dumps(message, ensure_ascii=False)
