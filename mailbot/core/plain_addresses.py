"""The match key of an address as nearly every line of a list has it: `a@b.c`, and nothing else.

It must answer what `parse_address` would; where it may not, it answers None.
"""

from __future__ import annotations

import re
from typing import Final

# A plain domain has no underscore, no +tag and no label that needs a second look.
_PLAIN: Final = re.compile(
    r"[a-z0-9!#$%&*/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&*/=?^_`{|}~-]+)*@"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
).fullmatch
_MAX_CHARS: Final = 250  # below every limit of core.address
_DOTLESS: Final = ("@gmail.com", "@googlemail.com")


def plain_match_key(text: str) -> str | None:
    """The match key of an address without +tag; None where only `parse_address` can tell."""
    if len(text) > _MAX_CHARS or not text.isascii():
        return None
    key = text.lower()
    if _PLAIN(key) is None:
        return None
    if key.endswith(_DOTLESS):
        local = key[: key.index("@")]
        return f"{local.replace('.', '')}@gmail.com"
    return key
