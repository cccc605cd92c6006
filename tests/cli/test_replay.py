"""`mailbot replay` as somebody types it, over a real Dovecot and over files."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import structlog

from mailbot.cli.mail_files import delivered_at
from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.replay import Replay
from mailbot.store import consent, mailboxes, suppressions
from mailbot.store.engine import Database
from tests.cli.conftest import CONFIG, Ended, Shell
from tests.inbound.letters import letter
from tests.people import person
from tests.servers import dovecot

ANN, BEN = "ann@example.net", "ben@example.net"
MARCH = datetime(2026, 3, 2, 12, tzinfo=UTC)
ABOVE = b"From ann@example.net Mon Mar  2 12:00:00 2026\n"
_users = count(1)


@pytest.fixture(autouse=True)
def _leave_the_log_as_it_was() -> Iterator[None]:
    """The command silences the log of its process, which is this one."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def server() -> Iterator[dovecot.Dovecot]:
    if not dovecot.is_installed():
        pytest.skip("Debian's dovecot-imapd and openssl are not installed")
    with dovecot.Dovecot() as running:
        yield running


class HelpDesk:
    """An installation whose help@ is a real mailbox."""

    def __init__(self, server: dovecot.Dovecot, mailbot: Shell, database: Database) -> None:
        self.server, self.user, self.mailbot = server, f"replay{next(_users)}", mailbot
        self.database = database
        config = CONFIG.replace("port = 1\n", f"port = {server.plain_port}\n", 1)
        mailbot.write(
            "mailbot.toml", config.replace('username = "help"', f'username = "{self.user}"')
        )

    def arrive(self, subject: str, who: str = ANN, **how: Any) -> int:
        return self.server.deliver(self.user, letter(subject, who), **how)

    def pass_over(self, last_uid: int) -> None:
        """As if intake had read so far, and understood nothing of it."""
        with self.server.client(self.user) as client:
            _, answer = client.status("INBOX", "(UIDVALIDITY)")
        uidvalidity = int(answer[0].rpartition(b" ")[2].rstrip(b")"))
        with self.database.write() as conn:
            account = f"{self.user} at 127.0.0.1"
            mailboxes.advance(conn, account, "INBOX", uidvalidity, last_uid)

    def __call__(self, *options: str) -> Ended:
        return self.mailbot("replay", *options)


@pytest.fixture
def desk(server: dovecot.Dovecot, mailbot: Shell, database: Database) -> HelpDesk:
    return HelpDesk(server, mailbot, database)


def reasons(database: Database, who: str = ANN) -> set[Reason]:
    with database.read() as conn:
        return set(suppressions.reasons(conn, person(who)))


def dump(mailbot: Shell) -> list[str]:
    with sqlite3.connect(mailbot.folder / "mailbot.db") as conn:
        return list(conn.iterdump())


# -- the mailbox ---------------------------------------------------------------------------------


def test_where_nothing_is_missed_it_is_said_in_one_sentence(desk: HelpDesk) -> None:
    desk.arrive("Tea?")
    ended = desk()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "No request was missed: 1 mail read, 0 requests recognised, 0 already recorded.\n"
    )


def test_a_missed_request_is_shown_with_all_that_tells_of_it(desk: HelpDesk) -> None:
    uid = desk.arrive("unsubscribe", received_at=MARCH)
    desk.arrive("Tea?")
    desk.pass_over(uid)
    before = dump(desk.mailbot)
    ended = desk()
    assert (ended.code, ended.err) == (1, "")
    heading, row, _, *end = ended.out.splitlines()
    assert heading.split("  ")[0].strip().startswith("Mailbox")
    assert row.split() == [
        "help", "INBOX", str(uid), "2026-03-02", "12:00", "opt", "out", "word-in-subject", ANN,
        "on", "the", "list", "(opt", "out)",
    ]  # fmt: skip
    assert end == [
        "2 mails read, 1 request recognised, 0 already recorded: 1 missed.",
        "Nothing was changed. To carry it out, run the same command with --apply.",
    ]
    assert dump(desk.mailbot) == before


def test_applied_it_is_carried_out_once(desk: HelpDesk, database: Database) -> None:
    desk.arrive("unsubscribe")
    ended = desk("--apply")
    assert ended.code == 0
    assert ended.out.endswith("All that was missed is carried out now.\n")
    assert reasons(database) == {Reason.OPT_OUT}
    before = dump(desk.mailbot)
    ended = desk("--apply")
    assert ended.code == 0
    assert "1 request recognised, 1 already recorded" in ended.out
    assert dump(desk.mailbot) == before


def test_json_has_every_fact(desk: HelpDesk) -> None:
    uid = desk.arrive("unsubscribe", received_at=MARCH)
    ended = desk("--json")
    assert ended.code == 1
    (missed,) = ended.json["missed"]
    assert ended.json | {"missed": []} == {
        "is_applied": False, "is_complete": True, "mails_read": 1, "requests_recognised": 1,
        "already_recorded": 0, "further_copies": 0, "unreadable": 0, "missed": [],
    }  # fmt: skip
    assert missed | {"uidvalidity": 0} == {
        "account": f"{desk.user} at 127.0.0.1", "folder": "INBOX", "uidvalidity": 0, "uid": uid,
        "received_at": "2026-03-02T12:00:00+00:00", "verdict": "opt_out",
        "rule": "word-in-subject", "who": [ANN], "opens_review": False,
        "changes": [{
            "kind": "opt_out", "address": ANN, "person_hash": person(ANN).person_hash,
            "reasons_before": [], "reasons_after": ["opt_out"],
        }],
    }  # fmt: skip


def test_an_old_wish_of_who_came_back_is_told_as_what_it_is(
    desk: HelpDesk, database: Database
) -> None:
    with database.write() as conn:
        consent.record(conn, ConsentEvent(
            kind=Kind.OPT_IN, source=Source.CONSOLE, person=person(ANN), key="console:1",
            received_at=datetime.now(UTC), rule="console", policy_version="7",
        ))  # fmt: skip
    desk.arrive("unsubscribe", received_at=MARCH)
    assert "stays off the list: wanted offers again later" in desk().out
    assert desk("--apply").code == 0
    assert reasons(database) == set()


def test_a_doubtful_one_and_one_of_nobody(desk: HelpDesk) -> None:
    desk.arrive("please do not unsubscribe me")
    desk.arrive("unsubscribe", "")
    out = desk().out
    assert "on the list (held), in review" in out
    assert "a person looks at it" in out


def test_of_many_whom_a_mail_names_the_first_are_shown(desk: HelpDesk) -> None:
    desk.arrive("unsubscribe", ", ".join(f"c{number}@example.net" for number in range(5)))
    row = desk().out.splitlines()[1]
    assert "c0@example.net, c1@example.net, c2@example.net, 2 more" in row
    assert "c2@example.net: on the list (held); 2 more, in review" in row
    assert len(desk("--json").json["missed"][0]["changes"]) == 5


def test_on_a_narrow_screen_each_stands_on_lines_of_its_own(
    desk: HelpDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    desk.arrive("unsubscribe", received_at=MARCH)
    desk.arrive("unsubscribe", BEN)
    lines = [line.strip() for line in desk().out.splitlines()]
    assert lines[:5] == [
        ANN, "on the list (opt out)", "opt out by word-in-subject, received 2026-03-02 12:00 UTC",
        "help, INBOX, mail 1", "",
    ]  # fmt: skip
    assert lines[5] == BEN


def test_only_since_a_day_only_a_folder_only_a_mailbox(desk: HelpDesk) -> None:
    desk.server.create(desk.user, "2019")
    desk.arrive("unsubscribe", received_at=MARCH)
    desk.arrive("unsubscribe", BEN, folder="2019")

    def who(*options: str) -> list[str]:
        return [one for each in desk(*options, "--json").json["missed"] for one in each["who"]]

    assert who() == [ANN]
    assert who("--since", "2026-03-02") == [ANN]
    assert who("--since", "2026-03-03") == []
    assert who("--mailbox", "help", "--folder", "2019") == [BEN]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--since", "yesterday"], "“yesterday” is no date: write it like 2026-03-01"),
        (["--mailbox", "sales"], "the settings have no mailbox “sales”, but: help"),
        (["mail.eml", "--folder", "INBOX"], "are of mailboxes, not of files"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    mailbot: Shell, options: list[str], words: str
) -> None:
    ended = mailbot("replay", *options)
    assert ended.code == 64
    assert words in ended.err


def test_a_mailbox_that_cannot_be_read_does_not_hide_the_others(desk: HelpDesk) -> None:
    text = desk.mailbot.config.read_text()
    at = text.index("[relay]")
    other = '[[mailbox]]\nname = "sales"\nhost = "127.0.0.1"\nport = 1\nsecurity = "none"\n'
    other += 'username = "sales"\npassword_file = "imap-password"\ntimeout_seconds = 2\n'
    start = text.index("[[mailbox]]")
    desk.mailbot.write("mailbot.toml", text[:start] + other + text[start:at] + text[at:])
    desk.arrive("unsubscribe")
    ended = desk()
    assert ended.code == 69
    assert "1 missed" in ended.out
    assert "mailbox sales" in ended.err
    ended = desk("--json")
    assert (ended.code, ended.json["is_complete"], len(ended.json["missed"])) == (69, False, 1)


def test_a_folder_that_is_not_there_is_told(desk: HelpDesk) -> None:
    ended = desk("--folder", "Gone")
    assert ended.code == 77
    assert "'Gone'" in ended.err


def test_the_wrong_person_key_is_refused(desk: HelpDesk, database: Database) -> None:
    desk.arrive("unsubscribe")
    desk("--apply")
    desk.mailbot.write("person-key", bytes(range(1, 33)).hex() + "\n")
    desk.arrive("unsubscribe", BEN)
    ended = desk("--apply")
    assert ended.code == 78
    assert "the person key is not the one that filled this database" in ended.err
    assert reasons(database, BEN) == set()


def test_shadow_mode_is_told_and_applies_nothing(desk: HelpDesk) -> None:
    desk.mailbot.write(
        "mailbot.toml", desk.mailbot.config.read_text() + '[recognition]\nmode = "shadow"\n'
    )
    desk.arrive("unsubscribe")
    ended = desk()
    assert ended.code == 1
    assert "nothing will be while recognition.mode is shadow" in ended.out
    before = dump(desk.mailbot)
    ended = desk("--apply")
    assert ended.code == 1
    assert "in shadow mode nothing is changed" in ended.err
    assert dump(desk.mailbot) == before


def test_ctrl_c_says_how_far_it_came(
    desk: HelpDesk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.arrive("unsubscribe")
    whole = Replay.folder

    def interrupted(self: Replay, mailbox: Mailbox, *rest: Any) -> None:
        whole(self, mailbox, *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(Replay, "folder", interrupted)
    ended = desk()
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == "mailbot: ended; nothing was changed\n"
    ended = desk("--apply")
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == "mailbot: ended; 1 request was carried out, run it again for the rest\n"
    assert reasons(database) == {Reason.OPT_OUT}


def test_a_terminal_sees_how_far_it_is_and_keeps_none_of_it(desk: HelpDesk) -> None:
    """Standard output stays clean: the bar is on standard error."""
    desk.arrive("Tea?")
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mailbot", "replay", "--json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal,
        env=dict(os.environ, TERM="xterm"),
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            part = os.read(screen, 4096)
        except OSError:  # Linux: the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(screen)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith(b"{")
    assert b"Junk" in shown, "the last of the watched folders"
    assert shown.endswith(b"\x1b[2K"), "the line is given back"


# -- files ---------------------------------------------------------------------------------------


def test_an_mbox_counts_by_the_lines_above_its_mails(mailbot: Shell, database: Database) -> None:
    """Never by the Date header."""
    box = mailbot.write(
        "archive.mbox",
        ABOVE + letter("unsubscribe") + b"\n" + ABOVE + letter("Tea?") + b"\n"
        + ABOVE.replace(b" 2026", b" +0100 2026") + letter("unsubscribe", BEN),
    )  # fmt: skip
    ended = mailbot("replay", box, "--json")
    assert ended.code == 1
    assert [
        (one["account"], one["folder"], one["uid"], one["received_at"], one["who"])
        for one in ended.json["missed"]
    ] == [
        ("file", box, 1, "2026-03-02T12:00:00+00:00", [ANN]),
        ("file", box, 3, "2026-03-02T11:00:00+00:00", [BEN]),
    ]
    assert mailbot("replay", box, "--since", "2026-03-03").code == 0
    assert mailbot("replay", box, "--apply").code == 0
    assert reasons(database) == reasons(database, BEN) == {Reason.OPT_OUT}
    before = dump(mailbot)
    assert "2 already recorded" in mailbot("replay", box, "--apply").out
    assert dump(mailbot) == before


def test_a_single_mail_counts_as_received_now(mailbot: Shell) -> None:
    start = datetime.now(UTC)
    mail = mailbot.write("one.eml", letter("unsubscribe"))
    (missed,) = mailbot("replay", mail, "--json").json["missed"]
    assert abs(datetime.fromisoformat(missed["received_at"]) - start).total_seconds() < 30
    assert missed["uid"] == 1


def test_what_the_mailbox_had_is_recorded_in_its_export(desk: HelpDesk) -> None:
    mail = letter("unsubscribe")
    desk.server.deliver(desk.user, mail)
    desk("--apply")
    ended = desk(desk.mailbot.write("export.mbox", ABOVE + mail))
    assert (ended.code, "1 already recorded" in ended.out) == (0, True)


def test_a_file_that_is_not_there_or_cannot_be_read_is_told(mailbot: Shell) -> None:
    assert mailbot("replay", str(mailbot.folder / "none.eml")).code == 65
    good = mailbot.write("good.eml", letter("Tea?"))
    loop = mailbot.folder / "loop.eml"
    loop.symlink_to(loop)
    ended = mailbot("replay", str(loop), good)
    assert ended.code == 65
    assert "loop.eml" in ended.err
    assert "1 mail read" in ended.out


def test_a_file_whose_name_is_no_text_is_read(mailbot: Shell) -> None:
    folder = mailbot.folder / "box"
    folder.mkdir()
    path = os.fsencode(folder) + b"/caf\xe9.eml"
    Path(os.fsdecode(path)).write_bytes(letter("please do not unsubscribe me"))
    ended = mailbot("replay", str(folder), "--apply")
    assert ended.code == 0
    assert "caf\ufffd.eml" in ended.out


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("From ann@x Mon Mar  2 12:00:00 2026", MARCH),
        ("From - Mon Mar 02 12:00 2026", MARCH),
        ("From 17@xxx Mon Mar 02 12:00:00 +0000 2026", MARCH),
        ("From ann@x Mon Mar  2 12:00:00 GMT 2026", MARCH),
        ("From ann@x Mon Mar  2 06:30:00 2026 -0530", MARCH),
        ("From ann@x Mon Feb 30 12:00:00 2026", None),
        ("From ann@x Mon Mar  2 12:00:00 2026 +9999", None),
        ("From ann@x 2026-03-02T12:00", None),
    ],
)
def test_the_line_above_a_mail_tells_when_it_was_delivered(line: str, at: datetime | None) -> None:
    assert delivered_at(f"{line}\r\n".encode()) == at
