"""The bytes that the relay received: the headers that are meant and no more, whatever they hold."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from mailbot.config import RelaySettings
from mailbot.core.compose import (
    CampaignComposer,
    Composed,
    OrderStatusComposer,
    Recipient,
    Shop,
    compose_acknowledgement,
)
from mailbot.core.compose import Sender as From
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import InputError, TemplateError
from mailbot.core.mail_headers import has_control_character
from mailbot.core.outbox_states import State
from mailbot.core.templates import parse_template
from mailbot.outbound.campaigns import CampaignLetters
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.smtp import RelayConnection
from mailbot.store import campaigns, expansion, outbox
from mailbot.store.campaigns import Member
from mailbot.store.engine import Database, now
from mailbot.store.tables import outbox as outbox_rows
from tests.outbound.conftest import LETTERHEAD, House, until
from tests.outbound.sending import ANN, is_over, order_status, states
from tests.people import address, person
from tests.received import decoded, fields, text_of, unstuffed
from tests.servers.scripted_smtp import EXTENSIONS, ScriptedSmtp

SHARED = ["From", "To", "Reply-To", "Subject", "Date", "Message-ID"]
CONTENT = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
OF_CAMPAIGN = [*SHARED, "List-Id", "Feedback-ID", "Precedence", "List-Unsubscribe", *CONTENT]
OF_ORDER_STATUS = [*SHARED, "Auto-Submitted", *CONTENT]
OF_ACKNOWLEDGEMENT = [*SHARED, "Auto-Submitted", "X-Auto-Response-Suppress", *CONTENT]
LONG_DOMAIN = ".".join(["l" * 60] * 3 + ["shop", "example"])
AT = datetime(2026, 3, 9, 9, 30, tzinfo=UTC)


def names(message: bytes) -> list[str]:
    return [name for name, _ in fields(message)]


def under_way(
    database: Database, *people: str, subject: str = "Teas", text: str = "Hello",
    html: str | None = None, name: str = "spring", domain: str = "shop.example", who: str = "",
) -> None:  # fmt: skip
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn, name=name, subject=subject, text_source=text, html_source=html
        )
        campaigns.add_members(conn, campaign_id, [
            Member(line, address(one), person(one), {"name": who})
            for line, one in enumerate(people, start=2)
        ])  # fmt: skip
        campaigns.finish_loading(conn, name)
        campaigns.schedule(conn, name, now(conn) - timedelta(seconds=1))
        campaigns.start_due(conn)
        expansion.expand(conn, campaign_id, our_domain=domain, limit=1000)


async def received(house: House, server: ScriptedSmtp) -> list[bytes]:
    """All that is queued, sent over `server`; the messages as they came."""
    house.relay.port, house.connections = server.port, 1
    async with house.sending():
        await until(is_over(house.database))
    return [unstuffed(body) for body in server.bodies]


async def test_a_campaign_has_its_headers_and_no_more(house: House) -> None:
    under_way(house.database, ANN, who="Ann Archer")
    with ScriptedSmtp() as server:
        [message] = await received(house, server)
    assert names(message) == OF_CAMPAIGN
    found = dict(fields(message))
    assert found["List-Unsubscribe"].startswith(b"<mailto:help+u-")
    assert found["List-Unsubscribe"].endswith(b"@shop.example?subject=unsubscribe>")
    assert found["List-Id"] == b"<offers.shop.example>"
    assert found["Feedback-ID"] == b"spring:campaign:shop.example"
    assert found["Precedence"] == b"bulk"
    assert found["To"] == b"Ann Archer <ann@example.org>"
    age = datetime.now(UTC) - parsedate_to_datetime(found["Date"].decode())
    assert timedelta(0) <= age < timedelta(minutes=5)


async def test_order_status_has_no_marketing_header_and_says_that_a_machine_wrote_it(
    house: House,
) -> None:
    order_status(house.database)
    with ScriptedSmtp() as server:
        [message] = await received(house, server)
    assert [name for name in names(message) if name != "Content-Transfer-Encoding"] == (
        OF_ORDER_STATUS[:-1]
    )
    assert dict(fields(message))["Auto-Submitted"] == b"auto-generated"


async def test_an_acknowledgement_goes_out_with_a_null_sender(house: House) -> None:
    with house.database.write() as conn:
        outbox.enqueue_acknowledgement(
            conn, address=address(ANN), person=person(ANN), fields={}, every_days=30,
            our_domain="shop.example",
        )  # fmt: skip
    with ScriptedSmtp() as server:
        [message] = await received(house, server)
    assert names(message) == OF_ACKNOWLEDGEMENT
    assert dict(fields(message))["Auto-Submitted"] == b"auto-replied"
    assert [line for line in server.heard if line.startswith("MAIL FROM:<>")]


async def test_each_row_has_a_message_id_and_a_return_path_of_its_own(house: House) -> None:
    under_way(house.database, ANN, "bob@example.org", "cy@example.org")
    with ScriptedSmtp() as server:
        messages = await received(house, server)
    senders = {line.split(">")[0] for line in server.heard if line.startswith("MAIL")}
    assert len(senders) == len({dict(fields(one))["Message-ID"] for one in messages}) == 3
    assert all(sender.startswith("MAIL FROM:<help+b-") for sender in senders)
    opt_outs = b" ".join(dict(fields(one))["List-Unsubscribe"] for one in messages).decode()
    tokens = set(re.findall(r"help\+u-([a-z2-7]+)@", opt_outs))
    assert len(tokens) == 3, "each person opts out alone"
    returned = {sender.partition("+b-")[2].partition("@")[0] for sender in senders}
    assert len(returned) == 3
    assert returned.isdisjoint(tokens), "a bounce's token opts nobody out"


async def test_the_message_id_is_the_same_on_each_attempt(house: House) -> None:
    house.relay.script.dot = "451 4.3.0 later"
    order_status(house.database)
    async with house.sending():
        await until(lambda: State.DEFERRED in states(house.database).values())
    house.relay.script.dot = None
    with house.database.write() as conn:
        conn.execute(update(outbox_rows).values(not_before=now(conn)))
    async with house.sending():
        await until(lambda: State.SENT in states(house.database).values())
    first, second = (dict(fields(one.content))["Message-ID"] for one in house.relay.whole)
    assert first == second
    assert len({one.sender for one in house.relay.whole}) == 1, "nor does the return path change"


@pytest.mark.on_both_engines
async def test_a_long_domain_can_send_campaigns_and_order_status(house: House) -> None:
    offers = From("Lindenhof", address(f"offers@{LONG_DOMAIN}"))
    letterhead = Letterhead(LETTERHEAD.shop, offers, offers, LETTERHEAD.token_keys)
    house.composers[MessageKind.CAMPAIGN] = CampaignLetters(house.database, letterhead)
    under_way(house.database, ANN, domain=LONG_DOMAIN, name="n" * 100)
    with house.database.write() as conn:
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=address(ANN), person=person(ANN),
            fields={"order_number": "1"}, idempotency_key="o", our_domain=LONG_DOMAIN,
        )  # fmt: skip
    async with house.sending():
        await until(is_over(house.database))
    assert set(states(house.database).values()) == {State.SENT}
    for taken in house.relay.taken:
        assert len(dict(fields(taken.content))["Message-ID"]) <= 120


@pytest.mark.parametrize("who", ["jörg@example.org", "用户@例え.jp"])
async def test_a_local_part_outside_ascii_goes_only_where_smtputf8_is_offered(
    house: House, who: str
) -> None:
    under_way(house.database, who, who="Jörg")
    with ScriptedSmtp() as server:
        [message] = await received(house, server)
    assert [line for line in server.heard if line.startswith("MAIL") and "SMTPUTF8" in line]
    assert address(who).envelope.encode() in dict(fields(message))["To"]


async def test_without_smtputf8_such_a_mail_is_refused_before_anything_is_said(
    house: House,
) -> None:
    under_way(house.database, "jörg@example.org", "ann@bücher.example", subject="Grüße")
    without = tuple(one for one in EXTENSIONS if one != "SMTPUTF8")
    with ScriptedSmtp(extensions=without) as server:
        [message] = await received(house, server)
    assert states(house.database)["campaign:jörg@example.org"] is State.REJECTED
    assert dict(fields(message))["To"] == b"ann@xn--bcher-kva.example"
    assert not [line for line in server.heard if "SMTPUTF8" in line or not line.isascii()]


# What could end a line, a header, a word or a mail, or turn round what people see.
NASTY = st.sampled_from(
    ["\r", "\n", "\r\n", "\0", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\u202e", "\u200b",
     "\ufeff", "Bcc: eve@evil.example", "\r\n.\r\n", "=?utf-8?q?=0ABcc:?=", "<", ">", '"', "\\",
     ",", "%0d%0a", " ", "\t", "é", "茶", "🍵", "e\u0301", "a" * 70, "{{ x }}", "."]
)  # fmt: skip
WORDS = st.lists(NASTY | st.text(max_size=8), max_size=8).map("".join)
# Characters that UTF-8 cannot hold come from no database and no file.
VALUES = WORDS.map(lambda text: text.encode("utf-8", "replace").decode())
SHOP = Shop("Lindenhof", address("help@shop.example"), "1 Quay, Bristol")


class Line:
    """One connection to a recording relay, used for all examples."""

    def __init__(self, server: ScriptedSmtp, runner: asyncio.Runner) -> None:
        self.server, self._runner = server, runner
        settings = RelaySettings(host="127.0.0.1", port=server.port, security="none")
        self._connection = RelayConnection(settings, None)
        runner.run(self._connection.connect())

    def carry(self, composed: Composed) -> bytes:
        async def send() -> None:
            connection = self._connection
            size, utf8 = len(composed.message), composed.needs_smtputf8
            replies = [
                await connection.mail("help@shop.example", size=size, smtputf8=utf8),
                await connection.rcpt(ANN),
                await connection.data(composed.message),
            ]
            assert [reply.code for reply in replies] == [250, 250, 250]

        self._runner.run(send())
        message = unstuffed(self.server.bodies[-1])
        assert message == composed.message, "the relay has what was composed, byte for byte"
        return message

    def close(self) -> None:
        self._runner.run(self._connection.close())


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with ScriptedSmtp() as server, asyncio.Runner() as runner:
        line = Line(server, runner)
        yield line
        line.close()


DOTS = ".\n..\n.hidden\n\n.\nend\n"


@pytest.mark.parametrize(
    "text", [DOTS, "a" * 998, "b" * 5000, "é" * 3000, "x\rMAIL\r.\r", "a\0b", "\u202ea\u2028b"]
)
def test_lines_that_smtp_minds_arrive_as_they_were_written(line: Line, text: str) -> None:
    template = parse_template("any", "{{ x }}", None, "Order")
    composer = OrderStatusComposer(template, From("Orders", address("o@shop.example")), SHOP)
    recipient = Recipient(address(ANN), "", {"x": text})
    message = line.carry(composer.compose(recipient, "<1@shop.example>", AT))
    assert names(message) == OF_ORDER_STATUS
    assert text_of(message).rstrip("\n") == text.replace("\r", "\n").rstrip("\n")


any_value = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@any_value
@given(name=VALUES, value=VALUES, url=st.sampled_from([None, "https://shop.example/u/abc"]))
def test_no_name_and_no_variable_adds_a_header_to_a_campaign(
    line: Line, name: str, value: str, url: str | None
) -> None:
    template = parse_template("any", "Hi {{ x }}\n", "<p>{{ x }}</p>", "Tea {{ x }}")
    composer = CampaignComposer(
        template, From("Lindenhof", address("offers@shop.example")), SHOP,
        list_id="offers.shop.example", feedback_id="a:campaign:shop",
    )  # fmt: skip
    try:
        composed = composer.compose(
            Recipient(address(ANN), name, {"x": value}), "<1@shop.example>", AT,
            "help+u-abc@shop.example", url,
        )  # fmt: skip
    except (InputError, TemplateError):
        assert has_control_character(name.strip()) or has_control_character(value)
        return
    message = line.carry(composed)
    post = ["List-Unsubscribe-Post"] if url else []
    kept = OF_CAMPAIGN[: OF_CAMPAIGN.index("MIME-Version")]
    assert names(message) == [*kept, *post, "MIME-Version", "Content-Type"]
    found = dict(fields(message))
    assert b"=?" not in found["List-Unsubscribe"]
    assert (b"https://" in found["List-Unsubscribe"]) == bool(post)
    assert " ".join(decoded(found["Subject"]).split()) == " ".join(f"Tea {value}".split())
    assert found["To"].endswith(ANN.encode()) or found["To"].endswith(f"<{ANN}>".encode())


@any_value
@given(name=VALUES, value=VALUES)
def test_no_name_and_no_variable_adds_a_header_to_order_status(
    line: Line, name: str, value: str
) -> None:
    template = parse_template("any", "{{ x }}\n", None, "Order {{ x }}")
    composer = OrderStatusComposer(template, From("Orders", address("o@shop.example")), SHOP)
    try:
        recipient = Recipient(address(ANN), name, {"x": value})
        composed = composer.compose(recipient, "<1@shop.example>", AT)
    except (InputError, TemplateError):
        assert has_control_character(name.strip()) or has_control_character(value)
        return
    assert names(line.carry(composed)) == OF_ORDER_STATUS


@any_value
@given(in_reply_to=VALUES, references=st.lists(VALUES, max_size=30))
def test_no_id_of_a_customers_mail_adds_a_header_to_its_acknowledgement(
    line: Line, in_reply_to: str, references: list[str]
) -> None:
    template = parse_template("any", "Subject: You are off\n\nBye.\n")
    composed = compose_acknowledgement(
        template, SHOP, address(ANN), "<1@shop.example>", AT,
        in_reply_to=f"<{in_reply_to}@x>", references=[f"<{one}@x>" for one in references],
    )  # fmt: skip
    found = names(line.carry(composed))
    threading = {"In-Reply-To", "References"} & set(found)
    assert [one for one in found if one not in threading] == OF_ACKNOWLEDGEMENT
    assert len(threading) in (0, 2)
