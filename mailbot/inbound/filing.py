"""What is done in the mailbox with a mail that opted somebody out, if the admin wants it.

After the commit, never before; off by default. A refusal costs the filing, not the opt-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxRefused
from mailbot.inbound.imap import Mailbox

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Filing:
    """`target` is the keyword, or the folder that mail is moved to."""

    way: Literal["off", "keyword", "move"] = "off"
    target: str = ""

    @classmethod
    def of(cls, settings: MailboxSettings) -> Filing:
        """What the settings of a mailbox ask for."""
        targets = {"keyword": settings.filing_keyword, "move": settings.filing_folder}
        return cls(settings.filing, targets.get(settings.filing, ""))

    def file(self, mailbox: Mailbox, folder: str, uids: Sequence[int]) -> None:
        """File these mails of the examined folder. Raises MailboxUnavailable.

        Where the server refuses, that is told, and the mails stay as they are.
        """
        if self.way == "off" or not uids or (self.way == "move" and folder == self.target):
            return
        try:
            if self.way == "keyword":
                mailbox.mark(uids, self.target)
            else:
                mailbox.move(uids, self.target)
        except MailboxRefused as error:
            log.warning("filing_refused", folder=folder, uids=len(uids), because=str(error))
            return
        log.info("mail_filed", folder=folder, uids=list(uids), by=self.way, target=self.target)


NO_FILING = Filing()
