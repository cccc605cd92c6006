"""`mailbot suppress import`: another system's list into ours; and what was imported so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.lists.bad_lines import BadLinesFile
    from mailbot.lists.importing import Imported
    from mailbot.lists.rows import Wanted
    from mailbot.store.imports import Import

FILE = Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON, of any size.")]
Format = Literal["csv", "ses", "sendgrid", "mailchimp", "postmark", "listmonk", "mailbot"]
Column = Annotated[
    str | None,
    typer.Option("--column", metavar="NAME", help="Where the addresses are: name or number."),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="ses, sendgrid, mailchimp, postmark, listmonk, mailbot, or csv for any other list.",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="If it is not UTF-8, UTF-16 or cp1252."),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="CHAR", help='Between cells, like ";"; "tab" for a tab.'),
]
_Because = Literal["opt_out", "complaint", "undeliverable", "imported"]


def import_(
    file: FILE,
    column: Column = None,
    format_: FormatOption = None,
    because: Annotated[
        _Because | None,
        typer.Option(
            "--because",
            metavar="REASON",
            help="opt_out, complaint, undeliverable or imported, whatever the file says.",
        ),
    ] = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Where it comes from: kept as evidence.")
    ] = "",
    bad_lines: Annotated[
        Path | None,
        typer.Option("--bad-lines", metavar="FILE", help="Instead of FILE.bad-lines.csv."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the file, say what it holds, change nothing.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Although this file was imported before.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Put everybody in a file on the list: another system's suppressions, or any CSV.

    The exports of Amazon SES, SendGrid, Mailchimp, Postmark and listmonk are
    known by their columns: complaints stay complaints, permanent bounces become
    undeliverable, the rest is imported. It only ever adds, also whoever opted in
    before. Lines that hold no address go into a file of their own.

    Mail is heard and sent meanwhile. Interrupted? The same command goes on.

    [bold]Examples[/bold]
      mailbot suppress import suppressions.csv --dry-run
      mailbot suppress import customers.csv --column mail --note "left by phone"
      mailbot suppress import old.csv --encoding iso-8859-15 --because opt_out
    """
    from mailbot.cli.list_progress import shown_progress, size_of
    from mailbot.cli.opening import opened_for_persons
    from mailbot.cli.stop_marketing import who
    from mailbot.core.consent import Kind
    from mailbot.lists.bad_lines import BadLinesFile
    from mailbot.lists.importing import Order, import_list
    from mailbot.lists.spool import folder_beside

    bad = BadLinesFile(bad_lines or file.with_name(f"{file.name}.bad-lines.csv"))
    with opened_for_persons(config) as installation:
        order = Order(
            path=file,
            wanted=wanted(column, format_, delimiter),
            by=who(),
            policy_version=installation.settings.shop.policy_version,
            encoding=encoding,
            because=Kind(because) if because else None,
            note=note.strip(),
            again=again,
        )
        try:
            with shown_progress(size_of(file)) as progress:
                done = import_list(
                    installation.database,
                    installation.person_key,
                    order,
                    sort_in=folder_beside(installation.settings.store.url),
                    bad_lines=bad,
                    progress=progress,
                    is_trial=dry_run,
                )
        finally:
            bad.close()
    if as_json:
        _print_json(done, bad)
    else:
        _tell(done, bad)


def wanted(column: str | None, format_: str | None, delimiter: str | None) -> Wanted:
    """How the file is to be read. Raises InputError for a delimiter of several characters."""
    from mailbot.core.errors import InputError
    from mailbot.lists.rows import Wanted

    if delimiter is not None:
        delimiter = "\t" if delimiter in ("tab", r"\t") else delimiter
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise InputError(
                f"“{delimiter}” cannot stand between cells.",
                where="--delimiter",
                next_step='Give one character, like ";", or: tab',
            )
    return Wanted(column, format_, delimiter)


_REASONS: Final = {
    "imported": "imported", "complaint": "complaints", "undeliverable": "undeliverable",
    "opt_out": "opt-outs",
}  # fmt: skip


def _tell(done: Imported, bad: BadLinesFile) -> None:
    from mailbot.cli.showing import counted, moment

    counts = done.counts
    what = "a plain list" if counts.format == "csv" else f"an export of {counts.format}"
    typer.echo(f"Read {counted(counts.lines, 'line')} as {what}{_address_column(done)}.")
    if counts.fallbacks:
        typer.echo(f"{counted(counts.fallbacks, 'line')} not in UTF-8: read as Windows-1252.")
    if counts.skipped:
        typer.echo(f"{counted(counts.skipped, 'line')} left out: no lasting reason to suppress.")
    if bad.count:
        typer.echo(f"{counted(bad.count, 'bad line')}, each with its number in {bad.path}")
    if done.row is None:
        kinds = ", ".join(
            f"{count:,} {_REASONS[kind]}" for kind, count in sorted(counts.kinds.items())
        )
        typer.echo(f"{counted(counts.persons, 'person')} would be put on the list ({kinds}).")
    elif not done.is_new:
        at = moment(done.row.finished_at)
        typer.echo(f"This file was imported on {at} UTC (import {done.row.id}): nothing changed.")
        typer.echo("  --again adds whoever left the list since.")
    else:
        typer.echo(
            f"{counted(counts.persons, 'person')} on the list, {counts.added:,} of the entries "
            f"new (import {done.row.id})."
        )
        if counts.withheld:
            offers = counted(counts.withheld, "waiting offer is", "waiting offers are")
            typer.echo(f"{offers} withheld.")


def _address_column(done: Imported) -> str:
    layout = done.counts.layout
    if layout is None or not layout.header:
        return ""
    return f", the addresses in “{layout.header[layout.address_at]}”"


def _print_json(done: Imported, bad: BadLinesFile) -> None:
    from mailbot.cli.showing import print_json

    counts = done.counts
    print_json({
        "import": done.row.id if done.row is not None else None,
        "is_new": done.is_new,
        "format": counts.format,
        "lines": counts.lines,
        "persons": counts.persons if done.is_new or done.row is None else done.row.persons,
        "added": counts.added,
        "left_out": counts.skipped,
        "bad_lines": bad.count,
        "bad_lines_file": str(bad.path) if bad.count else None,
        "read_as_windows_1252": counts.fallbacks,
        "offers_withheld": counts.withheld,
    })  # fmt: skip


def imports(
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")
    ] = 20,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The files that were imported, the newest first.

    [bold]Example[/bold]
      mailbot suppress imports
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.store import imports as imported

    with opened(config) as installation, installation.database.read() as conn:
        newest = imported.newest(conn, limit)
    if as_json:
        print_json([
            {name: getattr(one, name) for name in one.__slots__ if name != "key"} for one in newest
        ])  # fmt: skip
    elif not newest:
        typer.echo("No file was imported yet.")
    else:
        _show(newest)


def _show(newest: list[Import]) -> None:
    from mailbot.cli.showing import console, moment, printable, table

    shown = table(
        "No.", "File", "Format", "Finished (UTC)", "Lines", "Bad", "Persons", "New",
        wide="File", right=("No.", "Lines", "Bad", "Persons", "New"),
    )  # fmt: skip
    for one in newest:
        shown.add_row(
            str(one.id), printable(one.file_name), one.format,
            moment(one.finished_at) or "not yet", f"{one.lines:,}", f"{one.bad_lines:,}",
            f"{one.persons:,}" if one.finished_at else "", f"{one.added:,}",
        )  # fmt: skip
    console().print(shown)
