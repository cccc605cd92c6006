"""`mailbot api-keys` and `mailbot web api`, as an admin types them."""

from __future__ import annotations

import socket

import pytest

from tests.cli.conftest import Shell


def create(mailbot: Shell, *more: str, name: str = "shop") -> str:
    ended = mailbot("api-keys", "create", name, "--scope", "orders:write", *more)
    assert ended.code == 0, ended.err
    return ended.out.splitlines()[0]


def test_a_key_is_shown_once_and_listed_by_how_it_begins(mailbot: Shell) -> None:
    key = create(mailbot, "--scope", "orders:read")
    assert key.startswith("mb_")
    listed = mailbot("api-keys", "list").out
    assert key not in listed
    assert key[:9] in listed
    assert "never" in listed
    (told,) = mailbot("api-keys", "list", "--json").json
    assert (told["scopes"], told["is_good"]) == (["orders:read", "orders:write"], True)


def test_a_revoked_key_is_told_and_its_name_stays_taken(mailbot: Shell) -> None:
    create(mailbot)
    assert "opens nothing since" in mailbot("api-keys", "revoke", "shop").out
    assert "revoked" in mailbot("api-keys", "list").out
    ended = mailbot("api-keys", "create", "shop", "--scope", "orders:write")
    assert ended.code == 1
    assert "there is a key of that name, or there was" in ended.err
    assert mailbot("api-keys", "revoke", "gone").code == 65


def test_a_key_may_end_by_itself_and_check_says_so_before(mailbot: Shell) -> None:
    create(mailbot, "--days", "9")
    assert "until 20" in mailbot("api-keys", "list").out
    create(mailbot, "--days", "90", name="other")
    told = [
        one for one in mailbot("check", "--json").json["findings"] if one["subject"] == "API key"
    ]
    assert len(told) == 1
    assert "“shop” opens nothing after" in told[0]["what"]


@pytest.mark.parametrize(
    "arguments", [["a\nb", "--scope", "orders:write"], ["x" * 61, "--scope", "orders:write"]]
)
def test_a_name_that_no_log_could_hold_is_refused(mailbot: Shell, arguments: list[str]) -> None:
    ended = mailbot("api-keys", "create", *arguments)
    assert ended.code == 65
    assert "1 to 60 characters" in ended.err


def test_a_scope_that_there_is_not_names_those_there_are(mailbot: Shell) -> None:
    ended = mailbot("api-keys", "create", "shop", "--scope", "everything")
    assert ended.code == 64
    assert "orders:write" in ended.err


def test_without_keys_the_list_says_how_to_make_one(mailbot: Shell) -> None:
    assert "mailbot api-keys create NAME" in mailbot("api-keys", "list").out


def test_the_document_can_be_printed(mailbot: Shell) -> None:
    told = mailbot("web", "api", "--openapi").json
    assert "/v1/order-status" in told["paths"]


def test_a_port_that_is_taken_is_told(mailbot: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        mailbot.config.write_text(f'{mailbot.config.read_text()}[api]\nlisten = "{listen}"\n')
        ended = mailbot("web", "api")
    assert ended.code == 69
    assert f"{listen}: The API cannot listen there" in ended.err
    assert "under [api]" in ended.err


@pytest.mark.parametrize("listen", ["0.0.0.0:8026", "192.0.2.1:80", "[::]:8026", "shop.example:80"])
def test_an_address_that_others_can_reach_is_refused(mailbot: Shell, listen: str) -> None:
    mailbot.config.write_text(f'{mailbot.config.read_text()}[api]\nlisten = "{listen}"\n')
    ended = mailbot("web", "api")
    assert ended.code == 78
    assert "can be reached from other machines, in plain text" in ended.err
