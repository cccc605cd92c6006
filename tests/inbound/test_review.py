"""Reviews decided by a person or by the clock: one acts, and nobody is let go too early."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import select, update

from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.core.errors import NotFoundError, RefusedError
from mailbot.core.outbox_states import State
from mailbot.inbound import review
from mailbot.inbound.review import Decider
from mailbot.store import consent, ledger, reviews, suppressions
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Connection, Database
from mailbot.store.reviews import ReviewItem
from mailbot.store.tables import ReviewState
from mailbot.store.tables import outbox as outbox_rows
from mailbot.store.tables import reviews as review_rows
from tests.people import NOON, event, person
from tests.reviewing import ANN, hold, item_of, let_time_run_out, quarantine
from tests.store.filling import begin, campaign_under_way, claim, end, state_of

pytestmark = pytest.mark.on_both_engines

EVE = Decider("eve", Source.COMMAND_LINE, "7", "she says so")
Act = Callable[[Database, int], object]


def accept(database: Database, item_id: int) -> None:
    review.accept(database, item_id, EVE)


def dismiss(database: Database, item_id: int) -> None:
    review.dismiss(database, item_id, EVE)


def expire(database: Database, item_id: int) -> None:
    let_time_run_out(database, item_id)
    assert review.expire_overdue(database, "7") == 1


def reasons(database: Database, who: str = ANN) -> set[Reason]:
    with database.read() as conn:
        return set(suppressions.reasons(conn, person(who)))


def story(database: Database, who: str = ANN) -> list[ledger.StoryEvent]:
    with database.read() as conn:
        return ledger.story(conn, person(who))


# -- one item ------------------------------------------------------------------------------------


def test_accepting_turns_the_hold_into_an_opt_out_with_who_and_why(database: Database) -> None:
    number = hold(database)
    decided = review.accept(database, number, EVE)
    assert reasons(database) == decided.reasons == {Reason.OPT_OUT}
    opt_out = story(database)[-1]
    assert (opt_out.kind, opt_out.source, opt_out.rule, opt_out.policy_version) == (
        Kind.OPT_OUT, Source.COMMAND_LINE, "negation", "7",
    )  # fmt: skip
    assert opt_out.sequence == decided.sequence
    assert opt_out.address == ANN
    assert (opt_out.evidence["by"], opt_out.evidence["reason"]) == ("eve", "she says so")
    closed = item_of(database, number)
    assert (closed.state, closed.decided_by) == (ReviewState.ACCEPTED, "eve")


def test_dismissing_ends_the_hold(database: Database) -> None:
    number = hold(database)
    review.dismiss(database, number, EVE)
    assert reasons(database) == set()
    assert [each.kind for each in story(database)] == [Kind.HELD, Kind.RELEASED]
    assert item_of(database, number).state is ReviewState.DISMISSED


@pytest.mark.parametrize("act", [accept, expire])
def test_the_wish_counts_from_when_its_mail_was_received(database: Database, act: Act) -> None:
    """A newer wish to come back is not overruled by somebody who reads an old mail."""
    number = hold(database, received_at=NOON)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_IN, ANN, minutes=60))
    act(database, number)
    opt_out = story(database)[-1]
    assert (opt_out.kind, opt_out.received_at) == (Kind.OPT_OUT, NOON)
    assert reasons(database) == set()


@pytest.mark.parametrize("act", [accept, expire])
def test_an_opt_out_after_a_review_still_shows_whose_it_is(database: Database, act: Act) -> None:
    act(database, hold(database))
    with database.read() as conn:
        (entry,) = suppressions.of_person(conn, person(ANN))
    assert entry.address == ANN


def test_the_waiting_offers_of_who_asked_are_withheld(database: Database) -> None:
    campaign_under_way(database, ANN, "bob@example.org")
    decided = review.accept(database, hold(database), EVE)
    assert decided.withheld == 1
    with database.read() as conn:
        rows = conn.execute(select(outbox_rows.c.address, outbox_rows.c.state)).all()
    assert {row.address: row.state for row in rows} == {
        ANN: State.WITHHELD, "bob@example.org": State.QUEUED,
    }  # fmt: skip


def test_what_the_hold_withheld_stays_withheld_and_is_counted(database: Database) -> None:
    number = hold(database)
    campaign_under_way(database, ANN)
    (row,) = claim(database)
    attempt = begin(database, row)
    assert attempt is not None
    assert end(database, row, attempt, State.WITHHELD)
    with database.write() as conn:
        conn.execute(update(outbox_rows).values(withheld_reason=Reason.HELD))
    assert review.dismiss(database, number, EVE).withheld == 1
    assert state_of(database, row.id) is State.WITHHELD


@pytest.mark.parametrize("act", [accept, dismiss])
def test_what_is_decided_stays_decided(database: Database, act: Act) -> None:
    number = hold(database)
    act(database, number)
    before = (reasons(database), len(story(database)), item_of(database, number))
    for again in (accept, dismiss):
        with pytest.raises(RefusedError, match=f"review {number} is decided already: .* by eve"):
            again(database, number)
    let_time_run_out(database, number)
    assert review.expire_overdue(database, "7") == 0
    after = (reasons(database), len(story(database)), item_of(database, number))
    assert after == (*before[:2], replace(before[2], due_at=after[2].due_at))


@pytest.mark.parametrize("act", [accept, dismiss])
def test_an_unknown_review_is_told(database: Database, act: Act) -> None:
    with pytest.raises(NotFoundError, match="there is no review 99"):
        act(database, 99)


def test_quarantined_mail_opts_nobody_out_and_can_be_dismissed(database: Database) -> None:
    number = quarantine(database)
    let_time_run_out(database, number)
    with database.read() as conn:
        assert reviews.overdue(conn) == [], "many of them would hide those that hold somebody"
    assert review.expire_overdue(database, "7") == 0
    with pytest.raises(RefusedError, match="nobody") as refused:
        review.accept(database, number, EVE)
    assert "mailbot suppress add ADDRESS" in refused.value.next_step
    assert item_of(database, number).state is ReviewState.OPEN
    assert review.dismiss(database, number, EVE).sequence is None
    assert item_of(database, number).state is ReviewState.DISMISSED


def test_a_failure_in_between_leaves_the_item_open_and_the_person_held(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = hold(database)

    def fail(conn: Connection, _event: ConsentEvent) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(consent, "record", fail)
        for act in (accept, dismiss):
            with pytest.raises(RuntimeError):
                act(database, number)
    assert item_of(database, number).state is ReviewState.OPEN
    assert reasons(database) == {Reason.HELD}


# -- several items of one person -----------------------------------------------------------------

ACTS = {"accept": accept, "dismiss": dismiss, "expire": expire}


@pytest.mark.parametrize(
    "people", [(ANN, ANN), ("ann+a@example.org", "ann+b@example.org")], ids=["same", "tagged"]
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["older first", "newer first"])
@pytest.mark.parametrize(("first", "second"), [*product(ACTS, repeat=2)])
def test_two_reviews_of_a_person_end_alike_in_every_order(
    database: Database, first: str, second: str, order: tuple[int, int], people: tuple[str, str]
) -> None:
    """Out by any decision but two dismissals; held as long as one is open."""
    numbers = [hold(database, who, f"m{place}") for place, who in enumerate(people)]
    ACTS[first](database, numbers[order[0]])
    for who in people:
        expected = {Reason.HELD} if first == "dismiss" else {Reason.OPT_OUT}
        assert expected <= reasons(database, who)
    ACTS[second](database, numbers[order[1]])
    both = {first, second}
    for who in people:
        assert reasons(database, who) == (set() if both == {"dismiss"} else {Reason.OPT_OUT})
    with database.read() as conn:
        assert ledger.verify(conn) is None
        assert reviews.waiting(conn) == []


def test_a_dismissal_names_the_other_reviews_that_hold_the_person(database: Database) -> None:
    first, second = hold(database, mail="m1"), hold(database, mail="m2")
    hold(database, "bob@example.org", "m2")
    decided = review.dismiss(database, first, EVE)
    assert (decided.also_held_by, set(decided.reasons)) == ((second,), {Reason.HELD})
    decided = review.dismiss(database, second, EVE)
    assert (decided.also_held_by, decided.reasons) == ((), frozenset())
    assert reasons(database, "bob@example.org") == {Reason.HELD}, "theirs is another person"


def test_a_dismissal_ends_no_opt_out_by_mail(database: Database) -> None:
    number = hold(database)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN))
    assert review.dismiss(database, number, EVE).reasons == {Reason.OPT_OUT}
    assert reasons(database) == {Reason.OPT_OUT}


# -- at the same moment --------------------------------------------------------------------------


@pytest.mark.parametrize("act", [accept, dismiss])
def test_the_clock_does_nothing_where_a_person_was_faster(
    database: Database, monkeypatch: pytest.MonkeyPatch, act: Act
) -> None:
    """The item was overdue when the clock looked, and decided before it acted."""
    number = hold(database)
    let_time_run_out(database, number)
    really = reviews.overdue

    def look_then_lose(conn: Connection) -> list[ReviewItem]:
        found = really(conn)
        conn.rollback()
        act(database, number)
        return found

    monkeypatch.setattr(reviews, "overdue", look_then_lose)
    assert review.expire_overdue(database, "7") == 0
    assert item_of(database, number).decided_by == "eve"
    assert [each.source for each in story(database)] == [Source.MAIL, Source.COMMAND_LINE]
    assert reasons(database) == ({Reason.OPT_OUT} if act is accept else set())


def test_of_the_clock_and_a_person_at_once_exactly_one_acts(database: Database) -> None:
    for turn in range(15):
        who = f"ann{turn}@example.org"
        number = hold(database, who, f"m{turn}")
        let_time_run_out(database, number)
        expired: list[int] = []
        refused: list[RefusedError] = []

        def by_clock(into: list[int] = expired) -> None:
            into.append(review.expire_overdue(database, "7"))

        def by_hand(number: int = number, into: list[RefusedError] = refused) -> None:
            try:
                review.dismiss(database, number, EVE)
            except RefusedError as error:
                into.append(error)

        at_once(by_clock, by_hand)
        kinds = [each.kind for each in story(database, who)]
        if item_of(database, number).state is ReviewState.EXPIRED:
            assert (expired, len(refused), kinds) == ([1], 1, [Kind.HELD, Kind.OPT_OUT])
            assert reasons(database, who) == {Reason.OPT_OUT}
        else:
            assert (expired, refused, kinds) == ([0], [], [Kind.HELD, Kind.RELEASED])
            assert reasons(database, who) == set()


def test_two_dismissals_at_once_let_the_person_go_in_the_end(database: Database) -> None:
    for turn in range(15):
        who = f"ann{turn}@example.org"
        numbers = [hold(database, who, f"m{turn}-{place}") for place in (1, 2)]
        at_once(*(lambda number=number: dismiss(database, number) for number in numbers))
        assert reasons(database, who) == set()


def at_once(*acts: Callable[[], None]) -> None:
    """Run them in threads that start together."""
    start = threading.Barrier(len(acts))
    failed: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        start.wait(10)
        try:
            act()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []


# -- what is known of an item --------------------------------------------------------------------


def test_items_stand_by_when_they_are_due_and_decided_ones_by_when_they_were(
    database: Database,
) -> None:
    numbers = [hold(database, mail=f"m{place}") for place in range(4)]
    let_time_run_out(database, numbers[2])
    review.dismiss(database, numbers[1], EVE)
    review.dismiss(database, numbers[0], EVE)
    with database.read() as conn:
        assert [each.id for each in reviews.waiting(conn)] == [numbers[2], numbers[3]]
        assert [each.id for each in reviews.decided(conn, 10)] == [numbers[0], numbers[1]]
        assert [each.id for each in reviews.decided(conn, 1)] == [numbers[0]]
        assert reviews.count_decided(conn) == 2
        (first, _) = reviews.waiting(conn)
    assert first.due_at - first.opened_at < timedelta(hours=24)


def test_an_item_of_a_token_has_the_address_that_was_mailed(database: Database) -> None:
    campaign_under_way(database, ANN)
    assert item_of(database, hold(database, address=None)).address == ANN


def test_what_was_kept_of_the_mail_is_of_this_item(database: Database) -> None:
    """Also where both were opened before either event was recorded."""
    first = hold(database, mail="m1", evidence={"Subject": "one"})
    second = hold(database, mail="m2", evidence={"Subject": "two"})
    with database.write() as conn:
        conn.execute(update(review_rows).values(opened_at=DatabaseTime(-60)))
    with database.read() as conn:
        kept = [reviews.asked(conn, item_of(database, number)) for number in (first, second)]
    assert [each and each.evidence for each in kept] == [{"Subject": "one"}, {"Subject": "two"}]
