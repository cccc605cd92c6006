"""Each mail of tests/messages comes to its verdict, and the rules that need facts use them."""

from __future__ import annotations

import json
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.address import parse_address
from mailbot.core.inbound_message import read_message
from mailbot.core.person import Person, PersonKey
from mailbot.core.recognition import (
    RULES,
    AutoReply,
    Bounce,
    Complaint,
    Facts,
    OptOut,
    OurMessage,
    Review,
    Unrelated,
    describe,
    mentions,
    needs_body,
    recognise,
)
from mailbot.core.tokens import (
    TokenKey,
    TokenKeys,
    opt_out_address,
    return_path_address,
    sign_opt_out,
    sign_return_path,
)
from mailbot.core.words.vocabulary import Boundary, Entry, Vocabulary, Where
from mailbot.data import load_vocabulary

MESSAGES = Path(__file__).parent.parent / "messages"
VERDICTS: dict[str, dict[str, Any]] = tomllib.loads((MESSAGES / "verdicts.toml").read_text("utf-8"))

KEYS = TokenKeys(
    (TokenKey(1, bytes(range(32)), is_revoked=True), TokenKey(2, bytes(range(32, 64))))
)
PERSON_KEY = PersonKey(bytes(range(32)))
WORDS = load_vocabulary()
CAMPAIGN_ID = "<campaign-1@shop.example>"


def person(text: str) -> Person:
    return PERSON_KEY.identify(parse_address(text))


OURS = OurMessage(7, person("bob@example.net"), "bob@example.net", "campaign")
FACTS = Facts(
    help_address="help@shop.example",
    own_domains=frozenset({"shop.example"}),
    token_keys=KEYS,
    our_messages={CAMPAIGN_ID: OURS, "outbox:7": OURS},
    vocabulary=WORDS,
)
NO_FACTS = Facts(vocabulary=WORDS)


def mail(subject: str = "unsubscribe", *lines: str, sender: str = "ann@example.org") -> bytes:
    head = "\n".join((f"From: {sender}", f"Subject: {subject}", *lines))
    return f"{head}\n\nbody\n".encode()


def test_every_mail_has_a_verdict_and_every_verdict_a_mail() -> None:
    assert {path.name for path in MESSAGES.glob("*.eml")} == set(VERDICTS)
    assert len(VERDICTS) >= 600


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_a_mail_comes_to_its_verdict(name: str) -> None:
    expected = VERDICTS[name]
    facts = FACTS if expected.get("facts") else NO_FACTS

    verdict = recognise(read_message((MESSAGES / name).read_bytes()), facts)

    described = describe(verdict)
    assert described["verdict"] == expected["verdict"]
    assert described["rule"] == expected["rule"]
    assert described["addresses"] == expected["addresses"]
    assert described.get("permanent") == expected.get("permanent")
    assert list(getattr(verdict, "person_hashes", ())) == expected.get("person_hashes", [])


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_the_header_alone_gives_the_verdict_unless_the_body_is_asked_for(name: str) -> None:
    raw = (MESSAGES / name).read_bytes()
    facts = FACTS if VERDICTS[name].get("facts") else NO_FACTS
    header_only = read_message(raw, is_whole=False)

    if not needs_body(header_only, facts):
        whole = recognise(read_message(raw), facts)
        assert describe(recognise(header_only, facts)) == describe(whole)


def test_no_ordinary_mail_needs_its_body() -> None:
    assert not needs_body(read_message(mail("Where is my order?"), is_whole=False), FACTS)


def test_what_describe_says_is_json() -> None:
    described = describe(recognise(read_message(mail())))
    assert json.loads(json.dumps(described)) == {
        "verdict": "opt_out",
        "addresses": ["ann@example.org"],
        "rule": "word-in-subject",
        "evidence": "Subject: unsubscribe",
    }


def test_the_rules_stand_in_the_order_of_the_design() -> None:
    assert [rule.name for rule in RULES] == [
        "feedback-report",
        "delivery-report",
        "opt-out-token",
        "unsubscribe-button",
        "opt-out-folder",
        "auto-reply",
        "undo",
        "own-address",
        "negation",
        "word-in-subject",
        "near-miss",
    ]


# --- tokens


def test_a_valid_token_opts_out_its_owner_and_the_sender() -> None:
    token = sign_opt_out(KEYS, person("bob@example.net").person_hash)
    to = opt_out_address("help@shop.example", token)
    verdict = recognise(read_message(mail("", f"To: {to}")), FACTS)
    assert isinstance(verdict, OptOut)
    assert verdict.person_hashes == (person("bob@example.net").person_hash,)
    assert [address.text for address in verdict.addresses] == ["ann@example.org"]


def test_a_valid_token_never_opts_out_a_colleague() -> None:
    token = sign_opt_out(KEYS, person("bob@example.net").person_hash)
    to = opt_out_address("help@shop.example", token)
    verdict = recognise(read_message(mail("", f"To: {to}", sender="joe@shop.example")), FACTS)
    assert isinstance(verdict, OptOut)
    assert verdict.addresses == ()


def test_a_forged_token_is_named_and_the_word_decides() -> None:
    token = sign_opt_out(KEYS, person("bob@example.net").person_hash)
    forged = ("b" if token[20] != "b" else "c").join((token[:20], token[21:]))
    to = opt_out_address("help@shop.example", forged)
    verdict = recognise(read_message(mail("unsubscribe", f"To: {to}")), FACTS)
    assert isinstance(verdict, OptOut)
    assert verdict.person_hashes == ()
    assert verdict.rule == "word-in-subject"
    assert "forged" in verdict.notes[0]
    assert "forged" in str(describe(verdict)["evidence"])


def test_a_revoked_key_holds_the_owner_and_whoever_wrote_the_word() -> None:
    leaked = TokenKeys((TokenKey(1, bytes(range(32))),))
    token = sign_opt_out(leaked, person("bob@example.net").person_hash)
    to = opt_out_address("help@shop.example", token)
    verdict = recognise(read_message(mail("unsubscribe", f"To: {to}")), FACTS)
    assert isinstance(verdict, Review)
    assert verdict.person_hashes == (person("bob@example.net").person_hash,)
    assert [address.text for address in verdict.addresses] == ["ann@example.org"]


# --- reports and what they prove


def report(name: str) -> bytes:
    return (MESSAGES / name).read_bytes()


def test_a_bounce_of_our_message_names_it() -> None:
    verdict = recognise(read_message(report("dsn-user-unknown.eml")), FACTS)
    assert isinstance(verdict, Bounce)
    assert verdict.is_permanent
    assert verdict.our == (OURS,)


def test_a_forged_bounce_proves_nothing() -> None:
    raw = report("dsn-user-unknown.eml").replace(b"campaign-1@shop", b"made-up@shop")
    verdict = recognise(read_message(raw), FACTS)
    assert isinstance(verdict, Bounce)
    assert verdict.our == ()


def test_a_report_of_success_is_about_no_message_of_ours() -> None:
    verdict = recognise(read_message(report("dsn-delivered.eml")), FACTS)
    assert isinstance(verdict, Bounce)
    assert verdict.recipients == ()
    assert verdict.our == ()


def test_a_bounce_to_our_return_path_names_the_message() -> None:
    to = return_path_address("help@shop.example", sign_return_path(KEYS, 7))
    raw = mail("Undeliverable: Spring", f"To: {to}", sender="system@mx.example")
    verdict = recognise(read_message(raw), FACTS)
    assert isinstance(verdict, Bounce)
    assert verdict.our == (OURS,)


def test_a_persons_mail_to_our_return_path_is_still_a_request() -> None:
    to = return_path_address("help@shop.example", sign_return_path(KEYS, 7))
    assert isinstance(recognise(read_message(mail("unsubscribe", f"To: {to}")), FACTS), OptOut)


def test_a_complaint_is_proved_by_our_message_id() -> None:
    verdict = recognise(read_message(report("arf-redacted.eml")), FACTS)
    assert isinstance(verdict, Complaint)
    assert verdict.our == (OURS,)
    assert verdict.is_proved


def test_a_complaint_is_proved_by_our_token() -> None:
    token = sign_opt_out(KEYS, person("bob@example.net").person_hash)
    header = f"List-Unsubscribe: <mailto:{opt_out_address('help@shop.example', token)}>\nMessage-ID"
    raw = report("arf-redacted.eml").replace(b"Message-ID: <campaign", f"{header}: <x".encode())
    verdict = recognise(read_message(raw), FACTS)
    assert isinstance(verdict, Complaint)
    assert verdict.person_hashes == (person("bob@example.net").person_hash,)


def test_an_address_alone_proves_no_complaint() -> None:
    verdict = recognise(read_message(report("arf-abuse.eml")))
    assert isinstance(verdict, Complaint)
    assert not verdict.is_proved


def test_a_report_is_capped() -> None:
    block = "Final-Recipient: rfc822; a{}@example.net\nAction: failed\nStatus: 5.1.1\n\n"
    blocks = "".join(block.format(n) for n in range(500))
    raw = report("dsn-user-unknown.eml").replace(b"Original-Recipient", blocks.encode() + b"X-Was")
    verdict = recognise(read_message(raw), FACTS)
    assert isinstance(verdict, Bounce)
    assert len(verdict.recipients) == 50


def test_mentions_are_what_intake_has_to_look_up() -> None:
    to = return_path_address("help@shop.example", sign_return_path(KEYS, 7))
    raw = report("dsn-user-unknown.eml").replace(b"To: help@shop.example", f"To: {to}".encode())
    found = mentions(read_message(raw), FACTS)
    assert CAMPAIGN_ID in found.message_ids
    assert found.outbox_ids == (7,)


# --- who asked


def test_a_forward_of_our_mail_asks_about_its_owner() -> None:
    verdict = recognise(read_message(mail("unsubscribe", f"References: {CAMPAIGN_ID}")), FACTS)
    assert isinstance(verdict, OptOut)
    assert verdict.asked_about == (OURS,)


def test_the_owner_of_the_mail_answering_it_is_asked_about_nobody() -> None:
    raw = mail("unsubscribe", f"In-Reply-To: {CAMPAIGN_ID}", sender="Bob+shop@Example.net")
    verdict = recognise(read_message(raw), FACTS)
    assert isinstance(verdict, OptOut)
    assert verdict.asked_about == ()


def test_a_reply_to_our_own_campaign_through_a_list_is_a_request() -> None:
    lines = (f"In-Reply-To: {CAMPAIGN_ID}", "List-Id: <customers.provider.example>")
    verdict = recognise(read_message(mail("Re: unsubscribe", *lines)), FACTS)
    assert isinstance(verdict, OptOut)


def test_our_own_list_is_no_thread_of_others() -> None:
    lines = ("In-Reply-To: <x@y.example>", "List-Id: Help <help.shop.example>")
    facts = Facts(own_lists=frozenset({"help.shop.example"}))
    assert isinstance(recognise(read_message(mail("Re: unsubscribe", *lines)), facts), OptOut)


def test_a_from_of_thousands_holds_twenty() -> None:
    many = ", ".join(f"a{n}@example.org" for n in range(2000))
    verdict = recognise(read_message(mail(sender=many)))
    assert isinstance(verdict, Review)
    assert len(verdict.addresses) == 20


# --- metamorphic


ORDINARY = sorted(name for name, expected in VERDICTS.items() if expected["verdict"] == "unrelated")
MACHINES = sorted(
    name
    for name, expected in VERDICTS.items()
    if expected["verdict"] in ("auto_reply", "bounce", "complaint")
)


def test_putting_the_word_into_an_ordinary_subject_flips_it() -> None:
    flipped = 0
    for name in ORDINARY:
        raw = (MESSAGES / name).read_bytes()
        if b"\nSubject: " not in raw or VERDICTS[name].get("facts"):
            continue
        changed = raw.replace(b"\nSubject: ", b"\nSubject: unsubscribe, ", 1)
        assert recognise(read_message(changed)).name == "opt_out", name
        flipped += 1
    assert flipped >= 10


@pytest.mark.parametrize("name", MACHINES)
def test_putting_the_word_into_a_machines_subject_changes_nothing(name: str) -> None:
    raw = (MESSAGES / name).read_bytes()
    changed = raw.replace(b"\nDate: ", b"\n unsubscribe\nDate: ", 1)  # a folded subject goes on
    assert b"unsubscribe" in changed
    assert "unsubscribe" in read_message(changed).subject
    assert recognise(read_message(changed)).name == VERDICTS[name]["verdict"]


@given(
    before=st.text(alphabet=st.characters(exclude_categories=["C", "M", "L", "N"]), max_size=20),
    word=st.sampled_from(["unsubscribe", "Unsubscribe", "UNSUBSCRIBE", "ｕｎｓｕｂｓｃｒｉｂｅ"]),
    after=st.text(alphabet=" .!?,;-äöあ", max_size=3),
)
def test_the_word_is_heard_among_any_punctuation(before: str, word: str, after: str) -> None:
    subject = f"{before} {word} {after}".replace("=?", "= ?")
    verdict = recognise(read_message(mail(subject)))
    assert isinstance(verdict, (OptOut, Review))


@given(st.binary(max_size=2000))
def test_any_bytes_come_to_a_verdict_that_is_json(raw: bytes) -> None:
    json.dumps(describe(recognise(read_message(raw), FACTS)))
    needs_body(read_message(raw, is_whole=False), FACTS)


@given(st.binary(max_size=300), st.sampled_from(sorted(VERDICTS)), st.integers(0, 3000))
def test_damaged_mail_comes_to_a_verdict(junk: bytes, name: str, at: int) -> None:
    raw = (MESSAGES / name).read_bytes()
    json.dumps(describe(recognise(read_message(raw[:at] + junk + raw[at:]), FACTS)))


# --- vocabulary


def test_a_new_word_is_only_data() -> None:
    words = Vocabulary(
        (
            Entry("en", ("unsubscribe",)),
            Entry("de", ("Stopp",), Where.WHOLE_SUBJECT),
            Entry("zh", ("退订",), Where.ANYWHERE, Boundary.SUBSTRING),
        )
    )
    facts = Facts(vocabulary=words)
    assert isinstance(recognise(read_message(mail("STOPP!")), facts), OptOut)
    assert isinstance(recognise(read_message(mail("Stopp der Lieferung")), facts), Unrelated)
    assert isinstance(recognise(read_message(mail("请退订我")), facts), OptOut)
    assert isinstance(recognise(read_message(mail("请退订我"))), Unrelated)


def test_the_word_has_to_be_a_word() -> None:
    for subject in ("unsubscribed", "resubscribe", "unsubscribers", "1unsubscribe2"):
        assert isinstance(recognise(read_message(mail(subject))), Unrelated), subject


def test_an_auto_reply_is_no_opt_out() -> None:
    raw = mail("Re: unsubscribe", "Auto-Submitted: auto-replied")
    assert isinstance(recognise(read_message(raw)), AutoReply)


def test_time_grows_with_size_and_no_faster() -> None:
    """Ten times the size may take ten times the time, with room for a noisy machine."""

    def seconds(size: int) -> float:
        hostile = 'a@b <("=?utf-8?q?_unsubscribe ' * (size // 30)
        raw = f"From: {hostile}\nTo: {hostile}\nSubject: {hostile}\n\n".encode()
        started = time.perf_counter()
        for _ in range(3):
            recognise(read_message(raw + hostile.encode()), FACTS)
        return time.perf_counter() - started

    seconds(1000)
    small, large = seconds(6_000), seconds(60_000)
    assert large < 40 * small + 0.2
