"""A connection to the relay: what goes over the wire, and what comes back."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbot.core.errors import RelayLost
from mailbot.core.smtp_replies import Reply, Stage
from mailbot.outbound.smtp import RelayConnection
from tests.outbound.relay_line import (
    ANN,
    LARGE,
    MESSAGE,
    SENDER,
    assert_gone,
    connected,
    each_step,
    relay_settings,
    send,
)
from tests.servers import relay as relays
from tests.servers import smtp_sink
from tests.servers.scripted_smtp import (
    Answer,
    Peer,
    ScriptedSmtp,
    after,
    byte_by_byte,
    in_turn,
)

# What goes over the wire


async def test_a_message_goes_through_in_three_steps_and_ends_with_quit() -> None:
    with ScriptedSmtp() as relay:
        async with connected(relay, hello_name="mailbot.shop.example") as connection:
            assert await connection.mail(SENDER, size=44, smtputf8=False) == Reply(
                250, "2.1.0", "ok"
            )
            assert await connection.rcpt(ANN) == Reply(250, "2.1.5", "ok")
            assert await connection.data(MESSAGE) == Reply(250, "2.0.0", "taken")
            await connection.close()
    assert relay.heard == [
        "EHLO mailbot.shop.example",
        f"MAIL FROM:<{SENDER}> SIZE=44 BODY=8BITMIME",
        f"RCPT TO:<{ANN}>",
        "DATA",
        "QUIT",
    ]
    assert relay.bodies == [MESSAGE + b".\r\n"]


async def test_many_messages_go_over_one_connection() -> None:
    with relays.running() as relay:
        async with connected(relay) as connection:
            for _ in range(20):
                assert (await send(connection)).code == 250
    assert relay.sessions == 1
    assert [taken.content for taken in relay.taken] == [MESSAGE] * 20


async def test_the_null_sender_is_empty_brackets() -> None:
    with ScriptedSmtp(extensions=()) as relay:
        async with connected(relay) as connection:
            await connection.mail("", size=1, smtputf8=False)
    assert relay.heard[-1] == "MAIL FROM:<>"


@pytest.mark.parametrize(
    ("extensions", "parameters"),
    [
        ((), ""),
        (("PIPELINING", "SMTPUTF8"), ""),
        (("SIZE",), " SIZE=7"),
        (("8bitmime", "size 1000"), " SIZE=7 BODY=8BITMIME"),
    ],
)
async def test_parameters_are_said_only_where_they_are_offered(
    extensions: tuple[str, ...], parameters: str
) -> None:
    with ScriptedSmtp(extensions=extensions) as relay:
        async with connected(relay) as connection:
            await connection.mail(SENDER, size=7, smtputf8=False)
    assert relay.heard[-1] == f"MAIL FROM:<{SENDER}>{parameters}"


PIPELINING = ("SIZE 1000000", "PIPELINING", "ENHANCEDSTATUSCODES")


async def send_ahead(connection: RelayConnection, recipient: str = ANN) -> list[int]:
    """One transaction whose recipient is told at MAIL; the codes of the answers."""
    codes = [(await connection.mail(SENDER, size=7, smtputf8=False, recipient=recipient)).code]
    if codes == [250]:
        codes.append((await connection.rcpt(recipient)).code)
    if codes == [250, 250]:
        codes.append((await connection.data(MESSAGE)).code)
    return codes


async def test_a_relay_that_pipelines_hears_of_the_recipient_before_it_answers_mail() -> None:
    def answer_both(peer: Peer) -> None:
        assert peer.read_until(b"\r\n") == f"RCPT TO:<{ANN}>\r\n".encode()
        peer.say(b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n")

    with ScriptedSmtp({"MAIL": answer_both}, extensions=PIPELINING) as relay:
        async with connected(relay) as connection:
            assert await send_ahead(connection) == [250, 250, 250]
    assert len(relay.bodies) == 1


@pytest.mark.parametrize("extensions", [PIPELINING, ("SIZE",)], ids=["pipelining", "one by one"])
async def test_a_refusal_at_mail_or_rcpt_is_told_at_its_place_and_the_next_message_goes(
    extensions: tuple[str, ...],
) -> None:
    with ScriptedSmtp(extensions=extensions) as relay:
        async with connected(relay) as connection:
            relay.answers["MAIL"] = b"452 4.3.1 full\r\n"
            relay.answers["RCPT"] = b"503 5.5.1 MAIL first\r\n"
            assert await send_ahead(connection) == [452]
            relay.answers["MAIL"] = b"250 ok\r\n"
            relay.answers["RCPT"] = b"550 5.1.1 unknown\r\n"
            assert await send_ahead(connection) == [250, 550]
            await connection.reset()
            relay.answers["RCPT"] = b"250 ok\r\n"
            assert await send_ahead(connection) == [250, 250, 250]
            assert await send_ahead(connection) == [250, 250, 250]
    assert len(relay.bodies) == 2


async def test_an_answer_that_was_not_waited_for_is_never_taken_for_the_next() -> None:
    with ScriptedSmtp(extensions=PIPELINING) as relay:
        async with connected(relay) as connection:
            await connection.mail(SENDER, size=7, smtputf8=False, recipient=ANN)
            with pytest.raises(RelayLost):
                await connection.reset()


async def test_an_address_that_no_command_may_hold_is_not_said_ahead() -> None:
    with ScriptedSmtp(extensions=PIPELINING) as relay:
        async with connected(relay) as connection:
            assert await send_ahead(connection, "ann@x\r\nRSET") == [250, 501]
    assert relay.heard[-1].startswith("MAIL FROM:")


async def test_smtputf8_is_said_where_it_is_needed_and_carries_the_address() -> None:
    with ScriptedSmtp() as relay:
        async with connected(relay) as connection:
            await connection.mail(SENDER, size=7, smtputf8=True)
            await connection.rcpt("jörg@example.org")
    assert relay.heard[1].endswith(" BODY=8BITMIME SMTPUTF8")
    assert relay.heard[2] == "RCPT TO:<jörg@example.org>"


async def test_without_smtputf8_such_a_message_is_answered_5_6_7_and_the_next_one_goes() -> None:
    with ScriptedSmtp(extensions=("SIZE",)) as relay:
        async with connected(relay) as connection:
            assert (await connection.mail(SENDER, size=7, smtputf8=True)).enhanced == "5.6.7"
            assert (await send(connection)).code == 250
    assert sum(line.startswith("MAIL") for line in relay.heard) == 1


@pytest.mark.parametrize(
    ("recipient", "enhanced"),
    [("jörg@example.org", "5.6.7"), ("ann@x\r\nRSET", "5.5.4"), ("a\udce4@example.org", "5.5.4")],
)
async def test_an_address_that_no_command_may_hold_is_never_said(
    recipient: str, enhanced: str
) -> None:
    with ScriptedSmtp() as relay:
        async with connected(relay) as connection:
            await connection.mail(SENDER, size=7, smtputf8=False)
            assert (await connection.rcpt(recipient)).enhanced == enhanced
            assert (await connection.rcpt(ANN)).code == 250
    assert relay.heard[2:] == [f"RCPT TO:<{ANN}>"]


def lines_of(message: bytes) -> list[bytes]:
    lines = re.split(rb"\r\n|\r|\n", message)
    return lines[:-1] if len(lines) > 1 and lines[-1] == b"" else lines


def taken_off_the_wire(body: bytes) -> list[bytes]:
    """As RFC 5321 §4.5.2 tells a server to read it."""
    *lines, dot, rest = body.split(b"\r\n")
    assert (dot, rest) == (b".", b"")
    assert all(line != b"." for line in lines)
    return [line[1:] if line.startswith(b".") else line for line in lines]


PIECES = st.sampled_from(
    [b".", b"..", b"\r", b"\n", b"\r\n", b"\r\n.\r\n", b"\n.\n", b"x", b"\xe4", b"\x00"]
)


def test_bytes_arrive_as_they_were_composed_whatever_they_are() -> None:
    with ScriptedSmtp() as relay, asyncio.Runner() as runner:
        connection = RelayConnection(relay_settings(relay.port), None)
        runner.run(connection.connect())

        @settings(max_examples=200, deadline=None)
        @given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=20).map(b"".join)))
        def arrives(message: bytes) -> None:
            assert runner.run(send(connection, message)).code == 250
            assert taken_off_the_wire(relay.bodies[-1]) == lines_of(message)

        arrives()
        connection.abort()


async def test_a_large_message_arrives_whole() -> None:
    with ScriptedSmtp() as relay:
        async with connected(relay) as connection:
            assert (await send(connection, LARGE)).code == 250
    assert relay.bodies == [LARGE + b".\r\n"]


@pytest.mark.skipif(not smtp_sink.is_installed(), reason="Postfix's smtp-sink is not installed")
def test_a_message_goes_through_postfixs_smtp_sink() -> None:
    async def scenario() -> None:
        async with connected(sink) as connection:
            assert (await send(connection, MESSAGE + b".a dot\r\n")).code == 250
            await connection.close()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # run by root, the sink serves as another user
        with smtp_sink.SmtpSink("-d", f"{folder}/message.") as sink:
            asyncio.run(scenario())
            [kept] = [path.read_bytes() for path in folder.iterdir()]
    assert f"X-Mail-Args: <{SENDER}>".encode() in kept
    assert f"X-Rcpt-Args: <{ANN}>".encode() in kept
    assert kept.rstrip(b"\n").endswith((MESSAGE + b".a dot").replace(b"\r\n", b"\n"))


# Replies


@each_step
@pytest.mark.parametrize(
    "reply", [Reply(450, "4.2.1", "come later"), Reply(550, "5.7.1", "no"), Reply(452, "", "full")]
)
async def test_a_refusal_comes_back_as_a_reply_and_the_connection_lives(
    step: str, stage: Stage, reply: Reply
) -> None:
    with ScriptedSmtp({step: f"{reply}\r\n".encode()}) as relay:
        async with connected(relay) as connection:
            assert await send(connection) == reply
            await connection.reset()
            assert await send(connection) == reply
    assert "RSET" in relay.heard


@each_step
async def test_a_421_comes_back_as_a_reply_and_the_connection_is_closed(
    step: str, stage: Stage
) -> None:
    with ScriptedSmtp({step: b"421 4.3.2 shutting down\r\n"}) as relay:
        async with connected(relay) as connection:
            assert await send(connection) == Reply(421, "4.3.2", "shutting down")
            await assert_gone(relay, connection)


async def test_a_reply_of_several_lines_becomes_one_line_of_readable_text() -> None:
    words = b"550-5.1.1 Empf\xe4nger\r\n550-\x00\x1bunbekannt\r\n550 Gr\xc3\xbc\xc3\x9fe\r\n"
    with ScriptedSmtp({"RCPT": words}) as relay:
        async with connected(relay) as connection:
            reply = await send(connection)
    assert reply == Reply(550, "5.1.1", "Empf�nger unbekannt Grüße")


async def test_answers_that_come_byte_by_byte_are_understood() -> None:
    slow: dict[str, Answer] = {
        "GREETING": byte_by_byte(b"220-welcome\r\n220 relay.test\r\n"),
        "EHLO": byte_by_byte(b"250-relay.test\r\n250 SIZE 1000\r\n"),
        "MAIL": byte_by_byte(b"250 2.1.0 ok\r\n"),
        "DATA": byte_by_byte(b"354 go on\r\n"),
        ".": byte_by_byte(b"250-2.0.0 taken\r\n250 2.0.0 as 17\r\n"),
    }
    with ScriptedSmtp(slow) as relay:
        async with connected(relay) as connection:
            assert (await send(connection)).text == "taken 2.0.0 as 17"
            assert (await send(connection)).code == 250
    assert "SIZE=" in relay.heard[1]


async def test_the_final_dot_may_be_answered_later_than_other_commands() -> None:
    with ScriptedSmtp({".": after(1.3, b"250 2.0.0 taken\r\n")}) as relay:
        async with connected(relay, timeout_seconds=1, dot_seconds=10) as connection:
            assert (await send(connection)).code == 250


async def test_a_second_body_needs_its_own_answers() -> None:
    with ScriptedSmtp({".": in_turn(b"250 2.0.0 one\r\n", b"451 4.3.0 two\r\n")}) as relay:
        async with connected(relay) as connection:
            assert (await send(connection)).text == "one"
            assert (await send(connection)).text == "two"
