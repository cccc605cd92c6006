"""The only door to imapclient: one connection to one mailbox, read and, unless filing is on, never
changed.

EXAMINE and BODY.PEEK, by UID. Every failure leaves as MailboxUnavailable (try again) or
MailboxRefused (a person must act); see the traps beside the lines.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from imapclient import IMAPClient, SocketTimeout

from mailbot.core.errors import (
    MailboxError,
    MailboxRefused,
    MailboxUnavailable,
    UnreadableMail,
)
from mailbot.core.mail_headers import is_message_id
from mailbot.inbound.imap_answers import (
    FetchedMessage,
    Folder,
    FolderState,
    fetched,
    literal,
)
from mailbot.inbound.imap_faults import explained
from mailbot.inbound.imap_fetch import fetch, search
from mailbot.inbound.imap_filing import keep_keyword, move_mails
from mailbot.inbound.imap_folders import list_folders, open_folder
from mailbot.inbound.imap_idle import idle, mails_told
from mailbot.inbound.imap_login import introduce, log_in, log_out, start_tls, tls_context

if TYPE_CHECKING:
    from mailbot.config import MailboxSettings

HEADER_LIMIT = 65_536  # bytes
FETCH_BATCH = 500
# imaplib refuses an answer line over 1,000,000 bytes, and a SEARCH answers in one line: 80,000
# UIDs of up to ten digits stay below it.
SEARCH_WINDOW = 80_000
LONGEST_IDLE = 280.0  # seconds; servers and NATs forget silent connections, so renew within 5 min
_HEADER_ITEMS = ["FLAGS", "INTERNALDATE", "RFC822.SIZE", f"BODY.PEEK[HEADER]<0.{HEADER_LIMIT}>"]


class Mailbox:
    """One connection; a context manager that connects and closes. One thread at a time."""

    def __init__(self, settings: MailboxSettings, password: str) -> None:
        self._settings = settings
        self._password = password
        self._port = settings.effective_port
        self._client: IMAPClient | None = None
        self._state: FolderState | None = None
        self._wires: dict[str, bytes] = {}  # the folders' names as the server listed them
        self._offers_idle = False
        self._known = 0  # mails in the open folder when it was searched last: more are news
        self._has_missed = False  # mail came since then, and IDLE will not tell of it again
        self.where = (
            f"mailbox {settings.name} ({settings.username} at {settings.host}:{self._port})"
        )

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    # -- connection --------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, secure the line, log in. Raises MailboxUnavailable or MailboxRefused."""
        settings = self._settings
        context = tls_context(self.where, settings.ca_file) if settings.security != "none" else None
        wait = float(settings.timeout_seconds)
        with explained(self.where, "connecting"):
            self._client = IMAPClient(
                settings.host,
                self._port,
                ssl=settings.security == "tls",
                ssl_context=context,
                timeout=SocketTimeout(connect=wait, read=wait),
            )
        try:
            # Its default turns INTERNALDATE into naive local time.
            self._client.normalise_times = False
            if settings.security == "starttls":
                start_tls(self._client, self.where, context)
            log_in(self._client, self.where, settings, self._password)
            introduce(self._client, self.where)
            with explained(self.where, "asking for its capabilities"):
                self._offers_idle = settings.idle and self._client.has_capability("IDLE")
        except MailboxError:
            self._hang_up()
            raise

    def close(self) -> None:
        """Log out if the server still listens; never raises, never hangs longer than 2 s."""
        client = self._client
        if client is None:
            return
        with suppress(Exception):  # the connection may be in any state; it is given up anyway
            log_out(client, 2.0)
        self._hang_up()

    @property
    def certificate(self) -> dict[str, object] | None:
        """The server's certificate as `ssl` tells it; None without TLS."""
        line = self._client.socket() if self._client is not None else None
        return dict(line.getpeercert() or {}) if isinstance(line, ssl.SSLSocket) else None

    def _hang_up(self) -> None:
        client, self._client, self._state = self._client, None, None
        if client is not None:
            with suppress(Exception):
                client.shutdown()

    def _connected(self) -> IMAPClient:
        if self._client is None:
            raise MailboxUnavailable("the connection is closed.", where=self.where)
        return self._client

    # -- reading -----------------------------------------------------------------------------

    def folders(self) -> tuple[Folder, ...]:
        """The folders that can be examined, and what each is for."""
        listed = list_folders(self._connected(), self.where)
        self._wires = {each.folder.name: each.wire for each in listed}
        return tuple(each.folder for each in listed)

    def examine(self, folder: str) -> FolderState:
        """Open a folder read-only. Raises MailboxRefused where there is no such folder."""
        self._state = None
        with explained(self.where, f"opening the folder {folder!r}", refuses="folder"):
            answer = self._open(folder, readonly=True)
        uidvalidity = answer.get(b"UIDVALIDITY")
        if not isinstance(uidvalidity, int):
            raise MailboxRefused(
                f"the server gives the folder {folder!r} no UIDVALIDITY, so no mail in it has a"
                " lasting number.",
                where=self.where,
                next_step="Watch another folder.",
            )
        uidnext = answer.get(b"UIDNEXT")
        self._known = mails_told(self._connected())
        self._state = FolderState(
            name=folder,
            uidvalidity=uidvalidity,
            uidnext=uidnext if isinstance(uidnext, int) else None,
            exists=int(answer.get(b"EXISTS", 0)),
        )
        return self._state

    def _open(self, folder: str, *, readonly: bool) -> dict[bytes, Any]:
        wire = self._wires.get(folder)
        if wire is not None:
            return open_folder(self._connected(), wire, readonly=readonly)
        return dict(self._connected().select_folder(folder, readonly=readonly))

    def uids_after(self, uid: int) -> list[int]:
        """The UIDs above `uid` in the examined folder, ascending; [] without a round trip when
        EXAMINE's UIDNEXT already says that there are none."""
        state, first = self._examined(), uid + 1
        self._known, self._has_missed = mails_told(self._connected()), False
        # More mails than numbers, or a number above those given out: UIDNEXT is not to be believed.
        if first == state.uidnext and state.exists < state.uidnext:
            return []
        found: set[int] = set()
        if state.uidnext is not None and state.exists > SEARCH_WINDOW:
            while first + SEARCH_WINDOW < state.uidnext:
                found.update(self._search(first, str(first + SEARCH_WINDOW - 1)))
                first += SEARCH_WINDOW
        found.update(self._search(first, "*"))
        return sorted(found)

    def _search(self, first: int, last: str) -> list[int]:
        found = search(self._connected(), self.where, f"{first}:{last}")
        return [uid for uid in found if uid >= first]

    def uids_naming(self, message_id: str) -> list[int]:
        """The UIDs in the examined folder whose Message-ID holds this one, ascending; [] for one
        that is not plain ASCII: servers differ over charsets, and miss without a word."""
        self._examined()
        if not is_message_id(message_id):
            return []
        quoted = message_id.replace("\\", "\\\\").replace('"', '\\"')
        with explained(self.where, "searching for a Message-ID"):
            return sorted(self._connected().search(f'HEADER Message-ID "{quoted}"'))

    def headers(self, uids: Sequence[int]) -> Iterator[FetchedMessage]:
        """The mails of these UIDs in order; one deleted meanwhile is skipped, and one that the
        server has and does not give comes with its fault."""
        for start in range(0, len(uids), FETCH_BATCH):
            batch = uids[start : start + FETCH_BATCH]
            state = self._examined()
            answers = fetch(self._connected(), self.where, batch, _HEADER_ITEMS, b"BODY[HEADER]")
            for uid in batch:
                answer = answers.get(uid)
                if answer is not None:
                    yield fetched(uid, answer)
                elif state.uidnext is not None and uid >= state.uidnext:
                    # No mail had this number, and a watermark there would pass over real ones.
                    raise MailboxUnavailable(
                        f"the server found a mail {uid} and has no such mail.", where=self.where
                    )

    def whole(self, uid: int, limit: int) -> bytes:
        """The first `limit` bytes of the mail, header included; b"" where it is gone by now.

        Raises UnreadableMail where the server has it and does not give it.
        """
        self._examined()
        asked = [f"BODY.PEEK[]<0.{limit}>"]
        answer = fetch(self._connected(), self.where, [uid], asked, b"BODY[]").get(uid)
        if isinstance(answer, str):
            raise UnreadableMail(
                f"the server does not give mail {uid} ({answer})", where=self.where
            )
        return (answer and literal(answer, b"BODY[]")) or b""

    def _examined(self) -> FolderState:
        if self._state is None:
            raise MailboxUnavailable("no folder is open.", where=self.where)
        return self._state

    # -- filing (only where the admin configured it) -------------------------------------------

    def mark(self, uids: Sequence[int], keyword: str) -> None:
        """Give these mails of the examined folder a keyword. Raises MailboxRefused where the
        server keeps none; \\Seen stays as it is."""
        with self._opened_for_writing() as client:
            keep_keyword(client, self.where, uids, keyword)

    def move(self, uids: Sequence[int], folder: str) -> None:
        """Move these mails of the examined folder. Raises MailboxRefused where the server has no
        such folder, or can move nothing without expunging what others deleted."""
        with self._opened_for_writing() as client:
            move_mails(client, self.where, uids, folder)

    @contextmanager
    def _opened_for_writing(self) -> Iterator[IMAPClient]:
        """SELECT the folder for the time of one change, and EXAMINE it again."""
        state, client = self._examined(), self._connected()
        with explained(self.where, f"opening the folder {state.name!r} for filing"):
            answer = self._open(state.name, readonly=False)
        try:
            if answer.get(b"UIDVALIDITY") != state.uidvalidity:
                raise MailboxUnavailable(
                    f"the folder {state.name!r} was made anew meanwhile.", where=self.where
                )
            yield client
        finally:
            if self._client is not None and self.examine(state.name).uidnext != state.uidnext:
                self._has_missed = True

    # -- waiting -----------------------------------------------------------------------------

    @property
    def can_idle(self) -> bool:
        """Whether the server offers IDLE (RFC 2177), has not refused it, and the admin wants it."""
        return self._offers_idle

    def check(self) -> None:
        """NOOP: raises MailboxUnavailable where the connection is dead."""
        with explained(self.where, "asking for a sign of life"):
            self._connected().noop()

    def idle(self, seconds: float, is_stopping: Callable[[], bool] = lambda: False) -> bool:
        """Wait up to `seconds` (at most LONGEST_IDLE) for mail in the examined folder.

        True when the server said that something came, False when the time is over, or
        `is_stopping` (asked each second) says so, or the server refuses IDLE (then `can_idle` is
        False). A hint only: search after every wake, and poll regardless. A dead connection
        raises MailboxUnavailable.
        """
        client = self._connected()
        if self._has_missed:
            return True
        with explained(self.where, "waiting for mail"):
            has_news = idle(client, self._known, min(seconds, LONGEST_IDLE), is_stopping)
        if has_news is None:
            self._offers_idle = False
        return bool(has_news)
