"""Signed mail as the relay received it, judged by another implementation (dkimpy)."""

from __future__ import annotations

import dkim
import pytest

from mailbot.config.dkim_keys import make_key
from mailbot.core.dkim import DkimIdentity
from mailbot.outbound.sender import Composer
from mailbot.outbound.signing import SignedLetters
from mailbot.store import outbox
from tests.outbound.conftest import House
from tests.outbound.sending import ANN, order_status
from tests.outbound.test_received_headers import received, under_way
from tests.people import address, person
from tests.received import fields
from tests.servers.scripted_smtp import ScriptedSmtp

KEYS = {"tea1": make_key("rsa"), "tea2": make_key("ed25519")}
IDENTITIES = [DkimIdentity("shop.example", selector, key) for selector, key in KEYS.items()]


def dns(name: bytes, timeout: int = 5) -> bytes:
    selector = name.decode().partition("._domainkey.shop.example.")[0]
    return KEYS[selector].record.encode()


def sign_all(house: House, domain: str = "shop.example") -> None:
    signed: dict[object, Composer] = {
        kind: SignedLetters(letters, domain, IDENTITIES)
        for kind, letters in house.composers.items()
    }
    house.composers.update(signed)  # type: ignore[arg-type]


def queue_acknowledgement(house: House) -> None:
    with house.database.write() as conn:
        outbox.enqueue_acknowledgement(
            conn, address=address(ANN), person=person(ANN), fields={}, every_days=30,
            our_domain="shop.example",
        )  # fmt: skip


QUEUE = {
    "campaign": lambda house: under_way(
        house.database, ANN, who="Ärcher", subject="Grüße {{ name }}",
        text=".dots\n..\n" + "é" * 500, html="<p>Hello</p>",
    ),
    "order status": lambda house: order_status(house.database),
    "acknowledgement": queue_acknowledgement,
}  # fmt: skip


@pytest.mark.parametrize("kind", QUEUE)
async def test_every_kind_of_mail_arrives_with_two_good_signatures(house: House, kind: str) -> None:
    sign_all(house)
    QUEUE[kind](house)
    with ScriptedSmtp() as server:
        [message] = await received(house, server)
    assert [name for name, _ in fields(message)][:2] == ["DKIM-Signature", "DKIM-Signature"]
    verifier = dkim.DKIM(message)
    assert verifier.verify(0, dnsfunc=dns)
    assert verifier.verify(1, dnsfunc=dns)
    covered = b"".join(value for name, value in fields(message) if name == "DKIM-Signature")
    assert b"List-Unsubscribe:List-Unsubscribe" in covered.replace(b" ", b"")


async def test_the_signature_covers_the_bytes_as_they_came_through_dot_stuffing(
    house: House,
) -> None:
    sign_all(house)
    under_way(house.database, ANN, text=".\n..\n.x\n")
    with ScriptedSmtp() as server:
        [message] = await received(house, server)
    assert dkim.verify(message, dnsfunc=dns)
    assert not dkim.verify(message.replace(b"\r\n..\r\n", b"\r\n.\r\n"), dnsfunc=dns)


async def test_mail_from_another_domain_is_not_signed_in_our_name(house: House) -> None:
    sign_all(house, domain="other.example")
    order_status(house.database)
    with ScriptedSmtp() as server:
        [message] = await received(house, server)
    assert "DKIM-Signature" not in dict(fields(message))
