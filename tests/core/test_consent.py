"""The hash chain and the order of wishes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.consent import (
    ADDS,
    ENDS,
    GENESIS,
    ChainedEvent,
    Kind,
    Reason,
    Source,
    batch_digest,
    evidence_digest,
    is_opt_in_too_late,
    link_hash,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVENT = ChainedEvent("opt_out", "mail", "a" * 32, "a" * 32, "mail:1", NOON, NOON, "word", "1", "d")


@pytest.mark.parametrize("column", [field.name for field in dataclasses.fields(ChainedEvent)])
def test_a_change_of_any_column_changes_the_link(column: str) -> None:
    old = getattr(EVENT, column)
    new: Any = f"{old}x"
    if isinstance(old, datetime):
        new = old + timedelta(microseconds=1)
    elif column == "batch_count":
        new = 1
    changed = dataclasses.replace(EVENT, **{column: new})
    assert link_hash(GENESIS, 1, changed) != link_hash(GENESIS, 1, EVENT)


def test_place_and_predecessor_are_part_of_the_link() -> None:
    assert link_hash(GENESIS, 1, EVENT) != link_hash(GENESIS, 2, EVENT)
    assert link_hash(GENESIS, 1, EVENT) != link_hash("1" * 64, 1, EVENT)


def test_the_same_moment_in_another_zone_is_the_same_link() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    moved = dataclasses.replace(EVENT, received_at=elsewhere)
    assert link_hash(GENESIS, 1, moved) == link_hash(GENESIS, 1, EVENT)


@given(st.text(), st.dictionaries(st.text(), st.text()), st.binary(min_size=16, max_size=16))
def test_evidence_is_covered_with_its_salt_whatever_it_holds(
    address: str, evidence: dict[str, str], salt: bytes
) -> None:
    digest = evidence_digest(salt, address, evidence)
    assert digest == evidence_digest(salt, address, dict(reversed(evidence.items())))
    assert digest != evidence_digest(bytes(16) if any(salt) else b"x" * 16, address, evidence)
    assert digest != evidence_digest(salt, address + "x", evidence)


@pytest.mark.parametrize(("minutes", "source", "loses"), [
    (-1, Source.MAIL, True),
    (9, Source.MAIL, True),
    (10, Source.MAIL, False),
    (1, Source.COMMAND_LINE, False),
    (-1, Source.COMMAND_LINE, True),
])  # fmt: skip
def test_an_opt_in_loses_when_older_and_by_mail_within_ten_minutes(
    minutes: int, source: Source, loses: bool
) -> None:
    at = NOON + timedelta(minutes=minutes)
    assert is_opt_in_too_late(Kind.OPT_IN, source, opt_out_at=NOON, at=at) is loses


def test_no_event_but_an_explicit_one_takes_anybody_off_the_list() -> None:
    for kind, ended in ENDS.items():
        if Reason.OPT_OUT in ended or Reason.COMPLAINT in ended:
            assert kind is Kind.OPT_IN
    change_nothing = {Kind.EXPORTED, Kind.POLICY, Kind.RESTORED}
    assert set(ADDS) | set(ENDS) == set(Kind) - change_nothing


def test_a_batch_is_the_same_in_whatever_order_its_persons_come() -> None:
    assert batch_digest(["b" * 32, "a" * 32]) == batch_digest(["a" * 32, "b" * 32])
    assert batch_digest(["a" * 32]) != batch_digest(["a" * 32, "b" * 32])


def test_an_event_about_one_has_the_same_link_as_before_there_were_batches() -> None:
    """A ledger that is years old must stay whole: its links know of no batch."""
    assert link_hash(GENESIS, 1, EVENT) == (
        "2df998c3ba30e0049fc1fd23b3647bc3e3364cb85f7c6a8c723e5646c0078ecf"
    )
