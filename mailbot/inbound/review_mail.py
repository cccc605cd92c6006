"""The mail behind a review item, fetched live for whoever looks, and never stored.

It is read as intake reads: EXAMINE and BODY.PEEK. Where it was moved it is found by its Message-ID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailbot.config import MailboxSettings, Settings
from mailbot.core.errors import MailboxRefused, UnreadableMail
from mailbot.core.inbound_message import MAX_BODY_BYTES, InboundMessage, read_message
from mailbot.inbound.imap import HEADER_LIMIT, Mailbox
from mailbot.inbound.watch import account_of
from mailbot.store.reviews import Place

_MOST_BYTES: Final = HEADER_LIMIT + MAX_BODY_BYTES
_MOST_FOLDERS: Final = 100  # looked through for a mail that was moved
_MOST_TWINS: Final = 5  # mails of one folder whose Message-ID holds the one that is looked for


@dataclass(frozen=True, slots=True)
class FoundMail:
    """A mail as it stands now; `was_moved` where it is not where it was first seen."""

    message: InboundMessage
    folder: str
    was_moved: bool


@dataclass(frozen=True, slots=True)
class MissingMail:
    """`because` is a sentence without its full stop."""

    because: str


def mailbox_of(settings: Settings, account: str) -> MailboxSettings | None:
    """The mailbox that the store knows by this name; None where the settings have it no more."""
    return next((each for each in settings.mailboxes if account_of(each) == account), None)


def find_mail(mailbox: Mailbox, place: Place, message_id: str) -> FoundMail | MissingMail:
    """The mail at `place`, else in whatever folder of the account it stands by its Message-ID.

    `message_id` is "" where it is not known. Raises MailboxError where the server cannot be read.
    """
    try:
        state = mailbox.examine(place.folder)
    except MailboxRefused:
        because = f"the folder {place.folder} is not there any more"
    else:
        because = f"it does not stand in {place.folder} any more: it was moved or deleted"
        if state.uidvalidity != place.uidvalidity:
            because = f"{place.folder} was numbered anew, and its old numbers mean nothing now"
        else:
            try:
                raw = mailbox.whole(place.uid, _MOST_BYTES)
            except UnreadableMail as error:
                return MissingMail(f"the server cannot read it ({error.what.rstrip('.')})")
            if raw:
                return FoundMail(read_message(raw), place.folder, was_moved=False)
    if not message_id:
        return MissingMail(f"{because}, and no Message-ID is known by which to find it")
    for folder in _folders(mailbox, place.folder):
        if message := _named(mailbox, folder, message_id):
            return FoundMail(message, folder, was_moved=folder != place.folder)
    return MissingMail(f"{because}, and no folder has a mail of its Message-ID")


def _folders(mailbox: Mailbox, first: str) -> Iterable[str]:
    """Its own folder, then every other: people move mail to where mailbot does not watch."""
    others = [folder.name for folder in mailbox.folders() if folder.name != first]
    return [first, *others][:_MOST_FOLDERS]


def _named(mailbox: Mailbox, folder: str, message_id: str) -> InboundMessage | None:
    try:
        mailbox.examine(folder)
    except MailboxRefused:  # gone, or not for us: the next one may have it
        return None
    for uid in mailbox.uids_naming(message_id)[:_MOST_TWINS]:
        try:
            message = read_message(mailbox.whole(uid, _MOST_BYTES))
        except UnreadableMail:  # its name is not to be known
            continue
        if message.message_id == message_id:  # SEARCH finds longer ones as well (RFC 3501 §6.4.4)
            return message
    return None
