"""Our DKIM signatures, judged by another implementation (dkimpy)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbot.config.dkim_keys import DkimKey, make_key
from mailbot.core.dkim import DkimIdentity, sign
from mailbot.core.mail_headers import mailbox_line, subject_line
from tests.people import address

AT = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)  # dkimpy believes no time to come
KEYS = {"rsa": make_key("rsa"), "ed25519": make_key("ed25519")}
LETTER = (
    b"From: Lindenhof <offers@shop.example>\r\nTo: ann@example.org\r\n"
    b"Reply-To: help@shop.example\r\nSubject: =?utf-8?b?VGVl?=\r\n =?utf-8?b?cw==?=\r\n"
    b"Date: Tue, 09 Mar 2027 08:30:00 +0000\r\nMessage-ID: <1@shop.example>\r\n"
    b"List-Unsubscribe: <https://shop.example/u/abc>,\r\n <mailto:help+u-abc@shop.example>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nDear  Ann, \r\n\r\n.hidden\r\nBye.\r\n\r\n\r\n"
)


def identity(key: DkimKey, domain: str = "shop.example", selector: str = "tea1") -> DkimIdentity:
    return DkimIdentity(domain, selector, key)


def is_good(message: bytes, keys: Sequence[DkimKey], which: int = 0) -> bool:
    """What dkimpy says of the signature that stands at `which`."""
    records = {
        f"tea{number}._domainkey.shop.example.".encode(): key.record.encode()
        for number, key in enumerate(keys, 1)
    }
    verifier = dkim.DKIM(message)
    try:
        return bool(verifier.verify(which, dnsfunc=lambda name, timeout=5: records.get(name)))
    except dkim.DKIMException:
        return False


@pytest.mark.parametrize("kind", KEYS)
def test_another_implementation_finds_the_signature_good(kind: str) -> None:
    key = KEYS[kind]
    signed = sign(LETTER, [identity(key)], AT)
    assert signed.endswith(LETTER), "the letter itself is not touched"
    assert is_good(signed, [key])
    assert not is_good(signed, [make_key("rsa")]), "and by another key it is not"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<https://shop.example/u/abc>", b"<https://evil.example/u/abc>"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"Subject: ", b"Subject: Re "),
        (b"offers@shop", b"other@shop"),
        (b"Bye.", b"Buy!"),
        (b"\r\n\r\nDear", b"\r\n\r\nMore\r\nDear"),
        # What was there once may not be there twice: readers differ in which of both they show.
        (b"\r\nTo:", b"\r\nFrom: eve@evil.example\r\nTo:"),
        (b"\r\nTo:", b"\r\nSubject: other\r\nTo:"),
        (b"\r\nTo:", b"\r\nList-Unsubscribe: <https://evil.example>\r\nTo:"),
        (b"\r\nTo:", b"\r\nList-Unsubscribe-Post: no\r\nTo:"),
        (b"\r\nTo:", b"\r\nContent-Type: text/html\r\nTo:"),
    ],
)
@pytest.mark.parametrize("kind", KEYS)
def test_whatever_a_reader_would_see_breaks_it_when_it_is_changed(
    kind: str, old: bytes, new: bytes
) -> None:
    signed = sign(LETTER, [identity(KEYS[kind])], AT)
    head, letter = signed[: -len(LETTER)], signed[-len(LETTER) :]
    assert old in letter
    assert not is_good(head + letter.replace(old, new, 1), [KEYS[kind]])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\r\n\r\nDear  Ann, \r\n", b"\r\n\r\nDear Ann,\r\n"),
        (b"Bye.\r\n\r\n\r\n", b"Bye.\r\n"),
        (b">,\r\n <mailto", b">, <mailto"),
        (b"From: Lindenhof", b"FROM:\tLindenhof"),
        (b"\r\nTo:", b"\r\nReceived: by relay.example\r\nX-Spam: no\r\nTo:"),
    ],
)
def test_what_relays_do_on_the_way_does_not(old: bytes, new: bytes) -> None:
    signed = sign(LETTER, [identity(KEYS["rsa"])], AT)
    assert is_good(signed.replace(old, new, 1), [KEYS["rsa"]])


def test_two_keys_sign_side_by_side() -> None:
    keys = [KEYS["rsa"], KEYS["ed25519"]]
    signed = sign(LETTER, [identity(keys[0]), identity(keys[1], selector="tea2")], AT)
    assert is_good(signed, keys, 0)
    assert is_good(signed, keys, 1)
    assert b"List-Unsubscribe:List-Unsubscribe-Post" in signed.replace(b"\r\n ", b"")


def test_lines_of_the_signature_fit_a_mail() -> None:
    signed = sign(LETTER, [identity(KEYS["rsa"], domain=f"{'d' * 60}.example")], AT)
    head = signed[: -len(LETTER)].split(b"\r\n")
    assert max(map(len, head)) <= 120


def test_a_signature_is_for_its_own_domain_and_those_below_it() -> None:
    one = identity(KEYS["rsa"])
    assert one.answers_for("shop.example")
    assert one.answers_for("mail.shop.example")
    assert not one.answers_for("othershop.example")
    assert not one.answers_for("example")


@given(
    subject=st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=90
    ),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=90),
    body=st.text(st.sampled_from("ab \t.=é\n"), max_size=60),
)
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_subject_name_and_body(subject: str, name: str, body: str) -> None:
    message = b"".join(
        [
            mailbox_line("From", name, address("offers@shop.example")),
            subject_line(subject or "x"),
            b"\r\n",
            body.replace("\n", "\r\n").encode() + b"\r\n",
        ]
    )
    for key in KEYS.values():
        assert is_good(sign(message, [identity(key)], AT), [key])
