"""kill -9 in the middle of many hand-overs: each that was answered is stored, none twice."""

from __future__ import annotations

import http.client
import json
import random
import signal
import threading
from pathlib import Path

from sqlalchemy import select

from mailbot.core.scopes import Scope
from mailbot.store import api_keys
from mailbot.store.engine import Database
from mailbot.store.tables import outbox
from tests.servers.dovecot import free_port
from tests.web.api.conftest import ORDER, installed
from tests.web.api.running import running

TURNS, SHOPS = 5, 8


class Shop(threading.Thread):
    """Hands over one message after the other, each until it is answered."""

    def __init__(self, number: int, port: int, secret: str) -> None:
        super().__init__(daemon=True)
        self._number, self._port, self._secret = number, port, secret
        self.answered: dict[str, list[int]] = {}
        self.unanswered = ""
        self.is_over = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            while not self.is_over.is_set():
                key = self.unanswered or f"o{self._number}-{len(self.answered)}"
                self.unanswered = key
                status = self._hand_over(connection, key)
                self.answered.setdefault(key, []).append(status)
                self.unanswered = ""
        except (OSError, http.client.HTTPException):
            pass  # it was killed
        finally:
            connection.close()

    def _hand_over(self, connection: http.client.HTTPConnection, key: str) -> int:
        connection.request("POST", "/v1/order-status", json.dumps(ORDER), {
            "Authorization": f"Bearer {self._secret}", "Content-Type": "application/json",
            "Idempotency-Key": key,
        })  # fmt: skip
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def again(self, port: int) -> Shop:
        """The same shop, for the process that is started anew: it goes on where it was."""
        other = Shop(self._number, port, self._secret)
        other.answered, other.unanswered = self.answered, self.unanswered
        return other


def test_whatever_was_answered_is_stored_and_none_is_there_twice(tmp_path: Path) -> None:
    config = installed(tmp_path)
    database = Database.open(f"sqlite:///{tmp_path}/mailbot.db")
    with database.write() as conn:
        secret = api_keys.create(conn, name="shop", scopes=[Scope.ORDERS_WRITE], created_by="ann")
    chance, port = random.Random(7), free_port()
    shops = [Shop(number, port, secret) for number in range(SHOPS)]
    for turn in range(TURNS):
        with running(config, port) as (process, _):
            for shop in shops:
                shop.start()
            if turn < TURNS - 1:
                threading.Event().wait(chance.uniform(0.3, 1.2))
                process.send_signal(signal.SIGKILL)
            else:
                threading.Event().wait(1)
            for shop in shops:
                shop.is_over.set()
                shop.join(20)
                assert not shop.is_alive()
        shops = [shop.again(port) for shop in shops]
    answered = [key for shop in shops for key in shop.answered]
    statuses = {status for shop in shops for each in shop.answered.values() for status in each}
    with database.read() as conn:
        stored = list(conn.execute(select(outbox.c.idempotency_key)).scalars())
    database.close()
    assert len(answered) > 100
    assert statuses <= {200, 201}
    assert len(stored) == len(set(stored))
    assert set(answered) <= set(stored)
    assert len(set(stored) - set(answered)) <= SHOPS, "at most what was never answered"
