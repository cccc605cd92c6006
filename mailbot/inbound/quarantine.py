"""Mail that stops its reader is left to a person, and the next one is read (invariant 7)."""

from __future__ import annotations

import hashlib
import traceback
from itertools import islice
from pathlib import Path
from typing import Final

from mailbot.core.rules.who_asked import MAX_HELD
from mailbot.core.verdicts import Review
from mailbot.core.words.vocabulary import Vocabulary
from mailbot.inbound.consequences import Change, clean, held_for, hold
from mailbot.inbound.mail import Mail
from mailbot.inbound.shop import Shop
from mailbot.store import reviews
from mailbot.store.engine import Connection
from mailbot.store.reviews import Place

_RULE: Final = "quarantine"
_THE_WORD: Final = "unsubscribe"


def quarantine(
    conn: Connection, place: Place, because: str, shop: Shop, mail: Mail | None = None
) -> tuple[Change, ...]:
    """Open its review item. Where `mail` could be read as far as a subject that asks, who may have
    asked in it is held meanwhile."""
    because = clean(because)
    if mail is not None and _asks(mail.message.subject, shop.vocabulary):
        verdict = Review(rule=_RULE, evidence=because, reason=because)
        strangers = (box.address for box in mail.message.from_mailboxes)
        strangers = (address for address in strangers if not shop.is_own(address))
        asked = held_for(islice(strangers, MAX_HELD), shop)
        return hold(conn, asked, verdict, mail, shop, because=because)
    reviews.open_item(
        conn, key=f"quarantine:{_digest(place)}", person=None, place=place,
        rule=_RULE, because=because, received_at=mail.received_at if mail else None,
    )  # fmt: skip
    return ()


def _asks(subject: str, vocabulary: Vocabulary) -> bool:
    if _THE_WORD in subject.casefold():
        return True
    try:
        return vocabulary.find(subject) is not None
    except Exception:  # perhaps that was what stopped the reader
        return False


def told(error: Exception) -> str:
    """The kind of error and where it arose; its text may quote the mail, which is not kept."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _digest(place: Place) -> str:
    text = "\n".join((place.account, place.folder, str(place.uidvalidity), str(place.uid)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
