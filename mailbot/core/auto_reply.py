"""Is this mail from a machine that answers? RFC 3834's signs, and what vacation programs write.

`X-Auto-Response-Suppress` and a `Precedence: bulk` are no signs: people's mail carries them. Nor
is the body: a mail client's unsubscribe button says "automatically generated" there.
"""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.folding import fold
from mailbot.core.inbound_message import InboundMessage

_REPLY_HEADERS: Final = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply")
_COMMENT: Final = re.compile(r"\([^()]*\)")
_ANSWER_MARKS: Final = re.compile(r"^(?:(?:re|aw|sv|antw|odp|vs|res|rif|ref) ?: ?){1,3}")

# What mail programs put before the subject they answer. Each stands at the start, alone or with
# a colon or dash after it: "Out of office supplies?" is a customer.
_PREFIXES: Final = (
    *("automatic reply", "auto reply", "auto-reply", "autoreply", "auto response", "autoresponse"),
    *("auto-response", "autoresponder", "out of office", "out of the office", "out-of-office"),
    *("out of office autoreply", "out of office reply", "ooo", "vacation reply", "on vacation"),
    *("automatische antwort", "abwesenheitsnotiz", "abwesenheit", "abwesend", "autom. antwort"),
    *("réponse automatique", "absence du bureau", "absent du bureau", "message d'absence"),
    *("respuesta automática", "fuera de la oficina", "ausencia", "ausente"),
    *("risposta automatica", "fuori ufficio", "risponditore automatico", "assente"),
    *("automatisch antwoord", "afwezig", "afwezigheidsbericht", "niet aanwezig"),
    *("resposta automática", "ausência temporária", "fora do escritório"),
    *(
        "autosvar",
        "automatiskt svar",
        "automatisk svar",
        "frånvarande",
        "fravær",
        "automaattinen vastaus",
    ),
    *("automatyczna odpowiedź", "odpowiedź automatyczna", "autoodpowiedź", "poza biurem"),
    *("automatická odpověď", "automatikus válasz", "otomatik yanıt", "răspuns automat"),
    *("автоответ", "автоматический ответ", "автоматична відповідь", "нет на месте"),
    *(
        "自動応答",
        "自動返信",
        "不在通知",
        "自动答复",
        "自动回复",
        "自動回覆",
        "자동 회신",
        "자동 응답",
    ),
    *("מענה אוטומטי", "رد تلقائي", "αυτόματη απάντηση", "εκτός γραφείου", "irodán kívül"),
    *("poissa", "poissaolo", "poissaoloilmoitus", "mimo kancelář", "automatická odpoveď"),
    *("ofis dışında", "otomatik cevap", "în afara biroului", "відсутній", "поза офісом"),
    *("trả lời tự động", "balasan otomatis", "การตอบกลับอัตโนมัติ", "ausser haus", "außer haus"),
)
_PREFIX: Final = re.compile(
    r"[\[(【「〔<* ]{0,3}(?:"
    + "|".join(re.escape(fold(prefix)) for prefix in _PREFIXES)
    + r") ?(?:[:;\-–—(\[\])】」〕>*]|$)"
)


def auto_reply_evidence(message: InboundMessage) -> str:
    """What shows that a machine answered; "" where nothing does."""
    keyword = _COMMENT.sub(" ", message.header("auto-submitted"))  # RFC 3834 §5.1: [CFWS]
    submitted = keyword.partition(";")[0].strip().lower()
    if submitted and submitted != "no":
        return f"Auto-Submitted: {submitted[:60]}"
    if message.return_path == "":
        return "Return-Path: <>"
    for name in _REPLY_HEADERS:
        value = message.header(name).strip().lower()
        if value and value != "no":
            return f"{name.title()}: {value[:60]}"
    if message.header("precedence").strip().lower() == "auto_reply":
        return "Precedence: auto_reply"
    if message.content_type.name == "multipart/report":  # a receipt (RFC 8098), or a kin of it
        return f"Content-Type: multipart/report; report-type={message.report_type[:60]}"
    if _PREFIX.match(_ANSWER_MARKS.sub("", fold(message.subject))):
        return f"Subject: {message.subject[:120]}"
    return ""
