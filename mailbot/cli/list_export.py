"""The list out of the house: recorded first, then written."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mailbot.cli.opening import OpenedForPersons, opened_for_persons, writing
from mailbot.cli.private_file import private_file, refuse_existing
from mailbot.cli.stop_marketing import who
from mailbot.core.consent import BatchEvent, Kind, Reason, Source, batch_digest, canonical_time
from mailbot.core.csv_cells import restorable_cell
from mailbot.core.errors import InputError
from mailbot.store import consent, ledger, listing
from mailbot.store.engine import Connection, now
from mailbot.store.listing import Changes, Entry, Extent


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, as it was typed."""

    target: str
    form: str
    reason: str
    because: str | None
    with_hashes: bool


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and the number of the event that says so."""

    extent: Extent
    written: int
    sequence: int


def export_list(config: Path, order: Order) -> Exported:
    """Record the export, then write it: both from one snapshot of the list.

    Raises InputError without a reason, RefusedError where the file exists.
    """
    _refuse_no_reason(order.reason)
    refuse_existing(order.target)
    because = Reason(order.because) if order.because else None
    with (
        opened_for_persons(config) as installation,
        private_file(order.target) as file,
        installation.database.read() as conn,
    ):
        extent = listing.extent(conn, because, with_hashes=order.with_hashes)
        evidence = {"what": order.because or "the list", "entries": str(extent.entries),
                    "format": order.form, "reason": order.reason.strip()}  # fmt: skip
        sequence = _note(installation, "list-export", extent.persons, extent.digest, evidence)
        written = _write(file, conn, order, because)
    return Exported(extent, written, sequence)


def give_changes(config: Path, since: int, limit: int, reason: str) -> Changes:
    """The changes behind event `since`, recorded as an export where there are any.

    Raises InputError without a reason, and for a number that this ledger has not reached.
    """
    _refuse_no_reason(reason)
    with opened_for_persons(config) as installation:
        with installation.database.read() as conn:
            head = ledger.head_sequence(conn)
            if since > head:
                raise InputError(
                    f"the ledger has {head:,} events, and none behind {since:,}.",
                    where="--since",
                    next_step="After a restored backup ask from 0 again.",
                )
            found = listing.changes_since(conn, since, limit)
        if found.changed:
            hashes = {one.person_hash for one in found.changed}
            evidence = {"what": "changes", "since": str(since), "until": str(found.next_since),
                        "reason": reason.strip()}  # fmt: skip
            _note(installation, "list-changes", len(hashes), batch_digest(hashes), evidence)
    return found


def _refuse_no_reason(reason: str) -> None:
    if not reason.strip():
        raise InputError("a reason is needed.", where="--reason", next_step="Say for whom and why.")


def _note(
    installation: OpenedForPersons, rule: str, count: int, digest: str, evidence: Mapping[str, str]
) -> int:
    with writing(installation) as conn:
        event = BatchEvent(
            kind=Kind.EXPORTED, source=Source.COMMAND_LINE, key=f"export:{uuid.uuid4()}",
            received_at=now(conn), rule=rule,
            policy_version=installation.settings.shop.policy_version,
            count=count, digest=digest, evidence={"by": who(), **evidence},
        )  # fmt: skip
        return consent.note(conn, event)


def _write(file: TextIO, conn: Connection, order: Order, because: Reason | None) -> int:
    """Returns how many entries were written."""
    table = csv.writer(file) if order.form == "csv" else None
    columns = ["address", "reason", "since_at", *(["person_hash"] if order.with_hashes else [])]
    if table is not None:
        table.writerow(columns)
    written = 0
    for entry in listing.entries(conn, because):
        if entry.address is None and not order.with_hashes:
            continue
        written += 1
        values = _values(entry, with_hash=order.with_hashes)
        if table is not None:
            table.writerow([restorable_cell(value or "") for value in values])
        else:
            line = dict(zip(columns, values, strict=True))
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return written


def _values(entry: Entry, *, with_hash: bool) -> list[str | None]:
    values = [entry.address, str(entry.reason), canonical_time(entry.since_at)]
    return [*values, entry.person_hash] if with_hash else values
