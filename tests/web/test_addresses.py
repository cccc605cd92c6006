"""Whose request it is, behind web servers that are trusted and others that are not."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from mailbot.web.addresses import ClientAddresses

LOCAL = ("127.0.0.1/32", "::1/128")


def client_of(peer: str | None, *forwarded: str, trusted: tuple[str, ...] = LOCAL) -> str:
    scope = {
        "type": "http",
        "client": (peer, 1) if peer is not None else None,
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
    }
    return ClientAddresses(trusted).of(Request(scope))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),  # a stranger's word
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # left of it anybody may write
        ("127.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, 127.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, junk, 127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        (None, ["198.51.100.1"], "198.51.100.1"),  # a unix socket
        (None, [], "unknown"),
        ("127.0.0.1", ["6.6.6.6, " + "127.0.0.1, " * 5000 + "127.0.0.1"], "127.0.0.1"),
    ],
)
def test_only_what_a_trusted_proxy_says_is_believed(
    peer: str | None, forwarded: list[str], client: str
) -> None:
    assert client_of(peer, *forwarded) == client


def test_two_proxies_in_a_row_are_both_passed_over() -> None:
    trusted = ("10.0.0.0/8", "127.0.0.1/32")
    assert client_of("127.0.0.1", "6.6.6.6, 192.0.2.9, 10.1.2.3", trusted=trusted) == "192.0.2.9"


def test_one_households_addresses_count_as_one() -> None:
    one, other = client_of("2001:db8::1"), client_of("2001:db8::ffff:1")
    assert one == other != client_of("2001:db8:0:1::1")
