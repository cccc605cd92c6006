"""systemd/ as systemd itself judges it, and in step with the settings it serves."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from mailbot.config.settings import SenderSettings

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "systemd" / "mailbot.service"
WORST_EXPOSURE = 1.2  # of 10; what is left is the network, which mailbot is for


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists here, and without the README of an installation."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text, count = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", _text())
    assert count == 1
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    return copy


def _text() -> str:
    return UNIT.read_text(encoding="utf-8")


def _values(directive: str) -> list[str]:
    return re.findall(rf"(?m)^{directive}=(.*)$", _text())


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_accepts_the_unit_without_a_word(unit: Path) -> None:
    answer = _analyze("verify", "--man=no", str(unit))
    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")


def test_systemd_refuses_a_unit_with_a_slip(unit: Path) -> None:
    """The test above can fail."""
    unit.write_text(unit.read_text().replace("Type=notify", "Type=notifi"))
    assert "notifi" in _analyze("verify", "--man=no", str(unit)).stderr


def test_the_unit_is_hardened(unit: Path) -> None:
    answer = _analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout)
    assert found, answer.stdout + answer.stderr
    assert float(found[1]) <= WORST_EXPOSURE, answer.stdout


def test_every_secret_of_the_manual_is_handed_over() -> None:
    settings = tomllib.loads((ROOT / "config" / "mailbot.toml").read_text(encoding="utf-8"))
    named = {box["password_file"] for box in settings["mailbox"]}
    named |= {settings["relay"]["password_file"], settings["keys"]["person_file"]}
    named |= {token["file"] for token in settings["keys"]["tokens"]}
    handed = dict(value.split(":") for value in _values("LoadCredential"))
    assert handed == {name: f"/etc/mailbot/{name}" for name in named}


def test_no_secret_and_no_password_stands_in_the_environment() -> None:
    assert not _values("Environment")
    assert not _values("SetCredential")


def test_stopping_leaves_time_for_what_is_on_the_wire() -> None:
    (stop,) = _values("TimeoutStopSec")
    assert int(stop) >= SenderSettings().stop_seconds + 10


def test_wrong_settings_are_not_tried_again() -> None:
    """EX_CONFIG and EX_USAGE of sysexits.h: a person has to mend them."""
    assert _values("RestartPreventExitStatus") == ["64 78"]
    assert _values("Restart") == ["on-failure"]


def test_every_directive_is_explained() -> None:
    """Each block of directives stands under a comment that says why."""
    body = _text().partition("[Service]")[2].partition("[Install]")[0]
    blocks = [block for block in body.split("\n\n") if "=" in block]
    assert blocks
    for block in blocks:
        assert block.strip().startswith("#"), block


@pytest.mark.parametrize("name", ["mailbot.sysusers.conf", "mailbot.tmpfiles.conf"])
def test_the_user_and_its_folders_are_as_the_unit_says(name: str) -> None:
    lines = [line.split() for line in (UNIT.parent / name).read_text().splitlines()]
    entries = [line for line in lines if line and line[0] != "#"]
    if name == "mailbot.sysusers.conf":
        assert [(entry[0], entry[1]) for entry in entries] == [("u", *_values("User"))]
        assert entries[0][-1] == f"/var/lib/{_values('StateDirectory')[0]}"
    else:
        secrets = [entry for entry in entries if entry[0] == "z"]
        assert all(entry[2] == "0640" and entry[3] == "root" for entry in secrets)
        assert entries[0][:4] == ["d", "/etc/mailbot", "0750", "root"]


def test_systemd_reads_the_user_file() -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed")
    answer = subprocess.run(
        ["systemd-sysusers", "--dry-run", str(UNIT.parent / "mailbot.sysusers.conf")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Failed" not in answer.stderr
