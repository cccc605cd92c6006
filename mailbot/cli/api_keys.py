"""`mailbot api-keys`: which programs may use the API, and for what."""

from __future__ import annotations

from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.core.scopes import Scope

app = typer.Typer(no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called, like shop.")]


@app.callback()
def api_keys() -> None:
    """Which of the shop's programs may use the API (mailbot web api), and for what."""


@app.command()
def create(
    name: _Name,
    scope: Annotated[
        list[Scope], typer.Option("--scope", metavar="SCOPE", help="What it may do; repeat it.")
    ],
    days: Annotated[
        int | None,
        typer.Option("--days", metavar="NUMBER", min=1, max=3660, help="How long it is good for."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Make a key and print it: nobody can do that a second time.

    orders:write        hand order status over
    orders:read         learn what became of it
    suppressions:read   ask the do-not-send list, and take its changes
    suppressions:write  put somebody on it
    campaigns:read      states and counts

    [bold]Example[/bold]
      mailbot api-keys create shop --scope orders:write --scope orders:read
    """
    from datetime import timedelta

    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.cli.stop_marketing import who
    from mailbot.store import api_keys as stored
    from mailbot.store.engine import now

    checked = _checked(name)
    with opened(config) as installation, installation.database.write() as conn:
        ends = now(conn) + timedelta(days=days) if days else None
        key = stored.create(
            conn, name=checked, scopes=set(scope), created_by=who(), expires_at=ends
        )
    if as_json:
        print_json({"name": checked, "key": key, "scopes": sorted(set(scope)), "expires_at": ends})
        return
    typer.echo(f"{key}\n\nThis is the key “{checked}”. It is not shown again: put it where the")
    typer.echo("program finds it, and nobody else.")


@app.command("list")
def list_(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Every key: how it begins, what it may do, when it was used last.

    [bold]Example[/bold]
      mailbot api-keys list
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import console, moment, print_json, printable, table
    from mailbot.store import api_keys as stored
    from mailbot.store.engine import now

    with opened(config) as installation, installation.database.read() as conn:
        keys, at = stored.every(conn), now(conn)
    if as_json:
        print_json([
            {
                "name": key.name, "starts_with": key.starts_with, "scopes": sorted(key.scopes),
                "is_good": key.is_good(at), "created_at": key.created_at,
                "created_by": key.created_by, "expires_at": key.expires_at,
                "revoked_at": key.revoked_at, "last_used_at": key.last_used_at,
            }
            for key in keys
        ])  # fmt: skip
        return
    if not keys:
        typer.echo("There is no key yet: mailbot api-keys create NAME --scope orders:write")
        return
    shown = table("Name", "Begins", "May", "Is good", "Last used (UTC)", wide="May")
    for key in keys:
        state = "yes" if key.is_good(at) else "revoked" if key.revoked_at else "ended"
        if state == "yes" and key.expires_at:
            state = f"until {key.expires_at:%Y-%m-%d}"
        used = moment(key.last_used_at) if key.last_used_at else "never"
        may = ", ".join(sorted(key.scopes))
        shown.add_row(printable(key.name), f"{key.starts_with}…", may, state, used)
    console().print(shown)


@app.command()
def revoke(name: _Name, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """End a key. From now on it opens nothing; its name stays taken.

    [bold]Example[/bold]
      mailbot api-keys revoke shop
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import moment, print_json
    from mailbot.store import api_keys as stored

    with opened(config) as installation, installation.database.write() as conn:
        key = stored.revoke(conn, name)
    if as_json:
        print_json({"name": key.name, "revoked_at": key.revoked_at})
    else:
        typer.echo(f"The key “{key.name}” opens nothing since {moment(key.revoked_at)} UTC.")


def _checked(name: str) -> str:
    """Raises InputError for a name that no log line could hold."""
    from mailbot.core.errors import InputError

    if not name.strip() or len(name) > 60 or not name.isprintable():
        raise InputError(
            "a key's name has 1 to 60 characters, on one line.",
            where="NAME",
            next_step="Name the program that uses it, like shop.",
        )
    return name.strip()
