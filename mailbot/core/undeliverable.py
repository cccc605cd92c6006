"""Does a failed delivery mean that the mailbox or its domain does not exist? Codes, then words.

Nothing else suppresses at once: a 5.7.1 is about us, a 5.2.2 is a full mailbox, a 4.x.x passes.
"""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.folding import fold

# RFC 3463 §3.2 and RFC 7505: bad mailbox, bad system, bad syntax, moved, null MX.
PERMANENT_STATUS: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})

_ABOUT_THE_SENDER: Final = frozenset({"5.1.7", "5.1.8"})  # RFC 3463 §3.2
_MAX_TEXT_CHARS: Final = 2000
_ENHANCED: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_ADDRESS_LIKE: Final = re.compile(r"<?[^\s<>@]{1,64}@[^\s<>@]{1,255}")
_WHO: Final = (
    r"(?:user|recipient|mailbox|account|address|addressee|alias|member|domain|host|person)"
)
_NONEXISTENT: Final = re.compile(
    "|".join(
        (
            rf"\bunknown (?:e-?mail )?(?:local[- ]part|name|{_WHO})\b",
            rf"\b{_WHO}(?: name| id)? (?:is )?unknown\b",
            rf"\bno such (?:local )?(?:e-?mail )?(?:{_WHO}|person|name)\b",
            rf"\b{_WHO}\b.{{0,40}}? (?:does not|doesn't|doesnt|do not|did not|not) exist",
            rf"\b{_WHO} (?:name )?(?:is |was |could |can )?not (?:be )?found\b",
            r"\bno (?:mailbox|account|user|recipient)s? (?:here|by that name|found|with)\b",
            rf"\bnot a (?:known|valid) (?:{_WHO}|local)",
            r"\binvalid (?:recipient|mailbox|user|domain|address|e-?mail address)\b",
            r"\bdoes(?:n't| not) have an? \S{1,80} account\b",
            r"\brecipient (?:is )?no longer\b",
            r"\bno longer (?:exists|a valid|valid|on server)",
            r"\bnot (?:our|a) (?:user|customer)\b",
            r"\bunroute?able (?:mail )?(?:address|domain)",
            r"\b(?:host|domain)(?: or domain)?(?: name)? (?:not|could not be) found\b",
            r"\bhost \S{1,80} (?:was )?not found\b",
            r"\bno (?:mx|mail exchanger|dns) .{0,40}(?:record|exist|found)",
            r"\bnxdomain\b",
            r"\brecip(?:ient)?notfound\b",
            r"\bnot listed in (?:domino|public)",
            r"\bdestinataire (?:inconnu|invalide)\b|\butilisateur inconnu\b|\bn'existe pas\b",
            r"\bempfänger unbekannt|\bunbekannter empfänger|\bexistiert nicht\b",
            r"\b(?:usuario|destinatario) (?:desconocido|inexistente|sconosciuto)|\bno existe\b",
            r"\bnão existe\b|\bnon esiste\b|\bbestaat niet\b|\bfinnes ikke\b|\bnie istnieje\b",
            r"не существует|пользователь не найден|нет такого",
            r"存在しません|見つかりません|不存在|无此用户",
        )
    )
)
# Words of the same sentence that say it is about something else.
_OTHER_CAUSE: Final = re.compile(
    r"\b(?:mailbox|quota|inbox|account|storage|disk)\b.{0,30}\b(?:full|exceeded|over ?quota)\b"
    r"|\bover ?quota\b|\bquota exceeded\b|\btemporar(?:y|ily)\b|\btry (?:again )?later\b"
    r"|\bsender address\b|\bsender domain\b|\breturn address\b|\bsender (?:verify|rejected)\b"
    r"|\bblack-?list|\bblock(?:ed|list)|\bspam|\btoo many\b|\breverse dns\b|\bptr\b"
    r"|\bnot permitted\b"
)


def says_nonexistent(status: str, text: str) -> bool:
    """True where code or words say that the mailbox or the domain does not exist.

    `status` is the report's own code (RFC 3463) or ""; a passing failure (4.x.x) is never one.
    """
    reported = _codes(status[:40])
    if any(code.startswith(("4.", "2.")) for code in reported):
        return False
    clipped = text[:_MAX_TEXT_CHARS]
    # The remote server's own code is nearer to the cause than the reporter's.
    codes = _codes(clipped) or reported
    words = fold(_ADDRESS_LIKE.sub(" address ", clipped))  # a local part may spell `not-found`
    if codes & _ABOUT_THE_SENDER or _OTHER_CAUSE.search(words):
        return False
    return bool(codes & PERMANENT_STATUS or _NONEXISTENT.search(words))


def _codes(text: str) -> set[str]:
    return {".".join(hit.groups()) for hit in _ENHANCED.finditer(text)}
