"""Whom a request is about: the header says, and nothing else."""

from __future__ import annotations

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.recognition import Facts, OptOut, Review, mentions, recognise
from mailbot.core.rules.who_asked import behind_the_list, embedded_senders
from mailbot.core.verdicts import Verdict
from mailbot.data import load_vocabulary

WORDS = load_vocabulary()
FACTS = Facts(
    help_address="help@shop.example", own_domains=frozenset({"shop.example"}), vocabulary=WORDS
)


def raw(sender: str, *lines: str, body: str = "x", subject: str = "unsubscribe") -> bytes:
    head = "\n".join((f"From: {sender}", f"Subject: {subject}", *lines))
    return f"{head}\n\n{body}\n".encode()


def verdict(sender: str, *lines: str, facts: Facts = FACTS) -> Verdict:
    return recognise(read_message(raw(sender, *lines)), facts)


@pytest.mark.parametrize(
    "sender",
    [
        "Ann via Help <help@shop.example>",
        "'Ann' via Support <support@shop.example>",
        "Ann über Hilfe <help@shop.example>",
        "help@shop.example",
    ],
)
def test_behind_our_own_list_stands_whoever_replies_go_to(sender: str) -> None:
    found = verdict(sender, "Reply-To: Ann <ann@example.org>")
    assert isinstance(found, Review)
    assert [address.text for address in found.addresses] == ["ann@example.org"]


def test_somebody_we_know_behind_a_list_is_out_at_once() -> None:
    facts = Facts(
        help_address="help@shop.example", own_domains=frozenset({"shop.example"}),
        known=frozenset({"ann@example.org"}), vocabulary=WORDS,
    )  # fmt: skip
    found = verdict("Ann via Help <help@shop.example>", "Reply-To: ann@example.org", facts=facts)
    assert isinstance(found, OptOut)
    assert [address.text for address in found.addresses] == ["ann@example.org"]
    assert found.held_addresses == ()


def test_behind_a_strangers_list_the_list_is_out_and_the_writer_is_held() -> None:
    found = verdict(
        "Ann via Gardeners <list@garden.example>", "Reply-To: ann@example.org",
        "X-Original-From: Ann <ann@example.org>",
    )  # fmt: skip
    assert isinstance(found, OptOut)
    assert [address.text for address in found.addresses] == ["list@garden.example"]
    assert [address.text for address in found.held_addresses] == ["ann@example.org"]


def test_of_several_behind_a_list_nobody_is_out_at_once() -> None:
    """Anyone can write "via" into their name: one mail would silence twenty strangers."""
    facts = Facts(
        help_address="help@shop.example", vocabulary=WORDS,
        known=frozenset({"victim@example.net", "other@example.net"}),
    )  # fmt: skip
    found = verdict(
        "A via B <mallory@example.org>", "Reply-To: victim@example.net, other@example.net",
        facts=facts,
    )  # fmt: skip
    assert isinstance(found, OptOut)
    assert [address.text for address in found.addresses] == ["mallory@example.org"]
    held = [address.text for address in found.held_addresses]
    assert held == ["victim@example.net", "other@example.net"]


def test_a_reply_to_of_an_ordinary_mail_is_nobody() -> None:
    """Anyone can write one: it would opt strangers out."""
    found = verdict("Ann <ann@example.org>", "Reply-To: victim@example.net")
    assert isinstance(found, OptOut)
    assert [address.text for address in found.addresses] == ["ann@example.org"]
    assert found.held_addresses == ()


def test_via_in_a_name_without_a_reply_to_is_a_name() -> None:
    found = verdict("Maria via dei Fiori <maria@example.org>")
    assert isinstance(found, OptOut)
    assert [address.text for address in found.addresses] == ["maria@example.org"]


def test_what_has_to_be_looked_up_is_mentioned() -> None:
    message = read_message(raw("Ann via Help <help@shop.example>", "Reply-To: ann@example.org"))
    assert [address.text for address in mentions(message, FACTS).addresses] == ["ann@example.org"]
    assert behind_the_list(read_message(raw("ann@example.org")), FACTS) == ()


@pytest.mark.parametrize(
    "body",
    [
        "See below.\n\n-----Original Message-----\nFrom: Ann <ann@example.org>\nSent: x\n\nhello",
        "---------- Forwarded message ---------\nVon: Ann <ann@example.org>\nBetreff: x\n",
        "> From: ann@example.org\n> Subject: unsubscribe\n",
        "Begin forwarded message:\n\nDe : Ann <ann@example.org>\n",
    ],
)
def test_a_colleagues_inline_forward_names_whoever_wrote_it(body: str) -> None:
    message = read_message(raw("joe@shop.example", body=body, subject="Fwd: unsubscribe"))
    assert [one.text for one in embedded_senders(message, FACTS)] == ["ann@example.org"]
    found = recognise(message, FACTS)
    assert isinstance(found, Review)
    assert found.rule == "own-address"


def test_an_address_in_a_customers_body_is_nobody() -> None:
    message = raw("ann@example.org", body="From: victim@example.net\nunsubscribe him too")
    found = recognise(read_message(message), FACTS)
    assert isinstance(found, OptOut)
    assert [address.text for address in found.addresses] == ["ann@example.org"]
