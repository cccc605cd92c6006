"""What reads as an offer, and what only sounds like one, in four languages."""

from __future__ import annotations

import time

import pytest

from mailbot.core.offer_words import offer_words_in
from mailbot.core.preflight import Severity, order_status_faults
from mailbot.core.templates import parse_template

# Subjects and openings that shops really write about an order: all of them pass.
HONEST = """
Your order 1001 is on its way
We have received your order 1001
Order 1001 confirmed: thank you
Your payment of €62.80 has arrived
Your refund of $20.00 for order 1001
Part of your order has shipped
Out for delivery: your parcel arrives today
Your order 1001 was delivered to your neighbour
Your order is delayed by customs clearance
Your sales order 1001 has been dispatched
Sales invoice 1001 for your order
We offer our apologies for the delay
We can offer you a full refund or wait for the missing cup
We will deal with your return within two days
Your gift-wrapped parcel has left our warehouse
Save this mail: it holds your tracking number
Your free-range eggs are on their way
You saved your address; we ship to it tomorrow
Your pre-order 1001 will ship on 3 March
Your return was received, and the money is on its way
Ihre Bestellung 1001 ist unterwegs
Wir haben Ihre Bestellung erhalten
Bestellbestätigung 1001
Ihre Zahlung über 62,80 € ist eingegangen
Ihre Rechnung zur Bestellung 1001
Ihre Erstattung für Bestellung 1001
Ihre Bestellung verspätet sich leider
Ein Teil Ihrer Bestellung wurde versandt
Ihr Paket wird heute zugestellt
Ihr Paket wurde bei Ihrem Nachbarn abgegeben
Aktion erforderlich: bitte prüfen Sie Ihre Lieferadresse
Ihre Bestellung wurde storniert
Sendungsverfolgung zu Ihrer Bestellung 1001
Die Ware ist wieder da und geht heute an Sie ab
Ihr Ersatzteil ist auf dem Weg
Ihre Lieferung kommt heute zwischen 14 und 16 Uhr
Votre commande 1001 est en route
Nous avons bien reçu votre commande
Confirmation de votre commande 1001
Votre paiement de 62,80 € nous est parvenu
Solde de votre commande 1001
La remise de votre colis a eu lieu ce matin
Votre remboursement pour la commande 1001
Votre commande a du retard, nous en sommes désolés
Une partie de votre commande est expédiée
Votre colis arrive aujourd'hui
Votre bon de livraison 1001
Votre commande est annulée
Votre facture est disponible
Nous préparons votre colis avec soin
Votre colis a été remis à votre voisin
Nouvelle date de livraison pour votre commande
Su pedido sale hoy de nuestro almacén
Su paquete sale mañana
Hemos recibido su pedido 1001
Pedido 1001 confirmado
Hemos recibido su pago de 62,80 €
Su reembolso del pedido 1001
Su pedido se retrasa, lo sentimos
Una parte de su pedido está en camino
Su paquete llega hoy
Su pedido fue entregado a su vecino
Su pedido ha sido cancelado
Factura de su pedido 1001
Liquidación de su devolución 1001
El transportista tiene su paquete
Nueva fecha de entrega de su pedido
Baja de un artículo en su pedido 1001
"""

# Offers in the clothes of order status: each is refused, and by the word that is named here.
DISGUISED = """
Your order, and 20% off the next | 20% off
Your order has shipped: enjoy 10 percent off | 10 percent off
Order update: the summer SALE has begun | summer sale
About your order: a coupon inside | coupon
Your parcel and a special offer | special offer
Your delivery: free shipping on the next one | free shipping
Order 1001: you may also like these cups | you may also like
Your receipt, and new arrivals for spring | new arrivals
Thank you for your order! Buy again today | buy again
Your order confirmation: last chance to save | last chance
Shipping news: Black Friday is here | black friday
Your invoice and an exclusive gift | exclusive
Order status: half-price teapots | half-price
Delivered! Now save €5 on the next parcel | save €5
Your order and our best sellers | best sellers
Your parcel is near, and so are our deals | deals
Status: clearance of all pots | clearance
Your refund, as a voucher worth more | voucher
Your tracking number, and a PROMO code | promo
Your order: while stocks last | while stocks last
Ihre Bestellung und 10 € Rabatt | rabatt
Ihre Bestellung: 20 % auf alles | 20 % auf alles
Bestellstatus und Sonderangebote | sonderangebote
Ihr Paket und ein Gutschein | gutschein
Ihre Lieferung: jetzt sparen | jetzt sparen
Ihre Rechnung: Schnäppchen der Woche | schnäppchen
Versandbestätigung mit Gutscheincode | gutscheincode
Ihr Paket: das könnte Ihnen auch gefallen | das könnte ihnen auch gefallen
Ihre Bestellung: bis zu 50 % | bis zu 50 %
Status Ihrer Bestellung: Schlussverkauf | schlussverkauf
Danke für Ihre Bestellung! Neu eingetroffen | neu eingetroffen
Ihre Bestellung: nur heute | nur heute
Ihr Paket: versandkostenfrei beim nächsten Mal | versandkostenfrei
Bestellung 1001: zum halben Preis | zum halben preis
Ihre Bestellung und die Rabattaktion | rabattaktion
Votre commande et 20 % de remise | 20 % de remise
Votre commande : code promo à l'intérieur | code promo
Votre colis et nos offres | offres
Suivi de commande : les soldes commencent | soldes
Votre facture et un bon d’achat | bon d’achat
Votre livraison : vente flash | vente flash
Votre commande : profitez-en | profitez-en
Votre colis : −30 % | −30 %
Votre commande : livraison offerte la prochaine fois | livraison offerte
Votre reçu et nos nouveautés | nouveautés
Votre commande : vous aimerez aussi ces tasses | vous aimerez aussi
Confirmation : une réduction pour vous | réduction
Votre colis : découvrez notre nouvelle collection | découvrez notre
Votre commande : prix cassés | prix cassés
Votre commande : dernières heures | dernières heures
Su pedido y un 20 % de descuento | 20 % de descuento
Su pedido: ofertas de primavera | ofertas
Su paquete y un cupón | cupón
Estado del pedido: empiezan las rebajas | rebajas
Su factura: envío gratis en el próximo | envío gratis
Su pedido: aproveche ahora | aproveche
Su pedido: compre ahora | compre ahora
Su entrega: últimas unidades | últimas unidades
Su pedido: 2x1 en tazas | 2x1
Su pedido y nuestras novedades | novedades
Su paquete: solo hoy | solo hoy
Su pedido: también le puede gustar | también le puede gustar
Su recibo y un regalo | regalo
Su pedido: liquidación de existencias | liquidación de existencias
Su pedido: ahorre un poco más | ahorre
"""

HONEST_LINES = HONEST.strip().splitlines()
DISGUISED_LINES = [line.split(" | ") for line in DISGUISED.strip().splitlines()]


def test_there_are_enough_of_both() -> None:
    assert len(HONEST_LINES) >= 60
    assert len(DISGUISED_LINES) >= 60


@pytest.mark.parametrize("line", HONEST_LINES)
def test_an_honest_line_passes_as_subject_and_as_opening(line: str) -> None:
    assert order_status_faults(parse_template("own", f"Hello,\n\n{line}.", None, line)) == ()


@pytest.mark.parametrize(("line", "word"), DISGUISED_LINES)
def test_a_disguised_offer_is_refused_as_subject_and_as_opening(line: str, word: str) -> None:
    subject = order_status_faults(parse_template("own", "Hello.", None, line))
    opening = order_status_faults(parse_template("own", f"Hello,\n\n{line}.", None, "Order 7"))
    for place, faults in (("own (subject)", subject), ("own (text), opening", opening)):
        (fault,) = faults
        assert fault.severity is Severity.ERROR
        assert fault.where == place
        assert repr(word) in fault.what
        assert "16 CFR 316.3" in fault.next_step


def test_accents_case_and_invisible_characters_hide_nothing() -> None:
    assert offer_words_in("RÉDUCTION") == ["réduction"]
    assert offer_words_in("re\u0301duction") == ["re\u0301duction"]
    assert offer_words_in("cl\u200bearance") == ["cl\u200bearance"]
    assert offer_words_in("dis\u00adcount") == ["dis\u00adcount"]
    assert offer_words_in("ｄｉｓｃｏｕｎｔ") == ["ｄｉｓｃｏｕｎｔ"]
    assert offer_words_in("free\n  shipping") == ["free shipping"]


def test_a_long_text_is_read_in_linear_time() -> None:
    started = time.monotonic()
    for bait in ("sale ", "remises ", "20 % ", "0", "- ", "customs clearance "):
        offer_words_in(bait * 40_000)
    assert time.monotonic() - started < 20
