"""What mail programs and lists put before a subject: "Re:", "WG:", "[list]", in many languages.

All functions take folded text (core.folding).
"""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.words.folding import plain

_REPLY: Final = plain(
    "re|r|aw|antw|antwort|sv|vs|odp|odg|res|rif|ref|rv|ynt|yan|va|bls|vedr|resp|ats|atb|отг|odgovor"
    "|σχετ|απ|отв|ответ|відп|回复|回覆|答复|答覆|返信|답장|회신|השב|תגובה|رد|trả lời|ตอบ|balas"
)
_FORWARD: Final = plain(
    "fwd?|wg|tr|trs|enc|i|doorst|vb|vl|fs|pd|ilt|ilet|továbbítás|proslijeđeno|πρθ|пер|пересл"
    "|转发|轉寄|転送|전달|הועבר|إعادة توجيه"
)
_COUNT: Final = r"(?:\[\d{1,3}\]|\(\d{1,3}\)|\^\d{1,3})?"
_IS_REPLY: Final = re.compile(rf"(?:\[[^\[\]]{{1,60}}\] ?)?(?:{_REPLY}) ?{_COUNT} ?[:：]")
_IS_FORWARD: Final = re.compile(
    rf"(?:\[[^\[\]]{{1,60}}\] ?)?(?:(?:{_REPLY}) ?{_COUNT} ?[:：] ?)?"
    rf"(?:{_FORWARD}) ?{_COUNT} ?[:：]"
)
_PREFIX: Final = re.compile(rf"(?:(?:{_REPLY}|{_FORWARD}) ?{_COUNT} ?[:：]|\[[^\[\]]{{1,60}}\]) ?")
_MAX_PREFIXES: Final = 12


def is_reply(text: str) -> bool:
    """It starts as an answer does."""
    return _IS_REPLY.match(text) is not None


def is_forward(text: str) -> bool:
    """It starts as a forwarded mail does, an answer to one included."""
    return _IS_FORWARD.match(text) is not None


def end_of_prefixes(text: str) -> int:
    """Where the subject proper begins."""
    at = 0
    for _ in range(_MAX_PREFIXES):
        prefix = _PREFIX.match(text, at)
        if prefix is None:
            break
        at = prefix.end()
    return at
