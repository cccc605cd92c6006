"""The match key of an address as nearly every line of a list has it: `a@b.c`, and nothing else.

It must answer what `parse_address` would; where it may not, it answers None.
"""

from __future__ import annotations

from typing import Final

from mailbot.core.address import PLAIN_ADDRESS, PLAIN_CHARS

_DOTLESS: Final = ("@gmail.com", "@googlemail.com")


def plain_match_key(text: str) -> str | None:
    """The match key of an address without +tag; None where only `parse_address` can tell."""
    if len(text) > PLAIN_CHARS or not PLAIN_ADDRESS(text):
        return None
    key = text.lower()
    if key.endswith(_DOTLESS):
        local = key[: key.index("@")]
        return f"{local.replace('.', '')}@gmail.com"
    return key
