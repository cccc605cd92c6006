"""`mailbot keys`: makes the secrets behind person hashes and opt-out tokens."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.core.errors import InputError, MailbotError, RefusedError

_KEY_BYTES = 32  # 64 hex digits

app = typer.Typer(no_args_is_help=True)


@app.callback()
def keys() -> None:
    """The person key and the token keys: files of 64 hex digits."""


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
    written = [_write(path) for path in paths]
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


def _write(path: Path) -> Path:
    """A new key, on disk for sure."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            "this is no folder.", where=str(path.parent), next_step="Name a folder."
        ) from error
    except OSError as error:
        raise MailbotError(
            f"the key cannot be written ({error.strerror}).",
            where=str(path),
            next_step="Make room, or name a folder that you may write to.",
        ) from error
    return path
