"""Which language a reader asks for (RFC 9110 §12.5.4, by the look-up of RFC 4647 §3.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_RANGE: Final = re.compile(
    r"\s*(?P<tag>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8})"
    r"\s*(?:;\s*[Qq]\s*=\s*(?P<quality>0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
_LONGEST: Final = 1000  # characters that are looked at; browsers send fewer than a hundred


def chosen(header: str, spoken: Sequence[str], otherwise: str) -> str:
    """The one of `spoken` that `header` likes best; `otherwise` where it likes none.

    What cannot be read is passed over. `spoken` are primary tags such as "de".
    """
    liked: dict[str, float] = {}
    rest: float | None = None
    for part in header[:_LONGEST].split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        quality = float(found["quality"] or (1 if found["quality"] is None else 0))
        if found["tag"] == "*":
            rest = quality
            continue
        primary, _, region = found["tag"].lower().partition("-")
        if quality == 0 and region:
            continue  # "not as they write it in Austria": the language itself is welcome
        liked[primary] = max(quality, liked.get(primary, quality))
    if rest:
        # Behind those that are named: of two liked alike, the first one wins.
        liked |= {tag: rest for tag in (otherwise, *spoken) if tag not in liked}
    welcome = [tag for tag in liked if tag in spoken and liked[tag] > 0]
    return max(welcome, key=lambda tag: liked[tag], default=otherwise)
