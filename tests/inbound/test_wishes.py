"""Wishes of the public page, taken in: who leaves, who may take it back, who comes back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from mailbot.core.consent import Kind, Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.core.tokens import TokenKey, TokenKeys, sign_opt_out
from mailbot.core.wishes import Wish, WishKind
from mailbot.inbound import wishes as module
from mailbot.inbound.shop import Shop
from mailbot.inbound.wishes import Wishes
from mailbot.store import consent, door, ledger, outbox, reviews, suppressions, switches
from mailbot.store.engine import Database, now
from mailbot.store.spool import SUFFIX, Spool, SpoolWriter, line_of
from mailbot.store.tables import consent_events, return_codes, wishes_taken
from mailbot.store.tables import outbox as rows
from tests.people import PERSON_KEY, address, event, person
from tests.store.filling import campaign_under_way

pytestmark = pytest.mark.on_both_engines

ANN, BOB = "ann@example.org", "bob@example.org"
KEYS = TokenKeys((TokenKey(1, bytes(range(32))), TokenKey(2, bytes(range(1, 33)))))
LEAKED = TokenKeys((TokenKey(1, bytes(range(32)), is_revoked=True), *KEYS.keys[1:]))
SHOP = Shop(address("help@shop.example"), frozenset(), "7", PERSON_KEY, LEAKED, 30)
_ids = itertools.count(1)


class Desk:
    """A page's door and the daemon's side of it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.writer = SpoolWriter(folder)
        self.wishes = self.daemon()

    def daemon(self) -> Wishes:
        """One that has just started."""
        return Wishes(self.database, SHOP, spool=Spool(self.folder), our_domain="shop.example")

    def wish(self, kind: WishKind, who: str = ANN, **more: object) -> Wish:
        keys = more.pop("keys", KEYS)
        assert isinstance(keys, TokenKeys)
        token = "" if kind is WishKind.CONFIRM else sign_opt_out(keys, person(who).person_hash)
        with self.database.read() as conn:
            at = more.pop("at", None) or now(conn)
        assert isinstance(at, datetime)
        source = str(more.pop("source", "page"))
        return Wish(f"{next(_ids):032x}", kind, token, at, source, **more)  # type: ignore[arg-type]

    def asks(self, kind: WishKind, who: str = ANN, **more: object) -> Wish:
        """Handed in and taken in."""
        wish = self.wish(kind, who, **more)
        self.writer.append([line_of(wish)])
        self.wishes.take_in()
        return wish

    def reasons(self, who: str = ANN) -> set[Reason]:
        with self.database.read() as conn:
            return set(suppressions.reasons(conn, person(who)))

    def events(self) -> list[tuple[str, str]]:
        with self.database.read() as conn:
            chosen = select(consent_events.c.kind, consent_events.c.rule)
            return [tuple(row) for row in conn.execute(chosen.order_by(consent_events.c.sequence))]

    def outcome(self, wish: Wish) -> str:
        with self.database.read() as conn:
            chosen = select(wishes_taken.c.outcome).where(wishes_taken.c.wish_id == wish.wish_id)
            return str(conn.execute(chosen).scalar_one())

    def later(self, by: timedelta) -> None:
        """As if all that was taken in had been so much earlier."""
        with self.database.write() as conn:
            at = now(conn) - by
            conn.execute(update(wishes_taken).values(taken_at=at, received_at=at))


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "spool"
    folder.mkdir()
    desk = Desk(database, folder)
    yield desk
    desk.writer.close()


def test_who_leaves_is_on_the_list_with_the_way_it_came(desk: Desk) -> None:
    wish = desk.asks(WishKind.LEAVE, source="one_click")
    desk.asks(WishKind.LEAVE, BOB)
    assert desk.reasons() == desk.reasons(BOB) == {Reason.OPT_OUT}
    assert desk.events() == [("opt_out", "one-click"), ("opt_out", "button-on-page")]
    with desk.database.read() as conn:
        (entry,) = suppressions.of_person(conn, person(ANN))
    assert (entry.source, entry.since_at) == ("one_click", wish.received_at)


def test_a_wish_counts_once_however_often_it_is_heard(desk: Desk) -> None:
    wish = desk.asks(WishKind.LEAVE)
    desk.writer.append([line_of(wish), line_of(wish)])
    assert desk.wishes.take_in() == 0
    assert desk.daemon().take_in() == 0, "nor does a daemon that starts anew count it again"
    assert len(desk.events()) == 1


def test_the_waiting_offers_of_who_leaves_are_withheld_at_once(desk: Desk) -> None:
    campaign_under_way(desk.database, ANN, BOB)
    desk.asks(WishKind.LEAVE)
    with desk.database.read() as conn:
        states = dict(conn.execute(select(rows.c.address, rows.c.state)).all())
    assert states == {ANN: State.WITHHELD, BOB: State.QUEUED}


def test_a_wish_is_never_of_the_future(desk: Desk) -> None:
    with desk.database.read() as conn:
        tomorrow = now(conn) + timedelta(days=1)
    desk.asks(WishKind.LEAVE, at=tomorrow)
    with desk.database.read() as conn:
        (entry,) = suppressions.of_person(conn, person(ANN))
    assert entry.since_at < tomorrow - timedelta(hours=23)


def test_a_link_of_a_leaked_key_asks_a_person_and_holds_meanwhile(desk: Desk) -> None:
    old = TokenKeys((TokenKey(1, bytes(range(32))),))
    wish = desk.asks(WishKind.LEAVE, keys=old)
    assert desk.reasons() == {Reason.HELD}
    with desk.database.read() as conn:
        (item,) = reviews.waiting(conn)
    assert (item.person, item.rule) == (person(ANN), "revoked-token")
    assert desk.outcome(wish) == "held"


def test_a_token_that_nobody_signed_changes_nothing(desk: Desk) -> None:
    strange = TokenKeys((TokenKey(9, bytes(range(9, 41))),))
    assert desk.outcome(desk.asks(WishKind.LEAVE, keys=strange)) == "refused"
    assert desk.events() == []


def test_who_names_a_topic_leaves_all_offers_and_what_they_named_is_kept(desk: Desk) -> None:
    campaign_under_way(desk.database, ANN, BOB)
    wish = desk.asks(WishKind.LEAVE, topic="teas")
    assert desk.reasons() == {Reason.OPT_OUT}
    with desk.database.read() as conn:
        (told,) = ledger.story(conn, person(ANN))
        states = dict(conn.execute(select(rows.c.address, rows.c.state)).all())
        assert ledger.verify(conn) is None
    assert told.evidence == {"wish": wish.wish_id, "by": "page", "topic": "teas"}
    assert states == {ANN: State.WITHHELD, BOB: State.QUEUED}


def test_the_evidence_of_who_names_no_topic_says_nothing_of_one(desk: Desk) -> None:
    wish = desk.asks(WishKind.LEAVE)
    with desk.database.read() as conn:
        (told,) = ledger.story(conn, person(ANN))
    assert told.evidence == {"wish": wish.wish_id, "by": "page"}


def test_a_wish_that_named_a_topic_can_be_taken_back(desk: Desk) -> None:
    left = desk.asks(WishKind.LEAVE, topic="teas")
    undo = desk.asks(WishKind.UNDO, undoes=left.wish_id)
    assert desk.outcome(undo) == "undone"
    assert desk.reasons() == set()


# -- undo ------------------------------------------------------------------------------------


def test_who_left_by_the_page_may_take_it_back_within_the_hour(desk: Desk) -> None:
    left = desk.asks(WishKind.LEAVE)
    undone = desk.asks(WishKind.UNDO, undoes=left.wish_id)
    assert desk.outcome(undone) == "undone"
    assert desk.reasons() == set()
    assert desk.events()[-1] == ("opt_in", "undo-on-page")
    again = desk.asks(WishKind.UNDO, undoes=left.wish_id)
    assert desk.outcome(again) == "refused"


def test_a_double_click_is_undone_by_one(desk: Desk) -> None:
    desk.asks(WishKind.LEAVE)
    second = desk.asks(WishKind.LEAVE)
    assert desk.outcome(desk.asks(WishKind.UNDO, undoes=second.wish_id)) == "undone"
    assert desk.reasons() == set()


def test_who_leaves_again_after_undoing_has_left(desk: Desk) -> None:
    left = desk.asks(WishKind.LEAVE)
    desk.asks(WishKind.UNDO, undoes=left.wish_id)
    desk.asks(WishKind.LEAVE)
    assert desk.reasons() == {Reason.OPT_OUT}
    again = desk.asks(WishKind.UNDO, undoes=left.wish_id)
    assert desk.outcome(again) == "undone", "by the wish that is standing now"


@pytest.mark.parametrize("kind", [Kind.OPT_OUT, Kind.COMPLAINT, Kind.IMPORTED, Kind.HELD])
def test_who_was_on_the_list_before_stays_whatever_is_undone(desk: Desk, kind: Kind) -> None:
    with desk.database.write() as conn:
        consent.record(conn, event(kind, ANN))
    before = desk.reasons()
    left = desk.asks(WishKind.LEAVE)
    assert desk.outcome(left) == "left_again"
    undo = desk.asks(WishKind.UNDO, undoes=left.wish_id)
    assert desk.outcome(undo) == "refused"
    assert before <= desk.reasons() | {Reason.HELD}
    assert Reason.OPT_OUT in desk.reasons()


def test_who_wrote_to_help_meanwhile_stays(desk: Desk) -> None:
    left = desk.asks(WishKind.LEAVE)
    with desk.database.write() as conn:
        mail = event(Kind.OPT_OUT, ANN)
        at = now(conn)
        consent.record(conn, type(mail)(**{
            **{name: getattr(mail, name) for name in mail.__slots__}, "received_at": at,
        }))  # fmt: skip
    undo = desk.asks(WishKind.UNDO, undoes=left.wish_id)
    assert desk.outcome(undo) == "refused"
    assert desk.reasons() == {Reason.OPT_OUT}


def test_nobody_undoes_what_another_wished_nor_what_never_came_through_the_door(
    desk: Desk,
) -> None:
    left = desk.asks(WishKind.LEAVE)
    for undo in (
        desk.asks(WishKind.UNDO, BOB, undoes=left.wish_id),
        desk.asks(WishKind.UNDO, undoes="ff" * 16),
        desk.asks(WishKind.UNDO),
    ):
        assert desk.outcome(undo) == "refused"
    assert desk.reasons() == {Reason.OPT_OUT}


def test_after_an_hour_by_the_databases_clock_it_is_too_late(desk: Desk) -> None:
    left = desk.asks(WishKind.LEAVE)
    desk.later(timedelta(minutes=61))
    undo = desk.asks(WishKind.UNDO, undoes=left.wish_id)
    assert desk.outcome(undo) == "refused"
    assert desk.reasons() == {Reason.OPT_OUT}


# -- coming back -----------------------------------------------------------------------------


def codes(desk: Desk) -> int:
    with desk.database.read() as conn:
        return int(conn.execute(select(func.count()).select_from(return_codes)).scalar_one())


def questions(desk: Desk) -> list[str | None]:
    with desk.database.read() as conn:
        chosen = select(rows.c.address).where(
            rows.c.kind == MessageKind.ACKNOWLEDGEMENT, rows.c.type == outbox.CONFIRMATION
        )
        return list(conn.execute(chosen).scalars())


def test_who_wants_to_come_back_gets_a_mail_and_its_code_brings_them_back_once(
    desk: Desk,
) -> None:
    campaign_under_way(desk.database, ANN)
    desk.asks(WishKind.LEAVE)
    asked = desk.asks(WishKind.COME_BACK)
    assert (desk.outcome(asked), questions(desk)) == ("mailed", [ANN])
    assert desk.reasons() == {Reason.OPT_OUT}, "the mail alone changes nothing"
    code = PERSON_KEY.return_code(asked.wish_id)
    assert desk.outcome(desk.asks(WishKind.CONFIRM, code="0" * 32)) == "refused"
    assert desk.outcome(desk.asks(WishKind.CONFIRM, code=code)) == "came_back"
    assert desk.reasons() == set()
    assert desk.events()[-1] == ("opt_in", "confirmed-by-mail")
    desk.asks(WishKind.LEAVE)
    assert desk.outcome(desk.asks(WishKind.CONFIRM, code=code)) == "refused", "it was used"
    assert desk.reasons() == {Reason.OPT_OUT}


def test_nobodys_mailbox_is_filled_with_questions(desk: Desk) -> None:
    campaign_under_way(desk.database, ANN)
    first, second = desk.asks(WishKind.COME_BACK), desk.asks(WishKind.COME_BACK)
    assert (desk.outcome(first), desk.outcome(second)) == ("mailed", "refused")
    assert len(questions(desk)) == 1


def test_a_person_whose_address_nobody_knows_any_more_cannot_be_asked(desk: Desk) -> None:
    assert desk.outcome(desk.asks(WishKind.COME_BACK)) == "refused"
    assert (questions(desk), codes(desk)) == ([], 0)


def test_a_code_is_good_for_a_week(desk: Desk) -> None:
    campaign_under_way(desk.database, ANN)
    desk.asks(WishKind.LEAVE)
    asked = desk.asks(WishKind.COME_BACK)
    with desk.database.write() as conn:
        conn.execute(update(return_codes).values(expires_at=now(conn) - timedelta(seconds=1)))
    code = PERSON_KEY.return_code(asked.wish_id)
    assert desk.outcome(desk.asks(WishKind.CONFIRM, code=code)) == "refused"
    assert desk.reasons() == {Reason.OPT_OUT}


# -- a spool that cannot be read -------------------------------------------------------------


def is_stopped(desk: Desk) -> bool:
    with desk.database.read() as conn:
        return switches.is_marketing_stopped(conn)


def test_a_spool_that_cannot_be_read_stops_marketing_until_it_can(desk: Desk) -> None:
    desk.asks(WishKind.LEAVE)
    desk.writer.append([line_of(desk.wish(WishKind.LEAVE, BOB))] * 2)
    desk.writer.close()
    (path,) = desk.folder.glob(f"*{SUFFIX}")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"page", b"p\0ge", 2))
    assert desk.daemon().take_in() == 0
    assert is_stopped(desk)
    with desk.database.read() as conn:
        because = switches.get(conn, switches.SPOOL_UNREADABLE).because
    assert f"{path}, line 1: is damaged" in because
    path.write_bytes(whole)
    assert desk.daemon().take_in() == 1
    assert not is_stopped(desk)
    assert desk.reasons(BOB) == {Reason.OPT_OUT}


def test_another_machines_spool_is_not_ours_to_trust(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk.database.write() as conn:
        switches.turn(
            conn, switches.SPOOL_UNREADABLE, is_on=True, because="other-host: it is not there"
        )
    desk.daemon().take_in()
    assert is_stopped(desk)


# -- by the table ----------------------------------------------------------------------------


def test_wishes_of_the_table_are_taken_in_and_gone(desk: Desk) -> None:
    wishes = Wishes(desk.database, SHOP, spool=None, our_domain="shop.example")
    left, other = desk.wish(WishKind.LEAVE), desk.wish(WishKind.LEAVE, BOB)
    undo = desk.wish(WishKind.UNDO, undoes=left.wish_id)
    writer = door.TableWriter(desk.database.engine.url.render_as_string(hide_password=False))
    writer.append([line_of(left), "no line of ours", line_of(other)])
    assert wishes.take_in() == 2
    writer.append([line_of(undo), line_of(left)])
    assert wishes.take_in() == 1
    writer.close()
    assert (desk.reasons(), desk.reasons(BOB)) == (set(), {Reason.OPT_OUT})
    with desk.database.write() as conn:
        assert door.lines_in(conn, 10) == []


def test_a_daemon_that_dies_in_the_middle_loses_none_and_doubles_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill before the COMMIT, or between the COMMIT and the mark."""
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    people = [f"p{number}@example.org" for number in range(10)]
    desk.writer.append([line_of(desk.wish(WishKind.LEAVE, who)) for who in people])
    desk.writer.close()
    for turn in range(1, 4):
        dying = desk.daemon()
        steps = itertools.count()

        def die(*_: object, turn: int = turn, steps: Iterator[int] = steps) -> int:
            if next(steps) == turn:
                raise KeyboardInterrupt
            return 0

        monkeypatch.setattr(dying, "_follow", die)
        with pytest.raises(KeyboardInterrupt):
            dying.take_in()
    assert desk.daemon().take_in() >= 0
    assert all(desk.reasons(who) == {Reason.OPT_OUT} for who in people)
    assert len(desk.events()) == len(people)
    assert list(desk.folder.iterdir()) == []


def test_the_door_stores_what_waits_together(desk: Desk) -> None:
    people = [f"p{number}@example.org" for number in range(200)]

    async def crowd() -> None:
        opened = door.BatchingDoor(desk.writer)
        asked = [opened.hand_in(desk.wish(WishKind.LEAVE, who)) for who in people]
        await asyncio.gather(*asked)
        await opened.close()

    asyncio.run(crowd())
    assert desk.wishes.take_in() == len(people)
    assert list(desk.folder.iterdir()) == []
