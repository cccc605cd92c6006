"""What the daemon tells systemd: ready, alive, stopping (sd_notify(3)). Silent without systemd."""

from __future__ import annotations

import os
import socket


def tell(state: str) -> None:
    """Send `READY=1`, `WATCHDOG=1` or `STOPPING=1` to $NOTIFY_SOCKET, if there is one."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
        try:
            sending.connect(address)
            sending.sendall(state.encode())
        except OSError:
            return  # systemd went away or was never there: nothing that mailbot could do


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear from this process; None where it does not watch."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not micros.isdigit() or pid != str(os.getpid()):
        return None
    return int(micros) / 1_000_000
