"""One Dovecot for the folder's tests, and a user of its own for each test."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest

from mailbot.config import MailboxSettings
from mailbot.store.engine import Database
from tests.inbound.desk import Desk
from tests.servers import dovecot


@pytest.fixture(scope="session")
def shared_server() -> Iterator[dovecot.Dovecot]:
    """A running Dovecot, which no test stops."""
    if not dovecot.is_installed():
        pytest.skip("Debian's dovecot-imapd and openssl are not installed")
    with dovecot.Dovecot() as server:
        yield server


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """A user name of this test's own."""
    name = request.node.nodeid
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40] + digest


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
        folders=("INBOX",),
        poll_seconds=1,
        timeout_seconds=5,
    )


@pytest.fixture
def desk(
    shared_server: dovecot.Dovecot, user: str, settings: MailboxSettings, database: Database
) -> Desk:
    """Everything a test needs, its mailbox empty."""
    return Desk(shared_server, user, settings, database)
