"""Hear what stands in a folder: fetch, recognise, record, suppress, acknowledge, file, advance.

Invariant 1: consent event and suppression commit together, before the watermark moves and before
anything is filed; a crash anywhere replays, and replay changes nothing. Invariant 7: one poison
mail is quarantined with its reason, and the next one is read; only an outage (of the server, of
the database) stops the scan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from mailbot.core.errors import MailboxUnavailable, SchemaError, StoreUnavailable, WrongPersonKey
from mailbot.core.recognition import recognise
from mailbot.core.verdicts import AutoReply, Facts, OptOut, Unrelated, Verdict
from mailbot.inbound.brake import brake
from mailbot.inbound.consequences import Change, carry_out
from mailbot.inbound.facts import facts_of, look_up
from mailbot.inbound.filing import NO_FILING, Filing
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import FETCH_BATCH, Mailbox
from mailbot.inbound.imap_answers import FolderState
from mailbot.inbound.mail import Mail
from mailbot.inbound.quarantine import quarantine, told
from mailbot.inbound.reading import OpenFolder, read_mails
from mailbot.inbound.rehearsal import rehearse
from mailbot.inbound.shop import Shop
from mailbot.inbound.withholding import withhold
from mailbot.store import mailboxes, tallies
from mailbot.store.engine import Connection, Database, now
from mailbot.store.reviews import Place

# Not the mail's fault: the scan stops here, the watermark stays, and it is tried again.
OUTAGES = (StoreUnavailable, SchemaError, WrongPersonKey)

MOST_FILINGS = 3  # tries of one batch

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
        self._failed_filings = 0
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
            self._file(mailbox, folder, asked)
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
        opened = OpenFolder(self.account, state, folder, first_seen_at, is_news)
        return list(read_mails(mailbox, opened, uids, self._known, self._quarantine))

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
            self._quarantine(mail.place, told(error), mail)
            return False
        self.heard.by_verdict[verdict.name] += 1
        _tell(verdict, mail, changes)
        withhold(self._database, changes)
        return isinstance(verdict, OptOut) and verdict.has_leavers

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

    def _quarantine(self, place: Place, because: str, mail: Mail | None = None) -> None:
        """Leave the mail to a person. Who may have asked in it is held meanwhile."""
        self.heard.quarantined += 1
        log.error("mail_quarantined", **_where(place), because=because, exc_info=True)
        if self._shop.is_shadow:
            return
        try:
            with self._database.write() as conn:
                quarantine(conn, place, because, self._shop, mail)
        except OUTAGES:
            raise
        except Exception:  # whatever made the mail unreadable may stop this as well
            if mail is None:
                raise
            log.exception("hold_failed", **_where(place))
            with self._database.write() as conn:
                quarantine(conn, place, because, self._shop)

    # -- file ----------------------------------------------------------------------------------

    def _file(self, mailbox: Mailbox, folder: WatchedFolder, asked: Sequence[int]) -> None:
        """Raises MailboxUnavailable: the batch is heard again then, and filed. What fails again and
        again is left unfiled: later mail must not wait for it."""
        if self._shop.is_shadow:
            return
        try:
            self._filing.file(mailbox, folder.name, asked)
        except MailboxUnavailable as error:
            self._failed_filings += 1
            if self._failed_filings < MOST_FILINGS:
                raise
            log.error("filing_given_up", account=self.account, folder=folder.name,
                      uids=list(asked), because=str(error))  # fmt: skip
        self._failed_filings = 0

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


def _where(place: Place) -> dict[str, object]:
    return {"account": place.account, "folder": place.folder, "uid": place.uid}
