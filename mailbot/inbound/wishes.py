"""What customers asked for on the public page: taken in from the door, decided, recorded.

The page may be in the hands of anybody: it can add wishes, and no wish of it brings somebody back
who did not leave through it within the hour, or who does not have our mail.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog

from mailbot.core.consent import ConsentEvent, Kind, Source
from mailbot.core.errors import SpoolUnreadable, TokenError
from mailbot.core.person import Person
from mailbot.core.tokens import verify_opt_out
from mailbot.core.wishes import Wish, WishKind
from mailbot.inbound.shop import Shop
from mailbot.store import consent, door, returning, reviews, sent_messages, switches, withholding
from mailbot.store.engine import Connection, Database, now
from mailbot.store.spool import Spool, wish_of

log = structlog.get_logger(__name__)

UNDO_WITHIN: Final = timedelta(hours=1)
_LONGEST_WAY: Final = timedelta(days=366)
_AT_ONCE: Final = 200  # wishes a transaction: at most so many wait for one COMMIT
_MOST_TRANSACTIONS: Final = 50  # before a claim goes on: what still waits is taken a second later
_PLACE: Final = reviews.Place("public page", "", 0, 0)


class Outcome(StrEnum):
    """What became of a wish."""

    LEFT = "left"  # was not on the list before, but by this door within the hour
    LEFT_AGAIN = "left_again"  # was on the list already, and stays whatever is undone
    HELD = "held"  # by a link whose key is revoked: a person decides
    UNDONE = "undone"
    MAILED = "mailed"  # a confirmation mail is queued
    CAME_BACK = "came_back"
    REFUSED = "refused"  # changed nothing; the log says why


@dataclass(frozen=True, slots=True)
class _Taken:
    outcome: Outcome
    person: Person | None = None
    sequence: int | None = None
    because: str = ""


class Wishes:
    """Takes in what waits at the door; used by one thread after the other."""

    def __init__(
        self, database: Database, shop: Shop, *, spool: Spool | None, our_domain: str
    ) -> None:
        """`spool` is None where wishes come by the table of the database."""
        self._database = database
        self._shop = shop
        self._spool = spool
        self._our_domain = our_domain
        self._taking = threading.Lock()
        self._is_distrusted: bool | None = None  # not known before the first look

    def take_in(self) -> int:
        """Record all that waits; how many wishes were new. Raises StoreError.

        Where the spool cannot be read, marketing is stopped until it can; that is not raised.
        """
        with self._taking:
            if self._spool is None:
                return self._from_table()
            try:
                count = self._from_spool(self._spool)
            except SpoolUnreadable as error:
                self._stop_marketing(str(error))
                return 0
            self._trust_again()
            return count

    def _from_spool(self, spool: Spool) -> int:
        count = 0
        for batch in spool.waiting(_AT_ONCE):
            for part in _runs(batch.wishes):
                with self._database.write() as conn:
                    taken = self._record(conn, part)
                count += self._follow(taken)
            spool.done(batch)
        return count

    def _from_table(self) -> int:
        count = 0
        for _ in range(_MOST_TRANSACTIONS):
            with self._database.write() as conn:
                lines = door.lines_in(conn, _AT_ONCE)
                wishes: list[Wish] = []
                for line in lines:
                    try:
                        wishes.append(wish_of(line))
                    except ValueError as error:  # not of our page: it cannot be meant for anybody
                        log.error("wish_unreadable", why=str(error))
                        door.take_away(conn, [line])
                part = next(_runs(wishes), ())
                taken = self._record(conn, part)
                ours = {wish.wish_id for wish in part}
                door.take_away(conn, [line for line in lines if _id_of(line) in ours])
            count += self._follow(taken)
            if not lines:
                break
        return count

    def _record(self, conn: Connection, wishes: Sequence[Wish]) -> list[tuple[Wish, _Taken]]:
        """Each wish that was not recorded before, in one transaction."""
        at = now(conn)
        fresh = returning.not_taken_yet(conn, [wish.wish_id for wish in wishes])
        done = []
        for wish in wishes:
            if wish.wish_id not in fresh:
                continue
            fresh.discard(wish.wish_id)
            # Never believed to be of the future (invariant 8), nor of another age.
            received_at = max(min(wish.received_at, at), at - _LONGEST_WAY)
            taken = self._decide(conn, wish, received_at, at)
            returning.remember(
                conn,
                wish_id=wish.wish_id,
                kind=wish.kind,
                person_hash=taken.person.person_hash if taken.person else None,
                received_at=received_at,
                outcome=taken.outcome,
                sequence=taken.sequence,
            )
            done.append((wish, taken))
        return done

    def _decide(self, conn: Connection, wish: Wish, received_at: datetime, at: datetime) -> _Taken:
        if wish.kind is WishKind.CONFIRM:
            return self._confirm(conn, wish, received_at, at)
        try:
            token = verify_opt_out(self._shop.token_keys, wish.token)
        except TokenError as error:
            return _Taken(Outcome.REFUSED, because=str(error))
        person = sent_messages.person_of_hash(conn, token.person_hash)
        if wish.kind is WishKind.LEAVE:
            if token.is_revoked:
                return self._hold(conn, wish, person, received_at)
            return self._leave(conn, wish, person, received_at, at)
        if token.is_revoked:
            return _Taken(Outcome.REFUSED, person, because="its key is revoked")
        if wish.kind is WishKind.UNDO:
            return self._undo(conn, wish, person, received_at, at)
        return self._come_back(conn, wish, person, at)

    def _leave(
        self, conn: Connection, wish: Wish, person: Person, received_at: datetime, at: datetime
    ) -> _Taken:
        was_listed = returning.is_listed_otherwise(conn, person, since=at - UNDO_WITHIN)
        event = self._event(Kind.OPT_OUT, wish, person, received_at, _RULES[wish.source])
        recorded = consent.record(conn, event)
        outcome = Outcome.LEFT_AGAIN if was_listed else Outcome.LEFT
        return _Taken(outcome, person, recorded.sequence)

    def _hold(self, conn: Connection, wish: Wish, person: Person, received_at: datetime) -> _Taken:
        """A leaked key could opt strangers out: as with a mail, a person decides."""
        because = "asked by a link whose key is revoked"
        reviews.open_item(
            conn, key=f"wish:{wish.wish_id}", person=person, place=_PLACE, rule="revoked-token",
            because=because, received_at=received_at,
        )  # fmt: skip
        event = self._event(Kind.HELD, wish, person, received_at, "revoked-token")
        return _Taken(Outcome.HELD, person, consent.record(conn, event).sequence)

    def _undo(
        self, conn: Connection, wish: Wish, person: Person, received_at: datetime, at: datetime
    ) -> _Taken:
        left = returning.left_by(conn, wish.undoes or "", person)
        why = ""
        if left is None:
            why = "it names no wish to leave of that person"
        elif received_at - left.received_at > UNDO_WITHIN or at - left.taken_at > UNDO_WITHIN:
            why = "more than an hour has passed"
        elif not returning.is_listed_by_door_alone(conn, person, since=at - UNDO_WITHIN):
            why = "that person is on the list by another way as well, or not any more"
        if why:
            return _Taken(Outcome.REFUSED, person, because=why)
        event = self._event(Kind.OPT_IN, wish, person, received_at, "undo-on-page")
        return _Taken(Outcome.UNDONE, person, consent.record(conn, event).sequence)

    def _come_back(self, conn: Connection, wish: Wish, person: Person, at: datetime) -> _Taken:
        code = self._shop.person_key.return_code(wish.wish_id)
        is_queued = returning.queue_confirmation(
            conn, person=person, wish_id=wish.wish_id, code=code, at=at,
            our_domain=self._our_domain,
        )  # fmt: skip
        if is_queued:
            return _Taken(Outcome.MAILED, person)
        why = "no readable address of that person is left, or one was asked for within a day"
        return _Taken(Outcome.REFUSED, person, because=why)

    def _confirm(self, conn: Connection, wish: Wish, received_at: datetime, at: datetime) -> _Taken:
        person = returning.use_code(conn, wish.code or "", at)
        if person is None:
            return _Taken(Outcome.REFUSED, because="no such code, or it was used, or is too old")
        event = self._event(Kind.OPT_IN, wish, person, received_at, "confirmed-by-mail")
        return _Taken(Outcome.CAME_BACK, person, consent.record(conn, event).sequence)

    def _event(
        self, kind: Kind, wish: Wish, person: Person, received_at: datetime, rule: str
    ) -> ConsentEvent:
        return ConsentEvent(
            kind=kind,
            source=Source.ONE_CLICK,
            person=person,
            key=f"wish:{wish.wish_id}",
            received_at=received_at,
            rule=rule,
            policy_version=self._shop.policy_version,
            evidence=_evidence(wish),
        )

    def _follow(self, taken: Iterable[tuple[Wish, _Taken]]) -> int:
        """After the commit: tell the log, and take those who left out of the queue."""
        gone, count = [], 0
        for wish, one in taken:
            count += 1
            about = {"person": one.person.person_hash[:12]} if one.person else {}
            tell = log.warning if one.outcome is Outcome.REFUSED else log.info
            because = {"because": one.because} if one.because else {}
            tell("wish_recorded", kind=wish.kind, outcome=one.outcome, **about, **because)
            if one.person and one.outcome in (Outcome.LEFT, Outcome.LEFT_AGAIN):
                gone.append(one.person)
        if gone:
            with self._database.write() as conn:
                withholding.withhold(conn, withholding.waiting_of(conn, gone))
        return count

    # -- a spool that cannot be read ---------------------------------------------------------

    def _stop_marketing(self, why: str) -> None:
        why = f"{socket.gethostname()}: {why}"
        if self._is_distrusted:
            return
        log.critical("spool_unreadable", why=why)
        with self._database.write() as conn:
            switches.turn(conn, switches.SPOOL_UNREADABLE, is_on=True, because=why)
        self._is_distrusted = True

    def _trust_again(self) -> None:
        """Only what this machine said: another one's spool may be unreadable as well."""
        if self._is_distrusted is False:
            return
        with self._database.read() as conn:
            switch = switches.get(conn, switches.SPOOL_UNREADABLE)
        if switch.is_on and switch.because.startswith(f"{socket.gethostname()}: "):
            with self._database.write() as conn:
                switches.turn(
                    conn, switches.SPOOL_UNREADABLE, is_on=False, because="readable again"
                )
            log.info("spool_readable_again")
        self._is_distrusted = False


_RULES: Final = {"one_click": "one-click", "page": "button-on-page"}


def _evidence(wish: Wish) -> dict[str, str]:
    """What was asked, and how. A topic is what the customer named; who names one leaves all."""
    told = {"wish": wish.wish_id, "by": wish.source}
    return told if wish.topic is None else {**told, "topic": wish.topic}


def _runs(wishes: Sequence[Wish]) -> Iterator[tuple[Wish, ...]]:
    """Wishes to leave together, each other one alone: what it locks comes before the ledger."""
    run: list[Wish] = []
    for wish in wishes:
        if wish.kind is WishKind.LEAVE:
            run.append(wish)
            continue
        if run:
            yield tuple(run)
            run = []
        yield (wish,)
    if run:
        yield tuple(run)


def _id_of(line: str) -> str:
    try:
        return wish_of(line).wish_id
    except ValueError:
        return ""
