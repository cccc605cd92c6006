"""Login by bearer token (XOAUTH2), spoken as Gmail and Microsoft 365 speak it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

import pytest

from mailbot.core.errors import (
    ConfigError,
    ConfigFault,
    RelayError,
    RelayLost,
    RelayRefused,
    RelayUnavailable,
)
from mailbot.outbound.smtp import RelayConnection, Secret
from mailbot.outbound.xoauth2 import told_in
from tests.outbound.relay_line import assert_plain, has_left, relay_settings, send
from tests.servers.scripted_smtp import (
    Answer,
    Peer,
    ScriptedSmtp,
    byte_by_byte,
    hang_up,
    in_turn,
    say_nothing,
)

USER = "orders@shop.example"
SHORT = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"  # as long as Google's
LONG = "eyJ0eXAiOiJKV1QiLCJub25jZSI6." * 60 + "Zm9v"  # as long as those of Microsoft
OFFERS = ("SIZE 1000000", "AUTH LOGIN XOAUTH2")


def challenge(**told: str) -> bytes:
    return b"334 " + base64.b64encode(json.dumps(told).encode()) + b"\r\n"


def words_of(token: str) -> str:
    return base64.b64encode(f"user={USER}\x01auth=Bearer {token}\x01\x01".encode()).decode()


def connection_to(relay: ScriptedSmtp, secret: Secret) -> RelayConnection:
    settings = relay_settings(relay.port, username=USER, oauth_token_file="token")
    return RelayConnection(settings, secret)


async def refusal(relay: ScriptedSmtp, error: type[RelayError], secret: Secret = SHORT) -> str:
    """What connect() says, in plain words and without the token, before it hangs up."""
    with pytest.raises(error) as raised:
        await connection_to(relay, secret).connect()
    assert type(raised.value) is error
    assert_plain(raised.value)
    assert SHORT not in str(raised.value)
    assert words_of(SHORT) not in str(raised.value)
    assert await has_left(relay)
    return str(raised.value)


async def test_a_short_token_goes_with_the_command_as_googles_manual_shows() -> None:
    with ScriptedSmtp({"AUTH": b"235 2.7.0 Accepted\r\n"}, extensions=OFFERS) as relay:
        connection = connection_to(relay, SHORT)
        await connection.connect()
        assert (await send(connection)).code == 250
        await connection.close()
    assert relay.heard[1:3] == [f"AUTH XOAUTH2 {words_of(SHORT)}", relay.heard[2]]
    assert relay.heard[2].startswith("MAIL FROM:")


async def test_a_long_token_waits_to_be_asked_for_as_microsofts_manual_shows() -> None:
    answers: dict[str, Answer] = {
        "AUTH": b"334 \r\n",
        words_of(LONG).upper(): b"235 2.7.0 Authentication successful\r\n",
    }
    with ScriptedSmtp(answers, extensions=OFFERS) as relay:
        connection = connection_to(relay, LONG)
        await connection.connect()
        assert (await send(connection)).code == 250
        await connection.close()
    assert relay.heard[1:3] == ["AUTH XOAUTH2", words_of(LONG)]
    assert all(len(line) <= 510 for line in relay.heard if line != words_of(LONG))


@pytest.mark.parametrize("token", [SHORT, LONG], ids=["short", "long"])
async def test_a_refused_token_is_told_with_the_relays_reason(token: str) -> None:
    """The reason is a challenge; the refusal comes once it is answered with an empty line."""
    why = challenge(status="401", schemes="bearer", scope="https://mail.google.com/")
    answers: dict[str, Answer] = {
        "AUTH": why if token == SHORT else b"334 \r\n",
        words_of(LONG).upper(): why,
        "": b"535-5.7.8 Username and Password not accepted.\r\n535 5.7.8 See the manual\r\n",
    }
    with ScriptedSmtp(answers, extensions=OFFERS) as relay:
        said = await refusal(relay, RelayRefused, token)
    assert "refused the token of orders@shop.example: 535 5.7.8 Username and" in said
    assert "(status 401, scope https://mail.google.com/)" in said
    assert "relay.oauth_token_file still runs" in said
    assert relay.heard[-1] == ""


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"535 5.7.3 Authentication unsuccessful\r\n", RelayRefused, "refused the token of"),
        (b"504 5.5.4 unrecognised\r\n", RelayRefused, "refused the token of"),
        (b"454 4.7.0 later\r\n", RelayUnavailable, "cannot log orders@shop.example in now: 454"),
        (b"421 4.7.0 bye\r\n", RelayUnavailable, "cannot log orders@shop.example in now: 421"),
        (b"334 \xff\xfe!\r\n", RelayUnavailable, "in now: 334"),
        (hang_up, RelayUnavailable, "hung up"),
        (say_nothing, RelayUnavailable, "does not answer in time"),
        (b"gibberish\r\n", RelayUnavailable, "does not speak SMTP"),
    ],
)
async def test_a_login_by_token_that_fails_is_told_and_tried_once(
    answer: Answer, error: type[RelayError], words: str
) -> None:
    """A relay that asks on and on is left as well."""
    with ScriptedSmtp({"AUTH": answer, "": b"334 \r\n"}, extensions=OFFERS) as relay:
        assert words in await refusal(relay, error)
    assert sum(line.startswith("AUTH") for line in relay.heard) == 1


async def test_a_refusal_that_comes_byte_by_byte_is_understood() -> None:
    answers: dict[str, Answer] = {
        "AUTH": byte_by_byte(challenge(status="400"), 0.002),
        "": byte_by_byte(b"535 5.7.8 no\r\n"),
    }
    with ScriptedSmtp(answers, extensions=OFFERS) as relay:
        assert "535 5.7.8 no (status 400)" in await refusal(relay, RelayRefused)


async def test_a_relay_without_login_by_token_says_what_it_offers() -> None:
    with ScriptedSmtp(extensions=("AUTH PLAIN LOGIN",)) as relay:
        said = await refusal(relay, RelayRefused)
    assert "it offers no login by token (offered: " in said
    assert "use relay.password_file" in said
    assert len(relay.heard) == 1


async def test_each_login_reads_the_token_of_now() -> None:
    tokens = iter(["first", "second"])
    with ScriptedSmtp({"AUTH": b"235 welcome\r\n"}, extensions=OFFERS) as relay:
        for _ in range(2):
            connection = connection_to(relay, lambda: next(tokens))
            await connection.connect()
            await connection.close()
    logins = [line for line in relay.heard if line.startswith("AUTH")]
    assert logins == [f"AUTH XOAUTH2 {words_of(token)}" for token in ("first", "second")]


async def test_a_token_that_expired_is_told_and_the_next_one_logs_in() -> None:
    expired = (challenge(status="401"), b"235 welcome\r\n")
    answers: dict[str, Answer] = {"AUTH": in_turn(*expired), "": b"535 5.7.8 no\r\n"}
    with ScriptedSmtp(answers, extensions=OFFERS) as relay:
        await refusal(relay, RelayRefused)
        renewed = connection_to(relay, "renewed")
        await renewed.connect()
        await renewed.close()


async def test_a_token_that_cannot_be_read_keeps_us_away_and_says_why() -> None:
    def missing() -> str:
        fault = ConfigFault("relay.oauth_token_file", "the file t does not exist.", "Write it.")
        raise ConfigError("mailbot.toml", [fault])

    with ScriptedSmtp(extensions=OFFERS) as relay:
        with pytest.raises(RelayRefused) as raised:
            await connection_to(relay, missing).connect()
        assert relay.heard == []
    assert "the login cannot be read: the file t does not exist. Write it." in str(raised.value)


async def test_cancelled_within_the_challenge_the_line_is_dead() -> None:
    def challenged(peer: Peer) -> None:
        loop.call_soon_threadsafe(reached.set)
        say_nothing(peer)

    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    with ScriptedSmtp({"AUTH": challenged}, extensions=OFFERS) as relay:
        connection = connection_to(relay, SHORT)
        connecting = asyncio.create_task(connection.connect())
        await reached.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert await has_left(relay)
        with pytest.raises(RelayLost):
            await connection.mail("", size=1, smtputf8=False)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (encoded('{"status":"invalid_token","scope":"a b"}'), "status invalid_token, scope a b"),
        (encoded('{"status":400,"schemes":"Bearer"}'), "status 400"),
        (encoded("{}"), ""),
        (encoded('["no", "object"]'), "['no', 'object']"),
        (encoded("[" * 100_000), lambda words: len(words) <= 200),
        ("", ""),
        ("not base64\x1b[2J", "not base64 [2J"),
        (encoded('{"status":"4\\n5"}'), "status 4 5"),
        (encoded('{"status":"' + "x" * 5_000 + '"}'), lambda words: len(words) == 200),
    ],
)  # fmt: skip
def test_whatever_a_challenge_holds_it_is_told_on_one_short_line(
    told: str, words: str | Callable[[str], bool]
) -> None:
    found = told_in(told)
    assert words(found) if callable(words) else found == words
