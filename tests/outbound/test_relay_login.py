"""How a relay lets us in: each login, and TLS that is not right, through the whole sender."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mailbot.core.outbox_states import State
from mailbot.store.engine import Database
from tests.outbound.conftest import House, Plan, until
from tests.outbound.peer import BOB, at_peer, commands, in_order, outcomes
from tests.outbound.sending import ANN, order_status, states
from tests.servers.certificates import Authority, self_signed
from tests.servers.scripted_smtp import Answer, ScriptedSmtp

HERE = "IP:127.0.0.1"
ORDER, TO_BOB = f"order_status:{ANN}", f"order_status:{BOB}"
LOGIN: dict[str, Any] = {"username": "mailbot", "password_file": "relay-password"}
BY_TOKEN: dict[str, Any] = {"username": "mailbot", "oauth_token_file": "relay-token"}
WELCOME = b"235 2.7.0 welcome\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def are(database: Database, state: State, *messages: str) -> Callable[[], bool]:
    return lambda: all(states(database)[message] is state for message in messages)


TEA = base64.b64encode(b"tea").decode()
NONCE = b"<1896.697170952@relay.test>"
CRAM = base64.b64encode(
    b"mailbot " + hmac.new(b"tea", NONCE, hashlib.md5).hexdigest().encode()
).decode()
BEARER = base64.b64encode(b"user=mailbot\x01auth=Bearer tea\x01\x01").decode()
MECHANISMS: dict[str, tuple[dict[str, Any], dict[str, Answer], list[str]]] = {
    "PLAIN": (
        LOGIN, {"AUTH": WELCOME},
        [f"AUTH PLAIN {base64.b64encode(bytes(1) + b'mailbot' + bytes(1) + b'tea').decode()}"],
    ),
    "LOGIN": (
        LOGIN, {"AUTH": b"334 UGFzc3dvcmQ6\r\n", TEA.upper(): WELCOME},
        [f"AUTH LOGIN {base64.b64encode(b'mailbot').decode()}", TEA],
    ),
    "CRAM-MD5": (
        LOGIN, {"AUTH": b"334 " + base64.b64encode(NONCE) + b"\r\n", CRAM.upper(): WELCOME},
        ["AUTH CRAM-MD5", CRAM],
    ),
    "XOAUTH2": (BY_TOKEN, {"AUTH": WELCOME}, [f"AUTH XOAUTH2 {BEARER}"]),
}  # fmt: skip


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_each_login_carries_mail_over_tls(
    house: House, authority: Authority, mechanism: str
) -> None:
    settings, answers, said = MECHANISMS[mechanism]
    offers = (f"AUTH {mechanism}", "8BITMIME")
    with ScriptedSmtp(answers, extensions=offers, tls=authority.server(HERE)) as peer:
        order_status(house.database)
        secured = {**settings, "security": "tls", "ca_file": authority.ca_file}
        async with at_peer(house, peer, secret="tea", **secured).sending():
            await until(are(house.database, State.SENT, ORDER))
    assert peer.heard[1 : 1 + len(said)] == said
    assert len(peer.bodies) == 1


async def test_a_token_that_expires_between_two_connections_is_asked_for_anew(
    house: House,
) -> None:
    """An hour later: the first token is refused by a challenge, the next one has been written."""
    tokens = iter(["first", "expired", "renewed"])
    challenge = b"334 " + base64.b64encode(b'{"status":"401"}') + b"\r\n"
    answers: dict[str, Answer] = {
        "AUTH": in_order(WELCOME, challenge, WELCOME),
        "": b"535 5.7.8 not accepted\r\n",
    }
    house.plan = Plan(messages_per_connection=1)
    with ScriptedSmtp(answers, extensions=("AUTH XOAUTH2",)) as peer, capture_logs() as logs:
        order_status(house.database)
        order_status(house.database, BOB, key="o2")
        async with at_peer(house, peer, secret=lambda: next(tokens), **BY_TOKEN).sending():
            await until(are(house.database, State.SENT, ORDER, TO_BOB), 20)
    [refused] = [event for event in logs if event["event"] == "relay_unavailable"]
    assert "refused the token of mailbot: 535 5.7.8 not accepted (status 401)" in refused["why"]
    assert refused["needs_a_person"]
    assert outcomes(house.database, BOB) == [State.SENT]
    assert "expired" not in str(logs)


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("expired", "certificate has expired"),
        ("another name", "IP address mismatch"),
        ("self-signed", "self-signed certificate"),
        ("stripped", "no STARTTLS, and mailbot does not go on in plain text"),
    ],
)
async def test_no_mail_and_no_password_goes_where_tls_is_not_right(
    house: House, authority: Authority, tmp_path: Path, fault: str, words: str, security: str
) -> None:
    offers: tuple[str, ...] = ("AUTH PLAIN",)
    side = {}
    if fault == "stripped" and security == "tls":
        words = "TLS failed"
    elif fault != "stripped":
        context = {
            "expired": lambda: authority.expired(HERE),
            "another name": lambda: authority.server("DNS:elsewhere.example"),
            "self-signed": lambda: self_signed(tmp_path, HERE)[0],
        }[fault]()
        side = {security: context}
        offers = ("AUTH PLAIN", "STARTTLS")
    with (
        ScriptedSmtp({"STARTTLS": b"220 go on\r\n"}, extensions=offers, **side) as peer,
        capture_logs() as logs,
    ):
        order_status(house.database)
        secured = {**LOGIN, "security": security, "ca_file": authority.ca_file}
        async with at_peer(house, peer, secret="tea", **secured).sending():
            await until(lambda: any(event["event"] == "relay_unavailable" for event in logs))
    [refused, *_] = [event for event in logs if event["event"] == "relay_unavailable"]
    assert words in refused["why"]
    assert refused["needs_a_person"]
    assert commands(peer, "AUTH") == commands(peer, "MAIL") == []
    assert are(house.database, State.QUEUED, ORDER)()
    assert outcomes(house.database) == []
