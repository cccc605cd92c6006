"""`mailbot order-status`: the shop hands over what became of an order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.cli.order_status import report, types
from mailbot.cli.uncertain import commands as uncertain

app = typer.Typer(no_args_is_help=True)
app.command("uncertain")(uncertain.of_order_status)
app.command("types")(types.types)
app.command("report")(report.report)


@app.callback()
def order_status() -> None:
    """Mail about an order. It goes ahead of every campaign, and reaches who opted out as well."""


@app.command()
def send(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", readable=False, help="JSON lines; else standard input."),
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Like shipped or delivered.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="ADDRESS", help="To whom.")] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="Names this message for ever: never sent twice."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME=VALUE", help="What the template asks for."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Hand over one message by options, or many as JSON lines.

    Each is answered once it is safely stored, "known" where its key was handed
    over before. A line with a fault is told and the others are taken; the exit
    code is then 65. To hand the same input over again is harmless; a key that
    comes again with other content is a fault, and its first message stays.
    With --json there is one answer for each line that is not blank, by number.

    [bold]Examples[/bold]
      mailbot order-status send --type shipped --to ann@example.org \\
          --key order-1001-shipped --field order_number=1001
      mailbot order-status send orders.jsonl

    [bold]One line of orders.jsonl[/bold]
      {"type": "shipped", "to": "ann@example.org",
       "idempotency_key": "order-1001-shipped",
       "fields": {"order_number": "1001"}}
    """
    from mailbot.cli.order_status.hand_over import from_lines, hand_over_all, one

    if type_ or to or key or field:
        given = one(type_, to, key, field or [])
    elif file is not None:
        with file.open("rb") as opened:
            is_all_good = hand_over_all(config, from_lines(opened), as_json=as_json)
        if not is_all_good:
            raise typer.Exit(65)
        return
    else:
        if sys.stdin.isatty():
            sys.stderr.write("One JSON object a line; Ctrl-D ends.\n")
        given = from_lines(sys.stdin.buffer)
    if not hand_over_all(config, given, as_json=as_json):
        raise typer.Exit(65)
