"""A client that asks on and on, and reads no answer, holds no connection for ever."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.web.test_serving import LIMIT, PAGE, end, start


def test_who_reads_no_answer_is_let_go(tmp_path: Path) -> None:
    page = start(tmp_path, "timeout_seconds = 1")
    request = f"GET {PAGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    try:
        with closing(page.connect()) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(1)
            deadline = time.monotonic() + LIMIT
            while time.monotonic() < deadline:
                try:
                    line.sendall(request * 50)
                except TimeoutError:
                    continue
                except OSError:
                    return
        pytest.fail("the connection was never closed")
    finally:
        end(page)
