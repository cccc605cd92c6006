"""`run` and `demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from mailbot.cli.opening import ConfigOption, config_path


def run(config: ConfigOption = None) -> None:
    """Run the daemon: read help@, send what is due, until SIGTERM.

    Example: mailbot run --config /etc/mailbot/mailbot.toml
    """
    from mailbot import daemon
    from mailbot.config import load

    raise typer.Exit(daemon.run(load(config_path(config))))


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running to play with.")] = False,
) -> None:
    """Show the whole main job in fifteen seconds, against servers of its own.

    Example: mailbot demo --keep
    """
    from mailbot import demo as demonstration
    from mailbot.cli.showing import console

    raise typer.Exit(demonstration.run(keep, console()))
