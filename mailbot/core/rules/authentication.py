"""What our own mail server found out about a mail's sender (RFC 8601), as far as it says so.

Only a field that names our own authserv-id counts: anyone can write the others. It is recorded; a
failed check does not stop an opt-out, since no extra step may be asked of a customer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mailbot.core.inbound_message import InboundMessage

_MAX_FIELDS: Final = 10
_MAX_CHARS: Final = 4096
_COMMENT: Final = re.compile(r"\([^()]*\)")
_RESULT: Final = re.compile(r"(?:^|;)\s*(spf|dkim|dmarc)\s*=\s*([a-z]{2,12})\b", re.IGNORECASE)
_BAD: Final = frozenset({"fail", "softfail", "permerror"})


@dataclass(frozen=True, slots=True)
class Authentication:
    """Each is the method's result in lower case ("pass", "fail", "none" …), "" where not told."""

    spf: str = ""
    dkim: str = ""
    dmarc: str = ""

    @property
    def is_failed(self) -> bool:
        """DMARC failed; without DMARC, nothing passed and something failed."""
        if self.dmarc not in ("", "none"):
            return self.dmarc in _BAD
        found = {self.spf, self.dkim}
        return "pass" not in found and bool(found & _BAD)

    def __str__(self) -> str:
        named = (("spf", self.spf), ("dkim", self.dkim), ("dmarc", self.dmarc))
        return ", ".join(f"{name} {result}" for name, result in named if result)


def authentication(message: InboundMessage, authserv_ids: Collection[str]) -> Authentication:
    """The topmost field of one of our servers; an empty one where there is none."""
    if not authserv_ids:
        return Authentication()
    for value in message.headers_named("authentication-results")[:_MAX_FIELDS]:
        text = _COMMENT.sub(" ", _COMMENT.sub(" ", value[:_MAX_CHARS]))
        server, _, results = text.partition(";")
        if (server.split() or [""])[0].lower() not in authserv_ids:
            continue
        found: dict[str, str] = {}
        for hit in _RESULT.finditer(f";{results}"):
            method, result = hit[1].lower(), hit[2].lower()
            if method not in found or result == "pass":  # one good signature is enough
                found[method] = result
        return Authentication(**found)
    return Authentication()
