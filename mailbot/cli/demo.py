"""`mailbot demo`: the whole house in fifteen seconds."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running, and say how to play with it.")
    ] = False,
) -> None:
    """Show the whole job in fifteen seconds, on this machine alone.

    The real daemon, a mailbox and a mail server of its own: customers write,
    marketing sends, orders are reported; then a table says who was sent what,
    and why. No mail leaves the machine.

    [bold]Examples[/bold]
      mailbot demo
      mailbot demo --keep
    """
    from mailbot import demo as played

    raise typer.Exit(played.run(keep, Console()))
