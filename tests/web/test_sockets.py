"""Where the page listens: what systemd passed on, an address, or what is wrong with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mailbot.core.errors import ListenError
from mailbot.web.sockets import listening, name_of

_PASSED = """
import os, sys
from mailbot.web.sockets import listening, name_of
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[1]))
[listener] = listening("127.0.0.1:0")
print(listener.fileno(), name_of(listener), "LISTEN_FDS" in os.environ, os.get_inheritable(3))
"""


def _ask_child(tmp_path: Path, off_by: int) -> list[str]:
    """A process to which a socket is passed as systemd does, as descriptor 3."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as passed:
        passed.bind(str(tmp_path / "passed.sock"))
        passed.listen()
        command = 'exec 3<&"$1"; shift; exec "$@"'
        answer = subprocess.run(
            ["bash", "-c", command, "sh", str(passed.fileno()), sys.executable, "-c", _PASSED,
             str(off_by)],
            pass_fds=(passed.fileno(),), env={**os.environ, "LISTEN_FDS": "1"},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    return answer.stdout.split()


def test_a_socket_of_systemd_is_taken_and_not_passed_on(tmp_path: Path) -> None:
    assert _ask_child(tmp_path, 0) == ["3", f"unix:{tmp_path}/passed.sock", "False", "False"]


def test_sockets_that_were_meant_for_another_process_are_left_alone(tmp_path: Path) -> None:
    number, name, is_left, _ = _ask_child(tmp_path, 1)
    assert number != "3"
    assert name.startswith("127.0.0.1:")
    assert is_left == "False"


def test_an_address_of_each_kind_is_listened_on() -> None:
    [v4] = listening("127.0.0.1:0")
    with v4:
        assert name_of(v4).startswith("127.0.0.1:")
    if Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text():
        [v6] = listening("[::1]:0")
        with v6:
            assert name_of(v6).startswith("[::1]:")


def test_an_address_that_is_taken_or_not_ours_is_told(tmp_path: Path) -> None:
    [taken] = listening("127.0.0.1:0")
    with taken, pytest.raises(ListenError, match=r"127\.0\.0\.1:\d+: .*\(.*in use\)"):
        listening(name_of(taken))
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:8025"):
        listening("192.0.2.1:8025")
    with pytest.raises(ListenError, match="another address as listen"):
        listening(f"unix:{tmp_path}/no/such/folder.sock")


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError):
        listening(f"unix:{path}")
    assert path.read_text() == "data"
