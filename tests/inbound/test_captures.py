"""What Gmail, Exchange, Domino, Yahoo and others really answer, said to the adapter word for word.

Whatever they say, it works or ends as MailboxUnavailable or MailboxRefused in plain words; it never
hangs, and no mail is passed over.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxError, MailboxRefused, UnreadableMail
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.imap_answers import Role
from tests.corpora.judging import CORPORA
from tests.servers.dovecot import PASSWORD
from tests.servers.scripted_imap import OK, ScriptedImap

HOME = CORPORA / "imap-captures"
PATIENCE = 6.0  # seconds for one capture, whose server has one second to answer

needs_captures = pytest.mark.skipif(not HOME.is_dir(), reason="the corpora are not here")

# By the first word of the file's name: the command that mailbot gives and the file answers.
ASKED = {
    "greeting": "greeting", "basic": "greeting", "preauth": "greeting",
    "capability": "CAPABILITY", "capabilities": "CAPABILITY", "authenticate": "LOGIN", "id": "ID",
    "list": "LIST", "select": "EXAMINE", "examine": "EXAMINE",
    "search": "SEARCH", "optimized": "SEARCH",
    "fetch": "FETCH", "headers": "FETCH", "getbodypart": "FETCH", "getbodypartheaders": "FETCH",
    "getmessageheaders": "FETCH", "getstream": "FETCH", "getstreams": "FETCH", "precise": "FETCH",
    "noop": "NOOP", "idle": "IDLE", "logout": "LOGOUT",
    "store": "STORE", "add": "STORE", "set": "STORE", "setflags": "STORE",
    "copy": "COPY", "move": "MOVE", "issue": "MOVE",
}  # fmt: skip
BY_NAME = {
    "gmail/count.examine": "EXAMINE", "gmail/count-implicit.noop": "NOOP",
    "gmail/count-explicit.noop": "NOOP", "gmail/expunge-during-fetch": "FETCH",
    "gmail/search-summary": "FETCH",
    "gmail/uid-copy": "COPY", "gmail/uid-move": "MOVE", "gmail/uid-expunge": "EXPUNGE",
    "dovecot/uid-expunge": "EXPUNGE", "common/capability-greeting": "greeting",
}  # fmt: skip
NOT_ASKED = {
    "append": "mailbot writes no mail into a folder", "multiappend": "mailbot writes no mail",
    "go": "goes before an APPEND", "status": "no STATUS: a folder is examined",
    "namespace": "no NAMESPACE: all folders are listed", "lsub": "no LSUB", "xlist": "no XLIST",
    "enable": "no ENABLE", "utf": "no ENABLE", "create": "mailbot makes no folder",
    "rename": "mailbot renames no folder", "expunge": "never a bare EXPUNGE",
    "sort": "no SORT", "thread": "no THREAD", "notify": "no NOTIFY", "get": "no FETCH of envelopes",
    "getquota": "no QUOTA", "setquota": "no QUOTA", "getacl": "no ACL", "myrights": "no ACL",
    "listrights": "no ACL", "getmetadata": "no METADATA", "setmetadata": "no METADATA",
    "inbox": "no METADATA",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Capture:
    """One file: the server's side of one command, its tag written A########."""

    name: str
    command: str  # "" where mailbot does not give it
    why_not: str
    words: bytes  # on the wire: with CRLF, as its literals count, and %s for the tag

    def lines(self) -> list[tuple[bytes, list[bytes]]]:
        """Its answers: each without its literals, and these."""
        found, rest = [], self.words
        while rest:
            text, literals = b"", []
            while True:
                line, _, rest = rest.partition(b"\r\n")
                text += line
                size = re.search(rb"\{(\d+)\}$", line)
                if size is None:
                    break
                literals.append(rest[: int(size[1])])
                rest = rest[int(size[1]) :]
            found.append((text, literals))
        return found


@cache
def captures() -> tuple[Capture, ...]:
    found = []
    for path in sorted((HOME / "mailkit").glob("*/*.txt")):
        name = f"{path.parent.name}/{path.stem}"
        kind = re.split(r"[-+.\d]", path.stem)[0]
        command = BY_NAME.get(name) or ASKED.get(kind, "")
        words = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        words = words.replace(b"A########", b"%s")
        if not words.endswith(b"\r\n"):
            words += b"\r\n"
        found.append(Capture(name, command, "" if command else NOT_ASKED[kind], words))
    return tuple(found)


def of(command: str) -> list[Any]:
    """The captures that answer this command, one test each."""
    if not HOME.is_dir():
        return [pytest.param(None, id="none", marks=needs_captures)]
    return [pytest.param(each, id=each.name) for each in captures() if each.command == command]


def tried(
    settings: MailboxSettings, server: ScriptedImap, ask: Callable[[Mailbox], Any], **values: Any
) -> Any:
    """What comes of it: an answer, or an error in plain words; in bounded time."""
    given = settings.model_dump() | {"port": server.port, "timeout_seconds": 1} | values
    started = time.monotonic()
    try:
        with server, Mailbox(MailboxSettings(**given), PASSWORD) as mailbox:
            return ask(mailbox)
    except (MailboxError, UnreadableMail) as error:
        return in_plain_words(error)
    finally:
        assert time.monotonic() - started < PATIENCE


def in_plain_words(error: Exception) -> Exception:
    """The error, where a person can read it: a sentence, and nothing of Python's."""
    assert len(str(error).split()) > 5
    assert not re.search(r"Traceback|b'|NoneType|object at", str(error)), str(error)
    return error


def test_every_capture_is_said_or_named_with_its_reason(
    record_property: Callable[[str, object], None],
) -> None:
    """How many are replayed, and how many answer commands that mailbot never gives."""
    if not HOME.is_dir():
        pytest.skip("the corpora are not here")
    said = Counter(each.command for each in captures() if each.command)
    left = Counter(each.why_not for each in captures() if not each.command)
    scripts = [path for path in (HOME / "imaptest").iterdir() if path.suffix != ".mbox"]
    boxes = list((HOME / "imaptest").glob("*.mbox"))
    record_property("replayed", dict(said))
    record_property("not replayed", dict(left))
    print(f"replayed {sum(said.values())} of {len(captures())} answers: {dict(said)}")  # noqa: T201
    print(f"not ours: {sum(left.values())}: {dict(left)}")  # noqa: T201
    # What a tester says and expects, in variables: nobody's answers. Their mails are read below.
    print(f"imaptest: {len(boxes)} files of mail read, {len(scripts)} scripts not")  # noqa: T201
    assert sum(said.values()) > 180
    assert len(said) == 15


@pytest.mark.parametrize("capture", of("greeting"))
def test_greetings(settings: MailboxSettings, capture: Capture) -> None:
    """All connect; but nobody is taken at the word that we are logged in already."""
    found = tried(settings, ScriptedImap(greeting=capture.words), lambda each: each.folders())
    if b"PREAUTH" in capture.words:
        assert isinstance(found, MailboxRefused)
        assert "PREAUTH" in str(found)
    else:
        assert found == ()


@pytest.mark.parametrize("capture", of("CAPABILITY"))
def test_capabilities(settings: MailboxSettings, capture: Capture) -> None:
    """All are understood but one in small letters, which imaplib does not take for IMAP."""
    server = ScriptedImap({"CAPABILITY": capture.words})
    found = tried(settings, server, lambda each: each.can_idle)
    if b"* capability" in capture.words:
        assert isinstance(found, MailboxError)
    elif b"LOGINDISABLED" in capture.words:
        assert "takes no password on an unencrypted" in str(found)
    else:
        assert found is (b" IDLE" in capture.words)


@pytest.mark.parametrize("capture", of("LOGIN"))
def test_logins(settings: MailboxSettings, capture: Capture) -> None:
    """What it can do is told anew behind the login."""
    server = ScriptedImap(
        {"LOGIN": capture.words, "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n" + OK}
    )
    found = tried(settings, server, lambda each: each.can_idle)
    if b"%s NO" in capture.words:
        assert isinstance(found, MailboxRefused)
        assert "log in via your web browser" in str(found)
    else:
        assert found is (b" IDLE" in capture.words)


@pytest.mark.parametrize("capture", of("ID"))
def test_names(settings: MailboxSettings, capture: Capture) -> None:
    """Ours for theirs."""
    server = ScriptedImap({"ID": capture.words}, capabilities="IMAP4rev1 ID")
    assert tried(settings, server, lambda each: each.folders()) == ()
    assert any(b'ID ("name" "mailbot"' in line for line in server.heard)


MARKS = {
    b"\\junk": Role.JUNK, b"\\trash": Role.TRASH, b"\\archive": Role.ARCHIVE, b"\\all": Role.ALL,
}  # fmt: skip


@pytest.mark.parametrize("capture", of("LIST"))
def test_lists(settings: MailboxSettings, capture: Capture) -> None:
    """No folder that can be opened is left out, and a mark counts.

    But those of a server that writes LIST in small letters, which imaplib does not hear.
    """
    found = tried(settings, ScriptedImap({"LIST": capture.words}), lambda each: each.folders())
    wanted = []
    for line, literals in capture.lines():
        listed = re.match(rb'\* LIST \(([^)]*)\) (?:"[^"]*"|NIL) "?(.*?)"?$', line)
        if listed is None or re.search(rb"(?i)\\NoSelect|\\NonExistent", listed[1]):
            continue
        marks = [MARKS[mark] for mark in listed[1].lower().split() if mark in MARKS]
        wanted.append(((literals or [listed[2]])[0], marks))
    assert len(found) == len(wanted)
    for folder, (name, marks) in zip(found, wanted, strict=True):
        assert "&" in folder.name or b"&" in name or folder.name == name.decode()
        assert not marks or folder.role in (*marks, Role.INBOX)


@pytest.mark.parametrize("capture", of("EXAMINE"))
def test_folders_opened(settings: MailboxSettings, capture: Capture) -> None:
    """Their numbers are read; one without UIDVALIDITY is a person's business."""
    server = ScriptedImap({"EXAMINE": capture.words})
    found = tried(settings, server, lambda each: each.examine("INBOX"))
    told = {
        key: int(number[1]) if (number := re.search(pattern, capture.words)) else None
        for key, pattern in (
            ("uidvalidity", rb"UIDVALIDITY (\d+)"), ("uidnext", rb"UIDNEXT (\d+)"),
            ("exists", rb"(\d+) EXISTS"),
        )
    }  # fmt: skip
    if re.search(rb"^%s (NO|BAD)", capture.words, re.MULTILINE) or told["uidvalidity"] is None:
        assert isinstance(found, MailboxRefused)
        return
    assert {key: getattr(found, key) for key in told} == told


@pytest.mark.parametrize("capture", of("SEARCH"))
def test_searches(settings: MailboxSettings, capture: Capture) -> None:
    """An answer to another question (ESEARCH) is an error, and never "no mail"."""

    def ask(mailbox: Mailbox) -> list[int]:
        mailbox.examine("INBOX")
        return mailbox.uids_after(0)

    found = tried(settings, ScriptedImap({"SEARCH": capture.words}), ask)
    if b"ESEARCH" in capture.words:
        assert "ESEARCH" in str(found)
        assert isinstance(found, MailboxError)
        return
    (told,) = re.findall(rb"^\* SEARCH([ \d]*)", capture.words, re.MULTILINE)
    assert found == [int(number) for number in told.split()]


def given(capture: Capture, name: bytes) -> dict[int, bytes]:
    """The literals of this name in a FETCH capture, by UID."""
    found: dict[int, bytes] = {}
    for line, literals in capture.lines():
        uid, names = re.search(rb"UID (\d+)", line), re.findall(rb"(\S+) \{\d+\}", line)
        if uid and len(names) == len(literals):
            told = zip(names, literals, strict=True)
            found |= {int(uid[1]): each for section, each in told if section.startswith(name)}
    return found


@pytest.mark.parametrize("capture", of("FETCH"))
def test_fetches(settings: MailboxSettings, capture: Capture) -> None:
    """Each mail comes with its header, or with the fault that it has none; whole ones entirely."""
    lines = [line for line, _ in capture.lines()]
    uids = sorted({int(uid) for line in lines for uid in re.findall(rb"\bUID (\d+)", line)} | {1})
    numbers = b" ".join(b"%d" % uid for uid in uids)
    server = ScriptedImap({
        "EXAMINE": b"* %d EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n" % len(uids) + OK,
        "FETCH": capture.words, "SEARCH": b"* SEARCH " + numbers + b"\r\n" + OK,
    })  # fmt: skip

    def ask(mailbox: Mailbox) -> dict[int, Any]:
        mailbox.examine("INBOX")
        found = {each.uid: each for each in mailbox.headers(mailbox.uids_after(0))}
        for uid, content in given(capture, b"BODY[]").items():
            assert mailbox.whole(uid, 1_000_000) == content
        return found

    found = tried(settings, server, ask)
    if capture.name == "gmail/headers.1+unsolicited-info":  # a literal two bytes longer than told
        assert "unexpected response" in str(found)
        return
    headers = given(capture, b"BODY[HEADER]")
    assert isinstance(found, dict), found
    assert sorted(found) == uids
    for uid, mail in found.items():
        assert mail.fault or mail.header
        assert uid not in headers or (mail.header, mail.fault) == (headers[uid], "")


@pytest.mark.parametrize("capture", of("NOOP"))
def test_signs_of_life(settings: MailboxSettings, capture: Capture) -> None:
    """With alerts, and news in between."""
    assert tried(settings, ScriptedImap({"NOOP": capture.words}), lambda each: each.check()) is None


@needs_captures
def test_waiting(settings: MailboxSettings) -> None:
    """Gmail's IDLE with its flags, one mail gone and one come; and the connection works on."""
    said = {each.name: each.words for each in captures() if each.command == "IDLE"}
    answers: Any = {"IDLE": said["gmail/idle"], "DONE": said["gmail/idle-done"]}

    def ask(mailbox: Mailbox) -> bool:
        mailbox.examine("INBOX")
        has_news = mailbox.idle(0.2)
        mailbox.check()
        return has_news

    assert tried(settings, ScriptedImap(answers), ask) is True


@needs_captures
def test_goodbyes(settings: MailboxSettings) -> None:
    """The end is quiet."""
    (said,) = (each.words for each in captures() if each.command == "LOGOUT")
    assert tried(settings, ScriptedImap({"LOGOUT": said}), lambda each: each.folders()) == ()


@pytest.mark.parametrize("capture", [*of("STORE"), *of("COPY"), *of("MOVE"), *of("EXPUNGE")])
def test_filing(settings: MailboxSettings, capture: Capture) -> None:
    """Done, or refused in plain words."""
    server = ScriptedImap(
        {capture.command: capture.words, "SELECT": ScriptedImap().answers["EXAMINE"]},
        capabilities="IMAP4rev1 UIDPLUS" + (" MOVE" if capture.command == "MOVE" else ""),
    )

    def ask(mailbox: Mailbox) -> None:
        mailbox.examine("INBOX")
        if capture.command == "STORE":
            mailbox.mark([1], "mailbot-opt-out")
        else:
            mailbox.move([1], "Done")

    found = tried(settings, server, ask)
    if capture.command == "STORE":  # most tell of other flags than we set, or of none
        assert found is None or isinstance(found, MailboxError)
    elif capture.name == "exchange/issue115":
        assert "unexpected response" in str(found)
    else:
        assert found is None


@needs_captures
def test_the_testers_mails_are_read_from_a_real_server(
    settings: MailboxSettings, user: str, shared_server: Any
) -> None:
    """imaptest's mailboxes, delivered: as many mails come out as went in, none with a fault."""
    mails = [
        mail.partition(b"\n")[2]
        for box in sorted((HOME / "imaptest").glob("*.mbox"))
        for mail in re.split(rb"^From (?=\S+ +\w{3} )", box.read_bytes(), flags=re.MULTILINE)[1:]
    ]
    shared_server.drop(user, *mails)
    with Mailbox(settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        found = list(mailbox.headers(mailbox.uids_after(0)))
        assert [each.fault for each in found if each.fault] == []
        assert len(found) == len(mails) > 150
        for each in found:
            assert mailbox.whole(each.uid, 1_000_000).startswith(each.header)
