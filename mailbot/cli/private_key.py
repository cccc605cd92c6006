"""A new secret key as a file that its owner alone may read."""

from __future__ import annotations

import os
from pathlib import Path

from mailbot.core.errors import InputError, MailbotError


def write_key(path: Path, key: str) -> Path:
    """On disk for sure, and never over another file. Raises InputError, MailbotError."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key.rstrip("\n") + "\n")
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
