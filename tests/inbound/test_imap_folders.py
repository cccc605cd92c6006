"""Folder names: what people read, what the wire says, and what no sane server would say."""

from __future__ import annotations

import re
import socket

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxRefused, MailboxUnavailable
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.imap_answers import Role
from mailbot.inbound.imap_folders import readable
from mailbot.inbound.intake import Intake
from mailbot.inbound.watch import Watch
from mailbot.store.engine import Database
from tests.inbound.desk import Desk
from tests.inbound.letters import SHOP, letter
from tests.servers.dovecot import PASSWORD
from tests.servers.scripted_imap import OK, ScriptedImap

INBOX = b'* LIST () "/" INBOX\r\n'


def scripted(settings: MailboxSettings, server: ScriptedImap) -> Mailbox:
    """A mailbox on the scripted server."""
    values = settings.model_dump() | {"port": server.port, "timeout_seconds": 1}
    return Mailbox(MailboxSettings(**values), PASSWORD)


def roles(settings: MailboxSettings, listed: bytes, capabilities: str = "IMAP4rev1") -> object:
    """The folders that the adapter reads out of these lines."""
    server = ScriptedImap({"LIST": INBOX + listed + OK}, capabilities=capabilities)
    with server, scripted(settings, server) as mailbox:
        return {each.name: each.role for each in mailbox.folders() if each.name != "INBOX"}


# -- a real server -----------------------------------------------------------------------------

NAMES = {  # by what Dovecot is told to make
    "gel&APY-scht": "gelöscht",
    "&BCEEPwQwBDw-": "Спам",
    "&j,dg0TDhMPww6w-": "迷惑メール",
    "&2D3eAA-": "😀",
    "A &- B": "A & B",
    'say "no"': 'say "no"',
    "back\\slash": "back\\slash",
    "two  spaces ": "two  spaces ",
    "[brackets] (and) {3}": "[brackets] (and) {3}",
    "NIL": "NIL",
    "0123": "0123",
    "42": "42",
    "+Folder": "+Folder",
}


def test_a_mail_is_heard_in_a_folder_of_any_name(desk: Desk) -> None:
    """Made by a person's mail program, listed, opened and read by its readable name."""
    made: list[str] = []
    for utf7, name in NAMES.items():
        desk.server.create(desk.user, utf7)
        desk.arrive(letter("unsubscribe", f"{len(made)}@example.net"), folder=utf7)
        made.append(name)
    with Mailbox(desk.settings, PASSWORD) as mailbox:
        listed = {folder.name: folder.role for folder in mailbox.folders()}
    assert set(made) <= set(listed)
    assert (listed["Спам"], listed["gelöscht"]) == (Role.JUNK, Role.TRASH)
    for number, name in enumerate(made):
        desk.hear(name)
        assert desk.reasons(f"{number}@example.net"), name


def test_the_admin_s_folder_is_opened_though_it_was_never_listed(desk: Desk) -> None:
    """By the name in the settings alone, as an opt-out folder is."""
    desk.server.create(desk.user, "Abgemeldet &- gel&APY-scht")
    with Mailbox(desk.settings, PASSWORD) as mailbox:
        assert mailbox.examine("Abgemeldet & gelöscht").exists == 0


# -- lines that servers send -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name", "role"),
    [
        (rb'() "/" Archive', "Archive", Role.ARCHIVE),
        (rb'(\HasNoChildren \Trash) "/" "Weg"', "Weg", Role.TRASH),
        (rb'(\HasNoChildren) NIL "Junk"', "Junk", Role.JUNK),
        (rb'(\HasNoChildren) "" "Junk"', "Junk", Role.JUNK),
        (rb'() nil "Junk"', "Junk", Role.JUNK),
        (rb'() "\\" "Mail\\Spam"', r"Mail\Spam", Role.JUNK),
        (rb'() "." "INBOX.Papierkorb"', "INBOX.Papierkorb", Role.TRASH),
        (rb'() "/" "say \"no\""', 'say "no"', Role.OTHER),
        (rb'() "/" "a ) b"', "a ) b", Role.OTHER),
        (rb'() "/" [Gmail]/Spam', "[Gmail]/Spam", Role.JUNK),
        (rb'() "/" Sent Items', "Sent Items", Role.OTHER),  # unquoted, as no server may
        (rb'() "/" 42', "42", Role.OTHER),
        (rb'() "/" NIL', "NIL", Role.OTHER),
        (b'() "/" {7}\r\nCorbe"x', 'Corbe"x', Role.OTHER),
        (b'(\\Junk) "/" {13}\r\nLiteral \\ Name'[:-1], "Literal \\ Nam", Role.JUNK),
        (rb'() "/" "&AGEAYg-"', "ab", Role.OTHER),  # legal letters in base64: not canonical
        (rb'() "/" "Tom & Jerry"', "Tom & Jerry", Role.OTHER),  # never encoded at all
        (rb'() "/" "&!!!-x"', "&!!!-x", Role.OTHER),
        (rb'() "/" "&2D0-"', "&2D0-", Role.OTHER),  # half a surrogate pair
        ('() "/" "Gelöschte Objekte"'.encode(), "Gelöschte Objekte", Role.TRASH),  # UTF-8
        (b'() "/" "gel\xf6scht"', "gel�scht", Role.OTHER),  # Latin-1
        (rb'() "/" "Trash" ("CHILDINFO" ("SUBSCRIBED"))', "Trash", Role.TRASH),
    ],
)
def test_a_folder_is_opened_by_the_very_bytes_that_the_server_listed(
    settings: MailboxSettings, line: bytes, name: str, role: Role
) -> None:
    """However it spells the name, and whatever we would have made of it."""
    literal = re.search(rb"\{\d+\}\r\n(.*)$", line, re.DOTALL)
    quoted = re.search(rb'"((?:[^"\\]|\\.)*)"(?: \(.*)?$', line)
    bare = line.split(b'"/" ')[-1]
    wire = literal[1] if literal else re.sub(rb"\\(.)", rb"\1", quoted[1]) if quoted else bare
    server = ScriptedImap({"LIST": INBOX + b"* LIST " + line + b"\r\n" + OK})
    with server, scripted(settings, server) as mailbox:
        found = {each.name: each.role for each in mailbox.folders()}
        mailbox.examine(name)
        (said,) = (heard for heard in server.heard if b"EXAMINE" in heard)
    assert found == {"INBOX": Role.INBOX, name: role}
    spelt = wire.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    assert said.split(b" EXAMINE ")[1] == b'"' + spelt + b'"'


@pytest.mark.parametrize(
    "line",
    [
        rb'* LIST (\Noselect) "/" "Public"',
        rb'* LIST (\NonExistent) "/" "Gone"',
        rb'* LIST (\noselect \HasChildren) "/" ""',
        rb'* LIST () "/"',
        rb"* LIST",
        rb'* LIST ( "/" "x"',
        rb'* LIST () "/" "never closed',
        b'* LIST () "/" {9}\r\nx\r\nA LOGIN',
        rb'* XLIST (\Spam) "/" "Spam"',
        rb'* LSUB () "/" "Spam"',
    ],
)
def test_what_cannot_be_opened_or_read_hides_no_other_folder(
    settings: MailboxSettings, line: bytes
) -> None:
    """One line that is no folder, or no line at all; a name with a line break is no command."""
    listed = line + b"\r\n" + rb'* LIST (\Junk) "/" "Rubbish"' + b"\r\n"
    assert roles(settings, listed) == {"Rubbish": Role.JUNK}


def test_a_server_that_offers_utf8_is_spoken_to_in_utf7(settings: MailboxSettings) -> None:
    """UTF8=ACCEPT (RFC 6855) changes nothing until a client asks for it, and we do not."""
    listed = b'* LIST () "/" "&BCEEPwQwBDw-"\r\n'
    server = ScriptedImap({"LIST": listed + OK}, capabilities="IMAP4rev1 ENABLE UTF8=ACCEPT")
    with server, scripted(settings, server) as mailbox:
        assert [each.name for each in mailbox.folders()] == ["Спам"]
        mailbox.examine("Спам")
        mailbox.examine("Корзина")
    said = [heard for heard in server.heard if b"EXAMINE" in heard]
    assert [words.split()[-1] for words in said] == [b'"&BCEEPwQwBDw-"', b'"&BBoEPgRABDcEOAQ9BDA-"']
    assert not any(b"ENABLE" in heard for heard in server.heard)


def test_a_server_that_lists_nothing_is_read_by_its_inbox(
    settings: MailboxSettings, database: Database
) -> None:
    """It refuses LIST, or fails at it: for a person to see, and no reason to be blind."""
    for answer in (b"%s NO [CANNOT] not for you\r\n", b"%s BAD what\r\n"):
        server = ScriptedImap({"LIST": answer, "EXAMINE": b"%s NO no such folder\r\n"})
        with server, scripted(settings, server) as mailbox:
            with pytest.raises(MailboxRefused, match=r"does not list its folders.*Name those"):
                mailbox.folders()
            values = settings.model_dump() | {"folders": ()}
            watch = Watch(
                MailboxSettings(**values), SHOP, database, daemon="one",
                open_mailbox=lambda: mailbox,
            )  # fmt: skip
            assert [each.name for each in watch._folders(mailbox)] == ["INBOX"]


def test_a_list_that_is_refused_for_now_is_an_outage(settings: MailboxSettings) -> None:
    """RFC 5530: the junk folder is not forgotten because the server is busy."""
    server = ScriptedImap({"LIST": b"%s NO [INUSE] busy\r\n"})
    with server, scripted(settings, server) as mailbox, pytest.raises(MailboxUnavailable):
        mailbox.folders()


def test_readable_names_take_time_linear_in_their_length() -> None:
    """A name of a megabyte of shifts is no reason to stop."""
    assert len(readable(b"&" * 1_000_000)) == 1_000_000
    assert len(readable(b"&AGE-" * 200_000)) == 200_000


def test_mail_is_heard_in_a_folder_whose_name_is_utf8(
    settings: MailboxSettings, desk: Desk, database: Database
) -> None:
    """The folder that the list gave, from the list to the ledger."""
    wish = letter("unsubscribe").replace(b"\n", b"\r\n")

    def fetch(connection: socket.socket, tag: bytes) -> None:
        head = b"* 1 FETCH (UID 1 RFC822.SIZE %d BODY[HEADER]<0> {%d}\r\n" % (len(wish), len(wish))
        connection.sendall(head + wish + b")\r\n" + tag + b" OK done\r\n")

    listed = '* LIST (\\Trash) "/" "Gelöschte Objekte"\r\n'.encode()
    server = ScriptedImap({"LIST": listed + OK, "FETCH": fetch})
    with server, scripted(settings, server) as mailbox:
        values = settings.model_dump() | {"folders": ()}
        watch = Watch(
            MailboxSettings(**values), SHOP, database, daemon="one", open_mailbox=lambda: mailbox
        )
        (_, folder) = watch._folders(mailbox)
        Intake("help", SHOP, database).hear(mailbox, folder)
    assert folder.name == "Gelöschte Objekte"
    assert desk.reasons()
