"""`mailbot suppress import`: what it reads, what it refuses, and that nothing is half done."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from mailbot.core.consent import Kind
from mailbot.lists import importing
from mailbot.lists.spool import spool_in
from mailbot.store import consent, ledger
from mailbot.store.engine import Connection, Database
from mailbot.store.tables import suppressions
from tests.cli.conftest import Shell
from tests.people import event


@pytest.fixture(name="shell")
def installation(mailbot: Shell) -> Shell:
    return mailbot


def _listed(shell: Shell) -> dict[str | None, str]:
    """Each address on the list with its reason."""
    database = Database.open(shell.url)
    with database.read() as conn:
        rows = conn.execute(select(suppressions.c.address, suppressions.c.reason)).all()
    database.close()
    return {row.address: row.reason for row in rows}


def _bad(shell: Shell, name: str) -> list[tuple[int, str, str]]:
    with (shell.folder / f"{name}.bad-lines.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return [(int(number), wrong, text) for number, wrong, text in rows[1:]]


@pytest.mark.parametrize(("content", "reasons"), [
    (('{"SuppressedDestinationSummaries": [\n {"EmailAddress": "a@x.de", "Reason": "BOUNCE",\n'
     '  "LastUpdateTime": "2026-01-01"},\n {"EmailAddress": "b@x.de", "Reason": "COMPLAINT",'
     ' "LastUpdateTime": "2026-01-01"}],\n "NextToken": null}'),
     {"a@x.de": "undeliverable", "b@x.de": "complaint"}),
    ("Email address,Reason,Last update time\na@x.de,Bounce,x\nb@x.de,Complaint,x\n",
     {"a@x.de": "undeliverable", "b@x.de": "complaint"}),
    (('status,reason,email,created\n5.1.1,"550, no such user",a@x.de,1\n4.2.2,full,b@x.de,2\n'
     "5.7.1,blocked,c@x.de,3\n5.0.0,no,d@x.de,4\n"),
     {"a@x.de": "undeliverable", "d@x.de": "imported"}),
    ("ip,email,created\n192.0.2.1,a@x.de,1\n", {"a@x.de": "complaint"}),
    ("reason,email,created\nMail domain mentioned in email address is unknown,a@x.de,1\n",
     {"a@x.de": "undeliverable"}),
    ("email,created\na@x.de,1\n", {"a@x.de": "imported"}),
    ('[{"created": 1, "email": "a@x.de", "reason": "550", "status": "5.1.1"}]',
     {"a@x.de": "undeliverable"}),
    ("Email Address,First Name,MEMBER_RATING,UNSUB_TIME,UNSUB_REASON\na@x.de,Ann,2,2026,spam\n",
     {"a@x.de": "imported"}),
    ("Email Address,MEMBER_RATING,CLEAN_TIME\na@x.de,2,2026\n", {"a@x.de": "imported"}),
    ("Email Address,First Name,MEMBER_RATING,OPTIN_TIME\nstays@x.de,Ann,2,2026\n", {}),
    (("EmailAddress,SuppressionReason,Origin,CreatedAt\na@x.de,HardBounce,Recipient,x\n"
     "b@x.de,SpamComplaint,Recipient,x\nc@x.de,ManualSuppression,Customer,x\n"),
     {"a@x.de": "undeliverable", "b@x.de": "complaint", "c@x.de": "imported"}),
    (('uuid,email,name,attributes,status,created_at,updated_at\nu,a@x.de,Ann,"{""a"": 1}",'
     "blocklisted,x,x\nu,b@x.de,Bob,{},enabled,x,x\n"), {"a@x.de": "imported"}),
    (("uuid,email,name,status,subscription_status\nu,a@x.de,A,enabled,unsubscribed\n"
     "u,b@x.de,B,enabled,confirmed\n"), {"a@x.de": "imported"}),
])  # fmt: skip
def test_each_export_is_known_by_its_columns(
    shell: Shell, content: str, reasons: dict[str, str]
) -> None:
    ended = shell("suppress", "import", shell.write("export.txt", content))
    assert ended.code == 0, ended
    assert _listed(shell) == reasons


@pytest.mark.parametrize(("content", "arguments"), [
    (b"Ann@Example.org\n", ()),
    (b'\xef\xbb\xbfE-Mail;Name\r\nAnn@Example.org;"A; ""B""\r\nC"\r\n', ()),
    ("name\temail\nx\tAnn@Example.org\n".encode("utf-16"), ()),
    ("name|email\nx|Ann@Example.org\n".encode("utf-16-be"), ("--encoding", "utf-16-be")),
    (b"id,kontakt,rest\n1,Ann@Example.org,-\n", ()),
    (b"id,one,two\n1,x@y.de,Ann@Example.org\n", ("--column", "two")),
    (b"1,x@y.de,Ann@Example.org\n", ("--column", "3")),
    (b"email\rAnn@Example.org\r", ()),
    (b"email^x\nAnn@Example.org^1\n", ("--delimiter", "^")),
])  # fmt: skip
def test_any_list_can_be_read(shell: Shell, content: bytes, arguments: tuple[str, ...]) -> None:
    ended = shell("suppress", "import", shell.write("list.csv", content), *arguments)
    assert ended.code == 0, ended
    assert _listed(shell) == {"Ann@Example.org": "imported"}


def test_hostile_lines_are_told_by_number_and_the_rest_is_imported(shell: Shell) -> None:
    lines = [
        b"email,name", b"ann@example.org,A", b"a\0b@example.org,NUL", b"=cmd()|x,formula",
        b'"x y"@example.org,never', b'"""x y""@example.org",quoted', b"bob@m\xc3\xbcnchen.de,IDN",
        b"J\xf6rg <joerg@example.org>,cp1252", b'"no end,x', b"ANN@EXAMPLE.ORG,twice", b",nobody",
        b"z" * 200_000, b"", b"carl@example.org,C",
    ]  # fmt: skip
    good = [b"p%d@example.org,P" % number for number in range(60)]
    ended = shell("suppress", "import", shell.write("l.csv", b"\n".join(lines + good)))
    assert ended.code == 0, ended
    assert [(number, wrong) for number, wrong, _ in _bad(shell, "l.csv")] == [
        (3, "'a\\x00b@example.org' is not an address."),
        (4, "'=cmd()|x' is not an address."),
        (5, "has a quote that is not closed as it should be"),
        (9, "has a quote that is not closed as it should be"),
        (11, "has no address"),
        (12, "is longer than 64 KB"),
    ]
    listed = _listed(shell)
    assert len(listed) == 60 + 5
    assert {"carl@example.org", '"x y"@example.org', "bob@münchen.de", "joerg@example.org"} < set(
        listed
    )
    assert "1 line not in UTF-8" in ended.out
    assert "6 bad lines" in ended.out


def test_bad_lines_are_safe_for_spreadsheets_and_for_others_eyes(shell: Shell) -> None:
    shell("suppress", "import", shell.write("l.csv", "email\n=1+1\nann@example.org\n"))
    assert _bad(shell, "l.csv") == [(2, "'=1+1' is not an address.", "'=1+1")]
    assert (shell.folder / "l.csv.bad-lines.csv").stat().st_mode & 0o777 == 0o600


def test_the_bad_lines_replace_no_other_file(shell: Shell) -> None:
    mine = shell.write("mine.txt", "precious")
    file = shell.write("l.csv", "email\nx\nann@example.org\n")
    ended = shell("suppress", "import", file, "--bad-lines", mine)
    assert ended.code == 1
    assert Path(mine).read_text() == "precious"
    assert _listed(shell) == {}


def test_a_file_of_a_gigabyte_in_one_line_costs_no_memory(shell: Shell) -> None:
    path = shell.folder / "huge.csv"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # zeros: a line that never ends
        file.seek(0)
        file.write(b"email\nann@example.org\n")
        file.seek(0, os.SEEK_END)
        file.write(b"\nbob@example.org\n")
    code = (
        "from mailbot.cli.command_line import main\n"
        f"print(main(['suppress', 'import', {str(path)!r}]))\n"
        # Not ru_maxrss: that counts the memory of who started this process as well.
        "[peak] = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(peak.split()[1])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code_of, peak = ended.stdout.split()[-2:]
    assert (code_of, int(peak) < 200_000) == ("0", True), ended
    assert set(_listed(shell)) == {"ann@example.org", "bob@example.org"}


def test_a_wrong_column_is_refused_before_anything_is_written(shell: Shell) -> None:
    rows = "".join(f"{number},ann{number}@example.org\n" for number in range(100))
    file = shell.write("l.csv", "email,mail2\n" + rows)
    ended = shell("suppress", "import", file)
    assert ended.code == 65
    assert "100 of 100 lines hold no address in column “email”" in ended.err
    assert "'0,ann0@example.org'" in ended.err
    assert "--column" in ended.err
    assert _listed(shell) == {}
    assert shell("suppress", "imports").out == "No file was imported yet.\n"
    assert shell("suppress", "import", file, "--column", "mail2").code == 0
    assert len(_listed(shell)) == 100


@pytest.mark.parametrize(("content", "arguments", "says"), [
    (b"", (), "this file is empty"),
    (b"\n\n  \n", (), "this file is empty"),
    (b"email\n", (), "no line behind the header"),
    (b"a,b\nx,y\n", (), "which column holds the addresses? There are 'a', 'b'"),
    (b"email\na@x.de\n", ("--column", "mail"), "there is no column “mail” but 'email'"),
    (b"email\na@x.de\n", ("--encoding", "klingon"), "“klingon” is no encoding"),
    (b"email\na@x.de\n", ("--encoding", "base64"), "“base64” is no encoding"),
    (b"email\na@x.de\n", ("--format", "postmark"), "not the columns of postmark"),
    (b"a@x.de\n", ("--format", "postmark"), "no header of postmark"),
    (b"email\na@x.de\n", ("--delimiter", "ab"), "cannot stand between cells"),
    (b"{nonsense\n", (), "no object of this JSON"),
])  # fmt: skip
def test_what_cannot_be_read_is_said_in_words(
    shell: Shell, content: bytes, arguments: tuple[str, ...], says: str
) -> None:
    ended = shell("suppress", "import", shell.write("l.csv", content), *arguments)
    assert ended.code == 65, ended
    assert says in ended.err


def test_a_missing_file_and_a_folder_are_said_in_words(shell: Shell) -> None:
    assert "no such file" in shell("suppress", "import", str(shell.folder / "none.csv")).err
    assert "is a directory" in shell("suppress", "import", str(shell.folder)).err


def test_a_trial_changes_nothing(shell: Shell) -> None:
    file = shell.write("l.csv", "email\nann@example.org\nANN@example.org\n")
    ended = shell("suppress", "import", file, "--dry-run")
    assert "1 person would be put on the list" in ended.out
    assert _listed(shell) == {}


def test_the_same_file_is_imported_once_unless_somebody_says_again(shell: Shell) -> None:
    file = shell.write("l.csv", "email\nann@example.org\n")
    assert shell("suppress", "import", file, "--json").json["added"] == 1
    shell("suppress", "lift", "ann@example.org", "--note", "wants offers again")
    told = shell("suppress", "import", file)
    assert "nothing changed" in told.out
    assert _listed(shell) == {}
    assert shell("suppress", "import", file, "--again", "--json").json["added"] == 1
    assert _listed(shell) == {"ann@example.org": "imported"}
    assert len(shell("suppress", "imports", "--json").json) == 2


def test_because_stands_for_whatever_the_file_says(shell: Shell) -> None:
    file = shell.write("l.csv", "ip,email,created\n192.0.2.1,a@x.de,1\n")
    shell("suppress", "import", file, "--because", "opt_out", "--note", "from the old shop")
    assert _listed(shell) == {"a@x.de": "opt_out"}
    database = Database.open(shell.url)
    with database.read() as conn:
        [row] = ledger.with_evidence(conn)
        assert row.evidence["note"] == "from the old shop"
        assert row.evidence["file"] == "l.csv"
    database.close()


def _many(shell: Shell, count: int = 20_000) -> str:
    rows = "".join(f"p{number}@example.org\n" for number in range(count))
    return shell.write("many.csv", "email\n" + rows)


def _interrupted_in_part(monkeypatch: pytest.MonkeyPatch, number: int, *, committed: bool) -> None:
    """The third transaction of entries fails: before, or after it was committed."""
    real = Database.write
    parts = 0

    @contextmanager
    def write(self: Database) -> Iterator[Connection]:
        nonlocal parts
        parts += 1
        is_it = parts == number
        if is_it and not committed:
            raise ConnectionError
        with real(self) as conn:
            yield conn
        if is_it:
            raise ConnectionError  # the answer to COMMIT was lost

    monkeypatch.setattr(Database, "write", write)


@pytest.mark.parametrize("committed", [False, True])
def test_a_lost_answer_to_a_commit_doubles_and_loses_nobody(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    file = _many(shell)
    with monkeypatch.context() as patch:
        _interrupted_in_part(patch, 4, committed=committed)
        assert shell("suppress", "import", file).code != 0
    assert 0 < len(_listed(shell)) < 20_000
    ended = shell("suppress", "import", file, "--json")
    assert (ended.json["persons"], ended.json["added"]) == (20_000, 20_000)
    _is_whole(shell, events=4)


def _is_whole(shell: Shell, events: int) -> None:
    assert len(_listed(shell)) == 20_000
    database = Database.open(shell.url)
    with database.read() as conn:
        walked = ledger.walk(conn)
    database.close()
    assert (walked.fault, walked.events) == (None, events)


def test_a_killed_import_goes_on_and_leaves_no_addresses_behind(shell: Shell) -> None:
    file = _many(shell)
    code = (
        "import os, signal\n"
        "from mailbot.lists import importing\n"
        "real = importing._add_part\n"
        "calls = []\n"
        "def killing(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(*arguments)\n"
        "importing._add_part = killing\n"
        "from mailbot.cli.command_line import main\n"
        f"main(['suppress', 'import', {file!r}])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -9, killed
    assert len(_listed(shell)) == 10_000
    assert list(shell.folder.glob(".mailbot-sorting-*"))
    assert shell("suppress", "import", file).code == 0
    _is_whole(shell, events=4)
    assert not list(shell.folder.glob(".mailbot-sorting-*"))


def test_a_full_disk_in_the_database_is_said_and_the_same_command_goes_on(shell: Shell) -> None:
    file = _many(shell)
    real = importing._add_part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "_add_part", _with_a_small_disk(real))
        ended = shell("suppress", "import", file)
    assert ended.code == 74
    assert "the disk is full" in ended.err
    assert len(_listed(shell)) < 20_000
    assert shell("suppress", "import", file).code == 0
    _is_whole(shell, events=4)


def _with_a_small_disk(real: Callable[..., None]) -> Callable[..., None]:
    def limited(database: Database, *arguments: object) -> None:
        with database.engine.connect() as conn:
            pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        most = database_pages.setdefault("most", pages + 300)
        with _every_connection(database, f"PRAGMA max_page_count = {most}"):
            real(database, *arguments)

    database_pages: dict[str, int] = {}
    return limited


@contextmanager
def _every_connection(database: Database, pragma: str) -> Iterator[None]:
    from sqlalchemy import event as sql_event

    def limit(connection: object) -> None:
        connection.exec_driver_sql(pragma)  # type: ignore[attr-defined]

    sql_event.listen(database.engine, "begin", limit, insert=True)
    try:
        yield
    finally:
        sql_event.remove(database.engine, "begin", limit)


def test_a_full_disk_while_sorting_is_said_before_anything_is_written(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_number: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    file = _many(shell)
    with monkeypatch.context() as patch:
        patch.setattr("mailbot.lists.spool._write_all", full)
        ended = shell("suppress", "import", file)
    assert ended.code == 74
    assert "the disk is full: the file cannot be sorted" in ended.err
    assert _listed(shell) == {}
    assert not list(shell.folder.glob(".mailbot-sorting-*"))


def test_ctrl_c_says_how_far_it_came(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_add_part", interrupted)
        ended = shell("suppress", "import", _many(shell))
    assert ended.code == 130
    assert "The same command goes on" in ended.err


def test_an_opt_out_gets_through_between_two_parts(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importing._add_part
    heard: list[int] = []

    def hear(database: Database) -> None:
        with database.write() as conn:
            heard.append(consent.record(conn, event(Kind.OPT_OUT, key="mail:1")).sequence)

    def with_mail(database: Database, *arguments: object) -> None:
        real(database, *arguments)  # type: ignore[arg-type]  # what it was called with
        if not heard:
            other = Database.open(shell.url)
            thread = threading.Thread(target=hear, args=[other])
            thread.start()
            thread.join(10)
            other.close()

    monkeypatch.setattr(importing, "_add_part", with_mail)
    assert shell("suppress", "import", _many(shell)).code == 0
    assert heard == [2]  # behind the first part, before the second
    assert len(_listed(shell)) == 20_001


def test_two_imports_do_not_remove_each_others_sorting(tmp_path: Path) -> None:
    with spool_in(tmp_path) as one:
        one.add("imported", "a" * 32, "a" * 32, "x@example.org")
        with spool_in(tmp_path) as other:
            assert other.groups() == []
        assert list(one.sorted("imported")) == [("a" * 32, "a" * 32, "x@example.org")]
    assert list(tmp_path.iterdir()) == []
