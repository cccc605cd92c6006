"""Who plays: the shop Lindenhof Tea, its customers, its two campaigns and three orders.

Every address ends in `.example` (RFC 2606): no mail of the demo could reach anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOP_NAME = "Lindenhof Tea"
DOMAIN = "lindenhof-tea.example"
HELP = f"help@{DOMAIN}"
OFFERS = f"offers@{DOMAIN}"
ORDERS = f"orders@{DOMAIN}"
POSTAL_ADDRESS = "Lindenhof Tea, Speicherstadt 12, 20457 Hamburg, Germany"


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who bought tea."""

    name: str
    address: str


ANNA = Customer("Anna Berger", "anna.berger@mailbox.example")
TOM = Customer("Tom Whitfield", "tom.whitfield@post.example")
ZOE = Customer("Zoë Laurent", "zoe.laurent@courriel.example")
PETER = Customer("Peter Novak", "peter.novak@mailbox.example")
JONAS = Customer("Jonas Weber", "jonas.weber@mailbox.example")
INES = Customer("Inês Duarte", "ines.duarte@correio.example")
MARTA = Customer("Marta Kowalska", "marta.kowalska@poczta.example")
HENRIK = Customer("Henrik Olsen", "henrik.olsen@fjord.example")
MARGARET = Customer("Margaret Shaw", "margaret.shaw@oldmail.example")
OSKAR = Customer("Oskar Lindqvist", "oskar.lindqvist@post.example")
LUCA = Customer("Luca Ferri", "luca.ferri@hotel-aurora.example")
EMILY = Customer("Emily Carter", "emily.carter@post.example")
YUSUF = Customer("Yusuf Demir", "yusuf.demir@mailbox.example")
CLAIRE = Customer("Claire Dubois", "claire.dubois@courriel.example")

# Marketing's list of customers: both campaigns go to all fourteen, unless help@ heard otherwise.
AUDIENCE = (
    ANNA, TOM, ZOE, PETER, JONAS, INES, MARGARET,
    MARTA, HENRIK, OSKAR, LUCA, EMILY, YUSUF, CLAIRE,
)  # fmt: skip
PRIYA = Customer("Priya Nair", "priya.nair@post.example")  # writes, and is on no list yet


@dataclass(frozen=True, slots=True)
class Offer:
    """One campaign: its name, its template's file name, subject and text."""

    name: str
    file: str
    subject: str
    text: str


AUTUMN = Offer(
    "Autumn teas",
    "autumn",
    "Autumn teas are here",
    """Dear {{ name }},

the first flush of autumn has arrived: Darjeeling, Ceylon and our own apple blend.
Until Sunday all of them are 15 % off.

Warm regards from the Speicherstadt,
your Lindenhof Tea
""",
)
WINTER = Offer(
    "Winter teas",
    "winter",
    "Winter teas, and a mug as a present",
    """Dear {{ name }},

cinnamon, orange, a little smoke: the winter teas are in.
Every order before Friday comes with a mug.

Warm regards from the Speicherstadt,
your Lindenhof Tea
""",
)
OFFERS_SENT = (AUTUMN, WINTER)


@dataclass(frozen=True, slots=True)
class Order:
    """One order-status message that the shop hands over."""

    customer: Customer
    type: str
    number: str


ORDERS_SENT = (
    Order(ANNA, "shipped", "1046"),
    Order(MARTA, "shipped", "1047"),
    Order(MARGARET, "delivered", "1031"),
)
