"""Mails out of an examined folder, as intake understands them and replay understands them again.

The header first; the body only where a rule needs it. EXAMINE and BODY.PEEK: nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from mailbot.core.deadlines import is_worth_acknowledging
from mailbot.core.errors import MailboxError
from mailbot.core.inbound_message import MAX_BODY_BYTES, read_message
from mailbot.core.recognition import needs_body
from mailbot.core.verdicts import Facts
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import HEADER_LIMIT, Mailbox
from mailbot.inbound.imap_answers import FolderState
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
        whole = partial(mailbox.whole, fetched.uid, BODY_LIMIT)
        try:
            mail = read_mail(fetched.header, whole, fetched.received_at, place, folder, known)
        except MailboxError:
            raise
        except Exception as error:  # bad mail is a value (invariant 7)
            on_fault(place, told(error))
        else:
            yield mail


def read_mail(
    header: bytes,
    whole: Callable[[], bytes],
    internal_date: datetime | None,
    place: Place,
    folder: OpenFolder,
    known: Facts,
) -> Mail:
    """One mail; `whole` is asked for its bytes only where a rule needs the body."""
    message = read_message(header, is_whole=False)
    identity = identity_of(message, internal_date, is_opt_out=folder.watched.is_opt_out)
    if needs_body(message, known) and (raw := whole()):
        message = read_message(raw)
    first_seen_at = folder.first_seen_at
    # A colleague decides when the mail is put there, not when it was written.
    received_at, is_news = receipt(internal_date, first_seen_at), folder.is_news
    if folder.watched.is_opt_out:
        is_news = is_news and is_worth_acknowledging(received_at, first_seen_at)
        received_at = first_seen_at
    return Mail(place, message, identity, received_at, first_seen_at, is_news)
