"""Postfix's smtp-sink: takes mail as fast as a client can give it, and throws it away.

Run by root it runs as `nobody`, which it insists on; it is ended by its pid.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from types import TracebackType
from typing import Self

from tests.servers.dovecot import free_port

PROGRAM = "/usr/sbin/smtp-sink"
HOST = "127.0.0.1"
BACKLOG = "200"
START_SECONDS = 10.0


def is_installed() -> bool:
    """Whether Debian's postfix, which brings smtp-sink, stands on this machine."""
    return os.access(PROGRAM, os.X_OK)


class SmtpSink:
    """One sink on a free port. `options` are its own: "-w", "1" answers DATA a second late."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it listens."""
        as_other = ["-u", "nobody"] if os.getuid() == 0 else []
        self._process = subprocess.Popen(
            [PROGRAM, *as_other, *self._options, f"{HOST}:{self.port}", BACKLOG],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self.stop()
                raise RuntimeError(f"smtp-sink did not start: {said}")
            time.sleep(0.02)

    def stop(self) -> str:
        """End it; connected clients lose their connection. Returns what it complained about."""
        process, self._process = self._process, None
        if process is None:
            return ""
        process.terminate()
        try:
            _, said = process.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate(timeout=10)
        return said

    def _listens(self) -> bool:
        # Its greeting is not waited for: a sink may be told to give none.
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return True
        except OSError:
            return False
