"""What the relay's words mean for one message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.smtp_replies import Outcome, Reply, Stage, judge, judge_loss

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
    ("rcpt", 554, "5.7.1 Relay access denied", R),
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
