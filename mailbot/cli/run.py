"""`mailbot run`: the daemon."""

from __future__ import annotations

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config


def run(config: Config = DEFAULT_CONFIG) -> None:
    """Run the daemon: read help@, keep the list, send. It stops on SIGTERM or Ctrl-C.

    It logs to standard error: readable on a terminal, JSON lines to a pipe or
    the journal. systemd/mailbot.service starts it on a server.

    [bold]Examples[/bold]
      mailbot run
      mailbot run --config config/mailbot.toml
    """
    from mailbot import daemon
    from mailbot.config import load

    raise typer.Exit(daemon.run(load(config)))
