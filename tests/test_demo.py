"""`mailbot demo` as anybody runs it: a process of its own, with the real daemon beneath it."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from mailbot import demo
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import MailbotError
from mailbot.demo import cast, letters, promises, report, story
from mailbot.demo.findings import Account, Findings
from mailbot.demo.servers import Delivered, mail_servers
from mailbot.demo.stage import set_up

DEMO = [sys.executable, "-m", "mailbot", "demo"]


def surroundings(temporary: Path) -> dict[str, str]:
    return {
        **os.environ,
        "TMPDIR": str(temporary),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        # The demo must not be led astray by the settings of a real mailbot.
        "MAILBOT_RELAY__HOST": "relay.invalid",
    }


@dataclasses.dataclass(frozen=True)
class Finished:
    code: int
    text: str
    errors: str
    seconds: float
    left_behind: list[Path]

    def row(self, start: str) -> list[str]:
        """The cells of the last table row that begins so."""
        lines = [line for line in self.text.splitlines() if line.strip().startswith(start)]
        return re.split(r" {2,}", lines[-1].strip())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    temporary = tmp_path_factory.mktemp("demo")
    started = time.monotonic()
    ended = subprocess.run(
        DEMO,
        env=surroundings(temporary),
        capture_output=True,
        encoding="utf-8",
        timeout=55,
        check=False,
    )
    seconds = time.monotonic() - started
    return Finished(ended.returncode, ended.stdout, ended.stderr, seconds, [*temporary.iterdir()])


def test_it_ends_by_itself_in_time_and_well(finished: Finished) -> None:
    assert (finished.code, finished.errors) == (0, ""), finished.text
    assert "Every promise was kept." in finished.text
    assert finished.seconds < 15


def test_it_leaves_nothing_behind(finished: Finished) -> None:
    assert finished.left_behind == []


def test_who_asked_before_gets_neither_offer_and_all_order_status(finished: Finished) -> None:
    assert finished.row("Anna Berger") == [
        "Anna Berger", "withheld", "withheld", "sent", "asked for no offers",
    ]  # fmt: skip


def test_who_answers_an_offer_does_not_get_the_next(finished: Finished) -> None:
    for name in ("Jonas Weber", "Inês Duarte"):
        assert finished.row(name)[1:3] == ["sent", "withheld"]


def test_an_out_of_office_that_quotes_the_word_changes_nothing(finished: Finished) -> None:
    assert "automatic reply  nothing" in finished.text
    assert finished.row("Henrik Olsen")[1:3] == ["sent", "sent"]


def test_a_gone_mailbox_gets_nothing_any_more(finished: Finished) -> None:
    assert finished.row("Margaret Shaw") == [
        "Margaret Shaw", "came back", "withheld", "withheld", "mailbox is gone",
    ]  # fmt: skip


def test_an_encoded_subject_is_shown_as_it_was_written(finished: Finished) -> None:
    assert "Unsubscribe svp" in finished.text
    assert "=?utf-8?" not in finished.text


def test_help_is_said_to_be_untouched(finished: Finished) -> None:
    assert "12 mails, 11 unread, 0 changed" in re.sub(r"\s+", " ", finished.text)


# --- the demo's own audit -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def findings() -> Iterator[Findings]:
    with mail_servers(cast.HELP, "s3cret") as servers:
        story.arrive(servers, letters.EARLIER)
        with set_up(servers, "s3cret") as stage:
            for _ in story.play(stage):
                pass
            yield story.review(stage)


def broken(findings: Findings) -> set[str]:
    return {promise.words for promise in promises.check(findings) if not promise.is_kept}


def with_account(findings: Findings, changed: Account) -> Findings:
    accounts = tuple(
        changed if one.customer == changed.customer else one for one in findings.accounts
    )
    return dataclasses.replace(findings, accounts=accounts)


def test_a_story_that_went_well_breaks_no_promise(findings: Findings) -> None:
    assert broken(findings) == set()


def test_an_offer_to_somebody_who_left_is_found(findings: Findings) -> None:
    """Though the records are silent about it: the relay is asked as well."""
    anna = findings.account(cast.ANNA)
    offer = findings.account(cast.EMILY).taken(MessageKind.CAMPAIGN)[0]
    stray = dataclasses.replace(
        offer,
        recipient=anna.customer.address,
        taken_at=datetime.now(UTC) + timedelta(seconds=1),
    )
    found = broken(
        with_account(findings, dataclasses.replace(anna, delivered=(*anna.delivered, stray)))
    )
    assert "Nobody on the list gets an offer." in found
    assert "Nobody gets a mail twice, and none is lost." in found


def test_a_lost_order_status_is_found(findings: Findings) -> None:
    anna = findings.account(cast.ANNA)
    without = tuple(m for m in anna.delivered if m not in anna.taken(MessageKind.ORDER_STATUS))
    found = broken(with_account(findings, dataclasses.replace(anna, delivered=without)))
    assert any(words.startswith("Order status reaches everyone") for words in found)


def test_a_lost_opt_out_is_found(findings: Findings) -> None:
    tom = dataclasses.replace(findings.account(cast.TOM), reasons=frozenset())
    assert any(
        words.startswith("On the do-not-send list") for words in broken(with_account(findings, tom))
    )


def test_a_mail_that_was_marked_as_read_is_found(findings: Findings) -> None:
    first, second, *rest = findings.heard
    read = dataclasses.replace(second.mail, flags=frozenset({"\\Seen"}))
    touched = (first, dataclasses.replace(second, mail=read), *rest)
    assert broken(dataclasses.replace(findings, heard=touched)) == {
        "help@ stays as the staff left it: nothing read, moved or marked."
    }


def test_a_mail_that_disappeared_is_found(findings: Findings) -> None:
    gone = dataclasses.replace(findings, mails_in_help=findings.mails_in_help - 1)
    assert "help@ stays as the staff left it: nothing read, moved or marked." in broken(gone)


def test_a_mail_to_a_stranger_is_found(findings: Findings) -> None:
    stray = Delivered("", "somebody@else.example", b"Subject: x\r\n\r\n", datetime.now(UTC))
    found = broken(dataclasses.replace(findings, strangers=(stray,)))
    assert found == {"Nobody gets a mail twice, and none is lost."}


def test_a_broken_promise_is_named_and_fails_the_demo(findings: Findings) -> None:
    console = Console(width=100, file=io.StringIO())
    tom = dataclasses.replace(findings.account(cast.TOM), reasons=frozenset())
    checked = promises.check(with_account(findings, tom))
    assert report.conclude(console, checked, 1.0) is False
    assert isinstance(console.file, io.StringIO)
    assert "Tom Whitfield" in console.file.getvalue()


def test_on_80_columns_no_verdict_is_cut(findings: Findings) -> None:
    console = Console(width=80, file=io.StringIO())
    report.show(console, findings, promises.check(findings))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert len(re.findall("no more offers +listed, told so", text)) == 5
    assert len(re.findall("asked for no offers", text)) == 6
    assert text.count("✓") == len(promises.check(findings))


# --- without its extra, and kept open -----------------------------------------------------------


def test_without_its_servers_it_says_in_one_sentence_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pymap", None)
    with pytest.raises(MailbotError, match=r"needs pymap.* pip install 'mailbot\[demo\]'"):
        demo.run(False, Console())


def test_kept_open_every_command_it_names_works_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*DEMO, "--keep"],
        env=surroundings(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as kept:
        try:
            told = read_until(kept, "Ctrl-C here ends it all")
            start = next(n for n, line in enumerate(told) if line.startswith(" export "))
            commands = [line for line in told[start:-1] if line and not line.startswith(" #")]
            setting, leave, *others = commands
            shell(setting, leave)
            read_until(kept, f"sent to {cast.EMILY.address}: Automatic answer: you get")
            shell(setting, *others)
            assert len(others) >= 5
            others_left = len(cast.AUDIENCE) - 8  # six asked in the story, one is gone, and Emily
            told = read_until(kept, *["Spring teas are here"] * others_left, "Your order 2001")
        finally:
            kept.send_signal(signal.SIGINT)
        rest, _ = kept.communicate(timeout=20)
    assert kept.returncode == 0, rest
    to_emily = [line for line in [*told, *rest.splitlines()] if cast.EMILY.address in line]
    assert [line for line in to_emily if "Spring" in line] == []
    assert len(to_emily) == 1  # her order
    assert "nothing is left behind" in rest
    assert list(tmp_path.iterdir()) == []


def shell(*commands: str) -> None:
    ended = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", "\n".join(commands)],
        capture_output=True,
        encoding="utf-8",
        timeout=40,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def read_until(process: subprocess.Popen[str], *awaited: str) -> list[str]:
    """The lines until each of `awaited` has come; pytest's timeout ends a wait in vain."""
    assert process.stdout is not None
    missing, lines = list(awaited), []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        found = next((words for words in missing if words in line), None)
        if found is not None:
            missing.remove(found)
        if not missing:
            return lines
    raise AssertionError(f"{missing} never came:\n" + "\n".join(lines))
