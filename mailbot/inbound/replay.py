"""Read everything again, whatever the watermark, and find the requests that were missed.

What a mail would change is found by doing it in a transaction that is taken back, unless it is to
be applied. No lease is needed, and the daemon may run: a replay only reads the mailbox, moves no
watermark, and of it and the daemon the one that comes second finds the event's key and changes
nothing.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxRefused, RefusedError
from mailbot.core.inbound_message import read_message
from mailbot.core.person import Person
from mailbot.core.recognition import recognise
from mailbot.core.verdicts import AutoReply, Bounce, Facts, Review, Unrelated, Verdict
from mailbot.inbound.brake import WITHIN, brake, braked, is_brakeable
from mailbot.inbound.consequences import Change, carry_out
from mailbot.inbound.facts import facts_of, look_up
from mailbot.inbound.folders import WatchedFolder, watched_folders
from mailbot.inbound.imap import HEADER_LIMIT, Mailbox
from mailbot.inbound.imap_answers import FolderState
from mailbot.inbound.intake import OUTAGES, batches
from mailbot.inbound.mail import Mail
from mailbot.inbound.missed import Done, Findings, Missed, addresses_of
from mailbot.inbound.quarantine import quarantine, told
from mailbot.inbound.reading import BODY_LIMIT, OpenFolder, read_mail, read_mails
from mailbot.inbound.rehearsal import taken_back
from mailbot.inbound.shop import Shop
from mailbot.inbound.watch import account_of
from mailbot.inbound.withholding import withhold
from mailbot.store import keys, reviews, suppressions, tallies
from mailbot.store.engine import Connection, Database, now
from mailbot.store.reviews import Place

_FILES_AT_ONCE: Final = 50  # their bytes are in memory together
_MOST_EARLIER: Final = 200  # mails of one person that a dry run carries in mind
_NO_MESSAGE: Final = read_message(b"", is_whole=False)

_Deed = Callable[[Connection], tuple[Change, ...]]


@dataclass(frozen=True, slots=True)
class FiledMail:
    """A mail out of a file. `delivered_at` is when a server took it, None where nothing says so:
    then it counts as received now, as the Date header is whatever its writer wanted."""

    place: Place
    raw: bytes
    delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """One mail that asks for something, and what has to be done about it."""

    place: Place
    verdict: Verdict
    deed: _Deed
    mail: Mail | None = None  # None where it could not be read


class Replay:
    """One replay over folders or files; what it found so far is in `findings`.

    `on_progress` is told how many mails of a folder (or file) are done, and of how many where that
    is known. Raises RefusedError where it is to be applied in shadow mode.
    """

    def __init__(
        self,
        shop: Shop,
        database: Database,
        *,
        is_applied: bool = False,
        since: datetime | None = None,
        on_progress: Callable[[str, int, int | None], None] = lambda *_: None,
    ) -> None:
        if is_applied and shop.is_shadow:
            raise RefusedError(
                "in shadow mode nothing is changed, so a replay cannot be applied.",
                next_step="Run it without --apply, or set recognition.mode to live first.",
            )
        self.findings = Findings()
        self._shop = shop
        self._database = database
        self._is_applied = is_applied
        self._since = since
        self._on_progress = on_progress
        self._missed: set[str] = set()  # the identities of those in `findings`
        # A dry run leaves nothing behind, so it does a person's earlier mails along with each.
        self._earlier: defaultdict[str, deque[_Deed]] = defaultdict(
            lambda: deque(maxlen=_MOST_EARLIER)
        )
        self._failing: dict[str, tuple[datetime, Verdict]] = {}  # see _brake

    def account(self, mailbox: Mailbox, settings: MailboxSettings, folder: str = "") -> None:
        """Every watched folder of the mailbox, or this one, watched or not.

        Raises MailboxRefused where the server refuses a folder, after the others were read.
        """
        try:
            existing = mailbox.folders()
        except MailboxRefused:  # a list that cannot be read must not hide the folders
            existing = ()
        chosen = watched_folders(settings, existing)
        if folder:
            is_junk = any(one.is_junk for one in existing if one.name == folder)
            other = WatchedFolder(folder, is_junk)
            chosen = tuple(one for one in chosen if one.name == folder) or (other,)
        refused: MailboxRefused | None = None
        for watched in chosen:
            try:
                self.folder(mailbox, account_of(settings), watched, settings.authserv_ids)
            except MailboxRefused as error:
                refused = refused or error
        if refused is not None:
            raise refused

    def folder(
        self,
        mailbox: Mailbox,
        account: str,
        watched: WatchedFolder,
        authserv_ids: Iterable[str] = (),
    ) -> None:
        """Every mail of the folder from the first on. Raises MailboxError, or an outage of the
        store; what was done until then stays, and is found as recorded the next time."""
        known = facts_of(self._shop, authserv_ids)
        state = mailbox.examine(watched.name)
        uids = mailbox.uids_after(0)
        done = 0
        for batch in batches(uids):
            self._on_progress(watched.name, done, len(uids))
            opened = self._opened(account, state, watched)
            self._hear(list(read_mails(mailbox, opened, batch, known, self._on_fault)),
                       known, watched)  # fmt: skip
            done += len(batch)
        self._on_progress(watched.name, done, len(uids))

    def files(self, mails: Iterable[FiledMail], authserv_ids: Iterable[str] = ()) -> None:
        """Every one of these mails."""
        known = facts_of(self._shop, authserv_ids)
        source = iter(mails)
        done = 0
        while batch := list(islice(source, _FILES_AT_ONCE)):
            done += len(batch)
            self._hear(list(self._read_files(batch, known)), known, WatchedFolder(""))
            self._on_progress(batch[-1].place.folder, done, None)

    # -- reading -------------------------------------------------------------------------------

    def _opened(self, account: str, state: FolderState, watched: WatchedFolder) -> OpenFolder:
        with self._database.read() as conn:
            return OpenFolder(account, state, watched, now(conn), is_news=False, since=self._since)

    def _read_files(self, batch: Sequence[FiledMail], known: Facts) -> Iterable[Mail]:
        opened = self._opened("", FolderState("", 0, None, 0), WatchedFolder(""))
        for filed in batch:
            if self._since and filed.delivered_at and filed.delivered_at < self._since:
                continue
            header, whole = filed.raw[:HEADER_LIMIT], partial(_first, filed.raw)
            try:
                yield read_mail(header, whole, filed.delivered_at, filed.place, opened, known)
            except Exception as error:  # bad mail is a value (invariant 7)
                self._on_fault(filed.place, told(error))

    def _on_fault(self, place: Place, because: str) -> None:
        self.findings.read += 1
        self._leave_to_a_person(place, because)

    # -- judging -------------------------------------------------------------------------------

    def _hear(self, mails: Sequence[Mail], known: Facts, watched: WatchedFolder) -> None:
        with self._database.read() as conn:
            facts = look_up(conn, [mail.message for mail in mails], self._shop, known)
        facts = replace(facts, is_opt_out_folder=watched.is_opt_out)
        for mail in mails:
            self.findings.read += 1
            try:
                verdict = self._judge(mail, facts)
                if not isinstance(verdict, (Unrelated, AutoReply)):
                    self._settle(_Case(mail.place, verdict, self._deed(verdict, mail), mail))
            except OUTAGES:
                raise
            except Exception as error:  # bad mail is a value (invariant 7)
                self._leave_to_a_person(mail.place, told(error), mail)

    def _judge(self, mail: Mail, facts: Facts) -> Verdict:
        verdict = recognise(mail.message, facts)
        return self._brake(verdict, mail, facts) if is_brakeable(verdict, mail, facts) else verdict

    def _brake(self, verdict: Verdict, mail: Mail, facts: Facts) -> Verdict:
        """As intake decided where it heard the mail; else by how many came in the hour before."""
        if mail.identity in self._failing:
            return self._failing[mail.identity][1]
        held = braked(mail, facts)
        for decided in (verdict, held):
            if not taken_back(self._database, partial(_do, self._deed(decided, mail))).is_new:
                return decided
        if self._is_applied:
            return brake(self._database, verdict, mail, facts, self._shop)
        until = mail.received_at
        with self._database.read() as conn:
            before = tallies.failed_requests_before(
                conn, besides=f"mail:{mail.identity}", until=until, within=WITHIN
            )
        before += sum(until - WITHIN < at <= until for at, _ in self._failing.values())
        decided = verdict if before < self._shop.brake_requests else held
        self._failing[mail.identity] = (until, decided)
        return decided

    def _leave_to_a_person(self, place: Place, because: str, mail: Mail | None = None) -> None:
        self.findings.unreadable += 1
        asked = mail.message.from_mailboxes if mail else ()
        verdict = Review(
            rule="quarantine", evidence=because, reason=because,
            addresses=tuple(box.address for box in asked),
        )  # fmt: skip
        deed = partial(quarantine, place=place, because=because, shop=self._shop)
        try:
            self._settle(_Case(place, verdict, partial(deed, mail=mail), mail))
        except OUTAGES:
            raise
        except Exception:  # whatever made the mail unreadable may stop this as well
            self._settle(_Case(place, verdict, deed))

    # -- doing, or trying ------------------------------------------------------------------------

    def _deed(self, verdict: Verdict, mail: Mail) -> _Deed:
        return partial(carry_out, verdict=verdict, mail=mail, shop=self._shop)

    def _settle(self, case: _Case) -> None:
        """Count the case as recorded or missed; do it where the replay is applied."""
        verdict, mail = case.verdict, case.mail
        done = taken_back(self._database, partial(_do, case.deed))
        # One bounce that may pass changes nothing; several days of them do.
        may_add_up = isinstance(verdict, Bounce) and not verdict.is_permanent
        if done.is_new or may_add_up:
            done = self._do_in_turn(case, done)
        if self._is_applied:
            withhold(self._database, done.changes)
        if done.is_new:
            effects = done.effects(addresses := addresses_of(verdict, self._shop))
            changed = tuple(effect.address for effect in effects if effect.address)
            self.findings.missed.append(Missed(
                case.place, mail.received_at if mail else None, verdict.name, verdict.rule,
                tuple(dict.fromkeys(changed or addresses.values())), effects, done.opens_review,
            ))  # fmt: skip
            self._missed.update([mail.identity] if mail else [])
        elif mail and mail.identity in self._missed:
            self.findings.copies += 1
        elif done.changes or not isinstance(verdict, Bounce):
            self.findings.recorded += 1

    def _do_in_turn(self, case: _Case, tried: Done) -> Done:
        """For good where it is applied; else after the earlier mails of the same persons."""
        persons = [change.person for change in tried.changes]
        if isinstance(case.verdict, Bounce):
            persons += [our.person for our in case.verdict.our]
        if self._is_applied:
            with self._database.write() as conn:
                keys.adopt(conn, self._shop.person_key)
                return _do(case.deed, conn, persons=persons)
        names = {name for one in persons for name in (one.person_hash, one.untagged_hash)}
        names.update([case.mail.identity] if case.mail else [])
        earlier = dict.fromkeys(deed for name in sorted(names) for deed in self._earlier[name])
        done = taken_back(
            self._database, partial(_do, case.deed, earlier=tuple(earlier), persons=persons)
        )
        if case.mail:
            slim = replace(case.mail, message=_NO_MESSAGE)  # only its evidence needs the message
            deed = self._deed(case.verdict, slim)
            for name in names:
                self._earlier[name].append(deed)
        return done


def _do(
    deed: _Deed,
    conn: Connection,
    *,
    earlier: Iterable[_Deed] = (),
    persons: Sequence[Person] = (),
) -> Done:
    """Do it in the caller's transaction, after the `earlier` ones."""
    for one in earlier:
        one(conn)
    before = {one.person_hash: suppressions.reasons(conn, one) for one in persons}
    newest = reviews.newest_id(conn)
    changes = deed(conn)
    opens_review = reviews.newest_id(conn) > newest
    after = {one.person_hash: suppressions.reasons(conn, one) for one in persons}
    return Done(changes, opens_review, before, after)


def _first(raw: bytes) -> bytes:
    return raw[:BODY_LIMIT]
