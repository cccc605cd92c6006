"""The spool of the public page: what was answered is found, once, whatever broke in between."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.errors import DoorClosed, SpoolUnreadable
from mailbot.core.wishes import Wish, WishKind
from mailbot.store.spool import SUFFIX, Spool, SpoolWriter, line_of, wish_of

AT = datetime(2027, 3, 9, 8, 30, 1, 5, tzinfo=UTC)


def wish(number: int, kind: WishKind = WishKind.LEAVE, **more: str) -> Wish:
    return Wish(f"{number:032x}", kind, "token", AT, "page", **more)


def lines(*numbers: int) -> list[str]:
    return [line_of(wish(number)) for number in numbers]


def numbers(spool: Spool, most: int = 100) -> list[int]:
    """What waits, recorded as it is read."""
    found = []
    for batch in spool.waiting(most):
        found += [int(one.wish_id, 16) for one in batch.wishes]
        spool.done(batch)
    return found


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SpoolWriter]:
    made = SpoolWriter(tmp_path)
    yield made
    made.close()


def test_a_wish_comes_out_as_it_went_in() -> None:
    for one in (
        wish(1),
        wish(2, WishKind.UNDO, undoes="ab" * 16),
        wish(3, WishKind.CONFIRM, code="x" * 32),
        wish(4, topic="teas"),
    ):
        assert wish_of(line_of(one)) == one


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x" * 32}, {"id": ""}, {"kind": "rob"}, {"at": "2027-03-09T08:30"}, {"at": ""},
        {"source": "mail"}, {"token": "a\0b"}, {"token": 7}, {"token": "x" * 201},
        {"code": "a b"}, {"undoes": None},
    ],
)  # fmt: skip
def test_a_line_that_no_page_of_ours_writes_is_refused(change: dict[str, object]) -> None:
    from mailbot.store import spool as module

    plain = {**json.loads(line_of(wish(1))[17:]), **change}
    with pytest.raises(ValueError, match=r"\w"):
        wish_of(module._summed(json.dumps(plain)))


@given(st.text(max_size=80))
def test_no_line_makes_anything_but_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        wish_of(text)


def test_what_was_added_waits_in_its_order_and_is_told_once(
    spool: Spool, writer: SpoolWriter
) -> None:
    writer.append(lines(1, 2, 3))
    assert numbers(spool, most=2) == [1, 2, 3]
    assert numbers(spool) == []
    writer.append(lines(4))
    assert numbers(spool) == [4]


def test_what_was_not_recorded_is_told_again(spool: Spool, writer: SpoolWriter) -> None:
    writer.append(lines(1, 2, 3))
    first = next(iter(spool.waiting(2)))
    spool.done(first)  # and then the daemon lost its database
    assert numbers(spool) == [3]
    assert numbers(Spool(spool.folder)) == [1, 2, 3], "a daemon that starts anew hears all again"


def test_a_segment_goes_when_it_is_over_and_recorded_and_not_before(
    spool: Spool, writer: SpoolWriter
) -> None:
    writer.append(lines(1))
    assert numbers(spool) == [1]
    assert len(segments(spool.folder)) == 1, "its writer goes on"
    writer.close()
    list(spool.waiting(10))
    assert segments(spool.folder) == []
    writer.append(lines(2))
    writer.close()
    list(spool.waiting(10))
    assert len(segments(spool.folder)) == 1, "read, and not recorded"
    assert numbers(spool) == [2]
    assert segments(spool.folder) == []


def test_several_processes_write_side_by_side(spool: Spool) -> None:
    writers = [SpoolWriter(spool.folder) for _ in range(3)]
    for number, one in enumerate(writers):
        one.append(lines(number))
    assert sorted(numbers(spool)) == [0, 1, 2]
    for one in writers:
        one.close()
    assert numbers(spool) == []
    assert segments(spool.folder) == []


def test_a_segment_ends_after_so_many_lines(
    spool: Spool, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailbot.store.spool._MOST_LINES", 2)
    for number in range(5):
        writer.append(lines(number))
    assert len(segments(spool.folder)) == 3
    assert numbers(spool) == [0, 1, 2, 3, 4]
    assert len(segments(spool.folder)) == 1


def test_an_empty_segment_that_the_daemon_removed_is_begun_anew(
    spool: Spool, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    locked = fcntl.flock
    waited: list[int] = []

    def removed_meanwhile(handle: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not waited:
            waited.append(handle)
            assert numbers(spool) == [], "the daemon looks before the writer has its lock"
            assert segments(spool.folder) == []
        locked(handle, how)

    monkeypatch.setattr("mailbot.store.spool.fcntl.flock", removed_meanwhile)
    writer.append(lines(1))
    assert numbers(spool) == [1]


# -- what breaks -----------------------------------------------------------------------------


def test_a_line_cut_off_by_a_crash_was_never_answered(spool: Spool, writer: SpoolWriter) -> None:
    writer.append(lines(1, 2))
    (path,) = segments(spool.folder)
    writer._let_go()  # as kill -9 would
    for torn in (b"", b"0123", line_of(wish(3)).encode(), b"\0" * 700, b"\0\n\0\n"):
        content = b"".join(f"{line}\n".encode() for line in lines(1, 2)) + torn
        path.write_bytes(content)
        assert numbers(Spool(spool.folder)) == [1, 2]
        assert segments(spool.folder) == []


def test_a_line_that_is_being_written_is_left_for_the_next_time(
    spool: Spool, writer: SpoolWriter
) -> None:
    writer.append(lines(1))
    (path,) = segments(spool.folder)
    half = line_of(wish(2)).encode()
    with path.open("ab") as file:
        file.write(half[:20])
        file.flush()
        assert numbers(spool) == [1]
        file.write(half[20:] + b"\n")
    assert numbers(spool) == [2]


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("is_closed", [True, False])
def test_a_damaged_line_before_a_good_one_is_told_with_its_place(
    spool: Spool, writer: SpoolWriter, which: int, is_closed: bool
) -> None:
    writer.append(lines(1, 2, 3))
    if is_closed:
        writer.close()
    (path,) = segments(spool.folder)
    content = path.read_bytes().split(b"\n")
    content[which - 1] = content[which - 1].replace(b"token", b"t0ken")
    path.write_bytes(b"\n".join(content))
    with pytest.raises(SpoolUnreadable, match=f"line {which}: is damaged"):
        numbers(spool)


@pytest.mark.parametrize("gone", [0, 2])
def test_a_line_that_is_missing_from_a_closed_segment_is_noticed(
    spool: Spool, writer: SpoolWriter, gone: int
) -> None:
    writer.append(lines(1, 2, 3))
    writer.close()
    (path,) = segments(spool.folder)
    content = path.read_bytes().split(b"\n")
    del content[gone]
    path.write_bytes(b"\n".join(content))
    with pytest.raises(SpoolUnreadable, match="is damaged"):
        numbers(spool)


def test_a_folder_that_is_not_there_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SpoolUnreadable, match="is not there"):
        numbers(Spool(tmp_path / "gone"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_segment_that_is_barred_is_told(spool: Spool, writer: SpoolWriter) -> None:
    writer.append(lines(1))
    segments(spool.folder)[0].chmod(0)
    with pytest.raises(SpoolUnreadable, match="cannot be read"):
        numbers(spool)


def test_a_full_disk_closes_the_door_and_room_opens_it(tmp_path: Path, spool: Spool) -> None:
    """A real limit of the kernel's: no file of this child may pass 2,000 bytes."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from mailbot.core.errors import DoorClosed\n"
        "from mailbot.store.spool import SpoolWriter\n"
        "from tests.store.test_spool import lines\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "writer, stored = SpoolWriter(Path(sys.argv[1])), []\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "for number in range(60):\n"
        "    limit = 2000 if number < 40 else hard\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))\n"
        "    try:\n"
        "        writer.append(lines(number))\n"
        "        stored.append(number)\n"
        "    except DoorClosed as error:\n"
        "        assert 'file too large' in str(error), error\n"
        "writer.close()\n"
        "print(*stored)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=50,
    )  # fmt: skip
    stored = [int(number) for number in done.stdout.split()]
    assert 20 <= len(stored) < 60
    assert numbers(spool) == stored, "what was refused is not there, what was answered is"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_folder_that_nobody_may_write_closes_the_door(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "gone")
    with pytest.raises(DoorClosed, match="no such file"):
        writer.append(lines(1))
    (tmp_path / "gone").mkdir()
    writer.append(lines(2))
    assert numbers(Spool(tmp_path / "gone")) == [2]


def test_whatever_was_answered_before_a_kill_is_there(tmp_path: Path, spool: Spool) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mailbot.store.spool import SpoolWriter\n"
        "from tests.store.test_spool import lines\n"
        "writer, start = SpoolWriter(Path(sys.argv[1])), int(sys.argv[2])\n"
        "for number in range(start, start + 100000, 3):\n"
        "    writer.append(lines(number, number + 1, number + 2))\n"
        "    sys.stdout.write(f'{number}\\n')\n"
        "    sys.stdout.flush()\n"
    )
    answered: list[int] = []
    taken: list[int] = []
    for turn in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(turn * 100_000)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        for _ in range(50 + 37 * turn):
            number = int(child.stdout.readline())
            answered += [number, number + 1, number + 2]
            if number % 5 == 0:
                taken += numbers(spool)
        child.send_signal(signal.SIGKILL)
        rest = [int(line) for line in child.stdout if line.endswith("\n")]
        answered += [each for number in rest for each in (number, number + 1, number + 2)]
        child.wait(10)
        child.stdout.close()
    taken += numbers(spool)
    assert len(taken) == len(set(taken)), "none twice"
    assert set(answered) <= set(taken), "none lost"
    until = time.monotonic() + 10
    while segments(spool.folder) and time.monotonic() < until:
        numbers(spool)
    assert segments(spool.folder) == []
