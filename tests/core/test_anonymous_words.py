"""The words of a relay, without whom they are about."""

from __future__ import annotations

import pytest

from mailbot.core.anonymous_words import anonymous


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("550 5.7.1 message refused as spam", "550 5.7.1 message refused as spam"),
        ("554 5.7.1 <ann@example.org>: Relay access denied",
         "554 5.7.1 … Relay access denied"),
        ("550 ann@example.org is over quota", "550 … is over quota"),
        ("552 5.3.4 Message size 12001 exceeds limit 10000",
         "552 5.3.4 Message size … exceeds limit …"),
        ("550-5.7.26 See https://support.example/mail?p=1 [192.0.2.7] id 4F2Cabc",
         "550-5.7.26 See … id …"),
        ('550 user "Ann Lee" (ann) said no', "550 user … said no"),
        ("\x1b[31mno\r\nway", "… way"),
        ("", ""),
    ],
)  # fmt: skip
def test_codes_and_words_stay_and_names_go(reply: str, told: str) -> None:
    assert anonymous(reply) == told


@pytest.mark.parametrize("name", [
    "ann@example.org", "<ann@example.org>", "ann@[192.0.2.7]", "ann+tea@example.org,",
    '"ann"@example.org', "ann@exämple.org",
])  # fmt: skip
def test_no_address_is_left(name: str) -> None:
    assert "@" not in anonymous(f"550 5.1.1 {name} is not wanted ({name})")
    assert "ann" not in anonymous(f"550 5.1.1 {name} is not wanted ({name})")
    assert anonymous(f"550 no {name} here") == anonymous("550 no <bob@shop.example> here")


def test_it_is_short() -> None:
    assert len(anonymous("550 " + "no " * 1000)) <= 100
