"""One Dovecot for the folder's tests; each test takes a user of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from mailbot.config import MailboxSettings

from tests.servers import dovecot


@pytest.fixture(scope="session")
def shared_server() -> Iterator[dovecot.Dovecot]:
    """A running Dovecot; a test that stops it starts it again."""
    if not dovecot.is_installed():
        pytest.skip("Debian's dovecot-imapd and openssl are not installed")
    with dovecot.Dovecot() as server:
        yield server


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """A user name of this test's own."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60]


@pytest.fixture
def settings(shared_server: dovecot.Dovecot, user: str) -> MailboxSettings:
    """The settings of this test's mailbox, on an unencrypted line."""
    return MailboxSettings(
        name="help",
        host="127.0.0.1",
        port=shared_server.plain_port,
        security="none",
        username=user,
        password_file="password",
        folders=["INBOX"],
        poll_seconds=1,
        timeout_seconds=5,
    )
