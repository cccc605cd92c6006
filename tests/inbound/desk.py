"""One mailbox, its database and intake, with short questions to each."""

from __future__ import annotations

from mailbot.config import MailboxSettings
from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.inbound.filing import NO_FILING, Filing
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.intake import Intake
from mailbot.inbound.shop import Shop
from mailbot.store import deliveries, ledger, mailboxes, reviews, suppressions
from mailbot.store.engine import Database
from tests.inbound.letters import SHOP, person
from tests.servers.dovecot import PASSWORD, Dovecot

ACCOUNT = "help at 127.0.0.1"


class Desk:
    """The mailbox, the database and intake of one test, with short questions to each."""

    def __init__(
        self, server: Dovecot, user: str, settings: MailboxSettings, database: Database
    ) -> None:
        self.server, self.user, self.database = server, user, database
        self.settings = settings
        self.intake = Intake(ACCOUNT, SHOP, database)

    def change(
        self, shop: Shop = SHOP, *, authserv_ids: tuple[str, ...] = (), filing: Filing = NO_FILING
    ) -> None:
        """Intake anew, of another shop or mailbox; what it remembers stays."""
        self.intake = Intake(ACCOUNT, shop, self.database, authserv_ids=authserv_ids, filing=filing)

    def arrive(self, message: bytes, **how: object) -> int:
        """A mail comes in; returns its UID."""
        return self.server.deliver(self.user, message, **how)  # type: ignore[arg-type]

    def hear(
        self, folder: str = "INBOX", *, is_junk: bool = False, is_opt_out: bool = False
    ) -> None:
        """One look at a folder over a new connection."""
        with Mailbox(self.settings, PASSWORD) as mailbox:
            self.intake.hear(mailbox, WatchedFolder(folder, is_junk, is_opt_out))

    def start(self) -> None:
        """The first scan of an empty mailbox: whatever comes from now on is news."""
        self.hear()

    def reasons(self, address: str = "ann@example.net") -> set[Reason]:
        with self.database.read() as conn:
            return set(suppressions.reasons(conn, person(address)))

    def events(self, address: str = "ann@example.net") -> list[ledger.StoryEvent]:
        with self.database.read() as conn:
            return ledger.story(conn, person(address))

    def ledger_length(self) -> int:
        with self.database.read() as conn:
            return ledger.head_sequence(conn)

    def last_uid(self, folder: str = "INBOX") -> int:
        with Mailbox(self.settings, PASSWORD) as mailbox:
            state = mailbox.examine(folder)
        with self.database.read() as conn:
            return mailboxes.watermark(conn, ACCOUNT, folder, state.uidvalidity).last_uid

    def answers(self, address: str = "ann@example.net") -> int:
        """How many acknowledgements are queued for this person."""
        with self.database.read() as conn:
            stories = deliveries.messages_to(conn, person(address))
        return sum(story.kind is MessageKind.ACKNOWLEDGEMENT for story in stories)

    def waiting_reviews(self) -> list[reviews.ReviewItem]:
        with self.database.read() as conn:
            return reviews.waiting(conn)
