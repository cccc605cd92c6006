"""Hear what stands in a folder: fetch, recognise, record, suppress, acknowledge, file, advance.

Invariant 1: consent event and suppression commit together, before the watermark moves and before
anything is filed; a crash anywhere replays, and replay changes nothing. Invariant 7: one poison
mail is quarantined with its reason, and the next one is read; only an outage (of the server, of
the database) stops the scan.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import structlog

from mailbot.core.consent import ADDS, Kind
from mailbot.core.errors import MailboxError, SchemaError, StoreUnavailable, WrongPersonKey
from mailbot.core.inbound_message import MAX_BODY_BYTES, read_message
from mailbot.core.recognition import needs_body, recognise
from mailbot.core.verdicts import AutoReply, Facts, OptOut, Review, Unrelated, Verdict
from mailbot.inbound.brake import brake
from mailbot.inbound.consequences import Change, carry_out, held_for, hold
from mailbot.inbound.facts import facts_of, look_up
from mailbot.inbound.filing import NO_FILING, Filing
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import FETCH_BATCH, HEADER_LIMIT, Mailbox
from mailbot.inbound.imap_answers import FetchedMessage, FolderState
from mailbot.inbound.mail import Mail, identity_of, receipt
from mailbot.inbound.rehearsal import rehearse
from mailbot.inbound.shop import Shop
from mailbot.store import mailboxes, outbox, reviews, tallies
from mailbot.store.engine import Connection, Database, now
from mailbot.store.reviews import Place

# Not the mail's fault: the scan stops here, the watermark stays, and it is tried again.
OUTAGES = (StoreUnavailable, SchemaError, WrongPersonKey)
BODY_LIMIT = HEADER_LIMIT + MAX_BODY_BYTES  # what is fetched of a mail at most
THE_WORD = "unsubscribe"
# Kinds whose person has no more business in the queue of a campaign; a hold may be lifted.
_LEAVING = frozenset({Kind.OPT_OUT, Kind.COMPLAINT, Kind.UNDELIVERABLE})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Heard:
    """What was heard since the start, by verdict; `quarantined` could not be read at all."""

    by_verdict: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0


class Intake:
    """Reads the folders of one account.

    `keep_alive` is called in a transaction after each batch: it renews the lease of the mailbox,
    and raises where another daemon has taken it. `is_stopping` is asked before each batch.
    """

    def __init__(
        self,
        account: str,
        shop: Shop,
        database: Database,
        *,
        authserv_ids: Sequence[str] = (),
        filing: Filing = NO_FILING,
        keep_alive: Callable[[Connection], None] = lambda _: None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.account = account
        self.heard = Heard()
        self._shop = shop
        self._known = facts_of(shop, authserv_ids)
        self._filing = filing
        self._database = database
        # What was only watched was not heard: going live starts from the beginning.
        self._read_as = f"{account[:90]} (shadow)" if shop.is_shadow else account
        self._keep_alive = keep_alive
        self._is_stopping = is_stopping

    def hear(self, mailbox: Mailbox, folder: WatchedFolder) -> None:
        """Hear every mail above the folder's watermark, and move it, batch by batch.

        Raises MailboxError, or one of OUTAGES: what was not finished is heard again.
        """
        state = mailbox.examine(folder.name)
        with self._database.read() as conn:
            mark = mailboxes.watermark(conn, self._read_as, folder.name, state.uidvalidity)
        is_news = not (mark.is_first_scan or folder.is_junk)
        for uids in batches(mailbox.uids_after(mark.last_uid)):
            if self._is_stopping():
                return
            mails = self._fetch(mailbox, state, uids, folder, is_news=is_news)
            facts = self._look_up(mails, folder)
            asked = [mail.place.uid for mail in mails if self._understand(mail, facts)]
            if not self._shop.is_shadow:
                self._filing.file(mailbox, folder.name, asked)
            self._advance(state, uids[-1])
        if mark.is_first_scan:
            with self._database.write() as conn:
                mailboxes.finish_first_scan(conn, self._read_as, folder.name, state.uidvalidity)
            log.info("first_scan_finished", account=self._read_as, folder=folder.name)

    # -- fetch ---------------------------------------------------------------------------------

    def _fetch(
        self,
        mailbox: Mailbox,
        state: FolderState,
        uids: Sequence[int],
        folder: WatchedFolder,
        *,
        is_news: bool,
    ) -> list[Mail]:
        with self._database.read() as conn:
            first_seen_at = now(conn)
        mails = []
        for fetched in mailbox.headers(uids):
            place = Place(self.account, state.name, state.uidvalidity, fetched.uid)
            if fetched.fault:
                self._quarantine(place, f"the server cannot read this mail: {fetched.fault}")
                continue
            try:
                mail = self._read(mailbox, fetched, place, first_seen_at, is_news)
                # A colleague decides when the mail is put there, not when it was written.
                mails.append(
                    replace(mail, received_at=first_seen_at) if folder.is_opt_out else mail
                )
            except (MailboxError, *OUTAGES):
                raise
            except Exception as error:  # bad mail is a value (invariant 7)
                self._quarantine(place, _told(error))
        return mails

    def _read(
        self,
        mailbox: Mailbox,
        fetched: FetchedMessage,
        place: Place,
        first_seen_at: datetime,
        is_news: bool,
    ) -> Mail:
        message = read_message(fetched.header, is_whole=False)
        identity = identity_of(message, fetched.received_at)
        if needs_body(message, self._known) and (raw := mailbox.whole(fetched.uid, BODY_LIMIT)):
            message = read_message(raw)
        received_at = receipt(fetched.received_at, first_seen_at)
        return Mail(place, message, identity, received_at, first_seen_at, is_news)

    def _look_up(self, mails: Sequence[Mail], folder: WatchedFolder) -> Facts:
        with self._database.read() as conn:
            found = look_up(conn, [mail.message for mail in mails], self._shop, self._known)
        return replace(found, is_opt_out_folder=folder.is_opt_out)

    # -- recognise, record, suppress, acknowledge ----------------------------------------------

    def _understand(self, mail: Mail, facts: Facts) -> bool:
        """Whether the mail asked for an end of offers."""
        try:
            verdict = recognise(mail.message, facts)
            verdict = brake(self._database, verdict, mail, facts, self._shop)
            changes = self._carry_out(verdict, mail)
        except OUTAGES:
            raise
        except Exception as error:  # bad mail is a value (invariant 7)
            self._quarantine(mail.place, _told(error), mail)
            return False
        self.heard.by_verdict[verdict.name] += 1
        _tell(verdict, mail, changes)
        self._withhold(changes)
        return isinstance(verdict, OptOut)

    def _carry_out(self, verdict: Verdict, mail: Mail) -> tuple[Change, ...]:
        if isinstance(verdict, (Unrelated, AutoReply)):
            return ()
        if self._shop.is_shadow:
            return self._note_only(verdict, mail)
        with self._database.write() as conn:
            return carry_out(conn, verdict, mail, self._shop)

    def _note_only(self, verdict: Verdict, mail: Mail) -> tuple[Change, ...]:
        """Shadow mode: what would have changed is noted, and nothing changes."""
        would = rehearse(self._database, verdict, mail, self._shop)
        named = [(change.kind.value, change.person) for change in would if change.is_new]
        with self._database.write() as conn:
            tallies.note_shadow(
                conn, key=f"mail:{mail.identity}", place=mail.place, rule=verdict.rule,
                changes=named,
            )  # fmt: skip
        log.info("would_have_changed", **_where(mail.place), rule=verdict.rule,
                 kinds=[kind for kind, _ in named])  # fmt: skip
        return ()

    def _withhold(self, changes: Sequence[Change]) -> None:
        """For the console's truth; the guarantee is the look before sending."""
        for change in changes:
            if change.kind in _LEAVING:
                with self._database.write() as conn:
                    outbox.withhold_marketing_of(conn, change.person, ADDS[change.kind])

    def _quarantine(self, place: Place, because: str, mail: Mail | None = None) -> None:
        """Leave the mail to a person. Who may have asked in it is held meanwhile."""
        self.heard.quarantined += 1
        log.error("mail_quarantined", **_where(place), because=because, exc_info=True)
        if self._shop.is_shadow:
            return
        verdict = Review(rule="quarantine", evidence=because, reason=because)
        if mail is not None and THE_WORD in mail.message.subject.casefold():
            try:
                with self._database.write() as conn:
                    asked = held_for(
                        (box.address for box in mail.message.from_mailboxes), self._shop
                    )
                    hold(conn, asked, verdict, mail, self._shop, because=because)
                return
            except OUTAGES:
                raise
            except Exception:  # whatever made the mail unreadable may stop this as well
                log.exception("hold_failed", **_where(place))
        with self._database.write() as conn:
            reviews.open_item(
                conn, key=f"quarantine:{_digest(place)}", person=None, place=place,
                rule=verdict.rule, because=because,
            )  # fmt: skip

    # -- advance -------------------------------------------------------------------------------

    def _advance(self, state: FolderState, last_uid: int) -> None:
        with self._database.write() as conn:
            mailboxes.advance(conn, self._read_as, state.name, state.uidvalidity, last_uid)
        # Not in one transaction: what was heard was heard, whoever holds the mailbox by now.
        with self._database.write() as conn:
            self._keep_alive(conn)


def batches(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    """In the sizes that are fetched, looked up and finished at once."""
    for start in range(0, len(uids), FETCH_BATCH):
        yield uids[start : start + FETCH_BATCH]


def _tell(verdict: Verdict, mail: Mail, changes: Sequence[Change]) -> None:
    noted = {"notes": list(verdict.notes)} if verdict.notes else {}
    tell = log.info if noted or not isinstance(verdict, Unrelated) else log.debug
    tell("mail_recognised", **_where(mail.place), verdict=verdict.name, rule=verdict.rule, **noted)
    for change in changes:
        if change.is_new:
            log.info(
                f"{change.kind}_recorded", **_where(mail.place), rule=verdict.rule,
                person=change.person.person_hash[:12],
            )  # fmt: skip


def _told(error: Exception) -> str:
    """The kind of error and where it arose; its text may quote the mail, which is not kept."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _where(place: Place) -> dict[str, object]:
    return {"account": place.account, "folder": place.folder, "uid": place.uid}


def _digest(place: Place) -> str:
    text = "\n".join((place.account, place.folder, str(place.uidvalidity), str(place.uid)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
