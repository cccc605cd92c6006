"""Where a web process listens: a socket that systemd passed on, an address, or a path."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from mailbot.core.errors import ListenError

_FIRST_PASSED: Final = 3  # sd_listen_fds(3): 0, 1 and 2 are the standard ones
_BACKLOG: Final = 1024


def listening(
    listen: str, *, what: str = "The public page", table: str = "public"
) -> list[socket.socket]:
    """Sockets that listen: those of systemd where it passed some, else one as the settings say.

    Raises ListenError where the address is taken, barred or not this machine's.
    """
    passed = _passed_by_systemd()
    if passed:
        return passed
    path = listen.removeprefix("unix:")
    try:
        return [_unix(Path(path)) if path != listen else _tcp(listen)]
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(
            f"{what} cannot listen there ({reason}).",
            where=listen,
            next_step="Is it running already? Else write another address as listen under "
            f"[{table}].",
        ) from error


def name_of(listener: socket.socket) -> str:
    """Its address as the settings would write it."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _passed_by_systemd() -> list[socket.socket]:
    """sd_listen_fds(3); the variables are taken away, as they are for this process alone."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for number in range(_FIRST_PASSED, _FIRST_PASSED + int(count)):
        os.set_inheritable(number, False)
        found.append(socket.socket(fileno=number))
    return found


def _tcp(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)


def _unix(path: Path) -> socket.socket:
    """Replaces a socket that a killed process left behind, never one that somebody answers at."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _is_answered(path):
            path.unlink()
        listener.bind(str(path))
        path.chmod(0o660)  # the web server in front shares the group
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        try:
            asking.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True
