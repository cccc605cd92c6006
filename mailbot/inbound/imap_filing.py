"""What an admin may let mailbot change in a mailbox: a keyword, a move. Part of inbound/imap.py.

`client` is imapclient's IMAPClient with the folder selected. Never a bare EXPUNGE: it would remove
for good whatever else a person has marked as deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailbot.core.errors import MailboxRefused
from mailbot.inbound.imap_faults import explained


def keep_keyword(client: Any, where: str, uids: Sequence[int], keyword: str) -> None:
    """Raises MailboxRefused where the folder keeps no keywords (RFC 3501 §7.1, PERMANENTFLAGS)."""
    with explained(where, "marking mail"):
        after = client.add_flags(list(uids), [keyword.encode("ascii")])
    lost = [uid for uid, flags in after.items() if keyword.encode("ascii") not in flags]
    if lost:
        raise MailboxRefused(
            f"the server keeps no keyword {keyword!r}.",
            where=where,
            next_step='Write filing = "move", or filing = "off".',
        )


def move_mails(client: Any, where: str, uids: Sequence[int], folder: str) -> None:
    """MOVE (RFC 6851), else COPY and UID EXPUNGE (RFC 4315)."""
    with explained(where, "asking for its capabilities"):
        can_move = client.has_capability("MOVE")
        can_expunge_uids = client.has_capability("UIDPLUS")
    if not can_move and not can_expunge_uids:
        raise MailboxRefused(
            "the server offers neither MOVE nor UIDPLUS, without which a move may remove for good "
            "what others have marked as deleted.",
            where=where,
            next_step='Write filing = "keyword", or filing = "off".',
        )
    doing = f"moving mail to {folder!r}"
    if can_move:
        with explained(where, doing, refuses="folder"):
            client.move(list(uids), folder)
        return
    with explained(where, doing, refuses="folder"):
        client.copy(list(uids), folder)
    with explained(where, doing):
        client.delete_messages(list(uids))
        client.uid_expunge(list(uids))
