"""What our own mail server found out about a sender, and nobody else's word for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.inbound_message import read_message
from mailbot.core.rules.authentication import authentication

OURS = frozenset({"mx.shop.example"})


def found(*values: str) -> str:
    head = "".join(f"Authentication-Results: {value}\n" for value in values)
    return str(authentication(read_message(f"From: a@b.example\n{head}\nx".encode()), OURS))


def is_failed(value: str) -> bool:
    raw = f"From: a@b.example\nAuthentication-Results: {value}\n\nx".encode()
    return authentication(read_message(raw), OURS).is_failed


def test_the_topmost_field_of_our_own_server_is_read() -> None:
    strangers = "mx.evil.example; spf=pass; dkim=pass; dmarc=pass"
    ours = "mx.shop.example 1; spf=fail (not allowed; really) smtp.mailfrom=b.example; dkim=none"
    assert found(strangers, ours, "mx.shop.example; spf=pass") == "spf fail, dkim none"


def test_a_strangers_field_says_nothing() -> None:
    assert found("mx.evil.example; spf=fail") == ""
    assert str(authentication(read_message(b"From: a@b.example\n\nx"), OURS)) == ""


def test_without_a_server_of_ours_nothing_is_read() -> None:
    raw = b"Authentication-Results: mx.shop.example; spf=fail\n\nx"
    assert str(authentication(read_message(raw), frozenset())) == ""


def test_one_good_signature_is_enough() -> None:
    assert found("mx.shop.example; dkim=fail; dkim=pass; dkim=fail") == "dkim pass"


@pytest.mark.parametrize(
    ("results", "failed"),
    [
        ("spf=pass; dkim=fail; dmarc=fail", True),
        ("spf=fail; dkim=fail; dmarc=pass", False),
        ("spf=softfail; dkim=none", True),
        ("spf=softfail; dkim=pass", False),
        ("spf=none; dkim=none; dmarc=none", False),
        ("spf=fail; dmarc=none", True),
        ("", False),
    ],
)
def test_dmarc_decides_and_without_it_whether_anything_passed(results: str, failed: bool) -> None:
    assert is_failed(f"MX.shop.example; {results}") is failed


@given(st.text(max_size=300))
def test_junk_is_no_exception(text: str) -> None:
    found(f"mx.shop.example; {text}".replace("\n", " "))
