"""A new version of the privacy policy: its event and its row, in one transaction."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mailbot.cli.moments import read_moment
from mailbot.cli.opening import opened_for_persons, writing
from mailbot.cli.showing import moment
from mailbot.cli.stop_marketing import who
from mailbot.config.values import PolicyVersion as VersionName
from mailbot.core.consent import BatchEvent, Kind, Source, batch_digest
from mailbot.core.errors import InputError, RefusedError
from mailbot.store import consent, ledger, policies
from mailbot.store.engine import Connection, now
from mailbot.store.policies import PolicyVersion


def add_version(
    config: Path, written: str, since: str | None, text: Path | None, url: str | None
) -> PolicyVersion:
    """Record a version.

    Raises InputError for a name, time, file or URL that cannot be used, RefusedError for a version
    that is there already, or a time of which events already name another version.
    """
    version = _name(written)
    in_force_at = read_moment(since, "--from") if since else None
    digest = None if text is None else _digest(text)
    if url is not None and not url.startswith(("https://", "http://")):
        raise InputError(f"“{url[:80]}” is no web address.", where="--url",
                         next_step="Write it with https://.")  # fmt: skip
    with opened_for_persons(config) as installation, writing(installation) as conn:
        ledger.locked_head(conn)  # no event slips in between the look and the row
        at = now(conn)
        since_at = in_force_at or at
        _refuse_conflict(conn, version, since_at)
        sequence = consent.note(
            conn,
            BatchEvent(
                kind=Kind.POLICY,
                source=Source.COMMAND_LINE,
                key=f"policy:{version}",
                received_at=at,
                rule="policy-add",
                policy_version=installation.settings.shop.policy_version,
                count=0,
                digest=digest or batch_digest([]),
                evidence={"by": who(), "version": version, "in_force_at": since_at.isoformat()}
                | ({"text_sha256": digest} if digest else {})
                | ({"url": url} if url else {}),
            ),
        )
        added = PolicyVersion(version, since_at, digest, url, sequence)
        policies.add(conn, added)
    return added


def _name(written: str) -> str:
    try:
        return str(TypeAdapter(VersionName).validate_python(written))
    except ValidationError as error:
        raise InputError(
            f"“{written[:80]}” cannot be a version.",
            where="VERSION",
            next_step="Write one line of 1 to 40 characters, like 2027-03.",
        ) from error


def _digest(text: Path) -> str:
    try:
        with text.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        what = f"it cannot be read ({(error.strerror or str(error)).lower()})."
        raise InputError(what, where=str(text), next_step="Name the posted text.") from error


def _refuse_conflict(conn: Connection, version: str, since: datetime) -> None:
    for one in policies.all_versions(conn):
        if one.version == version:
            raise RefusedError(
                f"version {version} is there already, in force from {moment(since)} UTC"
                if one.in_force_at == since
                else f"version {version} is there already, from {moment(one.in_force_at)} UTC.",
                next_step="A changed text is a new version: give it another name.",
            )
        if one.in_force_at == since:
            raise RefusedError(
                f"from {moment(since)} UTC on version {one.version} is in force already.",
                where="--from",
                next_step="Name another time.",
            )
    other = policies.named_since(
        conn, since, besides=version, until=policies.next_after(conn, since)
    )
    if other is not None:
        raise RefusedError(
            f"event {other.sequence}, received {moment(other.received_at)} UTC, already names "
            f"version {other.policy_version}, and the ledger is never changed.",
            where="--from",
            next_step=f"Name a time after {moment(other.latest_at)} UTC.",
        )
