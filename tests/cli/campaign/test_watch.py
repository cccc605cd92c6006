"""A campaign that is watched: on a terminal, through a pipe, as JSON, and until it has ended."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

import pytest
from rich.console import Console
from sqlalchemy import update

from mailbot.cli.campaign import watch
from mailbot.cli.campaign.watch import Pace, Seen
from mailbot.cli.campaign.watch_screen import as_line, as_screen
from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.core.pace import Limits
from mailbot.store import campaigns, switches
from mailbot.store import outbox as outbox_rows
from mailbot.store.campaign_figures import Progress
from mailbot.store.campaigns import Campaign
from mailbot.store.engine import Database
from mailbot.store.tables import CampaignState, outbox
from mailbot.store.tables import campaigns as campaign_rows
from tests.cli.conftest import Shell
from tests.people import NOON
from tests.store.filling import campaign_under_way

PEOPLE = ("ann@example.org", "bob@example.org", "cleo@example.org")
MANY = Progress(
    1_000_000, 800_000, False,
    {State.QUEUED: 337_680, State.CLAIMED: 100, State.SENDING: 10, State.SENT: 440_120,
     State.WITHHELD: 21_002, State.DEFERRED: 880, State.BOUNCED: 105, State.REJECTED: 90,
     State.EXPIRED: 10, State.UNCERTAIN: 3},
    {Reason.OPT_OUT: 15_900, Reason.UNDELIVERABLE: 3_000, Reason.COMPLAINT: 1_000,
     Reason.IMPORTED: 1_000, Reason.HELD: 100, Reason.ERASED: 2},
)  # fmt: skip


def campaign(state: CampaignState = CampaignState.SENDING, because: str | None = None) -> Campaign:
    return Campaign(
        1, "spring-2026-for-all-our-customers", state, "Teas", "Hello", None, NOON, NOON,
        1_000_000, 800_000, False, because,
    )  # fmt: skip


def seen(
    state: CampaignState = CampaignState.SENDING,
    *,
    rate: float | None = 1204.4,
    still_for: float = 0,
    is_stopped: bool = False,
) -> Seen:
    return Seen(NOON, campaign(state), MANY, is_stopped, rate, still_for)


def drawn(one: Seen, width: int) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    console.print(as_screen(one, width))
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()).splitlines()]


@pytest.mark.parametrize("width", [40, 80])
def test_the_picture_fits_its_terminal_with_every_number_whole(width: int) -> None:
    lines = drawn(seen(), width)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    told = {tuple(line.split(maxsplit=1)) for line in lines if line[:11].strip()[:1].isdigit()}
    assert told >= {
        ("440,120", "sent"), ("15,900", "withheld: opt out"), ("3,000", "withheld: undeliverable"),
        ("880", "deferred"), ("105", "bounced"), ("90", "rejected"), ("3", "uncertain"),
        ("538,670", "still waiting"),
    }  # fmt: skip
    shown = " ".join(" ".join(lines).split())
    assert "80 % of 1,000,000 are in the outbox" in shown
    assert "1,204 a second, about 7 min to go (12:07 UTC)" in shown
    assert "46 %" in shown


def test_numbers_that_are_not_there_yet_have_their_place() -> None:
    empty = Seen(NOON, campaign(), Progress(3, 3, True, {State.QUEUED: 3}, {}), False, None, 0)
    shown = "\n".join(drawn(empty, 80))
    for label in ("sent", "withheld", "deferred", "bounced", "rejected", "uncertain"):
        assert re.search(rf"^ +0  {label}$", shown, re.MULTILINE), label
    assert "outbox" not in shown, "everybody is there"
    assert "to go" not in shown, "nobody knows yet"


def test_a_campaign_in_which_nothing_moves_says_where_to_look() -> None:
    assert "Nothing moved for 2 min" in as_line(seen(still_for=125, rate=0))
    assert "All marketing is stopped" in as_line(seen(is_stopped=True))
    assert "mailbot campaign resume" in as_line(seen(CampaignState.PAUSED))


def test_quiet_hours_are_told_with_their_end_and_are_nothing_to_look_after() -> None:
    at_night = replace(campaign(), quiet_hours="21:00-08:00", zone="Europe/Berlin", open_until=NOON)
    night = NOON.replace(hour=23)
    one = Seen(night, at_night, MANY, False, 0.0, 3_600)
    assert "It waits for its quiet hours to end: " in as_line(one)
    assert "08:00 Europe/Berlin" in as_line(one)
    assert "Nothing moved" not in as_line(one)
    assert one.seconds_left is None
    assert one.as_json()["waits_until"] == one.quiet_until is not None
    assert "quiet hours" not in as_line(replace(one, at=NOON))
    tomorrow = replace(at_night, state=CampaignState.SCHEDULED, send_at=night)
    told = as_line(replace(one, campaign=tomorrow))
    assert "It begins by itself." in told
    assert "It will wait for its quiet hours to end: " in told


def test_a_slow_pace_says_when_the_next_goes_and_when_all_is_done() -> None:
    one = replace(
        seen(rate=0.0, still_for=125), limits=Limits(10_000, 50),
        next_place_at=NOON + timedelta(minutes=3),
    )  # fmt: skip
    assert one.seconds_left == pytest.approx(538_670 / 10_000 * 3600)
    line = as_line(one)
    assert "The next goes at 12:03:00 UTC, about 2 days to go" in line
    assert "At most 10,000 an hour, 50 an hour to each domain." in line
    assert "Nothing moved" not in line
    late = as_line(replace(one, next_place_at=NOON - timedelta(minutes=3)))
    assert "Nothing moved for 2 min" in late, "a place is free, and nobody takes it"
    assert max(map(len, drawn(one, 40))) <= 40


@pytest.mark.parametrize(("of_settings", "own"), [(60, None), (None, 60), (60, 7_200), (7_200, 60)])
def test_the_strictest_pace_is_told_with_its_next_place(
    mailbot: Shell, database: Database, between: Callable[..., None],
    of_settings: int | None, own: int | None,
) -> None:  # fmt: skip
    if of_settings:
        text = mailbot.config.read_text(encoding="utf-8")
        paced = text.replace("[campaigns]\n", f"[campaigns]\nper_hour = {of_settings}\n")
        mailbot.config.write_text(paced, encoding="utf-8")
    campaign_under_way(database, *PEOPLE)
    with database.write() as conn:
        conn.execute(update(campaign_rows).values(per_hour=own))
        limits = Limits(of_settings)
        assert len(outbox_rows.claim(
            conn, claimed_by="d", lease_seconds=60, limit=10, with_campaigns=True, pace=limits,
        )) == 1  # fmt: skip
    between(moved(database, 1, State.SENT), moved(database, 2, State.SENT),
            moved(database, 3, State.SENT))  # fmt: skip
    ended = mailbot("campaign", "status", "spring", "--watch", "--json")
    first = json.loads(ended.out.splitlines()[0])
    assert first["per_hour"] == 60
    assert 50 < (moment(first["next_place_at"]) - moment(first["at"])).total_seconds() <= 60


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    pace = Pace()
    for at, sent in [(0, 0), (1, 1000), (2, 1000), (9, 1000), (10, 1100), (12, 1300), (20, 1300)]:
        pace.note(Progress(5000, 5000, True, {State.SENT: sent}, {}), at)
    assert pace.rate == pytest.approx(20)  # 200 since the tenth second
    assert pace.still_for == 8


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these happen in turn, each where the watch would wait for a second."""

    def script(*steps: Callable[[], object]) -> None:
        left = iter(steps)
        monkeypatch.setattr(watch, "sleep", lambda _: next(left)())

    return script


def moved(database: Database, row_id: int, state: State) -> Callable[[], None]:
    def move() -> None:
        with database.write() as conn:
            conn.execute(update(outbox).where(outbox.c.id == row_id).values(state=state))
            campaigns.finish_sent(conn)

    return move


def test_a_pipe_gets_one_line_for_each_change_until_it_is_done(
    mailbot: Shell, database: Database, between: Callable[..., None]
) -> None:
    campaign_under_way(database, *PEOPLE)
    between(
        lambda: None,
        moved(database, 1, State.SENT),
        lambda: None,
        moved(database, 2, State.REJECTED),
        moved(database, 3, State.SENT),
    )
    ended = mailbot("campaign", "status", "spring", "--watch")
    assert ended.code == 0
    lines = [line[9:].split(";")[0] for line in ended.out.splitlines()]
    assert lines == [
        "“spring” is sending: 3 still waiting",
        "“spring” is sending: 1 sent, 2 still waiting",
        "“spring” is sending: 1 sent, 1 rejected, 1 still waiting",
        "“spring” is done: 2 sent, 1 rejected",
    ]


def test_as_json_each_look_is_one_object(
    mailbot: Shell, database: Database, between: Callable[..., None]
) -> None:
    campaign_under_way(database, *PEOPLE)

    def cancel() -> None:
        with database.write() as conn:
            campaigns.cancel(conn, "spring", "wrong price")

    between(lambda: None, moved(database, 1, State.SENT), cancel)
    ended = mailbot("campaign", "status", "spring", "--watch", "--json")
    looks = [json.loads(line) for line in ended.out.splitlines()]
    assert [(one["state"], one["waiting"]) for one in looks] == [
        ("sending", 3), ("sending", 3), ("sending", 2), ("cancelled", 0)
    ]  # fmt: skip
    assert looks[-1]["by_state"] == {"sent": 1, "cancelled": 2}
    assert looks[-1]["because"] == "wrong price"
    assert looks[0]["expanded"] == looks[0]["audience"] == 3
    assert "@" not in ended.out


def test_a_stop_of_all_marketing_is_seen(
    mailbot: Shell, database: Database, between: Callable[..., None]
) -> None:
    campaign_under_way(database, PEOPLE[0])

    def stop() -> None:
        with database.write() as conn:
            switches.turn(conn, switches.MARKETING_STOPPED, is_on=True, because="")

    between(stop, moved(database, 1, State.SENT))
    ended = mailbot("campaign", "status", "spring", "--watch")
    assert "All marketing is stopped" in ended.out.splitlines()[1]


def test_ctrl_c_ends_the_watching_alone(
    mailbot: Shell, database: Database, between: Callable[..., None]
) -> None:
    campaign_under_way(database, *PEOPLE)

    def press() -> None:
        raise KeyboardInterrupt

    between(press)
    ended = mailbot("campaign", "status", "spring", "--watch")
    assert ended.code == 0
    assert ended.err == ""
    with database.read() as conn:
        assert campaigns.get(conn, "spring").state is CampaignState.SENDING


def test_what_cannot_be_watched_is_said(mailbot: Shell) -> None:
    assert mailbot("campaign", "status", "--watch").code == 64
    assert "no campaign is named" in mailbot("campaign", "status", "x", "--watch").err


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_real_terminal_the_picture_changes_in_place_and_the_cursor_comes_back(
    mailbot: Shell, database: Database, columns: int
) -> None:
    campaign_under_way(database, *PEOPLE)
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, pack("HHHH", 24, columns, 0, 0))
    watching = subprocess.Popen(
        [sys.executable, "-m", "mailbot", "campaign", "status", "spring", "--watch"],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "MAILBOT_CONFIG": str(mailbot.config)},
    )  # fmt: skip
    os.close(theirs)
    written = bytearray()
    has_begun = threading.Event()

    def read() -> None:
        while True:
            try:
                came = os.read(ours, 65536)
            except OSError:  # its last writer is gone
                return
            written.extend(came)
            if b"alone." in written:
                has_begun.set()
            if not came:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert has_begun.wait(30), written.decode()
    moved(database, 1, State.SENT)()
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
    reader.join(10)
    os.close(ours)
    shown = written.decode()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "The watching ended; “spring” is as it was." in shown
    assert "Traceback" not in shown
