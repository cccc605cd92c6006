"""`mailbot web …`: the pages, and the API."""

from __future__ import annotations

from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config

app = typer.Typer(no_args_is_help=True, help="Serve the public one-click page, or the API.")


@app.callback()
def web() -> None:
    """Serve the public one-click page, or the API."""


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
    from mailbot.web import public_process

    raise typer.Exit(public_process.run(load_public_page(config), open_door))


@app.command()
def api(
    openapi: Annotated[
        bool, typer.Option("--openapi", help="Print the OpenAPI document, and serve nothing.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Serve /v1 for the shop's own programs, until SIGTERM (docs/api.md).

    It listens where `listen` under \\[api] says: on this machine alone. Programs
    need a key: mailbot api-keys create.

    [bold]Examples[/bold]
      mailbot web api
      mailbot web api --openapi > openapi.json
    """
    if openapi:
        from mailbot.cli.showing import print_json
        from mailbot.web.api.document import document

        print_json(document())
        return
    from mailbot.cli.opening import opened_for_persons
    from mailbot.web.api import process

    with opened_for_persons(config) as installation:
        raise typer.Exit(process.run(installation.settings, installation.hand))
