"""Bounces and complaints that a sending service mails as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.inbound_message import read_message
from mailbot.core.person import Person
from mailbot.core.recognition import Facts, mentions, needs_body, recognise
from mailbot.core.reports.notifications import read_notification
from mailbot.core.verdicts import Bounce, Complaint, OurMessage, Verdict

OURS = OurMessage(7, Person("0" * 32, "0" * 32), "ann@example.net", "campaign")
FACTS = Facts(our_messages={"<campaign-1@shop.example>": OURS})
MAIL = {"headers": [{"name": "Message-ID", "value": "<campaign-1@shop.example>"}]}


def notification(data: object, *lines: str) -> bytes:
    head = "\n".join((
        "From: SES <no-reply@sns.amazonaws.com>", "Subject: AWS Notification Message",
        "x-amz-sns-message-id: 1234", "Content-Type: text/plain; charset=UTF-8", *lines,
    ))  # fmt: skip
    text = data if isinstance(data, str) else json.dumps(data)
    return f"{head}\n\n{text}\n\n--\nclick the link below to unsubscribe\n".encode()


def bounce(kind: str = "Permanent", status: str = "5.1.1", **more: Any) -> dict[str, Any]:
    recipient = {"emailAddress": "ann@example.net", "status": status,
                 "diagnosticCode": f"smtp; 550 {status} user"}  # fmt: skip
    body = {"bounceType": kind, "bounceSubType": "General", "bouncedRecipients": [recipient]}
    return {"notificationType": "Bounce", "bounce": {**body, **more}, "mail": MAIL}


def verdict(data: object) -> Verdict:
    return recognise(read_message(notification(data)), FACTS)


def test_a_permanent_bounce_of_our_message_names_it() -> None:
    found = verdict(bounce())
    assert isinstance(found, Bounce)
    assert found.is_permanent
    assert found.our == (OURS,)
    assert [str(one.address) for one in found.recipients] == ["ann@example.net"]


@pytest.mark.parametrize(
    ("kind", "status"), [("Transient", "5.1.1"), ("Permanent", "5.7.1"), ("Undetermined", "")]
)
def test_nothing_else_is_permanent(kind: str, status: str) -> None:
    found = verdict(bounce(kind, status))
    assert isinstance(found, Bounce)
    assert not found.is_permanent


def test_a_complaint_is_about_the_recipient_and_our_message() -> None:
    body = {"complainedRecipients": [{"emailAddress": "ann@example.net"}]}
    found = verdict({"notificationType": "Complaint", "complaint": body, "mail": MAIL})
    assert isinstance(found, Complaint)
    assert [address.text for address in found.addresses] == ["ann@example.net"]
    assert found.our == (OURS,)


def test_a_delivery_failed_nobody() -> None:
    found = verdict({"notificationType": "Delivery", "mail": MAIL})
    assert isinstance(found, Bounce)
    assert found.recipients == ()


def test_the_message_in_the_envelope_of_sns_is_read() -> None:
    found = verdict({"Type": "Notification", "Message": json.dumps(bounce())})
    assert isinstance(found, Bounce)
    assert found.is_permanent


def test_intake_fetches_the_body_and_looks_our_message_up() -> None:
    raw = notification(bounce())
    assert needs_body(read_message(raw, is_whole=False))
    assert "<campaign-1@shop.example>" in mentions(read_message(raw)).message_ids


def test_the_same_words_from_anybody_else_are_a_mail() -> None:
    raw = notification(bounce()).replace(b"x-amz-sns-message-id", b"x-other")
    assert recognise(read_message(raw), FACTS).name == "unrelated"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"bounce": 3}', "{" * 9000, '{"mail": [[[]]]}'])
def test_broken_json_is_no_exception(text: str) -> None:
    assert recognise(read_message(notification(text)), FACTS).name in ("unrelated", "bounce")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["bounce", "complaint", "mail", "headers", "name", "value", "Message",
                         "bouncedRecipients", "emailAddress", "notificationType", "status"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(_json)
def test_any_json_is_read_or_left(data: object) -> None:
    read_notification(read_message(notification(data)))
    recognise(read_message(notification(data)), FACTS)
