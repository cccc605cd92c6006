"""What a person wrote in a mail's body: its first text, without quotes and signatures."""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.inbound_message import InboundMessage
from mailbot.core.reading.first_lines import first_lines

_MAX_LINES: Final = 200
# What mail programs add under a text; from there on it is not the writer's.
_SENT_BY: Final = (
    "sent from", "sent with", "sent via", "get outlook", "von meinem", "gesendet von",
    "gesendet mit", "gesendet über", "diese nachricht wurde von", "envoyé de", "envoyé depuis",
    "télécharger outlook", "enviado desde", "enviado de", "enviado do", "enviado a partir",
    "obtener outlook", "inviato da", "ottieni outlook", "verzonden v", "verstuurd v", "wysłano z",
    "wysłane z", "skickat fr", "sendt fra", "lähetetty", "odesláno z", "отправлено с",
    "отправлено из", "надіслано з", "iphoneから", "ipadから", "iphone发送", "发自我的", "發自我的",
)  # fmt: skip
_QUOTES: Final = re.compile(
    r"-- ?$|_{5,}|-{5,}|on .{4,120} wrote:?$|am .{4,120} schrieb|le .{4,120} a écrit"
    r"|el .{4,120} escribi|em .{4,120} escreveu|il .{4,120} ha scritto|op .{4,120} schreef"
    r"|(?:from|von|de|da|van|od|från|fra|от|发件人|差出人|sent|gesendet|envoyé|enviado|inviato"
    r"|verzonden|date|datum) ?[:：]",
    re.IGNORECASE,
)


def written_lines(message: InboundMessage) -> tuple[str, ...]:
    """The lines a person wrote, blank ones left out; () where the body was not fetched."""
    lines: list[str] = []
    for line in first_lines(message, _MAX_LINES).lines:
        bare = " ".join(line.split())
        if bare.lower().startswith(_SENT_BY) or _QUOTES.match(bare):
            break
        if bare and not bare.startswith(">"):
            lines.append(bare)
    return tuple(lines)
