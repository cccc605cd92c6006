"""systemd/ as systemd itself judges it, and in step with the settings it serves."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from mailbot.config import PublicSettings
from mailbot.config.settings import SenderSettings
from mailbot.web.serving import STOP_SECONDS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "systemd"
UNIT = FOLDER / "mailbot.service"
PUBLIC = FOLDER / "mailbot-public.service"
API = FOLDER / "mailbot-api.service"
SOCKET = FOLDER / "mailbot-public.socket"
# Of 10. What is left to the daemon is the network, which mailbot is for; the page has none.
WORST_EXPOSURE = {UNIT: 1.2, PUBLIC: 0.3, API: 1.0}


services = pytest.mark.parametrize("service", [UNIT, PUBLIC, API], ids=lambda path: path.stem)


@pytest.fixture
def service() -> Path:
    """The daemon's unit, where a test says nothing else."""
    return UNIT


@pytest.fixture
def unit(tmp_path: Path, service: Path) -> Path:
    """The unit with a command that exists here, beside the socket that it may need."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = f"ExecStart={shutil.which('true')}"
    text, count = re.subn(r"(?m)^ExecStart=\S+", command, _text(service))
    assert count == 1
    copy = tmp_path / service.name
    copy.write_text(text)
    if service is PUBLIC:
        shutil.copy(SOCKET, tmp_path)
    return copy


def _text(unit: Path = UNIT) -> str:
    return unit.read_text(encoding="utf-8")


def _values(directive: str, unit: Path = UNIT) -> list[str]:
    return re.findall(rf"(?m)^{directive}=(.*)$", _text(unit))


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@services
def test_systemd_accepts_the_unit_without_a_word(unit: Path) -> None:
    answer = _analyze("verify", "--man=no", str(unit))
    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")


def test_systemd_refuses_a_unit_with_a_slip(unit: Path) -> None:
    """The test above can fail."""
    unit.write_text(unit.read_text().replace("Type=notify", "Type=notifi"))
    assert "notifi" in _analyze("verify", "--man=no", str(unit)).stderr


@services
def test_the_unit_is_hardened(unit: Path, service: Path) -> None:
    answer = _analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout)
    assert found, answer.stdout + answer.stderr
    assert float(found[1]) <= WORST_EXPOSURE[service], answer.stdout


def test_every_secret_of_the_manual_is_handed_over() -> None:
    settings = tomllib.loads((ROOT / "config" / "mailbot.toml").read_text(encoding="utf-8"))
    named = {box["password_file"] for box in settings["mailbox"]}
    named |= {settings["relay"]["password_file"], settings["keys"]["person_file"]}
    named |= {token["file"] for token in settings["keys"]["tokens"]}
    handed = dict(value.split(":") for value in _values("LoadCredential"))
    assert handed == {name: f"/etc/mailbot/{name}" for name in named}


def test_the_page_gets_the_settings_and_the_token_keys_and_nothing_else() -> None:
    """Never the person key, and no password: whoever takes the page over can read no list."""
    settings = tomllib.loads((ROOT / "config" / "mailbot.toml").read_text(encoding="utf-8"))
    names = {"mailbot.toml"} | {token["file"] for token in settings["keys"]["tokens"]}
    handed = dict(value.split(":") for value in _values("LoadCredential", PUBLIC))
    assert handed == {name: f"/etc/mailbot/{name}" for name in names}
    [user], [group] = _values("User", PUBLIC), _values("Group", PUBLIC)
    assert {user, group}.isdisjoint(_values("User") + _values("Group"))
    barred = _values("InaccessiblePaths", PUBLIC)[0].split()
    assert {"-/etc/mailbot", "-/var/lib/mailbot"} <= set(barred)


def test_the_api_gets_the_keys_and_no_password() -> None:
    settings = tomllib.loads((ROOT / "config" / "mailbot.toml").read_text(encoding="utf-8"))
    names = {settings["keys"]["person_file"]} | {key["file"] for key in settings["keys"]["tokens"]}
    handed = dict(value.split(":") for value in _values("LoadCredential", API))
    assert handed == {name: f"/etc/mailbot/{name}" for name in names}
    [command] = _values("ExecStart", API)
    assert command == "/opt/mailbot/.venv/bin/mailbot web api --config /etc/mailbot/mailbot.toml"


def test_the_page_starts_by_a_command_that_there_is() -> None:
    [command] = _values("ExecStart", PUBLIC)
    assert command == "/opt/mailbot/.venv/bin/mailbot web public --config %d/mailbot.toml"


def test_the_socket_listens_where_the_settings_say_by_default() -> None:
    """So that the web server's configuration is right with and without systemd's socket."""
    assert _values("ListenStream", SOCKET) == [PublicSettings().listen]


def test_the_page_writes_where_the_daemon_looks() -> None:
    [folder] = _values("StateDirectory", PUBLIC)
    assert str(PublicSettings().spool_folder) == f"/var/lib/{folder}"
    assert _values("StateDirectoryMode", PUBLIC) == ["0770"]
    assert _values("ReadWritePaths") == [f"-/var/lib/{folder}"], "or the daemon could take nothing"
    tmpfiles = (FOLDER / "mailbot.tmpfiles.conf").read_text(encoding="utf-8")
    # There before the daemon starts: a folder that comes later would be read-only to it.
    [line] = [line.split() for line in tmpfiles.splitlines() if f"/var/lib/{folder}" in line]
    assert line[:3] == ["d", f"/var/lib/{folder}", "0770"]
    assert line[3:5] == [*_values("User", PUBLIC), *_values("Group", PUBLIC)]


@services
def test_no_secret_and_no_password_stands_in_the_environment(service: Path) -> None:
    assert not _values("Environment", service)
    assert not _values("SetCredential", service)


def test_stopping_leaves_time_for_what_is_on_the_wire() -> None:
    (stop,) = _values("TimeoutStopSec")
    assert int(stop) >= SenderSettings().stop_seconds + 10
    for service in (PUBLIC, API):
        (stop,) = _values("TimeoutStopSec", service)
        assert int(stop) >= STOP_SECONDS + 5


@services
def test_wrong_settings_are_not_tried_again(service: Path) -> None:
    """EX_CONFIG and EX_USAGE of sysexits.h: a person has to mend them."""
    assert _values("RestartPreventExitStatus", service) == ["64 78"]
    assert _values("Restart", service) == ["always" if service is PUBLIC else "on-failure"]


@services
def test_every_directive_is_explained(service: Path) -> None:
    """Each block of directives stands under a comment that says why."""
    body = _text(service).partition("[Service]")[2].partition("[Install]")[0]
    blocks = [block for block in body.split("\n\n") if "=" in block]
    assert blocks
    for block in blocks:
        assert block.strip().startswith("#"), block


@pytest.mark.parametrize("name", ["mailbot.sysusers.conf", "mailbot.tmpfiles.conf"])
def test_the_user_and_its_folders_are_as_the_unit_says(name: str) -> None:
    lines = [line.split() for line in (UNIT.parent / name).read_text().splitlines()]
    entries = [line for line in lines if line and line[0] != "#"]
    if name == "mailbot.sysusers.conf":
        assert [(entry[0], entry[1]) for entry in entries] == [
            ("u", *_values("User")),
            ("u", *_values("User", PUBLIC)),
            ("m", *_values("User")),
        ]
        assert entries[0][-1] == f"/var/lib/{_values('StateDirectory')[0]}"
        assert entries[1][-1] == f"/var/lib/{_values('StateDirectory', PUBLIC)[0]}"
        # The daemon may fetch what the page wrote down; nobody is in the daemon's group.
        assert entries[2][1:] == [*_values("User"), *_values("Group", PUBLIC)]
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
