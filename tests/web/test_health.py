"""Whether the public page answers, asked over TLS as a mail program would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mailbot.core.errors import PageUnavailable
from mailbot.web.health import HEALTHY, ask
from tests.servers.certificates import Authority

Asked = list[bytes]


def answer(status: str, body: str, *headers: str) -> str:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _trusts_it(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))


@contextmanager
def web_server(
    authority: Authority, says: str, name: str = "DNS:localhost"
) -> Iterator[tuple[str, Asked]]:
    """One that gives every request the same answer; its URL, and what it was asked."""
    context = authority.server(name)
    asked: Asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                    with context.wrap_socket(line, server_side=True) as secure:
                        asked.append(secure.recv(65536))
                        secure.sendall(says.encode())
                except OSError:
                    if listener.fileno() == -1:
                        return

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"https://localhost:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    serving.join(10)


def test_a_page_that_answers_shows_its_certificate(authority: Authority) -> None:
    with web_server(authority, answer("200 OK", HEALTHY)) as (url, asked):
        certificate = ask(f"{url}/mail")
    assert certificate is not None and "notAfter" in certificate
    assert asked[0].startswith(b"GET /mail/health HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (answer("200 OK", "<h1>It works!</h1>"), "somebody else answers there"),
        (answer("404 Not Found", ""), "status 404"),
        (answer("502 Bad Gateway", ""), "status 502"),
        (answer("301 Moved", "", "Location: https://elsewhere.example/"), "RFC 8058 forbids"),
        (answer("503 Service Unavailable", "", "Retry-After: 120"), "cannot store"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "nobody answers"),
        ("", "nobody answers"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(authority: Authority, says: str, words: str) -> None:
    with (
        web_server(authority, says) as (url, _),
        pytest.raises(PageUnavailable, match=words) as caught,
    ):
        ask(url)
    assert caught.value.where == url
    assert caught.value.next_step


def test_a_certificate_of_another_name_is_told(authority: Authority) -> None:
    with (
        web_server(authority, answer("200 OK", HEALTHY), "DNS:other.example") as (url, _),
        pytest.raises(PageUnavailable, match="its certificate is not good"),
    ):
        ask(url)


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PageUnavailable, match="Connection refused"):
        ask(f"https://localhost:{port}")
    with pytest.raises(PageUnavailable, match="nobody answers"):
        ask("https://no-such-host.invalid")


def test_a_page_that_says_nothing_is_not_waited_for() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(PageUnavailable, match="nobody answers"),
    ):
        ask(f"https://localhost:{listener.getsockname()[1]}", timeout_seconds=0.3)
