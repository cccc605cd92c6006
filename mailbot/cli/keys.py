"""`mailbot keys`: makes the secrets behind person hashes and opt-out tokens."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from mailbot.cli import dkim_keys
from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.cli.private_key import write_key
from mailbot.core.errors import RefusedError

_KEY_BYTES = 32  # 64 hex digits

app = typer.Typer(no_args_is_help=True)
app.command("dkim")(dkim_keys.dkim)
app.command("records")(dkim_keys.records)


@app.callback()
def keys() -> None:
    """The person key and the token keys, and those that sign our mail (DKIM)."""


@app.command()
def create(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write them, like /etc/mailbot.")
    ],
    token: Annotated[
        int | None,
        typer.Option(
            "--token", min=2, max=255, metavar="ID", help="Make only a further token key."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write new keys into DIR: person-key and token-key-1. No file is ever overwritten.

    With --token 2 only token-key-2, to rotate: add it to "tokens" under \\[keys],
    and keep the old one there.

    [bold]Examples[/bold]
      mailbot keys create /etc/mailbot
      mailbot keys create /etc/mailbot --token 2
    """
    names = [f"token-key-{token}"] if token else ["person-key", "token-key-1"]
    paths = [folder / name for name in names]
    for path in paths:
        if os.path.lexists(path):
            raise RefusedError(
                "there is a key already, and a key is never overwritten: whom it named would be "
                "unknown.",
                where=str(path),
                next_step="For a further token key add --token 2 (or the next free number).",
            )
    written = [write_key(path, secrets.token_hex(_KEY_BYTES)) for path in paths]
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({"files": [str(path) for path in written]})
        return
    typer.echo("Written, readable by you alone:")
    for path in written:
        typer.echo(f"  {path}")
    if not token:
        typer.echo(
            "Keep a copy of both somewhere safe: without the person key the list is lost.\n"
            "Another user mailbot runs as? chgrp mailbot them, and chmod 640."
        )


@app.command("list")
def list_(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Which keys are there, and what each is good for. No secret is shown.

    Exit code 1 where the person key is not the one that filled the database.

    [bold]Example[/bold]
      mailbot keys list
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import console, print_json, printable, table
    from mailbot.config import load_person_key, load_token_keys
    from mailbot.store import keys as stored

    with opened(config) as installation:
        settings = installation.settings
        person_key, token_keys = load_person_key(settings), load_token_keys(settings)
        with installation.database.read() as conn:
            filled_by = stored.filled_by(conn)
    fits = filled_by in (None, (person_key.key_id, person_key.check_value))
    signing = token_keys.signing().key_id
    rows = [
        (f"token key {one.id}", one.file, "revoked: its tokens ask a person" if one.revoked
         else "signs new links, verifies old ones" if one.id == signing else "verifies old links")
        for one in settings.keys.tokens
    ]  # fmt: skip
    state = "fills this database" if fits and filled_by else "its database is still empty"
    if not fits:
        state = "NOT the key that filled the database: no marketing is sent"
    rows.insert(0, (f"person key {person_key.key_id}", settings.keys.person_file, state))
    if as_json:
        print_json({
            "person_key_id": person_key.key_id,
            "fits_database": fits,
            "token_keys": [
                {"id": one.id, "file": one.file, "revoked": one.revoked, "signs": one.id == signing}
                for one in settings.keys.tokens
            ],
        })  # fmt: skip
    else:
        shown = table("Key", "File", "What it does", wide="What it does")
        for row in rows:
            shown.add_row(*map(printable, row))
        console().print(shown)
    if not fits:
        raise typer.Exit(1)
