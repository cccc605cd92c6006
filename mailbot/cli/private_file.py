"""Files that only their owner may read: whole or not there at all, and never in another's place."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from mailbot.core.errors import RefusedError

STANDARD_OUTPUT: Final = "-"


def refuse_existing(target: str) -> None:
    """Raises RefusedError where the file is there already."""
    if target != STANDARD_OUTPUT and Path(target).exists():
        raise RefusedError(
            "this file is there already, and is not overwritten.",
            where=target,
            next_step="Name another one, or move it away.",
        )


@contextmanager
def private_file(target: str) -> Iterator[TextIO]:
    """Write `target` (mode 0600), which gets its name when the block ends; "-": standard output.

    Where the block raises, nothing is left. Raises RefusedError where `target` exists.
    """
    if target == STANDARD_OUTPUT:
        yield sys.stdout
        return
    refuse_existing(target)
    path = Path(target)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(
            number, "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)  # fails where somebody else was faster; a rename would overwrite
        except FileExistsError:
            refuse_existing(target)
            raise
    finally:
        part.unlink()
