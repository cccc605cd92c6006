"""Connecting to the relay: greeting, TLS, login, and why it failed in words one can act on."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from typing import Any

import pytest

from mailbot.core.errors import RelayError, RelayRefused, RelayUnavailable
from mailbot.outbound.smtp import RelayConnection
from tests.outbound.relay_line import (
    assert_gone,
    assert_plain,
    connected,
    has_left,
    relay_settings,
    send,
)
from tests.servers import relay as relays
from tests.servers.certificates import Authority, self_signed
from tests.servers.dovecot import free_port
from tests.servers.scripted_smtp import (
    EXTENSIONS,
    Answer,
    Peer,
    ScriptedSmtp,
    after,
    hang_up,
    in_turn,
    reset,
    say_nothing,
)

LOGIN = ("mailbot@shop.example", "tea-and-honey")
HERE = "IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def refusal(
    port: int, password: str | None = None, error: type[RelayError] = RelayError, **changes: Any
) -> RelayError:
    """The error of a connect() that must fail, in plain words."""
    connection = RelayConnection(relay_settings(port, **changes), password)
    with pytest.raises(error) as raised:
        await connection.connect()
    assert_plain(raised.value)
    assert type(raised.value) in (RelayRefused, RelayUnavailable)
    return raised.value


def login_settings(**changes: Any) -> dict[str, Any]:
    return {"username": LOGIN[0], "password_file": "relay-password", **changes}


# Greeting and EHLO


@pytest.mark.parametrize("step", ["GREETING", "EHLO"])
@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"421 4.3.2 too many connections\r\n", RelayUnavailable, "takes no mail now: 421 4.3.2"),
        (b"451 4.7.0 come later\r\n", RelayUnavailable, "takes no mail now: 451 4.7.0 come later"),
        (b"554 5.7.1 listed\r\n", RelayRefused, "refused us: 554 5.7.1 listed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", RelayUnavailable, "not speak SMTP: 'SSH-2.0-OpenSSH_9.2'"),
        (b"100 hello\r\n", RelayUnavailable, "does not speak SMTP"),
        (b"220 " + b"x" * 40_000, RelayUnavailable, "does not speak SMTP: 'Response too long'"),
        (say_nothing, RelayUnavailable, "does not answer in time"),
        (hang_up, RelayUnavailable, "hung up"),
        (reset, RelayUnavailable, "connection reset by peer"),
    ],
)  # fmt: skip
async def test_a_relay_that_will_not_talk_is_told_in_plain_words(
    step: str, answer: Answer, error: type[RelayError], words: str
) -> None:
    with ScriptedSmtp({step: answer}) as relay:
        said = await refusal(relay.port, error=error)
        assert words in str(said)
        assert await has_left(relay)
    assert relay.heard == ([] if step == "GREETING" else relay.heard[:1])


async def test_a_refused_us_carries_its_code_and_a_next_step() -> None:
    with ScriptedSmtp({"GREETING": b"554 5.7.1 listed\r\n"}) as relay:
        said = await refusal(relay.port)
    assert isinstance(said, RelayRefused)
    assert said.code == 554
    assert said.next_step


async def test_a_relay_that_takes_long_at_each_step_is_given_up_as_a_whole() -> None:
    """Each answer comes within the time-out of one second; all of them together never end."""
    slow: dict[str, Answer] = {
        "GREETING": after(0.7, b"220 relay.test\r\n"),
        "EHLO": after(0.7, b"250-relay.test\r\n250 AUTH LOGIN\r\n"),
        "AUTH": after(0.7, b"334 UGFzc3dvcmQ6\r\n"),
        base64.b64encode(LOGIN[1].encode()).decode().upper(): after(0.7, b"235 welcome\r\n"),
    }
    with ScriptedSmtp(slow) as relay:
        said = await refusal(relay.port, LOGIN[1], RelayUnavailable, **login_settings())
    assert "does not answer in time" in str(said)


async def test_where_nobody_listens_the_connection_is_refused() -> None:
    said = await refusal(free_port(), error=RelayUnavailable)
    assert "cannot be reached: connection refused. Is it running" in str(said)


async def test_all_the_addresses_of_a_name_refuse_with_one_reason() -> None:
    connection = RelayConnection(relay_settings(free_port(), host="localhost"), None)
    with pytest.raises(RelayUnavailable, match="cannot be reached: connection refused") as raised:
        await connection.connect()
    assert str(raised.value).count("refused") == 1


async def test_an_unknown_host_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    connection = RelayConnection(
        relay_settings(25, host="smtp.shop.example", security="starttls"), None
    )
    with pytest.raises(RelayUnavailable, match=r"no host of that name.*relay\.host"):
        await connection.connect()


async def test_a_machine_without_a_name_greets_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "tea shop")
    with ScriptedSmtp() as relay:
        async with connected(relay):
            pass
    assert relay.heard == ["EHLO [127.0.0.1]"]


# TLS


async def test_tls_from_the_start_is_verified_and_carries_mail(authority: Authority) -> None:
    with relays.running(implicit_tls=authority.server(HERE)) as relay:
        async with connected(relay, security="tls", ca_file=authority.ca_file) as connection:
            certificate = connection.certificate
            assert (await send(connection)).code == 250
            await connection.close()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("IP Address", "127.0.0.1"),)
    assert len(relay.taken) == 1


async def test_starttls_is_verified_and_carries_mail(authority: Authority) -> None:
    with relays.running(tls=authority.server(HERE)) as relay:
        async with connected(relay, security="starttls", ca_file=authority.ca_file) as connection:
            assert connection.certificate
            assert (await send(connection)).code == 250
            await connection.close()
    assert len(relay.taken) == 1


async def test_without_tls_there_is_no_certificate() -> None:
    with ScriptedSmtp() as relay:
        async with connected(relay) as connection:
            assert connection.certificate is None
            connection.abort()
            assert connection.certificate is None


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize(
    ("fault", "words", "advice"),
    [
        ("another name", "IP address mismatch", "relay.host"),
        ("unknown authority", "unable to get local issuer certificate", "relay.ca_file"),
        ("self-signed", "self-signed certificate", "relay.ca_file"),
        ("expired", "certificate has expired", "renew it"),
    ],
)
async def test_a_certificate_that_is_not_to_be_trusted_is_refused(
    authority: Authority, tmp_path: Path, security: str, fault: str, words: str, advice: str
) -> None:
    certificate = {
        "another name": lambda: authority.server("DNS:elsewhere.example"),
        "unknown authority": lambda: Authority(tmp_path).server(HERE),
        "self-signed": lambda: self_signed(tmp_path, HERE)[0],
        "expired": lambda: authority.expired(HERE),
    }[fault]()
    side = {"tls": certificate} if security == "tls" else {"starttls": certificate}
    offers = {"STARTTLS": b"220 go on\r\n"}
    with ScriptedSmtp(offers, extensions=("STARTTLS",), **side) as relay:
        said = await refusal(
            relay.port, LOGIN[1], RelayRefused,
            **login_settings(security=security, ca_file=authority.ca_file),
        )  # fmt: skip
        assert await has_left(relay)
    assert "its certificate is not to be trusted" in str(said)
    assert words in said.what
    assert advice in said.next_step
    assert [line.split()[0] for line in relay.heard] == (
        [] if security == "tls" else ["EHLO", "STARTTLS"]
    )


async def test_a_self_signed_certificate_is_trusted_where_the_settings_name_it(
    tmp_path: Path,
) -> None:
    context, certificate = self_signed(tmp_path, HERE)
    with ScriptedSmtp(tls=context) as relay:
        async with connected(relay, security="tls", ca_file=certificate) as connection:
            assert (await send(connection)).code == 250


async def test_a_relay_without_starttls_is_left_before_login(authority: Authority) -> None:
    with ScriptedSmtp(extensions=("AUTH PLAIN", "SIZE")) as relay:
        said = await refusal(
            relay.port, LOGIN[1], RelayRefused,
            **login_settings(security="starttls", ca_file=authority.ca_file),
        )  # fmt: skip
        assert await has_left(relay)
    assert "no STARTTLS, and mailbot does not go on in plain text" in str(said)
    assert [line.split()[0] for line in relay.heard] == ["EHLO"]


def speak_plain(peer: Peer) -> None:
    peer.say(b"220 go on\r\n")
    assert peer.connection.recv(1000)
    peer.say(b"250 this is no TLS\r\n")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"454 4.7.0 TLS not available\r\n", RelayUnavailable, "takes no mail now: 454"),
        (b"502 5.5.1 no\r\n", RelayRefused, "refused us: 502 5.5.1 no"),
        (speak_plain, RelayRefused, "TLS failed"),
        (hang_up, RelayUnavailable, "hung up"),
        (say_nothing, RelayUnavailable, "does not answer in time"),
    ],
)
async def test_a_starttls_that_comes_to_nothing_ends_the_connection(
    authority: Authority, answer: Answer, error: type[RelayError], words: str
) -> None:
    with ScriptedSmtp({"STARTTLS": answer}, extensions=("STARTTLS",)) as relay:
        said = await refusal(
            relay.port, error=error, security="starttls", ca_file=authority.ca_file
        )
        assert words in str(said)
        assert await has_left(relay)
    assert [line.split()[0] for line in relay.heard[:2]] == ["EHLO", "STARTTLS"]


async def test_what_was_offered_before_starttls_is_forgotten(authority: Authority) -> None:
    """RFC 3207 §4.2; an answer slipped in behind the 220 in plain text is not read either."""
    offers = in_turn(
        b"250-relay.test\r\n250-SIZE 9\r\n250 STARTTLS\r\n", b"250-relay.test\r\n250 8BITMIME\r\n"
    )
    slipped_in = b"220 go on\r\n250-relay.test\r\n250 SMTPUTF8\r\n"
    answers: dict[str, Answer] = {"EHLO": offers, "STARTTLS": slipped_in}
    with ScriptedSmtp(answers, starttls=authority.server(HERE)) as relay:
        async with connected(relay, security="starttls", ca_file=authority.ca_file) as connection:
            await connection.mail("", size=3, smtputf8=False)
    assert relay.heard[-1] == "MAIL FROM:<> BODY=8BITMIME"


async def test_tls_spoken_to_a_relay_in_plain_text_names_the_settings_to_look_at() -> None:
    with ScriptedSmtp() as relay:
        said = await refusal(relay.port, error=RelayRefused, security="tls")
    assert "TLS failed" in str(said)
    assert "relay.security" in said.next_step


async def test_a_ca_file_without_certificates_is_named(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("not a certificate")
    said = await refusal(free_port(), error=RelayRefused, security="tls", ca_file=ca_file)
    assert f"relay.ca_file {ca_file}" in str(said)


# Login


async def test_the_right_password_logs_in_over_tls(authority: Authority) -> None:
    with relays.running(tls=authority.server(HERE), login=LOGIN) as relay:
        changes = login_settings(security="starttls", ca_file=authority.ca_file)
        connection = RelayConnection(relay_settings(relay.port, **changes), LOGIN[1])
        await connection.connect()
        assert (await send(connection)).code == 250
        await connection.close()


async def test_a_wrong_password_names_its_file_and_is_not_shown(authority: Authority) -> None:
    with relays.running(tls=authority.server(HERE), login=LOGIN) as relay:
        said = await refusal(
            relay.port, "tea-and-milk", RelayRefused,
            **login_settings(security="starttls", ca_file=authority.ca_file),
        )  # fmt: skip
    assert isinstance(said, RelayRefused)
    assert said.code == 535
    assert f"refused the login of {LOGIN[0]}" in str(said)
    assert "relay.password_file" in said.next_step
    assert "milk" not in str(said)


PLAIN = base64.b64encode(f"\0{LOGIN[0]}\0{LOGIN[1]}".encode()).decode()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"535 5.7.8 no\r\n", RelayRefused, "refused the login of mailbot@shop.example: 535"),
        (b"454 4.7.0 later\r\n", RelayUnavailable, "cannot log mailbot@shop.example in now: 454"),
        (b"421 4.7.0 bye\r\n", RelayUnavailable, "cannot log mailbot@shop.example in now: 421"),
        (hang_up, RelayUnavailable, "hung up"),
        (say_nothing, RelayUnavailable, "does not answer in time"),
    ],
)
async def test_one_login_is_tried_and_its_failure_told(
    answer: Answer, error: type[RelayError], words: str
) -> None:
    """More tries with a wrong password lock accounts."""
    extensions = ("AUTH LOGIN PLAIN",)
    with ScriptedSmtp({"AUTH": answer}, extensions=extensions) as relay:
        said = await refusal(relay.port, LOGIN[1], error, **login_settings())
        assert words in str(said)
        assert await has_left(relay)
    assert relay.heard[1:] == [f"AUTH LOGIN {base64.b64encode(LOGIN[0].encode()).decode()}"]


async def test_over_tls_a_login_that_the_relay_does_not_know_is_followed_by_the_next(
    authority: Authority,
) -> None:
    answers: dict[str, Answer] = {
        "AUTH": in_turn(b"504 5.5.4 not this one\r\n", b"334 UGFzc3dvcmQ6\r\n"),
        base64.b64encode(LOGIN[1].encode()).decode().upper(): b"235 2.7.0 welcome\r\n",
    }
    with ScriptedSmtp(
        answers, extensions=("AUTH CRAM-MD5 LOGIN PLAIN",), tls=authority.server(HERE)
    ) as relay:
        changes = login_settings(security="tls", ca_file=authority.ca_file)
        connection = RelayConnection(relay_settings(relay.port, **changes), LOGIN[1])
        await connection.connect()
        connection.abort()
        await assert_gone(relay, connection)
    assert [line.split()[:2] for line in relay.heard[1:3]] == [["AUTH", "PLAIN"], ["AUTH", "LOGIN"]]
    assert relay.heard[1] == f"AUTH PLAIN {PLAIN}"


@pytest.mark.parametrize(
    ("extensions", "offered", "instead"),
    [
        (EXTENSIONS, "no login at all", "remove relay.username"),
        (("AUTH GSSAPI",), "GSSAPI", "remove relay.username"),
        (("AUTH XOAUTH2 GSSAPI",), "XOAUTH2, GSSAPI", "use relay.oauth_token_file"),
    ],
)
async def test_a_relay_without_login_by_password_says_what_it_offers(
    extensions: tuple[str, ...], offered: str, instead: str
) -> None:
    with ScriptedSmtp(extensions=extensions) as relay:
        said = await refusal(relay.port, LOGIN[1], RelayRefused, **login_settings())
    assert f"offered: {offered}" in str(said)
    assert instead in said.next_step
    assert len(relay.heard) == 1
