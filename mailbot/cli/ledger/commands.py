"""`mailbot ledger`: prove that nothing in it was changed, and hand it to a regulator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.store.proof import Proof

app = typer.Typer(no_args_is_help=True)


@app.callback()
def the_ledger() -> None:
    """The ledger: each event behind the do-not-send list, chained by hashes.

    docs/ledger.md says what is hashed, for whoever wants to check it without mailbot.
    """


@app.command()
def verify(
    heads: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="SEQ:HASH",
            help="A head that was written down: from the log (ledger_head), or from you.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="A copy of the journal's checkpoint."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Walk the whole ledger: was an event changed, moved, put in, or taken away?

    Evidence may be gone only of people who were erased, and the list has to agree
    with the ledger. An end that was cut off is found by the journal beside the database,
    and by a head that was written down elsewhere: the daemon logs one each day.
    Exit code 1 where something is wrong.

    [bold]Examples[/bold]
      mailbot ledger verify
      mailbot ledger verify --head 1204:9f2c…   # from the log of last week
      mailbot ledger verify --checkpoint /mnt/elsewhere/checkpoint.json
    """
    from mailbot.cli.ledger.screen import progress, show_proof
    from mailbot.cli.ledger.witnesses import journal_heads, read_checkpoint, read_head
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.store import ledger, proof

    witnesses = [read_head(head) for head in heads or ()]
    if checkpoint is not None:
        witnesses.append(read_checkpoint(checkpoint))
    with opened(config) as installation:
        # Before the snapshot: the journal is written after each COMMIT, and never ahead of it.
        witnesses += journal_heads(installation.settings.store.journal_folder)
        with (
            installation.database.read() as conn,
            progress(ledger.head_sequence(conn)) as tell,
        ):
            found = proof.prove(conn, witnesses, tell)
    if as_json:
        print_json(_as_json(found))
    else:
        show_proof(found, len(witnesses))
    if found.fault is not None:
        raise typer.Exit(1)


@app.command()
def export(
    target: Annotated[str, typer.Argument(metavar="FILE", help='Where to; "-" prints it.')],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="For whom and why: it is recorded.")
    ],
    form: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", metavar="FORMAT", help="jsonl or csv.")
    ] = "jsonl",
    person: Annotated[
        str | None, typer.Option("--person", metavar="ADDRESS", help="Only this person's events.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Received from then on (UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Received before (UTC).")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Write the ledger for a regulator: each column of each event, with its evidence.

    What was erased is not in it; its digest is. The export is an event itself:
    who, how many, and why. The file is readable by you alone (0600), and none is
    overwritten. In CSV a cell that a spreadsheet would calculate (it starts with
    = + - @, a tab or CR) gets an apostrophe in front.

    [bold]Examples[/bold]
      mailbot ledger export ledger.jsonl --reason "audit of 2027, ICO ref. 1204"
      mailbot ledger export ann.csv --format csv --person ann@example.org \\
          --reason "her request"
    """
    from mailbot.cli.ledger.disclosing import Order, disclose
    from mailbot.cli.showing import counted, print_json

    done = disclose(config, Order(target, form, reason, person, since, until))
    if target == "-":
        return  # nothing else may stand among the lines
    if as_json:
        print_json({
            "file": target, "format": form, "events": done.extent.events,
            "persons": done.extent.persons, "event": done.sequence,
        })  # fmt: skip
        return
    events, persons = counted(done.extent.events, "event"), counted(done.extent.persons, "person")
    typer.echo(f"{target} has {events} about {persons}. The export is event {done.sequence}.")


def _as_json(found: Proof) -> dict[str, object]:
    return {
        "is_whole": found.fault is None,
        "events": found.walked.events,
        "batches": found.walked.batches,
        "erased": found.walked.without_evidence,
        "entries": found.entries,
        "head": f"{found.walked.head.sequence}:{found.walked.head.hash}",
        "fault": found.fault.what if found.fault else None,
        "fault_at": found.fault.sequence if found.fault else None,
    }
