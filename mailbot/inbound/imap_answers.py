"""What an IMAP server's answers hold, as values. Part of the adapter inbound/imap.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """What a folder is for (RFC 6154); watched by default where it exists."""

    INBOX = "inbox"
    ALL = "all"  # Gmail's "All Mail"
    ARCHIVE = "archive"
    JUNK = "junk"
    TRASH = "trash"
    OTHER = "other"


_MARKS = {
    rb"\all": Role.ALL, rb"\archive": Role.ARCHIVE, rb"\junk": Role.JUNK, rb"\trash": Role.TRASH,
    rb"\sent": Role.OTHER, rb"\drafts": Role.OTHER, rb"\flagged": Role.OTHER,
}  # fmt: skip
# Where the server marks nothing: what mail programs call them, in the languages they speak.
_NAMES = {
    Role.JUNK: (
        "junk", "spam", "junk e-mail", "junk email", "bulk mail", "bulk", "spamverdacht",
        "unerwünscht", "courrier indésirable", "indésirables", "correo no deseado",
        "posta indesiderata", "ongewenste e-mail", "lixo eletrônico", "skräppost",
        "søppelpost", "uønsket e-mail", "roskaposti", "wiadomości-śmieci",
        "niechciane", "нежелательная почта", "спам", "迷惑メール",
        "垃圾邮件", "垃圾郵件", "스팸",
    ),
    Role.TRASH: (
        "trash", "deleted", "deleted items", "deleted messages", "bin", "papierkorb", "gelöscht",
        "gelöschte elemente", "gelöschte objekte", "corbeille", "éléments supprimés", "papelera",
        "elementos eliminados", "lixeira", "itens excluídos", "cestino", "posta eliminata",
        "prullenbak", "prullenmand", "verwijderde items", "kosz", "elementy usunięte",
        "papperskorgen", "borttaget", "papirkurv", "slettede elementer", "roskakori",
        "корзина", "удаленные", "удалённые", "ごみ箱",
        "ゴミ箱", "已删除", "已删除邮件", "垃圾桶", "휴지통",
    ),
    Role.ARCHIVE: (
        "archive", "archives", "archiv", "archivo", "archivio", "arquivo", "archief", "archiwum",
        "arkiv", "arkisto", "архив", "アーカイブ", "归档", "封存", "보관함",
    ),
}  # fmt: skip
_ROLES = {name.casefold(): role for role, names in _NAMES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that can be examined, by its readable (not UTF-7) name."""

    name: str
    role: Role

    @property
    def is_junk(self) -> bool:
        return self.role is Role.JUNK


@dataclass(frozen=True, slots=True)
class FolderState:
    """What EXAMINE said; `uidnext` is None where the server does not tell (RFC 3501 §6.3.1)."""

    name: str
    uidvalidity: int
    uidnext: int | None
    exists: int


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """One mail as the server describes it.

    `header` is at most HEADER_LIMIT bytes; `size` the whole mail's bytes; `received_at` its
    INTERNALDATE. `fault` says why the server could not give the header, which is then empty.
    """

    uid: int
    size: int
    received_at: datetime | None
    flags: frozenset[str]
    header: bytes
    fault: str = ""


def fetched(uid: int, answer: dict[bytes, Any] | str) -> FetchedMessage:
    """One mail out of its answer to FETCH, or with the fault why there is none."""
    if isinstance(answer, str):
        return FetchedMessage(uid, 0, None, frozenset(), b"", fault=answer)
    header = literal(answer, b"BODY[HEADER]") or b""
    size = number(answer.get(b"RFC822.SIZE"), default=len(header))
    # An opt-out may stand in what is missing: not to be passed over.
    fault = "it answers with an empty header" if size and not header else ""
    received_at, flags = utc(answer.get(b"INTERNALDATE")), flag_names(answer.get(b"FLAGS"))
    return FetchedMessage(uid, size, received_at, flags, header, fault)


def literal(answer: dict[bytes, Any], name: bytes) -> bytes | None:
    """The literal of BODY[…]: servers name it with or without the "<0>" of the partial fetch.

    None where the answer has none, or NIL.
    """
    for key, value in answer.items():
        if key.startswith(name) and value is not None:
            return value if isinstance(value, bytes) else str(value).encode()
    return None


def number(value: object, default: int) -> int:
    """The value where it is a number, else `default`."""
    return value if isinstance(value, int) else default


def flag_names(flags: object) -> frozenset[str]:
    """The flags of one mail as text; a keyword of digits alone comes as a number."""
    if not isinstance(flags, tuple):
        return frozenset()
    return frozenset(
        flag.decode("ascii", "replace") if isinstance(flag, bytes) else str(flag) for flag in flags
    )


def role_of(marks: Iterable[bytes], name: str, delimiter: bytes | None) -> Role:
    """By the server's marks; without one, by the name."""
    if name.upper() == "INBOX":
        return Role.INBOX
    for mark in marks:
        if mark.lower() in _MARKS:
            return _MARKS[mark.lower()]
    last = name.rsplit((delimiter or b"/").decode("ascii", "replace"), 1)[-1]
    return _ROLES.get(last.casefold(), Role.OTHER)


def utc(moment: object) -> datetime | None:
    """INTERNALDATE in UTC; None where the server gave none that can be read."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # 1 January of the year 1, with a zone
        return None
