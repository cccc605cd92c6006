"""Two spellings that a reader takes for one, made equal: width, case, accents, the unseen."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_MAX_FOLDED_CHARS: Final = 4096  # NFKC can make one character eighteen
_TURKISH_I: Final = {0x130: "i", 0x131: "i"}
# Letters with a stroke are no accented ones to Unicode, but to keyboards they are.
_STROKES: Final = {0x142: "l", 0xF8: "o", 0x111: "d"}
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
# Scripts that write no blanks: a Latin word amid them is a word all the same.
_UNSPACED: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SEAM: Final = re.compile(rf"(?<=[{_UNSPACED}])(?=[a-z0-9])|(?<=[a-z0-9])(?=[{_UNSPACED}])")
# Soft hyphen, zero-width characters, direction marks, variation selectors.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)


def fold(text: str) -> str:
    """NFKC and case-folded, white space collapsed; accents stay."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_TURKISH_I)
    return " ".join(text.casefold().split())[:_MAX_FOLDED_CHARS]


def plain(text: str) -> str:
    """Folded, and without accents: people leave them out, and mail software loses them."""
    folded = fold(text)
    if folded.isascii():
        return folded
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", folded))
    return _SEAM.sub(" ", unicodedata.normalize("NFC", bare).translate(_STROKES))


@lru_cache(maxsize=64)  # several rules look at one subject
def readings(text: str) -> tuple[str, ...]:
    """The plain text; invisible characters stand inside a word or between two: then both."""
    if text.isascii() or not _INVISIBLE.search(text):
        return (plain(text),)
    return plain(_INVISIBLE.sub("", text)), plain(_INVISIBLE.sub(" ", text))
