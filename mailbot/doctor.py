"""What `mailbot check` finds: everything a start stands on, each as one line and a next step.

Nothing is changed: no database is made, no mail is sent, no folder is opened for writing.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from mailbot.config import (
    MailboxSettings,
    Settings,
    check_secrets,
    load,
    load_dkim_keys,
    load_person_key,
    read_relay_secret,
    read_secret,
)
from mailbot.core.errors import ConfigError, MailbotError, SchemaError
from mailbot.core.preflight import Severity
from mailbot.data import load_vocabulary
from mailbot.inbound.folders import watched_folders
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.imap_answers import Folder, Role
from mailbot.outbound.dns import posture
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.outbound.smtp import RelayConnection
from mailbot.store import api_keys, durability, keys, policies, schema, switches
from mailbot.store.engine import Connection, Database, now
from mailbot.store.journal import Journal, compare

EXPIRY_WARNING: Final = timedelta(days=14)
_LARGEST_SKEW: Final = timedelta(seconds=5)


class Level(StrEnum):
    """How bad a finding is."""

    OK = "OK"
    WARN = "WARN"  # works today
    FAIL = "FAIL"  # mailbot cannot do its job


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `next_step` is "" where nothing has to be done."""

    level: Level
    subject: str
    what: str
    next_step: str = ""


def examine(config: Path) -> Iterator[Finding]:
    """Look at everything, one finding after the other as it comes. Raises nothing of ours."""
    try:
        settings = load(config)
    except ConfigError as error:
        yield from _faults(error)
        return
    yield Finding(Level.OK, "settings", f"{settings.path} can be read.")
    try:
        check_secrets(settings, with_audiences=True)
    except ConfigError as error:
        yield from _faults(error)
    else:
        yield Finding(Level.OK, "secrets", "every password and key can be read.")
    parts: list[Callable[[Settings], Iterator[Finding]]] = [
        _database, _templates, _vocabulary, _spool
    ]  # fmt: skip
    for look in parts:
        yield from look(settings)
    for mailbox in settings.mailboxes:
        yield from _mailbox(settings, mailbox)
    yield from _relay(settings)
    yield from _public_page(settings)
    yield from _dns(settings)


def refuse_missing_database(url: str) -> None:
    """Raise SchemaError where a SQLite database is not there.

    Opening it would make one, and one that root made by a mere look is nobody else's to write.
    """
    engine, _, rest = url.partition(":///")
    path = Path(rest.partition("?")[0])
    if not engine.startswith("sqlite"):
        return
    with suppress(OSError):  # a folder that is barred to us: opening will say so
        if not path.exists():
            raise SchemaError(
                "there is no database yet.", where=str(path), next_step="Run: mailbot db upgrade"
            )


def _faults(error: ConfigError) -> Iterator[Finding]:
    for fault in error.faults:
        # The key "file" says that there are no settings at all to name one of.
        subject = error.where if fault.key == "file" else f"{error.where}, {fault.key}"
        yield Finding(Level.FAIL, subject, fault.what, fault.write)


def _failure(subject: str, error: MailbotError) -> Finding:
    if error.where.startswith(subject):  # it says the same, and more
        return Finding(Level.FAIL, error.where, error.what, error.next_step)
    where = f"{error.where}: " if error.where else ""
    return Finding(Level.FAIL, subject, f"{where}{error.what}", error.next_step)


# -- here ------------------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        refuse_missing_database(settings.store.url)
        database = Database.open(settings.store.url)
    except MailbotError as error:
        yield _failure("database", error)
        return
    try:
        with database.read() as conn:
            schema.check(conn)
            clocks = _clocks(conn)
            journal = _journal(conn, settings)
            risks = [
                Finding(Level.WARN, "database", what, "An opt-out that was answered may be lost.")
                for what in durability.risks(conn)
            ]
        with database.write():
            pass  # may this user write at all?
        yield Finding(Level.OK, "database", f"{database.where} has the right schema.")
        yield from risks
        yield from journal
        yield from clocks
        yield _policy(settings, database)
        yield from _api_keys(database)
        yield from _person_key(settings, database)
    except MailbotError as error:
        yield _failure("database", error)
    finally:
        database.close()


def _journal(conn: Connection, settings: Settings) -> list[Finding]:
    """Whether this database holds all that its journal knows; nothing is written."""
    journal = Journal(settings.store.journal_folder)
    where = f"{journal.folder}"
    try:
        behind, tip = compare(conn, journal), journal.tip()
    except OSError as error:
        advice = "Let mailbot's user read and write there, or name another folder."
        return [
            Finding(Level.FAIL, "journal", f"{where} cannot be read ({error.strerror}).", advice)
        ]
    distrusted = switches.get(conn, switches.LIST_DISTRUSTED)
    if behind is not None or distrusted.is_on:
        what = behind.what if behind else distrusted.because
        return [Finding(Level.FAIL, "journal", f"{what}.", "Run: mailbot restore show")]
    if tip is None:
        return [Finding(Level.OK, "journal", f"{where} is begun with the first event.")]
    return [Finding(Level.OK, "journal", f"{where} knows {tip.sequence} events.")]


def _api_keys(database: Database) -> Iterator[Finding]:
    """Keys of the shop's programs that end soon: after that their orders are refused."""
    with database.read() as conn:
        at = now(conn)
        ending = [
            key for key in api_keys.every(conn)
            if key.is_good(at) and key.expires_at and key.expires_at - at < EXPIRY_WARNING
        ]  # fmt: skip
    for key in ending:
        what = f"“{key.name}” opens nothing after {key.expires_at:%Y-%m-%d}."
        yield Finding(Level.WARN, "API key", what, "Make its successor: mailbot api-keys create")


def _policy(settings: Settings, database: Database) -> Finding:
    """Which version each opt-out of now is recorded with, and who says so."""
    with database.read() as conn:
        recorded = policies.in_force(conn, now(conn))
    if recorded is None:
        what = f"version {settings.shop.policy_version} by the settings, as none is recorded yet."
        return Finding(Level.OK, "privacy policy", what)
    return Finding(Level.OK, "privacy policy", f"version {recorded} by `mailbot policy add`.")


def _clocks(conn: Connection) -> list[Finding]:
    skew = abs(now(conn) - datetime.now(UTC))
    if skew <= _LARGEST_SKEW:
        return []
    what = f"this machine's differs from the database's by {skew.total_seconds():.0f} seconds."
    return [Finding(Level.WARN, "clock", what, "Let both follow NTP; the database's decides.")]


def _person_key(settings: Settings, database: Database) -> Iterator[Finding]:
    try:
        key = load_person_key(settings)
    except ConfigError:
        return  # told among the secrets
    try:
        with database.read() as conn:
            keys.check(conn, key)
    except MailbotError as error:
        yield _failure("person key", error)
    else:
        yield Finding(Level.OK, "person key", f"it is this database's (id {key.key_id}).")


def _templates(settings: Settings) -> Iterator[Finding]:
    try:
        types = OrderStatusTypes(settings.order_status.templates_dir)
    except MailbotError as error:
        yield _failure("order-status templates", error)
    else:
        yield Finding(Level.OK, "order-status templates", f"{', '.join(types.names)}.")


def _vocabulary(settings: Settings) -> Iterator[Finding]:
    try:
        words = load_vocabulary(settings.recognition.vocabulary)
    except MailbotError as error:
        yield _failure("vocabulary", error)
        return
    languages = len({entry.language for entry in words.entries})
    yield Finding(Level.OK, "vocabulary", f"words of {languages} languages opt their sender out.")
    if settings.recognition.mode == "shadow":
        what = "shadow mode: no opt-out is recorded and nothing is sent."
        yield Finding(Level.WARN, "recognition", what, 'Write mode = "live" when you are ready.')


def _spool(settings: Settings) -> Iterator[Finding]:
    """Whether the daemon's user can read and empty what the public page leaves for it."""
    public = settings.public
    if public.url is None or public.database_url is not None:
        return
    folder = public.spool_folder
    if not folder.is_dir():
        what = f"{folder} is not there: no offers are sent until it is."
        yield Finding(Level.FAIL, "spool", what, "Start mailbot-public.service, which makes it.")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        what = f"this user may not read and write in {folder}: no offers are sent."
        advice = "Make it a member of the folder's group: usermod -aG mailbot-public mailbot"
        yield Finding(Level.FAIL, "spool", what, f"{advice}, and start mailbot anew.")
    else:
        yield Finding(Level.OK, "spool", f"{folder} can be read.")


# -- the servers -----------------------------------------------------------------------------


def _mailbox(settings: Settings, mailbox: MailboxSettings) -> Iterator[Finding]:
    subject = f"mailbox {mailbox.name}"
    try:
        password = read_secret(settings, mailbox.password_file)
    except ConfigError:
        return  # told among the secrets
    try:
        with Mailbox(mailbox, password) as opened:
            yield Finding(Level.OK, subject, f"{mailbox.host} lets {mailbox.username} in.")
            existing = opened.folders()
            names = [folder.name for folder in existing]
            watched = [folder.name for folder in watched_folders(mailbox, existing)]
            for folder in watched:
                yield _folder(opened, subject, folder, names)
            yield from _what_folders_are_for(mailbox, subject, existing)
            if mailbox.idle and not opened.can_idle:
                what = f"it offers no IDLE: it is looked at every {mailbox.poll_seconds} seconds."
                yield Finding(Level.OK, subject, what)
            certificate = opened.certificate
    except MailbotError as error:
        yield _failure(subject, error)
        return
    unwatched = [name for name in names if name not in watched]
    if unwatched:
        yield Finding(Level.OK, subject, f"folders that are not watched: {', '.join(unwatched)}.")
    yield from _expiry(subject, certificate)


def _what_folders_are_for(
    mailbox: MailboxSettings, subject: str, existing: Sequence[Folder]
) -> Iterator[Finding]:
    roles = {folder.name: folder.role for folder in existing}
    staffs = mailbox.opt_out_folder
    if staffs is not None and (role := roles.get(staffs, Role.OTHER)) is not Role.OTHER:
        what = f"opt_out_folder {staffs} is the server's folder for {role}: whoever's mail comes "
        what += "there would be opted out."
        yield Finding(Level.FAIL, subject, what, "Make a folder of its own for it, and name that.")
    if mailbox.filing == "move" and mailbox.filing_folder not in roles:
        what = f"there is no folder {mailbox.filing_folder}: mail stays where it is."
        yield Finding(Level.WARN, subject, what, "Make it, or name another as filing_folder.")


def _folder(opened: Mailbox, subject: str, folder: str, names: list[str]) -> Finding:
    try:
        state = opened.examine(folder)
    except MailbotError as error:
        advice = f"Correct folders; there are: {', '.join(names)}."
        return Finding(Level.FAIL, subject, error.what, advice)
    return Finding(Level.OK, subject, f"the folder {folder} can be read ({state.exists} mails).")


def _relay(settings: Settings) -> Iterator[Finding]:
    relay = settings.relay
    subject = f"relay {relay.host}:{relay.effective_port}"
    try:
        secret = read_relay_secret(settings)
    except ConfigError:
        return  # told among the secrets
    try:
        certificate = asyncio.run(_greet(RelayConnection(relay, secret)))
    except MailbotError as error:
        yield _failure(subject, error)
        return
    login = f"it lets {relay.username} in" if relay.username else "it answers, without login"
    if relay.oauth_token_file:
        login += " by token"
    line = "in plain text, on this machine" if relay.security == "none" else "over TLS"
    yield Finding(Level.OK, subject, f"{login}, {line}.")
    yield from _expiry(subject, certificate)


def _public_page(settings: Settings) -> Iterator[Finding]:
    """Every campaign's way out by one click; a mail to help@ works without it."""
    if settings.public.url is None:
        return
    from mailbot.web import health  # here: no other command needs it

    subject = f"public page {settings.public.url}"
    try:
        certificate = health.ask(settings.public.url)
    except MailbotError as error:
        yield Finding(Level.FAIL, subject, error.what, error.next_step)
        return
    yield Finding(Level.OK, subject, "it answers.")
    yield from _expiry(subject, certificate)


def _dns(settings: Settings) -> Iterator[Finding]:
    """What receivers find about our domains. A record that is missing stops no mail of itself."""
    try:
        found = posture(settings, load_dkim_keys(settings))
    except ConfigError:
        return  # told among the secrets
    levels = {None: Level.OK, Severity.WARNING: Level.WARN, Severity.ERROR: Level.FAIL}
    for said in found.said:
        yield Finding(levels[said.severity], said.subject, said.what, said.next_step)
    if found.unanswered:
        what = f"nobody could be asked about {', '.join(found.unanswered)}."
        yield Finding(Level.OK, "DNS", what)


async def _greet(connection: RelayConnection) -> Mapping[str, object] | None:
    """Connect, log in, and leave without a word about any message; the certificate shown."""
    await connection.connect()
    certificate = connection.certificate
    await connection.close()
    return certificate


def _expiry(subject: str, certificate: Mapping[str, object] | None) -> Iterator[Finding]:
    if not certificate or "notAfter" not in certificate:
        return
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    left = end - datetime.now(UTC)
    days = f"{left.days} more day{'' if left.days == 1 else 's'}"
    what = f"its certificate is good for {days} (until {end:%Y-%m-%d})."
    if left < EXPIRY_WARNING:
        yield Finding(Level.WARN, subject, what, "Have it renewed before then.")
    else:
        yield Finding(Level.OK, subject, what)
