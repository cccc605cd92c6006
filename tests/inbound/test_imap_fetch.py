"""A server that errs in SEARCH and FETCH: no mail that stands there is passed over in silence."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxUnavailable, UnreadableMail
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.imap_answers import FetchedMessage
from mailbot.inbound.intake import Intake
from mailbot.store import mailboxes
from mailbot.store.engine import Database
from tests.inbound.desk import Desk
from tests.inbound.letters import SHOP, letter
from tests.servers.dovecot import PASSWORD
from tests.servers.scripted_imap import OK, ScriptedImap

Give = Callable[[int, int], bytes | None]  # (UID, how often it was asked for) to its FETCH answer


def mail(uid: int, content: bytes = b"A: b\r\n\r\n", name: bytes = b"BODY[HEADER]<0>") -> bytes:
    """What a sane server answers for one mail."""
    return b"* 1 FETCH (UID %d RFC822.SIZE 9 %s {%d}\r\n%s)\r\n" % (
        uid, name, len(content), content
    )  # fmt: skip


class Shelf(ScriptedImap):
    """A folder with these mails, of which `give` says how they are given."""

    def __init__(self, uids: Iterable[int], give: Give, *, uidnext: int | None = None) -> None:
        self.uids = sorted(uids)
        self._give = give
        self.asked: list[int] = []
        self.batches: list[list[int]] = []
        after = uidnext if uidnext is not None else (self.uids or [0])[-1] + 1
        told = b"* %d EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n* OK [UIDNEXT %d] n\r\n"
        super().__init__({
            "EXAMINE": told % (len(self.uids), after) + OK,
            "SEARCH": self._search, "FETCH": self._fetch,
        })  # fmt: skip

    def _named(self) -> list[int]:
        """The UIDs of the set that the command names."""
        text = re.split(r" \(", self.heard[-1].decode())[0].split()[-1]
        last = max(self.uids, default=0)
        found: list[int] = []
        for part in text.split(","):
            first, _, end = part.partition(":")
            top = last if end == "*" else int(end or first)
            found += range(min(int(first), top), max(int(first), top) + 1)
        return found

    def _search(self, connection: socket.socket, tag: bytes) -> None:
        found = [uid for uid in self._named() if uid in self.uids]
        line = b" ".join([b"* SEARCH", *(b"%d" % uid for uid in found)])
        connection.sendall(line + b"\r\n" + tag + b" OK done\r\n")

    def _fetch(self, connection: socket.socket, tag: bytes) -> None:
        asked = self._named()
        self.batches.append(asked)
        answer = b""
        for uid in asked:
            self.asked.append(uid)
            answer += self._give(uid, self.asked.count(uid)) or b""
        connection.sendall(answer + tag + b" OK done\r\n")


@contextmanager
def opened(settings: MailboxSettings, server: ScriptedImap) -> Iterator[Mailbox]:
    """A mailbox on this server, its folder open."""
    values = settings.model_dump() | {"port": server.port, "timeout_seconds": 1}
    with server, Mailbox(MailboxSettings(**values), PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        yield mailbox


def read(mailbox: Mailbox) -> dict[int, FetchedMessage]:
    """Every mail that the adapter tells of."""
    return {each.uid: each for each in mailbox.headers(mailbox.uids_after(0))}


def test_a_mail_that_was_forgotten_in_the_answer_is_asked_for_again(
    settings: MailboxSettings,
) -> None:
    """The server answers for its neighbours only; alone it gives it."""
    server = Shelf([1, 2, 3], lambda uid, times: None if (uid, times) == (2, 1) else mail(uid))
    with opened(settings, server) as mailbox:
        found = read(mailbox)
    assert [(uid, each.header, each.fault) for uid, each in sorted(found.items())] == [
        (1, b"A: b\r\n\r\n", ""), (2, b"A: b\r\n\r\n", ""), (3, b"A: b\r\n\r\n", ""),
    ]  # fmt: skip
    assert server.batches == [[1, 2, 3], [2]]


GARBAGE: dict[str, Callable[[int], bytes | None]] = {
    "answers with nothing": lambda _: None,
    "answers with no header": lambda uid: b"* 1 FETCH (UID %d FLAGS ())\r\n" % uid,
    "no header": lambda uid: b"* 1 FETCH (UID %d BODY[HEADER]<0> NIL)\r\n" % uid,
    "an empty header": lambda uid: mail(uid, b""),
    "uneven number": lambda uid: b"* 1 FETCH (UID %d FLAGS)\r\n" % uid,
    "Tuple incomplete": lambda uid: b"* 1 FETCH (UID %d (BODY[HEADER] NIL)\r\n" % uid,
    "no attribute": lambda uid: b"* 1 FETCH (UID %d 7 7 NIL NIL)\r\n" % uid,
}


@pytest.mark.parametrize("words", GARBAGE)
def test_a_mail_that_the_server_has_and_does_not_give_comes_with_its_fault(
    settings: MailboxSettings, words: str
) -> None:
    """Never taken for deleted; and whatever the answer is, it hides none of its neighbours."""
    server = Shelf([1, 2, 3], lambda uid, _: GARBAGE[words](uid) if uid == 2 else mail(uid))
    with opened(settings, server) as mailbox:
        found = read(mailbox)
    assert sorted(found) == [1, 2, 3]
    assert words in found[2].fault
    assert [found[1].fault, found[3].fault] == ["", ""]


def test_a_mail_that_is_not_given_is_left_to_a_person_and_the_next_is_heard(
    settings: MailboxSettings, desk: Desk, database: Database
) -> None:
    """Quarantined with its reason; the watermark moves on over what was told."""
    wish = letter("unsubscribe").replace(b"\n", b"\r\n")
    server = Shelf([1, 2, 3], lambda uid, _: None if uid == 1 else mail(uid, wish))
    intake = Intake("help", SHOP, database)
    with opened(settings, server) as mailbox:
        intake.hear(mailbox, WatchedFolder("INBOX"))
    assert desk.ledger_length() == 1  # two copies of one mail
    (item,) = desk.waiting_reviews()
    assert (item.place.uid, item.rule) == (1, "quarantine")
    assert "answers with nothing" in item.because
    with database.read() as conn:
        assert mailboxes.watermark(conn, "help", "INBOX", 9).last_uid == 3


def test_mails_deleted_meanwhile_cost_one_question(settings: MailboxSettings) -> None:
    """A human who empties a folder in mid-scan makes no quarantine, and no question for each."""
    server = Shelf(range(1, 101), lambda uid, _: mail(uid) if uid in server.uids else None)
    with opened(settings, server) as mailbox:
        uids = mailbox.uids_after(0)
        server.uids = [1, 100]
        found = list(mailbox.headers(uids))
    assert [(each.uid, each.fault) for each in found] == [(1, ""), (100, "")]
    assert len(server.batches) == 1


def test_a_number_that_no_mail_can_have_moves_no_watermark(settings: MailboxSettings) -> None:
    """It would pass over every mail up to it: better no reading than such a one."""
    server = Shelf([1, 2], lambda uid, _: mail(uid) if uid < 3 else None)
    server.answers["SEARCH"] = b"* SEARCH 1 900\r\n" + OK
    with opened(settings, server) as mailbox:
        uids = mailbox.uids_after(0)
        server.answers["SEARCH"] = b"* SEARCH\r\n" + OK
        with pytest.raises(MailboxUnavailable, match="mail 900 and has no such mail"):
            list(mailbox.headers(uids))


@pytest.mark.parametrize(("exists", "uidnext"), [(3, 1), (3, 2), (1, 0)])
def test_a_uidnext_that_contradicts_the_number_of_mails_is_not_believed(
    settings: MailboxSettings, exists: int, uidnext: int
) -> None:
    """More mails than numbers were given out: the folder is searched all the same."""
    server = Shelf(range(1, exists + 1), lambda uid, _: mail(uid), uidnext=uidnext)
    with opened(settings, server) as mailbox:
        assert list(read(mailbox)) == list(range(1, exists + 1))
        assert mailbox.uids_after(max(uidnext - 1, 0)) == list(range(max(uidnext, 1), exists + 1))


def test_an_honest_uidnext_saves_the_search(settings: MailboxSettings) -> None:
    """Each folder is looked at once a minute, and mostly there is nothing."""
    with opened(settings, Shelf([4, 7], lambda uid, _: mail(uid))) as mailbox:
        heard = mailbox._connected()._imap.tagnum
        assert mailbox.uids_after(7) == []
        assert mailbox._connected()._imap.tagnum == heard


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"* SEARCH 1 2\r\n* SEARCH 3\r\n", [1, 2, 3]),
        (b"* SEARCH 1 2 (MODSEQ 917162500)\r\n", [1, 2]),
        (b"* SEARCH 3 1 2 3\r\n", [1, 2, 3]),
        (b"* SEARCH\r\n", []),
        (b"", []),
    ],
)
def test_every_form_of_a_search_s_answer_is_read(
    settings: MailboxSettings, answer: bytes, found: list[int]
) -> None:
    """In several lines, with a mark behind it, out of order, empty, or with none at all."""
    server = Shelf([1, 2, 3], lambda uid, _: mail(uid))
    server.answers["SEARCH"] = answer + OK
    with opened(settings, server) as mailbox:
        assert mailbox.uids_after(0) == found


@pytest.mark.parametrize(
    "answer", [b'* ESEARCH (TAG "x") UID ALL 1:3\r\n', b"* SEARCH one\r\n", b"* SEARCH 1-3\r\n"]
)
def test_a_search_that_cannot_be_read_is_no_empty_one(
    settings: MailboxSettings, answer: bytes
) -> None:
    """The mailbox is blind, and says why; it is not quiet."""
    server = Shelf([1, 2, 3], lambda uid, _: mail(uid))
    server.answers["SEARCH"] = answer + OK
    with (
        opened(settings, server) as mailbox,
        pytest.raises(MailboxUnavailable, match=r"ESEARCH|made no sense"),
    ):
        mailbox.uids_after(0)


def test_a_body_that_is_not_given_is_not_an_empty_one(settings: MailboxSettings) -> None:
    """A rule wanted it: a wish may stand in it. Gone is gone, and that is another matter."""
    server = Shelf([1], lambda *_: b"")
    with opened(settings, server) as mailbox:
        with pytest.raises(UnreadableMail, match="does not give mail 1"):
            mailbox.whole(1, 100)
        server.uids = []
        assert mailbox.whole(1, 100) == b""
