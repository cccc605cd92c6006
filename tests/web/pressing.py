"""Many mail programs that press the button: so many a second, each until it is answered."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BODY = b"List-Unsubscribe=One-Click"
_PATIENCE = 10.0  # seconds for one answer; then it is asked again, as providers do


@dataclass
class Pressed:
    """What came of it."""

    answered: list[str] = field(default_factory=list)  # tokens, each once
    waits: list[float] = field(default_factory=list)  # seconds from the press to its 200
    refusals: int = 0  # answers that were no 200, and connections that broke
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.answered) / self.seconds

    def wait_at(self, share: float) -> float:
        """The wait that this share of the presses stayed under."""
        return sorted(self.waits)[int(share * (len(self.waits) - 1))]


async def press(
    port: int, tokens: Sequence[str], *, per_second: float, connections: int = 40
) -> Pressed:
    """Press once for each token, evenly; returns when every one was answered by 200."""
    done = Pressed()
    began = time.monotonic()
    due = iter([(began + number / per_second, token) for number, token in enumerate(tokens)])
    await asyncio.gather(*(_presser(port, due, done) for _ in range(connections)))
    done.seconds = time.monotonic() - began
    return done


async def _presser(port: int, due: Iterator[tuple[float, str]], done: Pressed) -> None:
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for at, token in due:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        while True:
            try:
                if line is None:
                    line = await asyncio.open_connection("127.0.0.1", port)
                status = await asyncio.wait_for(_ask(*line, token), _PATIENCE)
            except (OSError, EOFError, ValueError, TimeoutError):
                status = 0
            if status == 200:
                break
            done.refusals += 1
            if line is not None:
                line[1].close()
                line = None
            await asyncio.sleep(0.1)
        done.answered.append(token)
        done.waits.append(time.monotonic() - at)
    if line is not None:
        line[1].close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> int:
    writer.write(
        b"POST /u/" + token.encode() + b" HTTP/1.1\r\nHost: page.example\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    size = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(size))
    return int(head.split(" ", 2)[1])


@contextmanager
def page_process(config: Path, listener: int, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`command --config …` with the socket passed on as systemd does, killed with the block."""
    script = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec 3<&"$1"; shift; exec "$@"'
    with closing((config.parent / "page.log").open("ab")) as log:
        process = subprocess.Popen(
            ["bash", "-c", script, "sh", str(listener), sys.executable, "-m", *command,
             "--config", str(config)],
            pass_fds=(listener,), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
