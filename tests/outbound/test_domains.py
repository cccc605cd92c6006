"""The pace of each domain: who says "too many" is slowed, alone, and gets faster again."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mailbot.core.smtp_replies import Welcome
from mailbot.outbound.domains import (
    DOMAINS_FOR_THE_RELAY,
    FIRST_INTERVAL,
    FORGET_SECONDS,
    LONGEST_INTERVAL,
    MOST_REMEMBERED,
    TAKEN_FOR_A_STEP,
    Domains,
    Slowed,
)

A, B = "example.org", "example.net"
TAKEN, UNSAID = Welcome.TAKEN, Welcome.UNSAID
TOO_MANY, OURS = Welcome.DOMAIN_TOO_MANY, Welcome.RELAY_TOO_MANY


def started_at_once(domains: Domains, domain: str, now: float) -> int:
    """Start as many as may."""
    count = 0
    while domains.may_start(domain, now):
        domains.started(domain, now)
        count += 1
    return count


def said(domains: Domains, domain: str, welcome: Welcome, now: float) -> float:
    """One message when it may go, and what was said of it; returns when that was."""
    wait = domains.wait(domain, now)
    assert wait < inf
    domains.started(domain, now + wait)
    domains.ended(domain, welcome, now + wait)
    return now + wait


def width(domains: Domains, domain: str, now: float) -> int:
    """How many may be under way at once, asked when no pause is on."""
    now += domains.wait(domain, now)
    count = started_at_once(domains, domain, now)
    for _ in range(count):
        domains.ended(domain, UNSAID, now)
    return count


def make(at_once: int = 8, connections: int = 100) -> Domains:
    return Domains(domain_connections=at_once, connections=connections)


def test_a_domain_gets_its_connections_and_another_one_too() -> None:
    domains = make(8)
    assert started_at_once(domains, A, 0) == 8
    assert domains.wait(A, 0) == inf
    assert started_at_once(domains, B, 0) == 8
    domains.ended(A, TAKEN, 1)
    assert started_at_once(domains, A, 1) == 1


def test_no_domain_gets_more_than_there_are_lines() -> None:
    assert started_at_once(make(8, connections=3), A, 0) == 3


def test_too_many_halves_what_goes_at_once_down_to_one_and_then_the_pace() -> None:
    domains, now = make(8), 0.0
    widths: list[int] = []
    waits: list[float] = []
    for _ in range(12):
        now = said(domains, A, TOO_MANY, now)
        waits.append(domains.wait(A, now))
        if len(widths) < 3:
            widths.append(width(domains, A, now))
    assert widths == [4, 2, 1]
    assert waits == [1, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (waits[0], waits[-1]) == (FIRST_INTERVAL, LONGEST_INTERVAL)


def test_a_slow_domain_holds_nobody_else_up() -> None:
    domains, now = make(8), 0.0
    for _ in range(20):
        now = said(domains, A, TOO_MANY, now)
        assert domains.may_start(B, now)
        said(domains, B, TAKEN, now)
    assert not domains.may_start(A, now)


def test_messages_that_were_under_way_together_count_as_one() -> None:
    """Eight refusals in one breath are one message about one pace: half of it, not a 256th."""
    domains = make(8)
    started_at_once(domains, A, 0)
    for _ in range(8):
        domains.ended(A, TOO_MANY, 0.1)
    assert width(domains, A, 2) == 4


def test_what_is_taken_speeds_a_domain_up_step_by_step() -> None:
    domains, now = make(4), 0.0
    for _ in range(5):  # 2, 1, a message a second, each 2 seconds, each 4
        now = said(domains, A, TOO_MANY, now)
    gaps = []
    for _ in range(3 * TAKEN_FOR_A_STEP):
        before, now = now, said(domains, A, TAKEN, now)
        gaps.append(now - before)
    assert gaps[1:TAKEN_FOR_A_STEP] == [4.0] * (TAKEN_FOR_A_STEP - 1)
    assert gaps[TAKEN_FOR_A_STEP + 1 : 2 * TAKEN_FOR_A_STEP] == [2.0] * (TAKEN_FOR_A_STEP - 1)
    assert gaps[2 * TAKEN_FOR_A_STEP + 1 :] == [1.0] * (TAKEN_FOR_A_STEP - 1)
    for _ in range(3):
        for _ in range(TAKEN_FOR_A_STEP):
            now = said(domains, A, TAKEN, now)
    assert width(domains, A, now) == 4


def test_what_says_nothing_of_the_pace_changes_none() -> None:
    domains, now = make(8), 0.0
    now = said(domains, A, TOO_MANY, now) + 2
    for _ in range(50):
        now = said(domains, A, UNSAID, now)
    assert width(domains, A, now) == 4


def test_too_many_of_ours_slows_every_domain() -> None:
    domains = make(8, connections=8)
    said(domains, A, OURS, 0)
    assert domains.wait(B, 0) == FIRST_INTERVAL
    assert started_at_once(domains, B, 2) + started_at_once(domains, A, 2) == 4


def test_many_domains_that_complain_in_a_row_are_the_relay() -> None:
    domains = make(8, connections=8)
    for number in range(DOMAINS_FOR_THE_RELAY - 1):
        said(domains, f"d{number}.example", TOO_MANY, 0)
        assert domains.may_start(B, 0)
    said(domains, "last.example", TOO_MANY, 0)
    assert domains.wait(B, 0) == FIRST_INTERVAL


def test_each_slower_pace_is_told_once() -> None:
    domains = make(2)
    started_at_once(domains, A, 0)
    assert domains.ended(A, TOO_MANY, 0) == [Slowed(A, at_once=1, seconds_between=0)]
    assert domains.ended(A, TOO_MANY, 0) == [], "it was under way already"
    domains.started(A, 2)
    assert domains.ended(A, TOO_MANY, 2) == [Slowed(A, at_once=1, seconds_between=FIRST_INTERVAL)]
    domains.started(A, 4)
    assert domains.ended(A, OURS, 4) == [Slowed("", at_once=50, seconds_between=0)]
    domains.started(A, 6)
    assert domains.ended(A, TAKEN, 6) == []


def test_a_domain_that_takes_mail_between_them_shows_that_it_is_not_the_relay() -> None:
    domains = make(8, connections=8)
    for number in range(5 * DOMAINS_FOR_THE_RELAY):
        said(domains, f"d{number}.example", TOO_MANY, 0)
        said(domains, B, TAKEN, 0)
        assert domains.may_start(B, 0)


def test_who_got_nothing_for_an_hour_begins_anew() -> None:
    domains, now = make(4), 0.0
    for _ in range(9):
        now = said(domains, A, TOO_MANY, now)
    assert domains.wait(A, now + FORGET_SECONDS) == 0
    assert width(domains, A, now + FORGET_SECONDS) == 4


def test_a_million_domains_take_no_memory() -> None:
    domains = make(4)
    for number in range(1_000_000):
        domains.started(f"d{number}.example", number)
        domains.ended(f"d{number}.example", TAKEN, number)
    assert len(domains) == 0


def test_of_many_slow_domains_the_latest_are_remembered() -> None:
    domains = make(1, connections=1_000_000)
    for number in range(3 * MOST_REMEMBERED):
        now = number * 1e-6
        domains.started(f"d{number}.example", now)
        domains.ended(f"d{number}.example", TOO_MANY, now)
    assert len(domains) == MOST_REMEMBERED
    late = f"d{3 * MOST_REMEMBERED - 1}.example"
    assert domains.wait(late, 10_000) == 0
    domains.started(late, 10_000)
    domains.ended(late, UNSAID, 10_000)
    assert len(domains) == 0, "those of hours ago are forgotten"


def test_the_next_moment_is_when_the_shortest_pause_ends() -> None:
    domains = make(1)
    assert domains.next_at(0) is None
    said(domains, A, TOO_MANY, 0)
    now = said(domains, B, TOO_MANY, 0.25)
    assert domains.next_at(now) == 1.0
    assert domains.next_at(1.0) == 1.25
    assert domains.next_at(1.25) is None


def test_an_end_without_a_start_is_a_fault_of_the_caller() -> None:
    with pytest.raises(KeyError):
        make().ended(A, TAKEN, 0)


NAMES = st.sampled_from([f"d{number}.example" for number in range(8)])


class Sending(RuleBasedStateMachine):
    """A dispatcher that obeys, domains that say anything, and a clock that goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.domains = Domains(domain_connections=4, connections=6)
        self.now = 0.0
        self.under_way: list[str] = []

    @rule(domain=NAMES)
    def start_if_it_may(self, domain: str) -> None:
        if self.domains.may_start(domain, self.now):
            self.domains.started(domain, self.now)
            self.under_way.append(domain)

    @precondition(lambda self: self.under_way)
    @rule(at=st.integers(0, 5), welcome=st.sampled_from(list(Welcome)))
    def end(self, at: int, welcome: Welcome) -> None:
        domain = self.under_way.pop(at % len(self.under_way))
        self.domains.ended(domain, welcome, self.now)

    @rule(seconds=st.floats(0.001, 100))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def never_more_than_the_widest(self) -> None:
        assert len(self.under_way) <= 6
        assert all(self.under_way.count(domain) <= 4 for domain in set(self.under_way))

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """Whoever may not start waits for an end that will come, or at most the longest pause."""
        for domain in {f"d{number}.example" for number in range(8)}:
            wait = self.domains.wait(domain, self.now)
            if wait == inf:
                assert self.under_way
            else:
                assert 0 <= wait <= LONGEST_INTERVAL
            if 0 < wait < inf:
                next_at = self.domains.next_at(self.now)
                assert next_at is not None
                assert self.now < next_at <= self.now + wait + 1e-6

    @invariant()
    def what_is_remembered_is_bounded(self) -> None:
        assert len(self.domains) <= 8

    def teardown(self) -> None:
        """Once all is taken, every domain comes back to its full width."""
        for domain in self.under_way:
            self.domains.ended(domain, Welcome.TAKEN, self.now)
        for domain in {f"d{number}.example" for number in range(8)}:
            for _ in range(30 * TAKEN_FOR_A_STEP):
                self.now = said(self.domains, domain, Welcome.TAKEN, self.now)
        assert len(self.domains) == 0
        assert started_at_once(self.domains, A, self.now) == 4


TestSending = Sending.TestCase


@given(st.lists(st.sampled_from(list(Welcome)), max_size=200))
def test_what_one_domain_says_never_touches_another_unless_it_is_about_us(
    words: list[Welcome],
) -> None:
    domains, now = make(4), 0.0
    for word in words:
        now = said(domains, A, word, now)
    if Welcome.RELAY_TOO_MANY not in words:
        assert domains.wait(B, now) == 0
        assert width(domains, B, now) == 4
