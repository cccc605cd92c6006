"""The policy table, cell by cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.consent import Reason
from mailbot.core.eligibility import Eligible, MessageKind, Withheld, decide

# sending.md's table once more, by hand: the test must not read it from the code it tests.
CELLS = [
    (Reason.OPT_OUT, "campaign", False),
    (Reason.OPT_OUT, "order_status", True),
    (Reason.OPT_OUT, "acknowledgement", True),
    (Reason.HELD, "campaign", False),
    (Reason.HELD, "order_status", True),
    (Reason.HELD, "acknowledgement", False),
    (Reason.COMPLAINT, "campaign", False),
    (Reason.COMPLAINT, "order_status", True),
    (Reason.COMPLAINT, "acknowledgement", False),
    (Reason.UNDELIVERABLE, "campaign", False),
    (Reason.UNDELIVERABLE, "order_status", False),
    (Reason.UNDELIVERABLE, "acknowledgement", False),
    (Reason.IMPORTED, "campaign", False),
    (Reason.IMPORTED, "order_status", True),
    (Reason.ERASED, "campaign", False),
    (Reason.ERASED, "order_status", True),
    (Reason.ERASED, "acknowledgement", False),
]


@pytest.mark.parametrize(("reason", "kind", "may_send"), CELLS)
def test_each_cell_of_the_policy_table(reason: Reason, kind: str, may_send: bool) -> None:
    expected = Eligible() if may_send else Withheld(reason)
    assert decide(MessageKind(kind), {reason}) == expected


@pytest.mark.parametrize("kind", list(MessageKind))
def test_nobody_on_the_list_is_sent_everything(kind: MessageKind) -> None:
    assert decide(kind, frozenset()) == Eligible()


@given(st.sets(st.sampled_from(list(Reason)), min_size=1))
def test_any_reason_at_all_withholds_a_campaign(reasons: set[Reason]) -> None:
    assert isinstance(decide(MessageKind.CAMPAIGN, reasons), Withheld)


@given(st.sets(st.sampled_from(list(Reason))))
def test_order_status_is_stopped_by_an_undeliverable_address_alone(reasons: set[Reason]) -> None:
    decision = decide(MessageKind.ORDER_STATUS, reasons)
    if Reason.UNDELIVERABLE in reasons:
        assert decision == Withheld(Reason.UNDELIVERABLE)
    else:
        assert decision == Eligible()


@given(st.sampled_from(list(MessageKind)), st.sets(st.sampled_from(list(Reason))),
       st.sampled_from(list(Reason)))  # fmt: skip
def test_a_further_reason_never_frees_anyone(
    kind: MessageKind, reasons: set[Reason], further: Reason
) -> None:
    if isinstance(decide(kind, reasons), Withheld):
        assert isinstance(decide(kind, reasons | {further}), Withheld)


def test_a_reason_or_a_kind_that_the_table_does_not_know_never_sends() -> None:
    with pytest.raises(KeyError):
        decide(MessageKind.ORDER_STATUS, {"sanctions"})  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        decide("newsletter", set())  # type: ignore[arg-type]
