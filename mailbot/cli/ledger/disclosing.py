"""The ledger into a file: recorded first, then written line by line."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from mailbot.cli.moments import read_moment
from mailbot.cli.opening import OpenedForPersons, opened_for_persons, writing
from mailbot.cli.private_file import private_file, refuse_existing
from mailbot.cli.stop_marketing import who
from mailbot.core.address import parse_address
from mailbot.core.consent import BatchEvent, Kind, Source
from mailbot.core.csv_cells import safe_row
from mailbot.core.errors import InputError
from mailbot.store import consent, disclosure, ledger
from mailbot.store.disclosure import COLUMNS, Chosen, Extent
from mailbot.store.engine import now


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, as it was typed."""

    target: str
    form: Literal["jsonl", "csv"]
    reason: str
    person: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What was written, and the number of the event that says so."""

    extent: Extent
    sequence: int


def disclose(config: Path, order: Order) -> Disclosed:
    """Record the export, then write it.

    Raises InputError without a reason or for a wrong time, RefusedError where the file exists.
    """
    if not order.reason.strip():
        raise InputError("a reason is needed.", where="--reason", next_step="Say for whom and why.")
    since = read_moment(order.since, "--since") if order.since else None
    until = read_moment(order.until, "--until") if order.until else None
    refuse_existing(order.target)
    with opened_for_persons(config) as installation:
        person = (
            installation.person_key.identify(parse_address(order.person)) if order.person else None
        )
        with private_file(order.target) as file:
            with installation.database.read() as conn:
                chosen = Chosen(ledger.head_sequence(conn), person, since, until)
                extent = disclosure.extent(conn, chosen)
            sequence = _note(installation, order, extent)
            with installation.database.read() as conn:
                _write(file, order.form, disclosure.lines(conn, chosen))
    return Disclosed(extent, sequence)


def _note(installation: OpenedForPersons, order: Order, extent: Extent) -> int:
    """Readable evidence names nobody: whose events these are, the digest proves."""
    with writing(installation) as conn:
        return consent.note(
            conn,
            BatchEvent(
                kind=Kind.EXPORTED,
                source=Source.COMMAND_LINE,
                key=f"export:{uuid.uuid4()}",
                received_at=now(conn),
                rule="ledger-export",
                policy_version=installation.settings.shop.policy_version,
                count=extent.persons,
                digest=extent.digest,
                evidence={
                    "by": who(),
                    "reason": order.reason.strip(),
                    "what": "one person" if order.person else "ledger",
                    "events": str(extent.events),
                    "format": order.form,
                },
            ),
        )


def _write(file: TextIO, form: str, lines: Iterable[Mapping[str, Any]]) -> None:
    if form == "jsonl":
        file.writelines(json.dumps(line) + "\n" for line in lines)
        return
    table = csv.writer(file)
    table.writerow(COLUMNS)
    for line in lines:
        evidence = line["evidence"]
        table.writerow(safe_row({**line, "evidence": evidence and json.dumps(evidence)}.values()))
