"""People sorted on disk."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.errors import StoreUnavailable
from mailbot.lists import spool
from mailbot.lists.spool import folder_beside, spool_in

HASHES = st.integers(0, 2**32 - 1).map(lambda number: f"{number * 48271 % 2**32:08x}" * 4)


@given(people=st.lists(st.tuples(HASHES, st.text("ab@é", min_size=1, max_size=5)), max_size=50))
def test_people_come_out_by_hash_and_each_once(
    tmp_path_factory: pytest.TempPathFactory, people: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    expected = dict(sorted(people, reverse=True))  # of several the first in order stands
    with spool_in(folder) as spooled:
        for person_hash, address in people:
            spooled.add("imported", person_hash, person_hash, address)
        found = list(spooled.sorted("imported"))
    assert found == [(one, one, expected[one]) for one in sorted(expected)]


def test_groups_are_apart(tmp_path: Path) -> None:
    with spool_in(tmp_path) as spooled:
        for group in ("opt_out", "complaint"):
            spooled.add(group, "0" * 32, "0" * 32, f"{group}@example.org")
        assert spooled.groups() == ["complaint", "opt_out"]
        assert [one[2] for one in spooled.sorted("opt_out")] == ["opt_out@example.org"]


def test_more_than_memory_holds_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_HELD", 3)
    with spool_in(tmp_path) as spooled:
        for number in range(20):
            spooled.add("imported", f"{number * 12:02x}" + "0" * 30, "0" * 32, "a")
        assert len(list(spooled.sorted("imported"))) == 20
        [folder] = tmp_path.glob(".mailbot-sorting-*")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_another_uses_stays(tmp_path: Path) -> None:
    for name in ("dead", "alive"):
        (tmp_path / f".mailbot-sorting-{name}").mkdir()
        (tmp_path / f".mailbot-sorting-{name}" / "lock").touch()
    held = os.open(tmp_path / ".mailbot-sorting-alive" / "lock", os.O_WRONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with spool_in(tmp_path):
        pass
    os.close(held)
    assert [path.name for path in tmp_path.iterdir()] == [".mailbot-sorting-alive"]


def test_a_place_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be sorted here"), spool_in(tmp_path / "no"):
        pass


def test_it_sorts_where_the_database_has_its_disk() -> None:
    assert folder_beside("sqlite:////var/lib/mailbot/mailbot.db") == Path("/var/lib/mailbot")
    assert folder_beside("postgresql+psycopg://host/db").is_dir()


def test_another_one_that_tidies_up_before_the_lock_is_taken_costs_no_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, others = fcntl.flock, 0

    def tidied_before(lock: int, how: int) -> None:
        nonlocal others
        if how == fcntl.LOCK_EX and not others:
            others += 1
            spool._remove_abandoned(tmp_path)
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", tidied_before)
    with spool_in(tmp_path) as made:
        made.add("imported", "a" * 32, "a" * 32, "ann@example.org")
        assert [person[2] for person in made.sorted("imported")] == ["ann@example.org"]
    assert others == 1
    assert not list(tmp_path.iterdir())
