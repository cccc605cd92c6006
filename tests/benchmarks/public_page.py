"""The button of mail programs, pressed as fast as one page takes it; then a minute with kill -9."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from mailbot.config import load_token_keys
from mailbot.core.tokens import sign_opt_out
from tests.benchmarks.measuring import Figure, tell
from tests.house import House, installed, wait_until
from tests.servers import relay as relays
from tests.web.pressing import page_process, press
from tests.web.storm import PUBLIC, storm

PER_SECOND = 500
NOBODY_LISTENS = 9  # the discard port


def figures(folder: Path, *, presses: int, seconds: int, rounds: int) -> Iterator[Figure]:
    """Each press is on disk before its 200. Raises RuntimeError where one is lost."""
    home = folder / "public-page"
    home.mkdir()
    with (
        relays.running() as relay,
        installed(
            home, imap_port=NOBODY_LISTENS, relay_port=relay.port, username="help", password="x",
            more=PUBLIC,
        ) as house,
    ):  # fmt: skip
        tell(f"{presses:,} presses of the button …")
        taken = tuple(_seconds(house, presses) for _ in range(rounds))
        yield Figure(
            f"{presses:,} one-click POSTs, each on disk before its 200, by one process",
            taken, (presses / PER_SECOND,), f"{PER_SECOND} a second", to_reach=1.0,
        )  # fmt: skip
        tell(f"{PER_SECOND} presses a second for {seconds} s, page and daemon killed …")
        _weather(house, seconds)


def _seconds(house: House, presses: int) -> float:
    keys = load_token_keys(house.settings)
    tokens = [sign_opt_out(keys, secrets.token_hex(16)) for _ in range(presses)]
    with (
        socket.create_server(("127.0.0.1", 0), backlog=1024) as listener,
        page_process(house.config, listener.fileno(), "mailbot", "web", "public"),
    ):
        port = listener.getsockname()[1]
        asyncio.run(press(port, tokens[:1], per_second=1))  # it is up
        return asyncio.run(press(port, tokens, per_second=1e9)).seconds


def _weather(house: House, seconds: int) -> None:
    came = storm(
        house, seconds=seconds, per_second=PER_SECOND,
        page_lives=(seconds / 5, seconds / 3), daemon_lives=(seconds / 6, seconds / 4),
    )  # fmt: skip
    wait_until(lambda: not came.lost(house), 600, "everybody who was answered is on the list")
    pressed = came.pressed
    tell(
        f"{len(pressed.answered):,} answered, none lost; page killed {came.page_kills} times, "
        f"daemon {came.daemon_kills}; half within {pressed.wait_at(0.5) * 1000:.0f} ms, "
        f"99 % within {pressed.wait_at(0.99) * 1000:.0f} ms"
    )
