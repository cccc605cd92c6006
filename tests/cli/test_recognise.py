"""What `recognise` reads, and the form of its answers; the verdicts themselves are core's."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ended, Shell


def mail(subject: str, who: str = "ann@example.org") -> bytes:
    return f"From: {who}\nSubject: {subject}\nMessage-ID: <1@x>\n\nHello.\n".encode()


def verdicts(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0
    return [json.loads(line) for line in ended.out.splitlines()]


def test_one_object_a_mail(mailbot: Shell) -> None:
    asks = mailbot.write("asks.eml", mail("please unsubscribe me"))
    other = mailbot.write("other.eml", mail("where is my order?"))
    first, second = verdicts(mailbot("recognise", asks, other, "--format", "jsonl"))
    assert first == {
        "file": asks, "verdict": "opt_out", "addresses": ["ann@example.org"],
        "rule": "word-in-subject", "evidence": first["evidence"],
    }  # fmt: skip
    assert (second["verdict"], second["addresses"]) == ("unrelated", [])


def test_it_needs_no_settings(mailbot: Shell) -> None:
    mailbot.config.unlink()
    assert mailbot("recognise", mailbot.write("a.eml", mail("unsubscribe"))).code == 0


def test_a_folder_is_read_in_the_order_of_its_names(mailbot: Shell) -> None:
    box = mailbot.folder / "box"
    for name in ("cur/b", "cur/a", "new/c"):
        (box / name).parent.mkdir(parents=True, exist_ok=True)
        (box / name).write_bytes(mail("unsubscribe", f"{name[-1]}@example.org"))
    os.mkfifo(box / "cur" / "pipe")
    found = verdicts(mailbot("recognise", str(box), "--format", "jsonl"))
    assert [one["addresses"] for one in found] == [
        ["a@example.org"], ["b@example.org"], ["c@example.org"],
    ]  # fmt: skip


def test_an_mbox_is_its_mails(mailbot: Shell) -> None:
    """ "From " at the start of a paragraph is text; the line above a mail bears a time."""
    above = b"From ann@example.org Mon Mar  2 12:00:00 2026\n"
    box = mailbot.write(
        "archive.mbox",
        above + mail("unsubscribe") + b"\nFrom now on no more mail.\n\n"
        + above + mail("order 7") + b"\n" + above + mail("Re: unsubscribe", "bob@example.org"),
    )  # fmt: skip
    found = verdicts(mailbot("recognise", box, "--format", "jsonl"))
    assert [(one["message"], one["verdict"]) for one in found] == [
        (1, "opt_out"), (2, "unrelated"), (3, "opt_out"),
    ]  # fmt: skip


def test_whatever_the_mail_is_the_exit_code_is_0(mailbot: Shell) -> None:
    for name, content in {
        "empty": b"", "garbage": bytes(range(256)) * 50, "nul": mail("unsub\0scribe"),
        "huge": mail("unsubscribe") + b"x" * 3_000_000, "from": b"From ",
        "long-line": b"Subject: " + b"y" * 2_000_000, "escape": mail("\x1b[2J unsubscribe"),
    }.items():  # fmt: skip
        path = mailbot.write(name, content)
        assert len(verdicts(mailbot("recognise", path, "--format", "jsonl"))) == 1, name
        assert mailbot("recognise", path).code == 0, name


def test_the_table_counts_the_verdicts(mailbot: Shell) -> None:
    path = mailbot.write("asks.eml", mail("unsubscribe"))
    ended = mailbot("recognise", path, path)
    assert "asks.eml" in ended.out
    assert ended.out.endswith("2 opt_out\n")


def test_a_path_that_is_not_there_is_named(mailbot: Shell) -> None:
    ended = mailbot("recognise", "/nowhere/mail.eml")
    assert ended.code == 65
    assert "/nowhere/mail.eml: there is no such file" in ended.err


def test_a_file_that_cannot_be_read_is_told_and_is_the_exit_code(
    mailbot: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    barred = Path(mailbot.write("barred.eml", mail("tea")))
    good = mailbot.write("good.eml", mail("tea"))
    really = Path.open

    def opened(path: Path, *rest: Any, **named: Any) -> Any:
        if path == barred:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path, *rest, **named)

    monkeypatch.setattr(Path, "open", opened)
    both = mailbot("recognise", str(barred), good)
    assert (both.code, both.err) == (65, f"mailbot: {barred}: permission denied\n")
    assert "good.eml" in both.out
    alone = mailbot("recognise", str(barred))
    assert (alone.code, alone.out) == (65, "There is no mail.\n")
