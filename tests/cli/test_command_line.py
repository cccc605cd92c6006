"""What holds for every command: help, errors in words, exit codes, where the settings are."""

from __future__ import annotations

import errno
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mailbot.cli import command_line
from mailbot.store.engine import Database
from tests.cli.conftest import CONFIG, Shell

PROGRAM = [sys.executable, "-m", "mailbot"]
COMMANDS = (
    "run", "demo", "check", "status", "why", "recognise", "replay", "stop-marketing",
    "start-marketing", "suppress add", "suppress lift", "suppress show", "suppress list",
    "campaign create", "campaign schedule", "campaign pause", "campaign resume",
    "campaign cancel", "campaign status", "order-status send", "order-status types",
    "db upgrade", "keys create", "review list", "review show", "review accept", "review dismiss",
)  # fmt: skip


def test_help_says_what_the_exit_codes_mean(mailbot: Shell) -> None:
    ended = mailbot("--help")
    assert ended.code == 0
    for code in ("0  done", "64  wrong command", "65  the input", "70  a bug", "78  the settings"):
        assert code in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(mailbot: Shell, command: str) -> None:
    ended = mailbot(*command.split(), "--help")
    assert ended.code == 0
    assert f"mailbot {command}" in ended.out.partition("Example")[2]
    assert "<bool>" not in ended.out
    assert "-h " in ended.out
    assert f"\n   mailbot {command}" in ended.out, "the example is indented"


def test_help_is_there_before_anybody_gets_impatient() -> None:
    """Nothing heavy is loaded for it, whatever this machine's speed today."""
    code = (
        "import sys; from mailbot.cli.command_line import main; main(['--help']);"
        "print([name for name in ('sqlalchemy', 'pydantic', 'imapclient', 'aiosmtplib', 'idna',"
        "'alembic', 'jinja2', 'mailbot.config', 'mailbot.store') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_or_option_is_wrong_usage(mailbot: Shell) -> None:
    for arguments in (["bogus"], ["status", "--bogus"], ["why"], ["campaign"]):
        assert mailbot(*arguments).code == 64, arguments
    assert "mailbot status --help" in mailbot("status", "--bogus").err


def test_what_was_meant_is_guessed_in_whole_sentences(mailbot: Shell) -> None:
    assert "Did you mean 'status'?\n" in mailbot("statsu").err
    refused = mailbot("suppress", "add", "ann@example.org", "--because", "banana").err
    assert "'--because': 'banana' is not one of" in refused
    unknown = mailbot("campaign", "status", "nope").err
    assert "no campaign is named “nope”.\n" in unknown


def test_a_file_that_this_user_may_not_read_is_told_with_what_to_do(
    mailbot: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter, people = mailbot.write("l.txt", "Tea"), mailbot.write("p.csv", "email\na@b.org\n")
    create = ("campaign", "create", "x", "--subject", "S", "--text", letter, "--audience", people)
    really, is_allowed = Path.open, os.access
    for spared, arguments, code in ((mailbot.config, ("status",), 78), (Path(people), create, 65)):

        def barred(path: Path, *rest: Any, spared: Path = spared, **named: Any) -> Any:
            if path == spared:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return really(path, *rest, **named)

        def asked(path: Any, *rest: Any, spared: Path = spared, **named: Any) -> bool:
            return Path(path) != spared and is_allowed(path, *rest, **named)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", barred)
            patch.setattr(os, "access", asked)
            ended = mailbot(*arguments)
        assert ended.code == code, ended.err
        assert "permission denied" in ended.err.lower()
        assert "read it" in ended.err


def test_the_version_is_told(mailbot: Shell) -> None:
    assert mailbot("--version").out.startswith("mailbot ")


@pytest.mark.parametrize("place", ["before", "after", "environment"])
def test_the_settings_may_be_named_before_or_after_the_command_or_in_the_environment(
    mailbot: Shell, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    option = ["--config", str(mailbot.config)]
    if place != "environment":
        monkeypatch.setenv("MAILBOT_CONFIG", "/nowhere/mailbot.toml")
    before, after = (option if place == each else [] for each in ("before", "after"))
    assert mailbot(*before, "suppress", "list", *after).code == 0


def test_what_stands_after_the_command_wins(mailbot: Shell) -> None:
    ended = mailbot("--config", str(mailbot.config), "db", "upgrade", "--config", "/nowhere/x")
    assert ended.code == 78
    assert "/nowhere/x" in ended.err


def test_a_config_with_five_faults_is_told_all_five_at_once(mailbot: Shell) -> None:
    """Each with its key, its line, what is wrong and what to write."""
    spoilt = (
        CONFIG.replace('help_address = "help@shop.example"', 'help_address = "help"')
        .replace("port = 1\nsecurity", "port = 70000\nsecurity", 1)
        .replace('username = "help"', "")
        .replace('from_name = "Lindenhof Tea"', 'from_nmae = "Lindenhof Tea"')
        .replace("timeout_seconds = 2\n[campaigns]", 'timeout_seconds = "long"\n[campaigns]')
    )
    mailbot.write("mailbot.toml", spoilt)
    ended = mailbot("run")
    assert ended.code == 78
    for key in ("shop.help_address", "mailbox[0].port", "mailbox[0].username",
                "relay.timeout_seconds", "campaigns.from_nmae"):  # fmt: skip
        assert key in ended.err, key
    assert ended.err.count("(line ") >= 5
    assert "Did you mean from_name?" in ended.err


def test_without_settings_it_is_said_how_to_make_them(mailbot: Shell) -> None:
    ended = mailbot("status", "--config", "/nowhere/mailbot.toml")
    assert ended.code == 78
    assert "Copy config/mailbot.toml" in ended.err


def test_a_missing_database_is_not_made_by_a_look(bare: Shell) -> None:
    """One that root made by `mailbot status` would be nobody else's to write."""
    ended = bare("status")
    assert ended.code == 78
    assert "mailbot db upgrade" in ended.err
    assert not (bare.folder / "mailbot.db").exists()


def test_an_unreadable_database_is_told_in_words(mailbot: Shell) -> None:
    mailbot.write("mailbot.db", b"this is no database" * 100)
    ended = mailbot("suppress", "list")
    assert ended.code == 74
    assert "not a SQLite database" in ended.err
    assert "backup" in ended.err


def test_with_another_person_key_nobody_is_looked_up(mailbot: Shell) -> None:
    assert mailbot("suppress", "add", "ann@example.org").code == 0
    mailbot.write("person-key", bytes(32).hex())
    letter, people = (
        mailbot.write("l.txt", "Subject: Tea\n\nTea"),
        mailbot.write("p.csv", "email\n"),
    )
    for arguments in (
        ["why", "ann@example.org"],
        ["suppress", "show", "ann@example.org"],
        ["suppress", "add", "bob@example.org"],
        ["suppress", "lift", "ann@example.org", "--note", "x"],
        ["campaign", "create", "x", "--text", letter, "--audience", people],
        ["order-status", "send"],
    ):
        ended = mailbot(*arguments)
        assert ended.code == 78, arguments
        assert "Put the old key file back" in ended.err


def test_a_bug_is_one_line_and_says_how_to_report_it(
    mailbot: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("one by nought")

    monkeypatch.setattr("mailbot.store.suppressions.newest", broken)
    ended = mailbot("suppress", "list")
    assert ended.code == 70
    assert "bug in mailbot: ZeroDivisionError: one by nought" in ended.err
    assert "--debug" in ended.err


def test_debug_shows_where_an_error_came_from(
    mailbot: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    code = command_line.main(["--debug", "why", "nobody"])
    assert code == 65
    assert "Traceback" in capsys.readouterr().err
    assert mailbot("why", "nobody").code == 65, "and the next command is quiet again"


def test_a_closed_pipe_ends_it_quietly(mailbot: Shell) -> None:
    """`mailbot recognise … | head -1`."""
    mail = mailbot.write("mail.eml", b"From: ann@example.org\nSubject: unsubscribe\n\n")
    ended = subprocess.run(
        ["bash", "-c", '"$0" -m mailbot recognise --format jsonl "$@" | head -1',
         sys.executable, *[mail] * 2000],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert ended.stderr == ""
    assert '"opt_out"' in ended.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_the_output_is_told(mailbot: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*PROGRAM, "suppress", "list", "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False,
        )  # fmt: skip
    assert ended.returncode == 74
    assert ended.stderr == "mailbot: no space left on device\n"


def open_terminal() -> tuple[int, int]:
    try:
        return pty.openpty()
    except OSError:
        pytest.skip("this machine has no pseudo-terminals")


def test_ctrl_c_ends_a_command_without_a_traceback(mailbot: Shell) -> None:
    """`order-status send` waits for its first line when the person gives up."""
    controller, terminal = open_terminal()
    try:
        with subprocess.Popen(
            [*PROGRAM, "order-status", "send"],
            stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as waiting:  # fmt: skip
            assert waiting.stderr is not None
            assert "Ctrl-D" in waiting.stderr.readline()
            time.sleep(0.1)
            waiting.send_signal(signal.SIGINT)
            _, err = waiting.communicate(timeout=10)
        assert (waiting.returncode, err) == (130, "")
    finally:
        os.close(controller)
        os.close(terminal)


def test_a_terminal_gets_colours_and_a_pipe_gets_none(mailbot: Shell, database: Database) -> None:
    mailbot("suppress", "add", "ann@example.org")
    controller, terminal = open_terminal()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    subprocess.run(
        [*PROGRAM, "suppress", "list"], stdout=terminal, env=environment, check=True, timeout=20
    )
    os.close(terminal)
    shown = os.read(controller, 65536).decode()
    os.close(controller)
    assert "\x1b[" in shown
    assert "ann@example.org" in shown


def test_what_a_mail_says_cannot_steer_the_terminal(mailbot: Shell) -> None:
    mailbot("suppress", "add", "ann@example.org", "--note", "\x1b[2Jgone\u202e")
    ended = mailbot("why", "ann@example.org")
    assert "gone" in ended.out
    assert "\u202e" not in ended.out
