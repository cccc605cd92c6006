"""`mailbot suppress export` and `changes`: the list for others, each time recorded first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from mailbot.store.listing import Change, Entry

_ListedFor = Literal["opt_out", "complaint", "imported", "held", "undeliverable", "erased"]
_COLUMNS: Final = ("address", "reason", "since_at", "sequence")


def export(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A new file; mode 600. - prints to a pipe.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="For whom and why: kept as evidence.")
    ],
    because: Annotated[
        _ListedFor | None,
        typer.Option("--because", metavar="REASON", help="Only these, like opt_out."),
    ] = None,
    form: Annotated[
        Literal["csv", "jsonl"], typer.Option("--format", metavar="NAME", help="csv or jsonl.")
    ] = "csv",
    with_hashes: Annotated[
        bool, typer.Option("--with-hashes", help="The keyed hashes too, also of who was erased.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Write the list to a file. That it was done, by whom and why, goes into the ledger first.

    Whoever was erased has no address any more, and is counted only. A CSV cell
    that a spreadsheet would calculate gets an apostrophe in front;
    `mailbot suppress import` takes it away again.

    [bold]Examples[/bold]
      mailbot suppress export list.csv --reason "for the letter shop, ticket 17"
      mailbot suppress export left.jsonl --because opt_out --format jsonl --reason audit
    """
    from mailbot.cli.opening import opened_for_persons
    from mailbot.cli.private_file import private_file, refuse_existing
    from mailbot.cli.showing import counted, print_json
    from mailbot.core.consent import Reason
    from mailbot.lists.giving_out import checked_reason, record_giving_out
    from mailbot.store import listing

    why = checked_reason(reason)
    refuse_existing(file)
    only = Reason(because) if because else None
    with (
        opened_for_persons(config) as installation,
        private_file(file) as out,
        # One snapshot: what is recorded is what is written.
        installation.database.read() as conn,
    ):
        extent = listing.extent(conn, only, with_hashes=with_hashes)
        evidence = {
            "reason": why, "what": because or "list", "format": form,
            "entries": str(extent.entries), "hashes": "yes" if with_hashes else "no",
        }  # fmt: skip
        sequence = record_giving_out(
            installation.hand, count=extent.persons, digest=extent.digest, evidence=evidence
        )
        _write(out, form, listing.entries(conn, only), with_hashes=with_hashes)
    if file == "-":
        return
    if as_json:
        print_json({
            "file": file, "event": sequence, "entries": extent.entries, "persons": extent.persons,
            "without_address": extent.without_address, "digest": extent.digest,
        })  # fmt: skip
        return
    written = extent.entries if with_hashes else extent.entries - extent.without_address
    typer.echo(f"{counted(written, 'entry', 'entries')} in {file}, as event {sequence}.")
    if extent.without_address:
        named = "named by their hash" if with_hashes else "left out"
        typer.echo(f"{extent.without_address:,} without an address (erased): {named}.")


def _write(out: TextIO, form: str, entries: Iterable[Entry], *, with_hashes: bool) -> None:
    import csv
    import json

    from mailbot.core.csv_cells import restorable_cell

    columns = (*_COLUMNS, "person_hash") if with_hashes else _COLUMNS
    table = csv.writer(out)
    if form == "csv":
        table.writerow(columns)
    for entry in entries:
        if entry.address is None and not with_hashes:
            continue
        cells = [entry.address or "", str(entry.reason), entry.since_at.isoformat(),
                 str(entry.sequence), entry.person_hash][: len(columns)]  # fmt: skip
        if form == "csv":
            table.writerow([restorable_cell(cells[0]), *cells[1:]])
        else:
            line = {**dict(zip(columns, cells, strict=True)), "address": entry.address}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def changes(
    since: Annotated[
        int, typer.Option("--since", metavar="SEQ", min=0, help="The last number seen; 0 for all.")
    ],
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=100_000, help="At most so many.")
    ] = 10_000,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="For whom: kept as evidence.")
    ] = "for another sender of the shop",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """What changed on the list since a number, for the shop's other senders: JSON lines.

    Each line says whether offers may be sent to this person now. The last line has
    the number to ask from the next time. An event about many persons is never
    cut, so that one page may hold more than --limit. What is given out is recorded
    in the ledger; where nothing changed, nothing is.

    [bold]Example[/bold]
      mailbot suppress changes --since 4711
    """
    from mailbot.cli.opening import opened_for_persons
    from mailbot.cli.showing import print_json_line
    from mailbot.core.consent import batch_digest
    from mailbot.core.errors import InputError
    from mailbot.lists.giving_out import checked_reason, record_giving_out
    from mailbot.store import ledger, listing

    why = checked_reason(reason)
    with opened_for_persons(config) as installation:
        with installation.database.read() as conn:
            length = ledger.head_sequence(conn)
            if since > length:
                raise InputError(
                    f"the list has come to {length}, not to {since} yet.",
                    where="--since",
                    next_step="Was a backup restored? Then ask from 0, and take the list anew.",
                )
            found = listing.changes(conn, since, limit)
        named = {one.person.person_hash for one in found.changes}
        if named:
            record_giving_out(
                installation.hand,
                count=len(named),
                digest=batch_digest(named),
                evidence={"reason": why, "what": "changes", "since": str(since)},
            )
    for one in found.changes:
        print_json_line(_change_as_json(one))
    print_json_line({"next_since": found.next_since, "is_all": found.is_all})


def _change_as_json(change: Change) -> dict[str, object]:
    line: dict[str, object] = {
        "sequence": change.sequence,
        "address": change.address,
        "may_get_offers": not change.reasons,
        "reasons": sorted(change.reasons),
        "kind": change.kind,
        "at": change.at,
    }
    return line if change.address is not None else line | {"person_hash": change.person.person_hash}
