"""`mailbot db`: the database's schema."""

from __future__ import annotations

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def db() -> None:
    """Create the database, and bring it up to date."""


@app.command()
def upgrade(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Create the database, or bring its schema up to this program's. It destroys nothing.

    Run it once before the first start and after each new version, as the user
    that mailbot runs as. It may be run again at any time.

    [bold]Examples[/bold]
      mailbot db upgrade
      sudo -u mailbot mailbot db upgrade
    """
    from mailbot.cli.showing import print_json
    from mailbot.config import load
    from mailbot.store import schema

    version = schema.upgrade(load(config).store.url)
    if as_json:
        print_json({"schema_version": version})
    else:
        typer.echo(f"The database is ready: its schema is at version {version}.")
