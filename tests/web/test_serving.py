"""The page as a real process, spoken to by raw sockets: hostile, slow and many; and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailbot.core.wishes import Wish, WishKind
from mailbot.web.public_process import STUCK_AFTER, WatchedDoor
from tests.house import wait_until
from tests.web.conftest import SETTINGS, TOKEN, Notebook

PAGE = f"/u/{TOKEN}"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
BODY = "List-Unsubscribe=One-Click"
ONE_CLICK = (
    f"POST {PAGE} HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: {len(BODY)}\r\n"
    f"Connection: close\r\n\r\n{BODY}"
)
LIMIT = 30  # seconds in which anything happens, on the slowest machine


@dataclass
class Served:
    """A running page."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int = 0

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    @property
    def wishes(self) -> list[list[str]]:
        path = self.folder / "wishes"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def ask(self, raw: str | bytes) -> bytes:
        """Everything that is answered until the page closes the connection."""
        with closing(self.connect()) as line:
            with suppress(ConnectionError):  # refused before its end
                line.sendall(raw.encode("latin-1") if isinstance(raw, str) else raw)
            return read_all(line)


def read_all(line: socket.socket) -> bytes:
    answer = b""
    while True:
        try:
            chunk = line.recv(65536)
        except ConnectionResetError:
            return answer
        if not chunk:
            return answer
        answer += chunk


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def start(
    folder: Path, public: str = "", *, pass_fds: tuple[int, ...] = (), **environment: str
) -> Served:
    settings = SETTINGS.replace("[public]\n", f'[public]\nlisten = "127.0.0.1:0"\n{public}\n')
    if "listen" in public:
        settings = settings.replace('listen = "127.0.0.1:0"\n', "")
    (folder / "mailbot.toml").write_text(settings)
    (folder / "token-key-1").write_text(bytes(range(1, 33)).hex())
    (folder / "token-key-1").chmod(0o600)
    with (folder / "log").open("ab") as log:
        seen = len((folder / "log").read_text())
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.process", "--config", str(folder / "mailbot.toml")],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, pass_fds=pass_fds,
            env={**os.environ, **environment},
        )  # fmt: skip
    served = Served(folder, process)

    def is_up() -> bool:
        assert process.poll() is None, served.log
        return "public_page_started" in served.log[seen:]

    try:
        wait_until(is_up, LIMIT, "the page starts")
    except AssertionError:
        process.kill()
        process.wait(LIMIT)
        raise
    started = next(line for line in served.log[seen:].splitlines() if "_started" in line)
    listens = json.loads(started)["listens"][0]
    if not listens.startswith("unix:"):
        served.port = int(listens.rpartition(":")[2])
    return served


def end(served: Served) -> None:
    if served.process.poll() is None:
        served.process.kill()
        served.process.wait(LIMIT)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(tmp_path_factory.mktemp("page"), "timeout_seconds = 1")
    yield served
    end(served)


@pytest.fixture
def page(shared: Served) -> Served:
    """One page for many tests; each begins without wishes."""
    assert shared.process.poll() is None, shared.log
    (shared.folder / "wishes").write_text("")
    return shared


def test_one_click_is_durable_when_it_is_answered(page: Served) -> None:
    answer = page.ask(ONE_CLICK)
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\nUnsubscribed.\n")
    assert page.wishes == [["leave", "one_click", TOKEN]]
    assert b"server:" not in answer.lower()


def test_head_sends_no_body(page: Served) -> None:
    answer = page.ask(f"HEAD {PAGE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (status(answer), body) == (200, b"")
    assert b"text/html" in head


SMUGGLED = f"GET {PAGE} HTTP/1.1\r\nHost: x\r\n\r\n"
TOO_MANY = "".join(f"X-{number}: {'x' * 200}\r\n" for number in range(5000))


def get(lines: str, version: str = "1.1") -> str:
    return f"GET {PAGE} HTTP/{version}\r\n{lines}\r\n"


def post(lines: str, body: str = BODY) -> str:
    return f"POST {PAGE} HTTP/1.1\r\nHost: x\r\n{FORM}{lines}\r\n{body}"


CHUNKED = "Transfer-Encoding: chunked\r\n"
HOSTILE = {
    "both lengths": post(f"Content-Length: 26\r\n{CHUNKED}", f"1a\r\n{BODY}\r\n0\r\n\r\n"),
    "both lengths, the other way": post(f"{CHUNKED}Content-Length: 4\r\n", f"0\r\n\r\n{SMUGGLED}"),
    "two lengths": post("Content-Length: 26\r\nContent-Length: 0\r\n"),
    "a length with a sign": post("Content-Length: +26\r\n"),
    "an odd encoding": post("Transfer-Encoding: xchunked\r\n"),
    "a blank before the colon": post("Content-Length : 26\r\n"),
    "a bad chunk": post(CHUNKED, f"zz\r\n{BODY}"),
    "NUL in a header": get("Host: x\r\nX: a\x00c\r\n"),
    "no host": get(""),
    "two hosts": get("Host: x\r\nHost: y\r\n"),
    "NUL in the path": f"GET {PAGE}\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path of raw bytes": "GET /u/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a very long path": f"GET /u/{'a' * 1_000_000} HTTP/1.1\r\nHost: x\r\n\r\n",
    "very many headers": get(f"Host: x\r\n{TOO_MANY}"),
    "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "x" * 100 + "\r\n\r\n",
    "HTTP of the future": get("Host: x\r\n", version="2.0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_request_that_two_servers_could_read_in_two_ways_is_refused(
    page: Served, name: str
) -> None:
    answer = page.ask(HOSTILE[name])
    if answer:  # where much of it is unread at the end, the answer may be lost with it
        assert status(answer) in (400, 431, 505), answer
    assert answer.count(b"HTTP/1.1 ") <= 1, "what was smuggled behind it is not heard"
    assert page.wishes == []


@pytest.mark.parametrize(
    "path",
    [f"/x/../u/{TOKEN}", f"/./u/{TOKEN}", f"//u/{TOKEN}", f"/u/{TOKEN}%00", f"/%2e%2e/u/{TOKEN}",
     f"/u/{TOKEN}/..", f"/u\\{TOKEN}", f"/u/{TOKEN};x", "/u/%c3%28", "/%", "/u/%", "*",
     f"http://x/{TOKEN}"],
)  # fmt: skip
def test_tricks_with_the_path_find_no_page(page: Served, path: str) -> None:
    answer = page.ask(ONE_CLICK.replace(PAGE, path, 1))
    assert status(answer) in (400, 404), answer[:300]
    assert page.wishes == []


def test_a_query_behind_the_link_does_no_harm(page: Served) -> None:
    """Some mail programs add one to count their clicks."""
    assert status(page.ask(ONE_CLICK.replace(PAGE, f"{PAGE}?utm_source=x", 1))) == 200
    assert page.wishes == [["leave", "one_click", TOKEN]]


def test_a_web_socket_is_not_opened(page: Served) -> None:
    answer = page.ask(
        f"GET {PAGE} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert status(answer) == 200  # the page: RFC 9110 §7.8 lets a server pass over an upgrade
    assert b"text/html" in answer


def test_a_huge_body_is_refused_unread(page: Served) -> None:
    head = f"POST {PAGE} HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 99999999999\r\n\r\n"
    assert status(page.ask(head)) == 413


def test_several_requests_on_one_line_are_answered_in_turn(page: Served) -> None:
    first = ONE_CLICK.replace("Connection: close\r\n", "")
    answer = page.ask(first + first + ONE_CLICK)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert len(page.wishes) == 3


SLOW = {
    "nothing at all": "",
    "half a head": f"POST {PAGE} HTTP/1.1\r\nHo",
    "half a body": f"POST {PAGE} HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 26\r\n\r\nList-",
    "a body that nobody asked for": post("Content-Length: 26\r\n", "L").replace(PAGE, "/u/x"),
}


@pytest.mark.parametrize("name", SLOW)
def test_who_does_not_finish_is_not_waited_for(page: Served, name: str) -> None:
    answer = page.ask(SLOW[name])  # ends only where the page closes the connection
    if name == "half a body":
        assert status(answer) == 408
    assert page.wishes == []


def test_a_drop_at_a_time_does_not_hold_a_connection(page: Served) -> None:
    with closing(page.connect()) as line:
        line.settimeout(0.05)
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                line.sendall(b"X")
                if line.recv(100) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    pytest.fail("the connection was never closed")


def test_the_log_holds_no_link(page: Served) -> None:
    page.ask(ONE_CLICK)
    page.ask(f"GET /u/{TOKEN[:-3]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert '"event": "wish_taken"' in page.log
    assert TOKEN[:20] not in page.log
    assert "Traceback" not in page.log


def test_more_connections_than_allowed_are_sent_away_and_the_rest_served(tmp_path: Path) -> None:
    served = start(tmp_path, "connections = 10\ntimeout_seconds = 60")
    held = []
    try:
        held = [served.connect() for _ in range(10)]
        for line in held:
            line.sendall(f"GET {PAGE} HTTP/1.1\r\n".encode())
        answer = served.ask("")
        assert (status(answer), b"Retry-After" in answer) == (503, True)
        held.pop().close()

        def is_served() -> bool:
            return status(served.ask(ONE_CLICK)) == 200

        wait_until(is_served, LIMIT, "there is room again")
    finally:
        for line in held:
            line.close()
        end(served)


def test_at_the_end_what_was_begun_is_answered(tmp_path: Path) -> None:
    """A provider that waits for its 200 gets it, though the page is being stopped."""
    served = start(tmp_path, DOOR_SECONDS="1.5")
    try:
        with closing(served.connect()) as line, closing(served.connect()) as idle:
            line.sendall(ONE_CLICK.encode())
            idle.sendall(b"GET ")
            time.sleep(0.5)  # so that it is under way: also then the answer has to come
            served.process.send_signal(signal.SIGTERM)
            assert status(read_all(line)) == 200
        assert served.process.wait(LIMIT) == 0
        assert served.wishes == [["leave", "one_click", TOKEN]]
        assert "public_page_stopped" in served.log
        assert "Traceback" not in served.log
    finally:
        end(served)


def test_systemd_is_told_when_the_page_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(LIMIT)
        served = start(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))
        try:
            told = {systemd.recv(100), systemd.recv(100)}
            assert told == {b"READY=1", b"WATCHDOG=1"}
            served.process.send_signal(signal.SIGINT)
            while (word := systemd.recv(100)) == b"WATCHDOG=1":
                pass
            assert word == b"STOPPING=1"
            assert served.process.wait(LIMIT) == 0
        finally:
            end(served)


async def test_a_door_that_hands_nothing_on_is_stuck_and_one_that_does_is_not() -> None:
    """The watchdog then starts the page anew; a page that is merely idle is left alone."""
    now = 0.0
    let_through = asyncio.Event()

    class Slow(Notebook):
        async def hand_in(self, wish: Wish) -> None:
            await let_through.wait()
            await super().hand_in(wish)

    door = WatchedDoor(Slow(), lambda: now)
    now += 10 * STUCK_AFTER
    assert not door.is_stuck(), "nobody asked for anything"
    at = datetime(2027, 3, 9, tzinfo=UTC)
    asking = [
        asyncio.create_task(door.hand_in(Wish(f"{n:032}", WishKind.LEAVE, TOKEN, at, "page")))
        for n in range(2)
    ]
    await asyncio.sleep(0)
    now += STUCK_AFTER
    assert not door.is_stuck()
    now += 1
    assert door.is_stuck()
    let_through.set()
    await asyncio.gather(*asking)
    assert not door.is_stuck()


def test_a_unix_socket_left_behind_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    listen = f'listen = "unix:{path}"'
    first = start(tmp_path, listen)
    second = None
    try:
        assert path.stat().st_mode & 0o777 == 0o660
        again = subprocess.run(
            [sys.executable, "-m", "tests.web.process", "--config", str(tmp_path / "mailbot.toml")],
            capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        assert again.returncode != 0
        assert f"unix:{path}: The public page cannot listen there" in again.stderr
        first.process.kill()
        first.process.wait(LIMIT)
        assert path.exists()
        second = start(tmp_path, listen)
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as line:
            line.settimeout(LIMIT)
            line.connect(str(path))
            line.sendall(ONE_CLICK.encode())
            assert status(read_all(line)) == 200
    finally:
        end(first)
        if second is not None:
            end(second)
