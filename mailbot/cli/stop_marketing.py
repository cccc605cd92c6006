"""`mailbot stop-marketing`: no campaign sends any more, on any daemon, until started again."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

_Because = Annotated[
    str, typer.Option("--because", metavar="TEXT", help="Why; `mailbot status` shows it.")
]


def stop_marketing(
    because: _Because = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Start it again (so does start-marketing).")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Stop all marketing at once, across all daemons. Order status goes on.

    A message that is on the wire at this moment may still go out; no other does.
    Campaigns go on where they were after `mailbot start-marketing`.

    [bold]Examples[/bold]
      mailbot stop-marketing --because "wrong price in the spring offer"
      mailbot stop-marketing --resume
    """
    _turn(config, is_on=not resume, because=because, as_json=as_json)


def start_marketing(
    because: _Because = "", config: Config = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Let campaigns send again after `mailbot stop-marketing`.

    [bold]Example[/bold]
      mailbot start-marketing --because "price mended"
    """
    _turn(config, is_on=False, because=because, as_json=as_json)


def _turn(config: Config, *, is_on: bool, because: str, as_json: bool) -> None:
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.store import switches

    because = because.strip() or f"{'stopped' if is_on else 'started'} by {who()}"
    with opened(config) as installation, installation.database.write() as conn:
        before = switches.get(conn, switches.MARKETING_STOPPED)
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=is_on, because=because)
    if as_json:
        print_json({"marketing_stopped": is_on, "because": because, "was": before.is_on})
    elif is_on:
        typer.echo("Marketing is stopped. Order status goes on.")
        typer.echo("To go on: mailbot start-marketing")
    else:
        typer.echo("Marketing goes on." if before.is_on else "Marketing was not stopped.")


def who() -> str:
    """The name of the person at this terminal, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return "somebody"
