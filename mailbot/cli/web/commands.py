"""`mailbot web …`: the pages."""

from __future__ import annotations

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config

app = typer.Typer(no_args_is_help=True, help="Serve the pages: the public one-click page.")


@app.callback()
def web() -> None:
    """Serve the pages: the public one-click page."""


@app.command()
def public(config: Config = DEFAULT_CONFIG) -> None:
    """Serve the page on which a customer leaves by one click, until SIGTERM.

    It listens where `listen` under \\[public] says, for nginx or Caddy in front of
    it (docs/public.md), or on the socket that systemd passes on. It can add an
    opt-out and read nothing: it needs the token keys, not the person key. It logs
    to standard error, and never a link.

    [bold]Examples[/bold]
      mailbot web public
      mailbot web public --config /etc/mailbot/mailbot.toml
    """
    from mailbot.config import load_public_page
    from mailbot.store.door import open_door
    from mailbot.web import serving

    raise typer.Exit(serving.run(load_public_page(config), open_door))
