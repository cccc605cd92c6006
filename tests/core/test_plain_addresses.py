"""The fast way to a match key answers what the parser answers, or nothing."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.address import parse_address, parse_any_address
from mailbot.core.errors import AddressError
from mailbot.core.person import PersonKey
from mailbot.core.plain_addresses import plain_match_key

_LOCAL = st.text(string.ascii_letters + string.digits + ".+-_'!#\"( ,", min_size=1, max_size=12)
_DOMAIN = st.one_of(
    st.sampled_from(["gmail.com", "GoogleMail.com", "example.org", "a.b-c.de", "-a.de", "a_b.de",
                     "example", "x..org", "münchen.de", "example.org.", "[127.0.0.1]"]),
    st.text(string.ascii_letters + string.digits + ".-_", min_size=1, max_size=20),
)  # fmt: skip


@given(st.one_of(st.builds(lambda a, b: f"{a}@{b}", _LOCAL, _DOMAIN), st.text(max_size=20)))
def test_it_answers_what_the_parser_answers(text: str) -> None:
    key = plain_match_key(text)
    if key is None:
        return
    address = parse_any_address(text)
    assert (address.match_key, address.untagged_key, address.text) == (key, key, text)


@given(st.one_of(st.builds(lambda a, b: f"{a}@{b}", _LOCAL, _DOMAIN), st.text(max_size=20)))
def test_the_short_way_to_an_address_leads_to_the_same(text: str) -> None:
    try:
        by_any_way = parse_any_address(text)
    except AddressError:
        with pytest.raises(AddressError):
            parse_address(text)
    else:
        assert parse_address(text) == by_any_way


@pytest.mark.parametrize("text", [
    "ann@example.org", "Ann.Lee@Example.ORG", "a.n.n@gmail.com", "ann@googlemail.com",
    "o_brien-1@mail.example.co.uk",
])  # fmt: skip
def test_it_knows_ordinary_addresses(text: str) -> None:
    assert plain_match_key(text) == parse_address(text).match_key


@pytest.mark.parametrize("text", [
    "ann+tea@example.org", "Ann <ann@example.org>", '"a b"@example.org', "ann@münchen.de",
    "'ann@example.org'", "ann@example.org\n", " ann@example.org", "a" * 260 + "@example.org",
])  # fmt: skip
def test_it_leaves_the_rest_to_the_parser(text: str) -> None:
    assert plain_match_key(text) is None


@given(st.binary(min_size=32, max_size=100), st.text(string.ascii_lowercase, min_size=1))
def test_hashes_of_many_are_those_of_one(secret: bytes, local: str) -> None:
    key = PersonKey(secret)
    address = parse_address(f"{local}@example.org")
    assert key.hasher()(address.match_key) == key.identify(address).person_hash


def test_what_is_no_address_stays_none() -> None:
    with pytest.raises(AddressError):
        parse_address("ann")
    assert plain_match_key("ann") is None
