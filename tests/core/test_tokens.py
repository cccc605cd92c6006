"""Tokens: they survive mail software, cannot be made up or altered, and are never swapped."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.address import parse_address
from mailbot.core.errors import InputError, RefusedError, TokenError
from mailbot.core.tokens import (
    TokenKey,
    TokenKeys,
    UndoTicket,
    one_click_url,
    opt_out_address,
    return_path_address,
    sign_opt_out,
    sign_return_path,
    sign_undo,
    sign_undo_ticket,
    tokens_in,
    tokens_in_text,
    undo_address,
    verify_opt_out,
    verify_return_path,
    verify_undo,
    verify_undo_ticket,
)

KEYS = TokenKeys((TokenKey(2, bytes(range(32, 64))), TokenKey(1, bytes(range(32)))))
STRANGERS = TokenKeys((TokenKey(2, bytes(32)),))
PERSONS = st.binary(min_size=16, max_size=16).map(bytes.hex)
OUTBOX_IDS = st.integers(0, 2**63 - 1)


@given(PERSONS)
def test_a_token_names_its_person_in_any_case(person_hash: str) -> None:
    token = sign_opt_out(KEYS, person_hash)
    assert len(token) == 47
    for form in (token, token.upper(), token.title(), token.swapcase()):
        assert verify_opt_out(KEYS, form).person_hash == person_hash


@given(OUTBOX_IDS)
def test_a_return_path_names_its_message_in_any_case(outbox_id: int) -> None:
    token = sign_return_path(KEYS, outbox_id)
    assert verify_return_path(KEYS, token) == verify_return_path(KEYS, token.upper()) == outbox_id


@given(PERSONS, st.integers(0, 46), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567189-é="))
def test_changing_any_character_refuses(person_hash: str, at: int, other: str) -> None:
    token = sign_opt_out(KEYS, person_hash)
    if token[at] == other:
        return
    with pytest.raises(TokenError):
        verify_opt_out(KEYS, token[:at] + other + token[at + 1 :])


def test_every_change_of_the_last_character_refuses() -> None:
    """Its low bits are spare: another character must not spell the same bytes."""
    token = sign_opt_out(KEYS, "00" * 16)
    for other in set("abcdefghijklmnopqrstuvwxyz234567") - {token[-1]}:
        with pytest.raises(TokenError):
            verify_opt_out(KEYS, token[:-1] + other)


@given(PERSONS, st.integers(0, 46))
def test_a_cut_token_refuses(person_hash: str, length: int) -> None:
    with pytest.raises(TokenError):
        verify_opt_out(KEYS, sign_opt_out(KEYS, person_hash)[:length])


@given(st.text(max_size=80))
def test_any_text_refuses(text: str) -> None:
    with pytest.raises(TokenError):
        verify_opt_out(KEYS, text)
    with pytest.raises(TokenError):
        verify_return_path(KEYS, text)


@given(PERSONS, OUTBOX_IDS)
def test_the_two_kinds_cannot_be_swapped(person_hash: str, outbox_id: int) -> None:
    with pytest.raises(TokenError):
        verify_return_path(KEYS, sign_opt_out(KEYS, person_hash))
    with pytest.raises(TokenError):
        verify_opt_out(KEYS, sign_return_path(KEYS, outbox_id))


def test_another_shops_token_refuses() -> None:
    with pytest.raises(TokenError, match="forged"):
        verify_opt_out(KEYS, sign_opt_out(STRANGERS, "ab" * 16))
    unknown = TokenKeys((TokenKey(9, bytes(32)),))
    with pytest.raises(TokenError, match="unknown"):
        verify_opt_out(KEYS, sign_opt_out(unknown, "ab" * 16))


def test_the_newest_key_signs_and_old_tokens_verify_for_ever() -> None:
    old = TokenKeys((TokenKey(1, bytes(range(32))),))
    assert verify_opt_out(KEYS, sign_opt_out(KEYS, "ab" * 16)).key_id == 2
    assert verify_opt_out(KEYS, sign_opt_out(old, "ab" * 16)).key_id == 1


def test_a_revoked_key_signs_nothing_and_its_tokens_say_so() -> None:
    token = sign_opt_out(KEYS, "ab" * 16)
    bounce = sign_return_path(KEYS, 5)
    revoked = TokenKeys(
        (TokenKey(1, bytes(range(32))), TokenKey(2, bytes(range(32, 64)), is_revoked=True))
    )
    assert verify_opt_out(revoked, token).is_revoked
    assert revoked.signing().key_id == 1
    with pytest.raises(TokenError, match="revoked"):
        verify_return_path(revoked, bounce)
    with pytest.raises(RefusedError):
        TokenKeys(()).signing()


def test_tokens_are_found_in_addresses_and_in_text() -> None:
    token = sign_opt_out(KEYS, "ab" * 16)
    bounce = sign_return_path(KEYS, 5)
    unsubscribe = opt_out_address("help@shop.example", token)
    back = return_path_address("help@shop.example", bounce)
    addresses = [parse_address(text) for text in (unsubscribe.upper(), back, "help@shop.example")]
    assert len(unsubscribe.partition("@")[0]) <= 64  # RFC 5321 §4.5.3.1.1
    assert tokens_in(addresses, "u") == (token,)
    assert tokens_in(addresses, "b") == (bounce,)
    assert tokens_in_text(f"unsubscribe U-{token.upper()}!", "u") == (token,)
    assert tokens_in_text("menu-abcdefghijklmnopqrstuvwxyz", "u") == ()


def test_keys_that_cannot_be_are_refused_and_none_is_printed() -> None:
    with pytest.raises(InputError):
        TokenKey(0, bytes(32))
    with pytest.raises(InputError):
        TokenKey(1, bytes(31))
    with pytest.raises(InputError):
        TokenKeys((TokenKey(1, bytes(32)), TokenKey(1, bytes(32))))
    assert "secret" not in repr(KEYS)


@given(PERSONS)
def test_an_undo_token_and_an_opt_out_token_never_pass_for_each_other(person_hash: str) -> None:
    """Both name a person; the one in List-Unsubscribe must not bring anybody back."""
    leave, come_back = sign_opt_out(KEYS, person_hash), sign_undo(KEYS, person_hash)
    assert verify_undo(KEYS, come_back.upper()).person_hash == person_hash
    with pytest.raises(TokenError):
        verify_undo(KEYS, leave)
    with pytest.raises(TokenError):
        verify_opt_out(KEYS, come_back)
    address = parse_address(undo_address("help@shop.example", come_back))
    assert tokens_in([address], "r") == (come_back,)
    assert tokens_in([address], "u") == ()
    assert tokens_in_text(f"resubscribe r-{come_back}", "r") == (come_back,)


SECONDS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001  # made aware
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)


@given(PERSONS, PERSONS, SECONDS)
def test_an_undo_ticket_names_its_wish_and_its_time(
    person_hash: str, wish_id: str, heard_at: datetime
) -> None:
    text = sign_undo_ticket(KEYS, person_hash, UndoTicket(wish_id, heard_at))
    assert len(text) == 60
    assert verify_undo_ticket(KEYS, person_hash, text.upper()) == UndoTicket(wish_id, heard_at)


def test_an_undo_ticket_is_nobody_elses_and_no_token() -> None:
    ann, bob = "ab" * 16, "cd" * 16
    text = sign_undo_ticket(KEYS, ann, UndoTicket("12" * 16, datetime(2027, 3, 1, tzinfo=UTC)))
    for person_hash, wrong in [
        (bob, text),
        (ann, text[:-1]),
        (ann, text[:20] + ("a" if text[20] != "a" else "b") + text[21:]),
        (ann, sign_opt_out(KEYS, ann)),
        (ann, sign_undo(KEYS, ann)),
        (ann, ""),
    ]:
        with pytest.raises(TokenError):
            verify_undo_ticket(KEYS, person_hash, wrong)
    with pytest.raises(TokenError):
        verify_opt_out(KEYS, text)
    with pytest.raises(TokenError):
        verify_undo_ticket(STRANGERS, ann, text)


def test_an_undo_ticket_of_a_key_that_leaked_since_is_refused() -> None:
    heard_at = datetime(2027, 3, 1, tzinfo=UTC)
    text = sign_undo_ticket(KEYS, "ab" * 16, UndoTicket("12" * 16, heard_at))
    leaked = TokenKeys(tuple(TokenKey(key.key_id, key.secret, True) for key in KEYS.keys))
    with pytest.raises(TokenError, match="revoked"):
        verify_undo_ticket(leaked, "ab" * 16, text)


def test_a_persons_page_stands_under_the_public_url() -> None:
    assert one_click_url("https://shop.example/mail", "abc") == "https://shop.example/mail/u/abc"
