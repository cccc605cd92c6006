"""`keys`: the two secrets that mailbot cannot make again."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from mailbot.core.errors import RefusedError

app = typer.Typer(help="Person key and token keys.", no_args_is_help=True, rich_markup_mode=None)
NAMES = ("person-key", "token-key-1")


@app.command()
def create(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files are to stand.")],
) -> None:
    """Make person-key and token-key-1: 64 random hex digits each, readable by their owner alone.

    Never overwrites: a list that was filled with one person key is lost without it.

    Example: mailbot keys create /etc/mailbot
    """
    there = [folder / name for name in NAMES if (folder / name).exists()]
    if there:
        raise RefusedError(
            "a key is already there, and keys are never overwritten",
            where=str(there[0]),
            next_step="Keep it, or name another folder.",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in NAMES:
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
    except OSError as error:
        raise RefusedError(
            f"the keys cannot be written ({error.strerror})",
            where=str(folder),
            next_step="Name a folder that you may write to.",
        ) from error
    typer.echo(f"Made {folder / NAMES[0]} and {folder / NAMES[1]}.")
    typer.echo("Keep a copy of both in a safe place: the person key can never be replaced.")
