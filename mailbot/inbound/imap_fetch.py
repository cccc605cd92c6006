"""SEARCH and FETCH where the server errs: no mail that stands there is passed over in silence.

Part of the adapter inbound/imap.py; `client` is imapclient's IMAPClient with a folder open. Its
errors are imaplib's.
"""

from __future__ import annotations

import imaplib
from collections.abc import Sequence
from typing import Any

from mailbot.core.errors import MailboxUnavailable
from mailbot.inbound.imap_answers import literal
from mailbot.inbound.imap_faults import explained, server_text

Answer = dict[bytes, Any]


def search(client: Any, where: str, uids: str) -> list[int]:
    """Those of `uids`, a set such as "1:*" (RFC 3501 §9), that the folder has; as it is answered:
    "n:*" finds the last mail even where its UID is below n."""
    imap = client._imap  # noqa: SLF001 - imapclient takes an answer of two lines for garbage
    with explained(where, "searching for mail"):
        kind, lines = imap.uid("SEARCH", "UID", uids)
        if kind != "OK":
            raise imaplib.IMAP4.error(lines[0])
        if imap.untagged_responses.pop("ESEARCH", None):  # no answer to what was asked
            raise MailboxUnavailable(
                "the server answers SEARCH in a form that was not asked for (ESEARCH).", where=where
            )
        found = [line.partition(b"(")[0].split() for line in lines if line]  # "(MODSEQ 5)" follows
        return [int(uid) for line in found for uid in line]


def fetch(
    client: Any, where: str, uids: Sequence[int], items: Sequence[str], wanted: bytes
) -> dict[int, Answer | str]:
    """What the server answers for each mail, with the literal `wanted`; or, as text, why it has
    none. A mail that does not stand there any more is left out.

    One mail that the server cannot read, or forgets, must not hide its neighbours: where the
    answer for all is refused or garbled, or lacks one, each of these is asked for alone.
    """
    answers: dict[int, Answer | str] = {}
    together = _fetch(client, where, uids, items)
    if isinstance(together, str):
        alone = list(uids)
    else:
        answers.update({uid: each for uid, each in together.items() if _has(each, wanted)})
        alone = _standing(client, where, [uid for uid in uids if uid not in answers])
    for uid in alone:
        if (answer := _fetch_alone(client, where, uid, items, wanted)) is not None:
            answers[uid] = answer
    return answers


def _fetch_alone(
    client: Any, where: str, uid: int, items: Sequence[str], wanted: bytes
) -> Answer | str | None:
    found = _fetch(client, where, [uid], items)
    if isinstance(found, str):
        return found
    answer = found.get(uid)
    if answer is not None and _has(answer, wanted):
        return answer
    if not _standing(client, where, [uid]):
        return None
    return "it answers with nothing" if answer is None else f"it answers with no {_told(wanted)}"


def _fetch(
    client: Any, where: str, uids: Sequence[int], items: Sequence[str]
) -> dict[int, Answer] | str:
    """The answers by UID, or why there are none. Raises MailboxUnavailable for a dead line."""
    with explained(where, "fetching mail"):
        try:
            return dict(client.fetch(list(uids), list(items)))
        except (imaplib.IMAP4.abort, OSError):
            raise
        except Exception as error:  # imapclient lets parser errors of any kind through
            return server_text(error)


def _standing(client: Any, where: str, uids: Sequence[int]) -> list[int]:
    """Those that the folder still has, in this order."""
    if not uids:
        return []
    with explained(where, "asking for news"):
        client.noop()  # until then a server may show what others have expunged (RFC 3501 §5.5)
    there = set(search(client, where, ",".join(map(str, uids))))
    return [uid for uid in uids if uid in there]


def _has(answer: Answer, wanted: bytes) -> bool:
    return literal(answer, wanted) is not None


def _told(wanted: bytes) -> str:
    return "header" if wanted == b"BODY[HEADER]" else "content"
