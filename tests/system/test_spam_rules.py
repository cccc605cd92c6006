"""Our mail as SpamAssassin sees it: no rule about the form of a message fires."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from mailbot.config import RelaySettings
from mailbot.core.compose import (
    CampaignComposer,
    Composed,
    OrderStatusComposer,
    Recipient,
    compose_acknowledgement,
)
from mailbot.core.templates import parse_template
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.outbound.smtp import RelayConnection
from tests.outbound.conftest import LETTERHEAD
from tests.people import address
from tests.received import unstuffed
from tests.servers import spamassassin
from tests.servers.scripted_smtp import ScriptedSmtp

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not spamassassin.is_installed(), reason="needs SpamAssassin"),
]

# What may fire, and why it is no fault of the form; none adds more than 0.001.
ALLOWED = {
    "NO_RECEIVED": "the message comes from us, before any server has put its Received on top",
    "NO_RELAYS": "the same",
    "HTML_MESSAGE": "it has an HTML part beside the text, as is meant",
    "MAILING_LIST_MULTI": "it has List-Id, List-Unsubscribe and Precedence, as is meant",
}
DATA = resources.files("mailbot") / "data"
FIELDS = {
    name: field["example"]
    for name, field in tomllib.loads(
        (DATA / "order_status_fields.toml").read_text(encoding="utf-8")
    ).items()
}
ANN = Recipient(address("ann@example.org"), "Ann Archer", FIELDS)
MESSAGE_ID = "<1234567890abcdef1234567890abcdef@shop.example>"
TEXT = """Dear {{ recipient_name }},

our first flush teas have arrived from Darjeeling. Come by, or have them sent.

Your Lindenhof Tea
"""
HTML = """<html><body><p>Dear {{ recipient_name }},</p>
<p>our first flush teas have arrived from Darjeeling. Come by, or have them sent.</p>
<p>Your Lindenhof Tea</p></body></html>
"""


def campaign(html: str | None, subject: str = "First flush teas have arrived") -> Composed:
    composer = CampaignComposer(
        parse_template("spring", TEXT, html, subject), LETTERHEAD.marketing, LETTERHEAD.shop,
        list_id="offers.shop.example", feedback_id="spring:campaign:shop.example",
    )  # fmt: skip
    opt_out = LETTERHEAD.opt_out_address("ab" * 16)
    return composer.compose(ANN, MESSAGE_ID, datetime.now(UTC), opt_out)


async def fired(composed: Composed, home: Path) -> set[str]:
    """The rules that hit what a relay received of it."""
    with ScriptedSmtp() as server:
        relay = RelaySettings(host="127.0.0.1", port=server.port, security="none")
        connection = RelayConnection(relay, None)
        await connection.connect()
        await connection.mail("help@shop.example", size=1, smtputf8=composed.needs_smtputf8)
        await connection.rcpt("ann@example.org")
        await connection.data(composed.message)
        await connection.close()
    return spamassassin.rules_that_fire(unstuffed(server.bodies[0]), home)


@pytest.mark.parametrize("html", [None, HTML], ids=["text", "text and HTML"])
@pytest.mark.parametrize("subject", ["First flush teas have arrived", "Grüße aus Darjeeling: 茶"])
async def test_no_rule_fires_on_a_campaign(tmp_path: Path, html: str | None, subject: str) -> None:
    hits = await fired(campaign(html, subject), tmp_path)
    assert hits - ALLOWED.keys() == set()
    assert "MAILING_LIST_MULTI" in hits, "it is seen as a list's mail"


@pytest.mark.parametrize("name", OrderStatusTypes().names)
async def test_no_rule_fires_on_order_status(tmp_path: Path, name: str) -> None:
    template = OrderStatusTypes().template(name)
    composer = OrderStatusComposer(template, LETTERHEAD.order_status, LETTERHEAD.shop)
    hits = await fired(composer.compose(ANN, MESSAGE_ID, datetime.now(UTC)), tmp_path)
    assert hits - ALLOWED.keys() == set()
    assert "MAILING_LIST_MULTI" not in hits


async def test_no_rule_fires_on_an_acknowledgement(tmp_path: Path) -> None:
    source = (DATA / "acknowledgement.txt").read_text(encoding="utf-8")
    composed = compose_acknowledgement(
        parse_template("acknowledgement", source), LETTERHEAD.shop, ANN.address, MESSAGE_ID,
        datetime.now(UTC), in_reply_to="<a@example.org>",
        undo_address=LETTERHEAD.undo_address("ab" * 16),
    )  # fmt: skip
    assert await fired(composed, tmp_path) - ALLOWED.keys() == set()


async def test_the_rules_are_loaded_and_do_notice_a_bad_form(tmp_path: Path) -> None:
    whole = campaign(None)
    lines = [
        line for line in whole.message.split(b"\r\n")
        if not line.startswith((b"Date:", b"Message-ID:"))
    ]  # fmt: skip
    hits = await fired(Composed(b"\r\n".join(lines), needs_smtputf8=False), tmp_path)
    assert {"MISSING_DATE", "MISSING_MID"} <= hits
