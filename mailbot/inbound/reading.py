"""Mails out of an examined folder, as intake understands them and replay understands them again.

The header first; the body only where a rule needs it. EXAMINE and BODY.PEEK: nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mailbot.core.errors import MailboxError
from mailbot.core.inbound_message import MAX_BODY_BYTES, read_message
from mailbot.core.recognition import needs_body
from mailbot.core.verdicts import Facts
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import HEADER_LIMIT, Mailbox
from mailbot.inbound.imap_answers import FetchedMessage, FolderState
from mailbot.inbound.mail import Mail, identity_of, receipt
from mailbot.inbound.quarantine import told
from mailbot.store.reviews import Place

BODY_LIMIT: Final = HEADER_LIMIT + MAX_BODY_BYTES  # what is fetched of a mail at most


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """The folder that is examined now, and what is true of each mail in it.

    What was received before `since` is passed over, its body unread.
    """

    account: str
    state: FolderState
    watched: WatchedFolder
    first_seen_at: datetime
    is_news: bool = False
    since: datetime | None = None


def read_mails(
    mailbox: Mailbox,
    folder: OpenFolder,
    uids: Sequence[int],
    known: Facts,
    on_fault: Callable[[Place, str], None],
) -> Iterator[Mail]:
    """The mails of these UIDs in order; `on_fault` is told of each that cannot be read, and why.

    Raises MailboxError.
    """
    for fetched in mailbox.headers(uids):
        state = folder.state
        place = Place(folder.account, state.name, state.uidvalidity, fetched.uid)
        if fetched.fault:
            on_fault(place, f"the server cannot read this mail: {fetched.fault}")
            continue
        if folder.since and fetched.received_at and fetched.received_at < folder.since:
            continue
        try:
            mail = _read(mailbox, fetched, place, folder, known)
        except MailboxError:
            raise
        except Exception as error:  # bad mail is a value (invariant 7)
            on_fault(place, told(error))
        else:
            yield mail


def _read(
    mailbox: Mailbox, fetched: FetchedMessage, place: Place, folder: OpenFolder, known: Facts
) -> Mail:
    message = read_message(fetched.header, is_whole=False)
    identity = identity_of(message, fetched.received_at)
    if needs_body(message, known) and (raw := mailbox.whole(fetched.uid, BODY_LIMIT)):
        message = read_message(raw)
    first_seen_at = folder.first_seen_at
    received_at = receipt(fetched.received_at, first_seen_at)
    mail = Mail(place, message, identity, received_at, first_seen_at, folder.is_news)
    # A colleague decides when the mail is put there, not when it was written.
    return replace(mail, received_at=first_seen_at) if folder.watched.is_opt_out else mail
