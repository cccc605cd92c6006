"""`stop-marketing`: one switch that every daemon obeys at once."""

from __future__ import annotations

from typing import Annotated

import typer

from mailbot.cli.opening import ConfigOption, opened


def stop_marketing(
    config: ConfigOption = None,
    because: Annotated[str, typer.Option(help="Why; shown by status.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Let marketing go on.")] = False,
) -> None:
    """Stop every campaign at once, across all daemons; order status goes on.

    Example: mailbot stop-marketing --because "wrong price list"
    """
    from mailbot.store import switches

    with opened(config) as mailbot, mailbot.database.write() as conn:
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=not resume, because=because)
    typer.echo("Marketing goes on." if resume else "Marketing is stopped. Order status goes on.")
