"""Files that are whole or not there, for their owner alone, and never in another's place."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mailbot.cli.private_file import private_file
from mailbot.core.errors import RefusedError


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "list.csv"
    with private_file(str(target)) as file:
        file.write("ann\n")
        assert not target.exists()
        [part] = tmp_path.iterdir()
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert target.read_text() == "ann\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_left_of_one_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), private_file(str(tmp_path / "list.csv")) as file:
        file.write("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "list.csv"
    with pytest.raises(RefusedError, match="not overwritten"), private_file(str(target)) as file:
        target.write_text("theirs")
        file.write("ours")
    assert target.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_a_dash_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with private_file("-") as file:
        file.write("ann\n")
    assert capsys.readouterr().out == "ann\n"
