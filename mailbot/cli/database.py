"""`db`: the schema."""

from __future__ import annotations

import typer

from mailbot.cli.opening import ConfigOption, config_path

app = typer.Typer(help="The database's schema.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def upgrade(config: ConfigOption = None) -> None:
    """Create the database, or bring its schema up to date. Destroys nothing; safe to repeat.

    Example: mailbot db upgrade --config /etc/mailbot/mailbot.toml
    """
    from mailbot.config import load, load_person_key
    from mailbot.store import keys, schema
    from mailbot.store.engine import Database

    settings = load(config_path(config))
    person_key = load_person_key(settings)
    version = schema.upgrade(settings.store.url)
    database = Database.open(settings.store.url)
    try:
        with database.write() as conn:
            keys.adopt(conn, person_key)
        typer.echo(f"The database is at version {version}: {database.where}")
    finally:
        database.close()
