"""`order-status`: the shop hands over what is to be said about an order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mailbot.cli.opening import ConfigOption, JsonOption, opened
from mailbot.core.errors import InputError

app = typer.Typer(help="Mail about one order.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def send(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="JSON lines [default: standard input].")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue order-status mail from JSON lines, one message a line.

    All lines are queued or none: a wrong line is named, and nothing of the file is stored. A line
    that was handed over before (same idempotency_key) is not sent again.

    Example: echo '{"type": "shipped", "to": "ann@example.org", "idempotency_key":
    "order-1001-shipped", "fields": {"order_number": "1001"}}' | mailbot order-status send
    """
    from mailbot.config import load_token_keys
    from mailbot.outbound.letterhead import Letterhead
    from mailbot.outbound.order_status import OrderStatus, OrderStatusTypes, hand_over

    with opened(config) as mailbot:
        types = OrderStatusTypes(mailbot.settings.order_status.templates_dir)
        letterhead = Letterhead.of(mailbot.settings, load_token_keys(mailbot.settings))
        messages = [OrderStatus.read(given, where) for where, given in _lines(file)]
        with mailbot.database.write() as conn:
            queued = sum(
                hand_over(conn, message, types, mailbot.person_key, letterhead)
                for message in messages
            )
    known = len(messages) - queued
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({"queued": queued, "handed_over_before": known})
        return
    before = f", {known} handed over before" if known else ""
    typer.echo(f"{queued} queued{before}.")


@app.command()
def types(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the types that may be handed over, and the fields that each needs.

    Example: mailbot order-status types
    """
    from mailbot.cli.opening import config_path
    from mailbot.cli.showing import console, print_json, table
    from mailbot.config import load
    from mailbot.core.compose import PROVIDED_FIELDS
    from mailbot.core.templates import fields_of, required_fields_of
    from mailbot.outbound.order_status import OrderStatusTypes

    found = OrderStatusTypes(load(config_path(config)).order_status.templates_dir)
    listed = []
    for name in found.names:
        needed = required_fields_of(found.template(name)) - PROVIDED_FIELDS
        others = fields_of(found.template(name)) - PROVIDED_FIELDS - needed
        listed.append({"type": name, "needs": sorted(needed), "may_have": sorted(others)})
    if as_json:
        print_json(listed)
        return
    rows = [(one["type"], ", ".join(one["needs"]), ", ".join(one["may_have"])) for one in listed]
    console().print(table("", ["type", "needs", "may have"], rows))


def _lines(file: Path | None) -> Iterator[tuple[str, Any]]:
    name = str(file) if file else "standard input"
    try:
        text = (file.read_bytes() if file else sys.stdin.buffer.read()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("this is not UTF-8", where=name, next_step="Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=name) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"{name}, line {number}", json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(
                f"this is no JSON ({error})",
                where=f"{name}, line {number}",
                next_step="Write one JSON object a line.",
            ) from error
