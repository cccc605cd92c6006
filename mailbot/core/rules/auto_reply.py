"""Is this mail from a machine that answers? RFC 3834's signs, and what vacation programs write.

`X-Auto-Response-Suppress` and a `Precedence: bulk` are no signs: people's mail carries them. Nor
is the body: a mail client's unsubscribe button says "automatically generated" there.
"""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.inbound_message import InboundMessage
from mailbot.core.words.folding import plain
from mailbot.core.words.subject_prefixes import end_of_prefixes, is_forward

_REPLY_HEADERS: Final = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply")
_COMMENT: Final = re.compile(r"\([^()]*\)")

# What vacation programs put before the subject they answer. Each stands at the start, alone or with
# a colon or dash after it: "Out of office supplies?" is a customer. Accents do not matter.
_PREFIXES: Final = """
automatic reply|auto reply|auto-reply|autoreply|auto response|autoresponse|auto-response
autoresponder
out of office|out of the office|out-of-office|out of office autoreply|out of office reply|ooo
vacation reply|on vacation|away from my mail|away from the office
automatische antwort|abwesenheitsnotiz|abwesenheit|abwesend|autom. antwort|ausser haus|ausserhaus
réponse automatique|absence du bureau|absent du bureau|message d'absence
respuesta automática|fuera de la oficina|ausencia|ausente|resposta automàtica
risposta automatica|fuori ufficio|fuori sede|risponditore automatico|assente
automatisch antwoord|afwezig|afwezigheidsbericht|niet aanwezig|buiten kantoor
resposta automática|ausência temporária|fora do escritório
autosvar|automatiskt svar|automatisk svar|frånvarande|fravær|fraværende|ute av kontoret
automaattinen vastaus|poissa|poissaolo|poissaoloilmoitus|automaatvastus
automatyczna odpowiedź|odpowiedź automatyczna|autoodpowiedź|poza biurem
automatická odpověď|automatická odpoveď|mimo kancelář|automatikus válasz|irodán kívül|házon kívül
samodejni odgovor|odsotnost|automatski odgovor|аутоматски одговор
automatinis atsakymas|automātiska atbilde
otomatik yanıt|otomatik cevap|ofis dışında|răspuns automat|în afara biroului
автоответ|автоматический ответ|нет на месте|вне офиса|автоматичен отговор
автоматична відповідь|відсутній|поза офісом
αυτόματη απάντηση|εκτός γραφείου
自動応答|自動返信|不在通知|自动答复|自动回复|自動回覆|자동 회신|자동 응답|부재중
מענה אוטומטי|תשובה אוטומטית|מחוץ למשרד|رد تلقائي
trả lời tự động|balasan otomatis|การตอบกลับอัตโนมัติ|ตอบกลับอัตโนมัติ|स्वचालित उत्तर
"""
_FORMS: Final = sorted({plain(form) for form in re.split(r"[|\n]", _PREFIXES) if form})
_PREFIX: Final = re.compile(
    r"[\[(【「〔<* ]{0,3}(?:" + "|".join(map(re.escape, reversed(_FORMS)))
    + r") ?(?:[:;\-–—(\[\])】」〕>*]|$)"
)  # fmt: skip
# What gateways put before everything.
_GATEWAY_MARK: Final = re.compile(
    r"(?:\*{2,5} ?[a-z? ]{2,20} ?\*{2,5}|\{[a-z? ]{2,20}\}|(?:external|extern|spam) ?:) ?"
)


def is_automatic_subject(subject: str) -> bool:
    """Whether a vacation program's prefix begins the subject, behind what answering adds."""
    text = plain(subject)
    if is_forward(text):  # a person passes one on
        return False
    for _ in range(3):
        if _PREFIX.match(text):
            return True
        mark = _GATEWAY_MARK.match(text)
        start = mark.end() if mark else end_of_prefixes(text)
        if start == 0:
            return False
        text = text[start:]
    return _PREFIX.match(text) is not None


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
    if is_automatic_subject(message.subject):
        return f"Subject: {message.subject[:120]}"
    return ""
