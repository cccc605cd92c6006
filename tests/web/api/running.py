"""`mailbot web api` as a process of its own."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.dovecot import free_port


@contextmanager
def running(config: Path, port: int | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port, once it answers; ended by SIGTERM."""
    port = port or free_port()
    text = config.read_text()
    config.write_text(text.partition("[api]")[0] + f'[api]\nlisten = "127.0.0.1:{port}"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "mailbot", "web", "api", "--config", str(config)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _await_answer(process, port)
        yield process, port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _await_answer(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(f"it ended: {process.communicate()[1]}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v1/openapi.json")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise AssertionError("it does not answer")
