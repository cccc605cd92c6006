"""`mailbot suppress diff`: a file against our list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.cli.suppress.importing import FILE, Column, Delimiter, Encoding, FormatOption, wanted

if TYPE_CHECKING:
    from mailbot.lists.bad_lines import BadLinesFile
    from mailbot.lists.comparing import Compared


def diff(
    file: FILE,
    only_in_file: Annotated[
        str | None,
        typer.Option("--only-in-file", metavar="FILE", help="Write who is not on our list there."),
    ] = None,
    only_on_list: Annotated[
        str | None,
        typer.Option("--only-on-list", metavar="FILE", help="Write who is not in the file there."),
    ] = None,
    reason: Annotated[
        str,
        typer.Option("--reason", metavar="TEXT", help="Why, with --only-on-list: it is an export."),
    ] = "",
    column: Column = None,
    format_: FormatOption = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Who is in a file and not on our list, and who is on the list and not in the file.

    Changes nothing on the list. Two spellings of one mailbox are one, and so are
    two +tags. Exit code 1 where the two differ.

    [bold]Examples[/bold]
      mailbot suppress diff mailchimp.csv
      mailbot suppress diff ses.json --only-in-file missing.txt
      mailbot suppress diff ses.json --only-on-list more.txt --reason "to be added at SES"
    """
    from mailbot.cli.list_progress import shown_progress, size_of
    from mailbot.cli.opening import opened_for_persons
    from mailbot.cli.showing import print_json
    from mailbot.cli.stop_marketing import who
    from mailbot.lists.bad_lines import BadLinesFile
    from mailbot.lists.comparing import compare
    from mailbot.lists.giving_out import record_giving_out
    from mailbot.lists.importing import Order
    from mailbot.lists.spool import folder_beside

    why = _why(only_on_list, reason)
    bad = BadLinesFile(file.with_name(f"{file.name}.bad-lines.csv"))
    order = Order(file, wanted(column, format_, delimiter), who(), "", encoding)
    with (
        opened_for_persons(config) as installation,
        _lines(only_in_file) as missing,
        _lines(only_on_list) as more,
    ):
        try:
            with shown_progress(size_of(file)) as progress:
                found = compare(
                    installation.database,
                    installation.person_key,
                    order,
                    sort_in=folder_beside(installation.settings.store.url),
                    bad_lines=bad,
                    progress=progress,
                    only_in_file=missing.add,
                    only_on_list=more.add,
                )
        finally:
            bad.close()
        if only_on_list is not None and more.count:
            # Before the file gets its name.
            evidence = {"reason": why, "what": "whoever is not in a file", "file": file.name}
            record_giving_out(
                installation.hand, count=more.count, digest=more.digest, evidence=evidence
            )
    if as_json:
        print_json({
            "in_both": found.in_both, "only_in_file": found.only_in_file,
            "only_on_list": found.only_on_list, "left_out": found.counts.skipped,
            "bad_lines": bad.count,
        })  # fmt: skip
    else:
        _tell(found, bad)
        _tell_files(missing, more)
    if found.only_in_file or found.only_on_list:
        raise typer.Exit(1)


def _why(only_on_list: str | None, reason: str) -> str:
    from mailbot.cli.private_file import STANDARD_OUTPUT
    from mailbot.core.errors import InputError
    from mailbot.lists.giving_out import checked_reason

    if only_on_list is None:
        return ""
    if only_on_list == STANDARD_OUTPUT:
        raise InputError("this is written to a file only.", where="--only-on-list")
    return checked_reason(reason)


class _Lines:
    """One address a line, into a file that may be none; who has no address is counted."""

    def __init__(self, path: str, out: TextIO | None) -> None:
        self.path = path
        self.count = 0
        self.without_address = 0
        self._out = out
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """What `core.consent.batch_digest` says of the hashes, which came sorted."""
        return self._hash.hexdigest()

    def add(self, mailbox: str, address: str) -> None:
        if not address:
            self.without_address += 1
        elif self._out is not None:
            self._hash.update(f"\n{mailbox}".encode() if self.count else mailbox.encode())
            self.count += 1
            self._out.write(address + "\n")


@contextmanager
def _lines(path: str | None) -> Iterator[_Lines]:
    from mailbot.cli.private_file import private_file

    if path is None:
        yield _Lines("", None)
        return
    with private_file(path) as out:
        yield _Lines(path, out)


def _tell(found: Compared, bad: BadLinesFile) -> None:
    from mailbot.cli.showing import counted

    typer.echo(f"{found.in_both:>12,}  in both")
    typer.echo(f"{found.only_in_file:>12,}  only in the file")
    typer.echo(f"{found.only_on_list:>12,}  only on our list")
    if found.counts.skipped:
        skipped = counted(found.counts.skipped, "line")
        typer.echo(f"{skipped} of the file left out: no lasting reason to suppress.")
    if bad.count:
        typer.echo(f"{counted(bad.count, 'bad line')}, each with its number in {bad.path}")


def _tell_files(*written: _Lines) -> None:
    from mailbot.cli.showing import counted

    for lines in written:
        if lines.path not in ("", "-"):
            typer.echo(f"{counted(lines.count, 'address', 'addresses')} in {lines.path}")
        if lines.path and lines.without_address:
            typer.echo(f"  {lines.without_address:,} more were erased and have no address.")
