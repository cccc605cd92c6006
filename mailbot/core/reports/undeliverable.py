"""Does a failed delivery mean that the mailbox or its domain does not exist? Codes, then words.

Nothing else suppresses at once: a 5.7.1 is about us, a 5.2.2 is a full mailbox, a 4.x.x passes.
"""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.words.folding import fold

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
            r"\brequested action not taken: mailbox (?:unavailable|not found)",
            r"\bindicated no smtp service\b|\b(?:host|domain) does not accept (?:any )?e?-?mail",
            r"\bdomain is not reachable\b|\binvalid (?:final delivery )?user ?id\b",
            r"\bno valid recipients? for\b|\b542 address rejected\b",
            r"\brecipient address rejected\. ?(?:\(|$)",
            r"\bcouldn't find a(?:ny)? (?:mail exchanger|host named)\b|\bfind any host\b",
            r"\baddress (?:could not|couldn't|can't|cannot) be found\b",
            r"\billegal host/domain name\b",
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
    r"|\b(?:is|was|been) (?:disabled|suspended|inactive|deactivated|locked)\b"
    r"|\bover ?quota\b|\bquota exceeded\b|\btemporar(?:y|ily)\b|\btry (?:again )?later\b"
    r"|\bsender address\b|\bsender domain\b|\breturn address\b|\bsender (?:verify|rejected)\b"
    r"|\bblack-?list|\bblock(?:ed|list)|\bspam|\btoo many\b|\breverse dns\b|\bptr\b"
    r"|\bcould(?:n't| not) create\b|\bpermission denied\b|\bnot permitted\b"
    r"|\bfound, try again\b|\bmy name was rejected\b|\bhelo command rejected\b"
    r"|\brecipient preferences\b|\bmay not exist\b|可能不存在|\bil se peut que\b|\bmöglicherweise\b"
    r"|\bpuede que\b|\bpode ser que\b"
)
# RFC 3463 §3.3 and §3.8: the mailbox is there and full or disabled; the policy is about us.
_THE_MAILBOX_OR_US: Final = ("5.2.", "5.7.")
# Microsoft 365 refuses recipients that its directory does not have with this code and text.
_EDGE_BLOCKED: Final = re.compile(r"\brecipient address rejected: access denied")
_HAS_NO_ACCOUNT: Final = re.compile(
    r"\bdoes(?:n't| not) have an? \S{1,80} account\b|\bhost does not accept mail\b"
    r"|(?<!\d)(?:521|556)[ -]"  # RFC 7504: a host, or a domain, that takes no mail at all
)
# How mail systems tell at which command the other side refused.
_AFTER_DATA: Final = re.compile(
    r">>> ?data\s{1,4}<<<|in reply to (?:the )?(?:end of )?data\b|after (?:the )?end of (?:the )?"
    r"data|after (?:sending )?data\b|smtp command\s{1,4}data\b"
    r"|(?:said|response) (?:to|after) data\b"
    r"|error from \S{1,60} (?:mail server )?after (?:end of )?data|did not like our data"
    r"|\[mesg_data\]",
    re.IGNORECASE,
)
_AFTER_RCPT: Final = re.compile(
    r"in reply to (?:the )?rcpt|>>> ?rcpt to|after rcpt to|(?:said|response) (?:to|after) rcpt"
    r"|did not like our rcpt|\[rcpt_to\]",
    re.IGNORECASE,
)
# Gmail's reports, whose diagnostic may be a bare "address rejected".
_REPORTER_KNOWS: Final = re.compile(
    r"wasn't delivered to .{3,320}? because the address couldn't be"
)
# Japanese carriers answer "unknown user" when their customer's filter refuses a sender.
_CARRIER: Final = re.compile(
    r"550:? : user unknown|unknown user:? *<?[^\s<>@]{1,64}@(?:[a-z0-9-]{1,30}\.){0,3}"
    r"(?:docomo\.ne\.jp|ezweb\.ne\.jp|au\.com|softbank\.ne\.jp|vodafone\.ne\.jp)",
    re.IGNORECASE,
)


def says_nonexistent(status: str, text: str, conversation: str = "") -> bool:
    """True where code or words say that the mailbox or the domain does not exist.

    `status` is the report's own code (RFC 3463) or ""; a passing failure (4.x.x) is never one.
    `conversation` is what the report tells of the SMTP session, if it does: "user unknown" in
    answer to the body is a filter's word, and only a code counts then.
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
    if codes & PERMANENT_STATUS or _HAS_NO_ACCOUNT.search(words):
        return True
    if "5.4.1" in codes and _EDGE_BLOCKED.search(words):
        return True
    session = (conversation or text)[: 2 * _MAX_TEXT_CHARS]
    is_answer_to_rcpt = _AFTER_RCPT.search(session) is not None
    if any(code.startswith(_THE_MAILBOX_OR_US) for code in codes) and not is_answer_to_rcpt:
        return False
    if _CARRIER.search(clipped):
        return False
    if _AFTER_DATA.search(session):  # the reporter may still know better
        return bool(_codes(session) & PERMANENT_STATUS)
    return bool(_NONEXISTENT.search(words) or _REPORTER_KNOWS.search(session))


def _codes(text: str) -> set[str]:
    return {".".join(hit.groups()) for hit in _ENHANCED.finditer(text)}
