"""Two shops that run mailbot write to each other's help@: a mail each, and then silence.

Two whole installations with daemons of their own, and between them a relay that delivers what
either sends into the other's mailbox, as mail servers do: with the marks of automatic mail, or
through a gateway that loses them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select

from mailbot.core.address import parse_address
from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.person import PersonKey
from mailbot.store import suppressions
from mailbot.store.tables import outbox
from tests.house import House, installed, wait_until
from tests.inbound.letters import letter
from tests.servers import dovecot
from tests.servers import relay as relays
from tests.test_story import hand_over

pytestmark = [
    pytest.mark.skipif(
        not dovecot.is_installed(), reason="Debian's dovecot-imapd and openssl are not installed"
    ),
    pytest.mark.timeout(120),
]

_MARK = re.compile(
    rb"^(?:Auto-Submitted|X-Auto-Response-Suppress|Precedence|List-[A-Za-z-]+):"
    rb"[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.MULTILINE | re.IGNORECASE,
)


class Network(relays.Relay):
    """Both shops' relay: what it takes stands in the mailbox of the recipient's domain at once."""

    def __init__(self, mailboxes: dovecot.Dovecot, *, keeps_marks: bool) -> None:
        super().__init__()
        self._mailboxes = mailboxes
        self._keeps_marks = keeps_marks

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        before = len(self.taken)
        answer = await super().handle_DATA(server, session, envelope)
        for taken in self.taken[before:]:
            domain = taken.recipient.rpartition("@")[2]
            if domain in ("a.example", "b.example"):
                self._mailboxes.drop(domain, self._delivered(taken))
        return answer

    def _delivered(self, taken: relays.Taken) -> bytes:
        if self._keeps_marks:
            return b"Return-Path: <%s>\r\n" % taken.sender.encode() + taken.content
        header, blank, body = taken.content.partition(b"\r\n\r\n")
        return _MARK.sub(b"", header + b"\r\n") + blank[2:] + body

    def answers(self) -> Counter[tuple[str, str]]:
        """How many acknowledgements each shop sent to each address."""
        return Counter(
            (str(taken.message["From"].addresses[0].domain), taken.recipient)
            for taken in self.taken
            if str(taken.message["Subject"]).startswith("Automatic answer: you get no more offers")
        )


class Shop:
    """One installation: its help@ and mailbox are those of its domain."""

    def __init__(self, house: House, domain: str, secret: bytes) -> None:
        self.house, self.domain = house, domain
        self.help = f"help@{domain}"
        self._key = PersonKey(secret)
        text = house.config.read_text(encoding="utf-8")
        house.config.write_text(text.replace("shop.example", domain), encoding="utf-8")
        for name in ("person-key", "token-key-1"):
            (house.folder / name).write_text(secret.hex() + "\n")

    def has_listed(self, who: str) -> bool:
        with self.house.database.read() as conn:
            found = suppressions.reasons(conn, self._key.identify(parse_address(who)))
        return Reason.OPT_OUT in found

    def is_listening(self) -> bool:
        return "first_scan_finished" in self.house.log

    def acknowledged(self) -> int:
        """How many acknowledgements were queued, sent or still waiting."""
        with self.house.database.read() as conn:
            rows = select(outbox.c.id).where(outbox.c.kind == MessageKind.ACKNOWLEDGEMENT)
            return len(conn.execute(rows).all())

    def offer(self, subject: str, who: str) -> None:
        name = re.sub(r"\W+", "-", subject.lower())
        audience, text = self.house.folder / f"{name}.csv", self.house.folder / f"{name}.txt"
        audience.write_text(f"email\n{who}\n")
        text.write_text("Hello,\n\nnew teas are in.\n")
        letters = ("--subject", subject, "--text", str(text), "--audience", str(audience))
        for arguments in (("create", name, *letters), ("schedule", name, "--now")):
            done = self.house.run("campaign", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def two_shops(folder: Path, server: dovecot.Dovecot, network: Network) -> Iterator[list[Shop]]:
    """Both with their daemons, listening."""
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    ports = {"imap_port": server.plain_port, "relay_port": network.port}
    login = {"password": dovecot.PASSWORD}
    with (
        installed(folder / "a", username="a.example", **ports, **login) as house_a,  # type: ignore[arg-type]
        installed(folder / "b", username="b.example", **ports, **login) as house_b,  # type: ignore[arg-type]
    ):
        shops = [
            Shop(house_a, "a.example", bytes(range(32))),
            Shop(house_b, "b.example", bytes(range(100, 132))),
        ]
        daemons = [shop.house.start() for shop in shops]
        wait_until(lambda: all(shop.is_listening() for shop in shops), 20, "both are listening")
        yield shops
        assert [shop.house.end(daemon) for shop, daemon in zip(shops, daemons, strict=True)] == [
            0,
            0,
        ]


@pytest.fixture
def server() -> Iterator[dovecot.Dovecot]:
    with dovecot.Dovecot() as running:
        yield running


@pytest.mark.parametrize(
    "keeps_marks",
    [
        pytest.param(True, id="as it should be"),
        pytest.param(False, id="through a bad gateway", marks=pytest.mark.system),
    ],
)
def test_two_mailbots_exchange_one_mail_each(
    tmp_path: Path, server: dovecot.Dovecot, keeps_marks: bool
) -> None:
    """Offers, order status, and the staff of each writing "unsubscribe" from help@ to the other."""
    network = Network(server, keeps_marks=keeps_marks)
    network.start()
    try:
        with two_shops(tmp_path, server, network) as shops:
            pairs = [(shops[0], shops[1]), (shops[1], shops[0])]
            for shop, friend in pairs:
                shop.offer("New teas are in", friend.help)
                hand_over(shop.house, friend.help, "order-1001-shipped")
            wait_until(lambda: len(network.taken) == 4, 20, "offers and order status are there")
            for shop, friend in pairs:
                for subject in ("unsubscribe", "Unsubscribe", "unsubscribe me, please"):
                    mail = letter(subject, shop.help, f"Return-Path: <{shop.help}>", to=friend.help)
                    server.drop(friend.domain, mail)
            once = {(shop.domain, friend.help): 1 for shop, friend in pairs}
            wait_until(lambda: set(network.answers()) == set(once), 20, "each answers the other")
            until_quiet(server, network, shops)
            assert network.answers() == once
            assert len(network.taken) == 4 + 2, "and nothing else was sent"
            for shop, friend in pairs:
                assert shop.has_listed(friend.help)
                assert not shop.has_listed(shop.help)
    finally:
        network.stop()


def until_quiet(server: dovecot.Dovecot, network: Network, shops: list[Shop]) -> None:
    """Look at everything until one look finds no more answers than the one before.

    A mail dropped behind all others, and heard, says that those were heard; their answers were
    queued in the same transactions. Fails where they go on and on.
    """

    def is_all_sent() -> bool:
        return network.answers().total() == sum(shop.acknowledged() for shop in shops)

    before = None
    for number in range(5):
        who = f"look{number}@example.org"
        for shop in shops:
            server.drop(shop.domain, letter("unsubscribe", who, "Precedence: bulk", to=shop.help))
        wait_until(partial(are_listing, shops, who), 20, "both have heard everything")
        wait_until(is_all_sent, 20, "what was queued is sent")
        if before == network.answers():
            return
        before = network.answers()
    raise AssertionError(f"they go on and on: {before}")


def are_listing(shops: list[Shop], who: str) -> bool:
    return all(shop.has_listed(who) for shop in shops)
