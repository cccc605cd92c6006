"""The mails that are pictured, composed by mailbot itself and opened as a mail program does."""

from __future__ import annotations

import email
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from importlib import resources
from pathlib import Path
from typing import Final

from mailbot.core.address import parse_address
from mailbot.core.compose import (
    CampaignComposer,
    Composed,
    OrderStatusComposer,
    Recipient,
    Sender,
    Shop,
    compose_acknowledgement,
)
from mailbot.core.templates import parse_template
from mailbot.data import order_status_fields
from mailbot.outbound.order_status_types import OrderStatusTypes

EXAMPLES: Final = Path(__file__).parent.parent.parent / "docs" / "examples"
SUBJECT: Final = "The first teas of the year are in"

HELP: Final = parse_address("help@hollowandfinch.example")
SHOP: Final = Shop(
    "Hollow & Finch Teas",
    HELP,
    "Hollow & Finch Teas\n12 Quay Street\nBristol BS1 4DA\nUnited Kingdom",
)
ORDERS: Final = Sender("Hollow & Finch Orders", parse_address("orders@hollowandfinch.example"))
OFFERS: Final = Sender(SHOP.name, parse_address("offers@hollowandfinch.example"))
ANN: Final = parse_address("ann@example.org")
_ID, _AT = "<1@hollowandfinch.example>", datetime(2027, 3, 9, 8, 30, tzinfo=UTC)

# Longer than anything a shop would hand over, and without a place to break: it must not run out.
LONG: Final = {
    "order_number": "LT-2027-" + "0123456789" * 4,
    "name": "Wolfeschlegelsteinhausenbergerdorff-" * 2,
    "tracking_number": "00340434161094027318" * 3,
    "items": [{"name": "Donaudampfschifffahrts" * 4, "quantity": 1200, "price": "€ 123,456.78"}],
    "delivery_address": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch" * 2,
}


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as a browser shows it."""

    name: str
    page: str


def all_mails() -> Iterator[Mail]:
    """Each order-status type with every field, the acknowledgement, and the example campaign."""
    types = OrderStatusTypes()
    fields = {name: note.example for name, note in order_status_fields().items()}
    for name in types.names:
        yield order_status(types, name, name, fields)
    yield _opened("acknowledgement", acknowledgement())
    yield _opened("campaign", campaign())


def hard_mails() -> Iterator[Mail]:
    """Each order-status type with as little, and with as long values, as may be handed over."""
    types = OrderStatusTypes()
    fields = {name: note.example for name, note in order_status_fields().items()}
    fewest = {name: fields[name] for name in ("order_number", "amount", "items")}
    for name in types.names:
        yield order_status(types, name, f"{name}, few fields", fewest)
        yield order_status(types, name, f"{name}, long values", {**fields, **LONG})


def order_status(
    types: OrderStatusTypes, type_name: str, name: str, fields: dict[str, object]
) -> Mail:
    """One type, composed with these fields."""
    recipient = Recipient(ANN, str(fields.get("name", "")), fields)
    composer = OrderStatusComposer(types.template(type_name), ORDERS, SHOP)
    return _opened(name, composer.compose(recipient, _ID, _AT))


def acknowledgement() -> Composed:
    """The answer to an opt-out."""
    source = resources.files("mailbot").joinpath("data/acknowledgement.txt").read_text("utf-8")
    return compose_acknowledgement(
        parse_template("acknowledgement", source), SHOP, ANN, _ID, _AT,
        undo_address="help+r-abcdefghijklmnopqrstuvwxyz234567@hollowandfinch.example",
    )  # fmt: skip


def campaign() -> Composed:
    """The example campaign, as Ann gets it."""
    template = parse_template(
        "spring",
        (EXAMPLES / "spring.txt").read_text(encoding="utf-8"),
        (EXAMPLES / "spring.html").read_text(encoding="utf-8"),
        SUBJECT,
    )
    composer = CampaignComposer(
        template, OFFERS, SHOP, list_id="offers.hollowandfinch.example", feedback_id="s:c:h"
    )
    recipient = Recipient(ANN, "Ann Archer", {"name": "Ann Archer"})
    return composer.compose(recipient, _ID, _AT, "help+u-token@hollowandfinch.example")


def _opened(name: str, composed: Composed) -> Mail:
    message = email.message_from_bytes(composed.message, policy=policy.default)
    body = message.get_body(("html", "plain"))
    assert body is not None
    content = body.get_content()
    is_html = body.get_content_type() == "text/html"
    return Mail(name, content if is_html else _as_text_is_shown(content))


def _as_text_is_shown(content: str) -> str:
    """Plain text as mail programs show it: wrapped, its links made links."""
    shown = re.sub(
        r"(?:https?://|mailto:)\S+", lambda found: f'<a href="{found[0]}">{found[0]}</a>',
        html.escape(content, quote=False),
    )  # fmt: skip
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><style>
:root {{ color-scheme: light dark }}
body {{ margin: 24px; font: 15px/1.5 Helvetica, Arial, sans-serif; max-width: 640px;
  white-space: pre-wrap; overflow-wrap: anywhere }}
</style></head><body>{shown}</body></html>"""
