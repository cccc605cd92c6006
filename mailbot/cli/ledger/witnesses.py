"""Heads of the ledger that were written down outside the database."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from mailbot.core.errors import InputError, StoreUnavailable
from mailbot.store.journal import Journal
from mailbot.store.ledger import Head

_HEAD: Final = re.compile(r"(?P<sequence>[0-9]{1,15}):(?P<hash>[0-9a-f]{64})")


def read_head(text: str) -> Head:
    """`SEQ:HASH` as the log and `ledger verify` write it. Raises InputError."""
    found = _HEAD.fullmatch(text.strip().lower())
    if found is None:
        raise InputError(
            f"“{text[:90]}” is no head of a ledger.",
            where="--head",
            next_step="Write its number, a colon and its 64 hex digits, as ledger_head in the log.",
        )
    return Head(int(found["sequence"]), found["hash"])


def read_checkpoint(file: Path) -> Head:
    """The head that a copy of the journal's checkpoint names. Raises InputError."""
    try:
        values = json.loads(file.read_bytes())
        return read_head(f"{values['sequence']}:{values['hash']}")
    except OSError as error:
        what = f"it cannot be read ({(error.strerror or str(error)).lower()})."
        raise InputError(what, where=str(file)) from error
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "this is no checkpoint of a ledger.",
            where=str(file),
            next_step="Name a copy of checkpoint.json from the journal's folder.",
        ) from error


def journal_heads(folder: Path) -> list[Head]:
    """The furthest event that the journal knows; none where nothing was written yet.

    Raises StoreUnavailable where it is there and cannot be read.
    """
    try:
        witness = Journal(folder).witness()
    except OSError as error:
        raise StoreUnavailable(
            f"the journal cannot be read ({(error.strerror or str(error)).lower()}).",
            where=str(folder),
            next_step="Run this as mailbot's user, or as root.",
        ) from error
    return [witness] if witness is not None and witness.sequence else []
