"""By which words a mail reads as an offer: for order status, which reaches who opted out as well.

Words are compared without accents and case. Each language has its own honest uses of them (the
Spanish parcel that “sale hoy”, the French “remise de votre colis”), which the patterns leave out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

COMMERCIAL_RULE: Final = (
    "Such a mail is commercial (16 CFR 316.3) and may not go to those who opted out:"
    " take the words out, or send it as a campaign."
)

# Written as compared: small letters, no accents, ss for ß.
_PATTERNS: Final = (
    # whatever the language
    (
        r"[-−–] ?\d+ ?%|\d+ ?[%€$£] (?:off|nachlass|gunstiger|de remise|de reduction"
        r"|de descuento)"
        r"|(?:up to|bis zu|jusqu'a|hasta(?: un)?) [-−–]?\d+ ?%|\d+ ?% (?:auf|sur"
        r"|en) (?:alles?|tou\w+|tod\w+)"
        r"|\d ?x ?1|\d ?fur ?\d|black friday|cyber monday|promo(?:s|code)?|flash sale"
    ),
    # English
    (
        r"\d+ ?percent off|half[ -]price|best prices?|(?:for|on|flash|summer|winter|spring"
        r"|autumn) sale"
        # The parcel that “sale hoy” is Spanish; a sales order is an order.
        r"|sales?(?! (?:hoy|manana|ahora|ya|de|del|el|en|a|para|desde|con|order|tax|receipt"
        r"|invoice"
        r"|team|number|department)\b)"
        r"|clearance(?! (?:by|at|through|of) customs)(?<!customs clearance)|discount(?:s|ed)?"
        r"|coupons?"
        r"|vouchers?|promotion(?:s|al)?|deals?(?! with\b)|bargains?|special price|price drops?"
        # We offer our apologies, or a replacement; both are no offers.
        r"|(?:special |exclusive )?offers?(?! (?:you )?(?:our|an apolog|a refund"
        r"|a replacement|a full refund|to (?:refund|replace)))"
        r"|free shipping|free delivery on|free gifts?|free sample|limited time"
        r"|while (?:stocks?|they) last"
        r"|buy (?:now|one|more|again)|(?:order|shop) (?:now|again|today)|don't miss"
        r"|last chance"
        r"|save (?:up to|now|money|big|\W?\d+)|earn (?:double )?points"
        r"|exclusive(?:ly for you)?(?! offer)"
        r"|you (?:may|might|will|'ll) also (?:like|love)|recommended for you|picked for you"
        r"|new (?:arrivals?|collection|in store)|(?:just )?landed: |best ?sellers?"
        r"|complete the look"
    ),
    # German
    (
        r"\w*rabatt\w*|(?:sonder|spar|top|tages|wochen)?angebote?(?:n|s)?(?! nr)"
        r"|\w*gutschein\w*"
        r"|sonderpreis\w*|schnappchen\w*|(?:sonder|rabatt|spar|sommer|winter|oster"
        r"|fruhlings)aktion(?:en)?"
        r"|reduzierte?[nrs]?|preissturz|preisnachlass|zum halben preis|jetzt (?:kaufen"
        r"|bestellen|sparen"
        r"|zugreifen|shoppen|sichern)|(?:kaufen|sparen|sichern|entdecken) sie|spare jetzt"
        r"|nur (?:noch )?"
        r"(?:heute|kurze zeit|bis sonntag)|solange (?:der )?vorrat reicht|versandkostenfrei"
        r"|(?:gratis|kostenlose[rn]?) ?versand|gratis|das konnte (?:ihnen"
        r"|dir) (?:auch )?gefallen"
        r"|ausverkauf|schlussverkauf|neu (?:eingetroffen|im sortiment)|neuheiten"
        r"|neue kollektion"
    ),
    # French
    (
        r"soldes|reductions?|bons? d'achat|bons? de reduction|codes? promo|offres?"
        r"|ventes? (?:flash|privees?)"
        r"|prix (?:casses?|doux|reduits?|exceptionnels?)|bonnes? affaires?|promotions?"
        r"|remises? (?:exceptionnelles?|speciales?|immediates?|de \d)|livraison (?:gratuite"
        r"|offerte)"
        r"|(?:profitez|profites?)(?:-en)?|achetez|commandez (?:maintenant|vite)"
        r"|cadeaux?(?: offert)?"
        r"|nouveautes?|nouvelle collection|decouvrez (?:nos|notre|la)|(?:derniere"
        r"|dernieres) (?:chances?"
        r"|heures?)|vous aimerez aussi|gratuite?s?|economisez|a ne pas manquer|destockage"
    ),
    # Spanish
    (
        r"rebaja(?:s|dos?|das?)|descuentos?|ofertas?|cupon(?:es)?|promocion(?:es)?"
        r"|codigos? promocional(?:es)?"
        r"|envio (?:gratis|gratuito)|gratis|aprovech[ae]\w*|compr[ae] (?:ahora|ya|mas|hoy)"
        r"|ahorr[ae]\w*"
        r"|ultimas (?:unidades|horas)|liquidacion (?:total|de existencias|de temporada)"
        r"|chollos?|gangas?"
        r"|novedades|nueva coleccion|solo (?:por )?hoy|regalos?|tambien (?:te|le) (?:puede"
        r"|podria) (?:gustar"
        r"|interesar)|no te lo pierdas|descubr[ae] (?:nuestr\w+|la nueva)|vales? de (?:compra"
        r"|descuento)"
    ),
    # Italian, Dutch
    (r"sconti?|offert[ae]|saldi|kortingen|korting\w*|aanbieding(?:en)?|uitverkoop"),
)
_OFFER: Final = re.compile(rf"(?<!\w)(?:{'|'.join(_PATTERNS)})(?!\w)")
_SAME: Final = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "％": "%"})
_INVISIBLE: Final = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")


def offer_words_in(text: str) -> list[str]:
    """The words by which `text` reads as an offer, as they stand there in small letters, each once.

    Blanks and line breaks count alike; in time linear in the text.
    """
    folded, origin = _folded(text)
    found = (text[origin[m.start()] : origin[m.end() - 1] + 1] for m in _OFFER.finditer(folded))
    return list(dict.fromkeys(" ".join(words.lower().split()) for words in found))


def _folded(text: str) -> tuple[str, list[int]]:
    """The text as it is compared, and from which character each of its own comes."""
    chars: list[str] = []
    origin: list[int] = []
    for at, char in enumerate(text):
        if char in _INVISIBLE:
            continue
        if char.isspace():
            if chars and chars[-1] == " ":
                continue
            folded = " "
        else:
            decomposed = unicodedata.normalize("NFKD", char.translate(_SAME)).casefold()
            folded = "".join(part for part in decomposed if not unicodedata.combining(part))
        chars.extend(folded)
        origin.extend([at] * len(folded))
    return "".join(chars), origin
