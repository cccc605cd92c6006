"""Persons: the same hash for the same mailbox, another for everyone else, and a key nobody sees."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.address import parse_address
from mailbot.core.errors import InputError
from mailbot.core.person import PersonKey

KEY = PersonKey(bytes(range(32)))
OTHER = PersonKey(bytes(range(1, 33)))


def test_two_spellings_are_one_person() -> None:
    one = KEY.identify(parse_address("Ann@Example.org"))
    assert one == KEY.identify(parse_address("ann@example.ORG"))
    assert re.fullmatch("[0-9a-f]{32}", one.person_hash)


def test_a_tagged_address_is_a_person_of_its_own_and_shares_the_untagged_hash() -> None:
    plain = KEY.identify(parse_address("ann@example.org"))
    tagged = KEY.identify(parse_address("ann+shop@example.org"))
    assert plain.person_hash == plain.untagged_hash == tagged.untagged_hash
    assert tagged.person_hash != plain.person_hash


def test_another_key_knows_nobody_and_says_so() -> None:
    address = parse_address("ann@example.org")
    assert KEY.identify(address) != OTHER.identify(address)
    assert KEY.check_value != OTHER.check_value
    assert KEY.key_id != OTHER.key_id


def test_the_hashes_are_the_ones_that_stand_in_every_database() -> None:
    """Erased people stay suppressed only as long as these values never change."""
    person = KEY.identify(parse_address("Ann@example.org"))
    assert person.person_hash == "8fa165f260fca37d7ff360b39ee35154"
    assert KEY.key_id == "75f71fdc"
    assert KEY.check_value == "337c44c6cf42e80f8c50ea6b73d3fa33"


@given(st.binary(min_size=32, max_size=64))
def test_what_the_key_shows_is_not_the_key(secret: bytes) -> None:
    key = PersonKey(secret)
    assert secret.hex() not in repr(key) + key.check_value + key.key_id
    assert str(secret) not in repr(key)
    assert re.fullmatch("[0-9a-f]{8}", key.key_id)
    assert re.fullmatch("[0-9a-f]{32}", key.check_value)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InputError, match="31 bytes"):
        PersonKey(bytes(31))
