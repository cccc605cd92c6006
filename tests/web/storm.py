"""Hundreds press the button each second, while page and daemon are killed again and again."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from mailbot.config import load_token_keys
from mailbot.core.tokens import sign_opt_out
from mailbot.store.tables import suppressions
from tests.house import House
from tests.web.pressing import Pressed, page_process, press

PUBLIC = """
[public]
url = "https://mail.shop.example"
spool = "wishes"
"""
_LIMIT = 60  # seconds in which a killer ends


@dataclass
class Storm:
    """What came of it."""

    pressed: Pressed
    persons: dict[str, str]  # token → person hash
    page_kills: int
    daemon_kills: int

    def lost(self, house: House) -> set[str]:
        """Persons whose press was answered by 200, and who are not on the list (yet)."""
        with house.database.read() as conn:
            listed = set(conn.scalars(select(suppressions.c.person_hash)))
        return {self.persons[token] for token in self.pressed.answered} - listed


def storm(
    house: House,
    *,
    seconds: int,
    per_second: int,
    page_lives: Sequence[float] = (3, 5),
    daemon_lives: Sequence[float] = (2, 4),
) -> Storm:
    """Returns when every press was answered; a daemon runs then, and no page."""
    keys = load_token_keys(house.settings)
    persons = [secrets.token_hex(16) for _ in range(seconds * per_second)]
    tokens = {sign_opt_out(keys, person): person for person in persons}
    is_over = threading.Event()
    kills = {"page": 0, "daemon": 0}

    def kill_pages(listener: socket.socket) -> None:
        while not is_over.is_set():
            with page_process(house.config, listener.fileno(), "mailbot", "web", "public") as run:
                is_over.wait(random.uniform(*page_lives))
                if not is_over.is_set():
                    run.send_signal(signal.SIGKILL)
                    kills["page"] += 1

    def kill_daemons() -> None:
        while not is_over.wait(random.uniform(*daemon_lives)):
            house.end(house.started[-1], signal.SIGKILL)
            kills["daemon"] += 1
            house.start()

    house.start()
    # The socket is held here, as systemd holds it: a killed page refuses nobody.
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        killers = [
            threading.Thread(target=kill_pages, args=(listener,)),
            threading.Thread(target=kill_daemons),
        ]
        for killer in killers:
            killer.start()
        try:
            port = listener.getsockname()[1]
            pressed = asyncio.run(press(port, list(tokens), per_second=per_second))
        finally:
            is_over.set()
            for killer in killers:
                killer.join(_LIMIT)
    return Storm(pressed, tokens, kills["page"], kills["daemon"])
