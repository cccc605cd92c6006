"""Which folders of a mailbox are watched, and what each means for the mail in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailbot.config import MailboxSettings
from mailbot.inbound.imap_answers import Folder, Role

# INBOX first: it is the one that IDLE watches. People move and delete mail before anyone looks.
_BY_DEFAULT = (Role.INBOX, Role.ARCHIVE, Role.TRASH, Role.JUNK)
# Gmail's All Mail holds everything but junk and trash.
_WITH_ALL_MAIL = (Role.ALL, Role.TRASH, Role.JUNK)


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """Mail in `is_junk` is heard and not answered; in `is_opt_out` a colleague put it there."""

    name: str
    is_junk: bool = False
    is_opt_out: bool = False


def watched_folders(
    settings: MailboxSettings, existing: Sequence[Folder]
) -> tuple[WatchedFolder, ...]:
    """Those that the settings name, else the usual ones that exist; the one for IDLE first."""
    junk = frozenset(folder.name for folder in existing if folder.is_junk)
    names = settings.folders or _usual(existing)
    found = [WatchedFolder(name, is_junk=name in junk) for name in names]
    if settings.opt_out_folder is not None:
        found = [one for one in found if one.name != settings.opt_out_folder]
        found.append(WatchedFolder(settings.opt_out_folder, is_opt_out=True))
    return tuple(found)


def _usual(existing: Sequence[Folder]) -> tuple[str, ...]:
    has_all_mail = any(folder.role is Role.ALL for folder in existing)
    roles = _WITH_ALL_MAIL if has_all_mail else _BY_DEFAULT
    found = [folder.name for role in roles for folder in existing if folder.role is role]
    # A server that lists nothing still has an INBOX (RFC 3501 §5.1).
    return tuple(found) if has_all_mail or "INBOX" in map(str.upper, found) else ("INBOX", *found)
