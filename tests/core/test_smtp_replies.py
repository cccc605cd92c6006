"""What the relay's words mean for one message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.smtp_replies import (
    Outcome,
    Reply,
    Stage,
    Welcome,
    judge,
    judge_loss,
    welcome,
)

S, D, B, R, T, U = (Outcome.SENT, Outcome.DEFERRED, Outcome.BOUNCED, Outcome.REJECTED,
                    Outcome.RELAY_TROUBLE, Outcome.UNCERTAIN)  # fmt: skip

CASES = [
    ("dot", 250, "2.0.0 Ok: queued as 4F2", S),
    ("rcpt", 550, "5.1.1 User unknown", B),
    ("rcpt", 550, "5.1.10 Null MX", B),
    ("rcpt", 553, "5.1.3 bad address syntax", B),
    ("rcpt", 550, "No such user here", B),
    ("rcpt", 550, "Mailbox does not exist", B),
    ("rcpt", 552, "5.2.2 Mailbox full", R),
    ("rcpt", 554, "5.7.1 <ann@example.org>: Relay access denied", D),
    ("rcpt", 550, "5.7.1 Unable to relay", D),
    ("rcpt", 550, "relay not permitted", D),
    ("rcpt", 530, "5.7.0 Must issue a STARTTLS command first", D),
    ("dot", 530, "5.7.0 Authentication required", D),
    ("dot", 550, "5.4.5 Daily user sending limit exceeded", D),
    ("rcpt", 550, "5.1.1 undeliverable: host mx.example.org said: Relay access denied", B),
    ("mail", 530, "5.7.0 Authentication required", T),
    ("rcpt", 550, "5.7.1 User unknown to our spam filter", R),
    ("rcpt", 450, "4.2.0 Greylisted", D),
    ("rcpt", 451, "4.7.1 Try again later", D),
    ("rcpt", 421, "4.7.0 Too many", D),
    ("data", 451, "4.3.0 later", D),
    ("dot", 554, "5.6.0 Message content rejected", R),
    ("dot", 452, "4.3.1 Insufficient storage", D),
    ("dot", 550, "5.1.1 no such user", B),
    ("mail", 550, "5.7.1 Sender rejected", T),
    ("mail", 451, "4.3.0 Temporary failure", T),
    ("mail", 421, "4.3.2 Shutting down", T),
    ("mail", 552, "5.3.4 Message size exceeds fixed limit", R),
    ("mail", 552, "message size exceeds maximum permitted", R),
    ("auth", 535, "5.7.8 Authentication failed", T),
    ("connect", 554, "5.3.2 No service", T),
    ("dot", 354, "what?", U),
    ("rcpt", 999, "nonsense", T),
]


@pytest.mark.parametrize(("stage", "code", "text", "outcome"), CASES)
def test_the_reply_table(stage: str, code: int, text: str, outcome: Outcome) -> None:
    assert judge(Stage(stage), Reply.parse(code, text)) == outcome


def test_a_loss_from_the_body_on_is_uncertain_and_before_it_is_not() -> None:
    assert judge_loss(Stage.DOT) is Outcome.UNCERTAIN
    assert {judge_loss(stage) for stage in Stage if stage is not Stage.DOT} == {
        Outcome.DEFERRED, Outcome.RELAY_TROUBLE
    }  # fmt: skip


def test_an_enhanced_code_of_another_class_is_not_believed() -> None:
    assert Reply.parse(550, "2.1.5 fine").enhanced == ""
    assert Reply.parse(250, "2.1.5 fine").enhanced == "2.1.5"


@given(st.integers(200, 599), st.text(max_size=200))
def test_only_a_2xx_to_the_final_dot_counts_as_sent(code: int, text: str) -> None:
    for stage in Stage:
        if judge(stage, Reply.parse(code, text)) is Outcome.SENT:
            assert stage is Stage.DOT and code // 100 == 2


@given(st.integers(200, 599), st.text(max_size=200),
       st.sampled_from([Stage.CONNECT, Stage.AUTH, Stage.MAIL]))  # fmt: skip
def test_nothing_that_is_said_before_rcpt_makes_a_customer_undeliverable(
    code: int, text: str, stage: Stage
) -> None:
    assert judge(stage, Reply.parse(code, text)) is not Outcome.BOUNCED


MANY, OURS, UNSAID = Welcome.DOMAIN_TOO_MANY, Welcome.RELAY_TOO_MANY, Welcome.UNSAID
PACES = [
    # As Google, Yahoo, Microsoft, Orange and Postfix say it
    ("dot", 421, "4.7.0 Our system has detected an unusual rate of unsolicited mail", MANY),
    ("dot", 421, "4.7.28 Gmail has detected an unusual rate of unsolicited email", MANY),
    ("rcpt", 450, "4.2.1 The user is receiving mail at a rate that prevents additional", MANY),
    ("rcpt", 452, "4.5.3 Domain policy size per transaction exceeded", MANY),
    ("data", 421, "4.4.5 Server busy, try again later.", MANY),
    ("dot", 421, "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", MANY),
    ("rcpt", 451, "4.7.650 The mail server has been temporarily rate limited", MANY),
    ("rcpt", 451, "4.7.500 Server busy. Please try again later", MANY),
    ("rcpt", 421, "RP-001 The mail server IP has exceeded the rate limit allowed", MANY),
    ("rcpt", 421, "mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration", MANY),
    ("rcpt", 450, "4.7.1 Too many messages to this domain", MANY),
    ("rcpt", 421, "too many concurrent SMTP connections; please try again later.", MANY),
    # Of our account at the relay
    ("dot", 454, "Throttling failure: Maximum sending rate exceeded.", OURS),
    ("dot", 454, "Throttling failure: Daily message quota exceeded.", OURS),
    ("dot", 432, "4.3.2 Concurrent connections limit exceeded", OURS),
    ("dot", 432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", OURS),
    ("rcpt", 450, "4.2.1 Peak SMTP relay limit exceeded for customer.", OURS),
    ("dot", 550, "5.4.5 Daily user sending limit exceeded", OURS),
    ("rcpt", 450, "4.7.1 Error: too many recipients from relay.shop.example", OURS),
    # About something else
    ("rcpt", 451, "4.7.1 Greylisting in action, please come back later", UNSAID),
    ("rcpt", 450, "4.2.0 <ann@example.org>: Recipient address rejected: Greylisted", UNSAID),
    ("rcpt", 451, "4.7.1 gray-listed", UNSAID),
    ("rcpt", 421, "4.3.2 Service shutting down", UNSAID),
    ("rcpt", 452, "4.2.2 The email account that you tried to reach is over quota", UNSAID),
    ("rcpt", 451, "4.2.1 mailbox disabled for now", UNSAID),
    ("dot", 452, "4.3.1 Insufficient system storage", UNSAID),
    ("rcpt", 550, "5.7.1 rate limit my foot, you are blocked", UNSAID),
    ("rcpt", 250, "2.1.5 ok", UNSAID),
    ("data", 354, "too many", UNSAID),
    ("mail", 450, "4.7.1 Error: too much mail from shop.example", UNSAID),  # the breaker's
    ("dot", 250, "2.0.0 queued", Welcome.TAKEN),
]


@pytest.mark.parametrize(("stage", "code", "text", "said"), PACES)
def test_what_a_reply_says_about_our_pace(stage: str, code: int, text: str, said: Welcome) -> None:
    assert welcome(Stage(stage), Reply.parse(code, text)) is said


@given(st.sampled_from(list(Stage)), st.integers(200, 599), st.text(max_size=200))
def test_whoever_takes_a_message_does_not_say_too_many(stage: Stage, code: int, text: str) -> None:
    reply = Reply.parse(code, text)
    is_taken = welcome(stage, reply) is Welcome.TAKEN
    assert is_taken is (judge(stage, reply) is Outcome.SENT)


@given(st.sampled_from(list(Stage)), st.integers(200, 599), st.text(max_size=200))
def test_too_many_is_never_the_end_of_a_message(stage: Stage, code: int, text: str) -> None:
    reply = Reply.parse(code, text)
    if welcome(stage, reply) in (MANY, OURS):
        assert judge(stage, reply) is Outcome.DEFERRED
