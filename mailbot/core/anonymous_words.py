"""What a relay said, without whatever could name somebody: to be counted, and shown."""

from __future__ import annotations

import re
from typing import Final

# The code, and the enhanced code, stay: RFC 5321 §4.2, RFC 3463.
_CODES: Final = re.compile(r"(?:[245]\d\d)?(?:[ -]?[245]\.\d{1,3}\.\d{1,3})?")
_ADDRESS: Final = re.compile(r"<[^<>]*>|[^\s<>]*@[^\s<>]*")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'|\([^()]*\)|\[[^\[\]]*\]")
_TELLING: Final = re.compile(r"\S*[\d/=_]\S*")  # queue ids, hosts by number, links
_GAPS: Final = re.compile(r"(?:…[\s,;:.]*)+")
_LONGEST: Final = 100  # characters


def anonymous(reply: str) -> str:
    """The codes and the words of `reply`, on one line, "…" for each part that could name somebody.

    Replies that differ in addresses, queue ids or quoted parts alone become the same.
    """
    flat = " ".join(reply.split())
    codes = _CODES.match(flat)
    kept = codes.group() if codes else ""
    said = flat[len(kept) :]
    for part in (_ADDRESS, _QUOTED, _TELLING):
        said = part.sub("…", said)
    said = _GAPS.sub("… ", said).strip()
    return f"{kept} {said}".strip()[:_LONGEST].rstrip()
