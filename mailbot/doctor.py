"""What `mailbot check` looks at: everything the daemon will need, tried without sending a thing."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailbot.config import (
    MailboxSettings,
    Settings,
    check_secrets,
    load_person_key,
    load_token_keys,
    read_secret,
)
from mailbot.core.errors import ConfigError, MailbotError, NotFoundError, TemplateError
from mailbot.inbound.imap import Mailbox
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status import OrderStatusTypes
from mailbot.outbound.smtp import RelayConnection
from mailbot.store import keys, schema
from mailbot.store.engine import Database

WARN_DAYS = 14  # before a certificate ends


class Grade(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"  # works today
    FAIL = "fail"  # does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried: what it is about, what was seen, what to do next."""

    grade: Grade
    subject: str
    what: str
    next_step: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Try configuration, keys, database, templates, mailboxes and relay, in this order."""
    found = [Finding(Grade.OK, "configuration", str(settings.path))]
    secrets = list(_secrets(settings))
    found += secrets
    is_readable = all(one.grade is Grade.OK for one in secrets)
    found += _database(settings, is_readable=is_readable)
    found += _templates(settings)
    if is_readable:
        for mailbox in settings.mailboxes:
            found += _mailbox(settings, mailbox)
        found += _relay(settings)
    return found


def _secrets(settings: Settings) -> Iterator[Finding]:
    try:
        check_secrets(settings)
        Letterhead.of(settings, load_token_keys(settings))
    except ConfigError as error:
        for fault in error.faults:
            yield Finding(Grade.FAIL, fault.key, fault.what, fault.write)
        return
    except MailbotError as error:
        yield _failed("keys", error)
        return
    yield Finding(Grade.OK, "keys and passwords", "all can be read")


def _database(settings: Settings, *, is_readable: bool) -> Iterator[Finding]:
    try:
        database = Database.open(settings.store.url)
    except MailbotError as error:
        yield _failed("database", error)
        return
    try:
        with database.read() as conn:
            schema.check(conn)
            if is_readable:
                keys.check(conn, load_person_key(settings))
        yield Finding(Grade.OK, "database", f"{database.where}, version {schema.newest_version()}")
    except MailbotError as error:
        yield _failed("database", error)
    finally:
        database.close()


def _templates(settings: Settings) -> Iterator[Finding]:
    try:
        types = OrderStatusTypes(settings.order_status.templates_dir)
    except (TemplateError, NotFoundError) as error:
        yield _failed("order-status templates", error)
    else:
        yield Finding(Grade.OK, "order-status templates", f"{len(types.names)} types")


def _mailbox(settings: Settings, mailbox: MailboxSettings) -> Iterator[Finding]:
    subject = f"mailbox {mailbox.name}"
    try:
        with Mailbox(mailbox, read_secret(settings, mailbox.password_file)) as opened:
            for folder in mailbox.folders:
                state = opened.examine(folder)
                yield Finding(Grade.OK, subject, f"{folder} can be read ({state.exists} mails)")
            if not opened.can_idle:
                yield Finding(
                    Grade.OK, subject, f"no IDLE: looked at every {mailbox.poll_seconds} s"
                )
            yield from _certificate(subject, opened.certificate)
    except MailbotError as error:
        yield _failed(subject, error)


def _relay(settings: Settings) -> list[Finding]:
    async def knock() -> list[Finding]:
        relay = settings.relay
        password = read_secret(settings, relay.password_file) if relay.password_file else None
        connection = RelayConnection(relay, password)
        await connection.connect()
        try:
            login = f", logged in as {relay.username}" if relay.username else ""
            found = [Finding(Grade.OK, "relay", f"{relay.host} takes mail{login}")]
            return found + list(_certificate("relay", connection.certificate))
        finally:
            connection.abort()

    try:
        return asyncio.run(knock())
    except MailbotError as error:
        return [_failed("relay", error)]


def _certificate(subject: str, certificate: Mapping[str, object] | None) -> Iterator[Finding]:
    ends = certificate.get("notAfter") if certificate else None
    if not isinstance(ends, str):
        return
    days = int((ssl.cert_time_to_seconds(ends) - time.time()) // 86_400)
    if days < WARN_DAYS:
        yield Finding(
            Grade.WARN, subject, f"its certificate ends in {days} days",
            "Ask whoever runs the server to renew it: from that day on mailbot refuses it.",
        )  # fmt: skip
    else:
        yield Finding(Grade.OK, subject, f"its certificate is good for {days} days")


def _failed(subject: str, error: MailbotError) -> Finding:
    # An adapter names its server as `mailbox help (…)`: the subject need not stand there twice.
    place = error.where.removeprefix(subject).strip()
    where = f"{place}: " if place else ""
    return Finding(Grade.FAIL, subject, f"{where}{error.what}", error.next_step)
