"""Reports: what a delivery or feedback report says, and which failures are for good."""

from __future__ import annotations

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.reports.heuristics import guess_delivery_report
from mailbot.core.reports.standard import (
    read_delivery_report,
    read_feedback_report,
    returned_message_ids,
)
from mailbot.core.reports.undeliverable import says_nonexistent

HEAD = b"From: MAILER-DAEMON@mx.example\nSubject: x\nContent-Type: multipart/report; boundary=b\n\n"
STATUS = b"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"


def failed(blocks: bytes) -> list[tuple[str, bool]]:
    report = read_delivery_report(read_message(HEAD + STATUS + blocks))
    assert report is not None
    return [(str(each.address), each.is_permanent) for each in report.recipients]


def test_each_recipient_of_a_report_is_judged_by_its_own_block() -> None:
    blocks = (
        b"Final-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n\n"
        b"Final-Recipient: rfc822; b@x.example\nAction: failed\nStatus: 5.2.2\n\n"
        b"Final-Recipient: rfc822; c@x.example\nAction: delivered\nStatus: 2.0.0\n\n"
    )
    assert failed(blocks) == [("a@x.example", True), ("b@x.example", False)]


def test_blocks_without_a_blank_line_between_are_still_two() -> None:
    blocks = (
        b"Final-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n"
        b"Final-Recipient: rfc822; b@x.example\nAction: failed\nStatus: 5.2.2\n"
    )
    assert failed(blocks) == [("a@x.example", True), ("b@x.example", False)]


def test_the_original_recipient_is_the_one_we_wrote_to() -> None:
    blocks = (
        b"Original-Recipient: rfc822;a@x.example\nFinal-Recipient: rfc822;b@y.example\n"
        b"Action: failed\nStatus: 5.1.1\n"
    )
    assert failed(blocks) == [("a@x.example", True)]


def test_the_mail_system_itself_never_failed() -> None:
    blocks = b"Final-Recipient: rfc822; MAILER-DAEMON@mx.example\nAction: failed\nStatus: 5.1.1\n"
    assert failed(blocks) == []


def test_a_boundary_that_the_body_does_not_use_is_found_in_the_body() -> None:
    raw = (HEAD + STATUS).replace(b"boundary=b", b"boundary=other")
    raw += b"Final-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n"
    report = read_delivery_report(read_message(raw))
    assert report is not None
    assert report.recipients[0].is_permanent


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("5.1.1", "", True),
        ("5.1.10", "Recipient not found", True),
        ("5.1.6", "", True),
        ("5.0.0", "550 User unknown in local recipient table", True),
        ("5.0.0", "550 5.1.1 anything", True),
        ("", "Host or domain name not found", True),
        ("5.7.1", "550 5.7.1 Relaying denied", False),
        ("5.2.2", "552 Mailbox full", False),
        ("5.2.1", "mailbox disabled", False),
        ("5.1.8", "Sender domain does not exist", False),
        ("5.1.1", "550 5.7.1 listed by spamhaus", False),
        ("5.1.1", "552 5.2.2 Over quota", False),
        ("4.4.7", "user unknown", False),
        ("4.1.1", "User unknown", False),
        ("5.0.0", "<does-not-exist@x.example> rejected by policy", False),
        ("5.0.0", "550 Sender address rejected: user unknown", False),
        ("5.1.15", "", False),
    ],
)
def test_only_what_does_not_exist_is_permanent(status: str, text: str, expected: bool) -> None:
    assert says_nonexistent(status, text) is expected


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ("host mx said: 550 User unknown (in reply to RCPT TO command)", True),
        ("host mx said: 550 User unknown (in reply to end of DATA command)", False),
        (">>> DATA\n<<< 550 Unknown user\n554 5.0.0 Service unavailable", False),
        (">>> DATA\n<<< 550 User unknown\n550 5.1.1 <a@x.example>... User unknown", True),
        ("SMTP error from remote mail server after end of data:\n550 : User unknown", False),
    ],
)
def test_an_unknown_user_in_answer_to_the_body_is_a_filters_word(
    session: str, expected: bool
) -> None:
    """Japanese carriers say so when their customer's filter refuses the sender."""
    assert says_nonexistent("", "550 User unknown", session) is expected


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("5.2.1", "550 5.2.1 <a@x.example>... User Unknown", False),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied", True),
        ("5.7.1", "550 5.7.1 Recipient address rejected: Access denied", False),
        ("", "550 Unknown user someone@docomo.ne.jp", False),
        ("", "an MX or SRV record indicated no SMTP service", True),
        ("", "The group you tried to contact may not exist", False),
        ("", "Host not found, try again", False),
        ("", "521 5.3.2 System not accepting network messages", True),
        ("5.1.1", "x-unix; procmail: Couldn't create /var/spool/mail/ann", False),
        ("", "554 delivery error: This user doesn't have a yahoo.com account", True),
    ],
)
def test_what_mail_systems_mean_by_their_words(status: str, text: str, expected: bool) -> None:
    assert says_nonexistent(status, text) is expected


def test_a_report_that_a_gateway_enclosed_is_read() -> None:
    inner = (
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=c\n\n--c\n"
        b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"
        b"Final-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n\n--c--\n"
    )
    raw = (
        b"From: MAILER-DAEMON@x.example\nContent-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: text/plain\n\nFailed.\n--b\nContent-Type: message/rfc822\n\n"
        + inner + b"--b--\n"
    )  # fmt: skip
    report = read_delivery_report(read_message(raw))
    assert report is not None
    assert [(str(one.address), one.is_permanent) for one in report.recipients] == [
        ("a@x.example", True)
    ]


def test_a_server_that_goes_on_trying_has_not_given_up() -> None:
    blocks = b"Final-Recipient: rfc822; a@x.example\nAction: delayed\nStatus: 4.4.1\n\n"
    report = read_delivery_report(read_message(HEAD + STATUS + blocks))
    assert report is not None
    (recipient,) = report.recipients
    assert (recipient.is_final, recipient.may_pass) == (False, False)


def test_a_feedback_report_says_whom_and_what_it_is_about() -> None:
    body = (
        b"--b\nContent-Type: message/feedback-report\n\nFeedback-Type: Abuse\n"
        b"Original-Rcpt-To: <a@x.example>\nOriginal-Rcpt-To: b@x.example\n\n"
        b"--b\nContent-Type: message/rfc822\n\nMessage-ID: <1@shop>\nSubject: y\n\nz\n--b--\n"
    )
    message = read_message(HEAD + body)
    report = read_feedback_report(message)
    assert report.feedback_type == "abuse"
    assert [address.text for address in report.addresses] == ["a@x.example", "b@x.example"]
    assert report.returned.first("subject") == "y"
    assert returned_message_ids(message) == ("<1@shop>",)


def test_message_ids_are_found_in_a_bounce_that_is_only_text() -> None:
    raw = b"From: MAILER-DAEMON@x\n\nIt failed.\n\n> Message-Id:\n <1@shop>\nX: y\n"
    assert returned_message_ids(read_message(raw)) == ("<1@shop>",)


def test_guessing_survives_a_mail_without_from_and_one_nested_too_deep() -> None:
    """flufl.bounce raises on both."""
    deep = b"".join(
        b"Content-Type: multipart/a; boundary=%d\n\n--%d\n" % (n, n) for n in range(999)
    )
    for raw in (b"Subject: Undeliverable\n\nx", b"Subject: Undeliverable\n" + deep):
        report = guess_delivery_report(read_message(raw))
        assert report is not None
        assert not any(each.is_permanent for each in report.recipients)
