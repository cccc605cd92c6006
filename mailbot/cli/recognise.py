"""`mailbot recognise`: what mailbot makes of a mail, touching nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator


def recognise(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH…", readable=False, help="Mails, folders of mails, mbox files."
        ),
    ],
    format: Annotated[
        Literal["table", "jsonl"], typer.Option("--format", help="jsonl: one object a mail.")
    ] = "table",
) -> None:
    """Say what mailbot would make of each mail: opt_out, bounce, auto_reply, review, unrelated …

    It needs no settings, knows nothing of your customers, and changes nothing.
    Exit code 0 whatever the mails are, 65 where a file could not be read.

    [bold]Examples[/bold]
      mailbot recognise mail.eml
      mailbot recognise Maildir/cur archive.mbox --format jsonl
    """
    from mailbot.cli.mail_files import every_mail
    from mailbot.core.inbound_message import read_message
    from mailbot.core.recognition import describe
    from mailbot.core.recognition import recognise as judge
    from mailbot.core.verdicts import Facts
    from mailbot.data import load_vocabulary

    facts = Facts(vocabulary=load_vocabulary())
    unread: list[Path] = []
    found = (
        {**place, **describe(judge(read_message(raw), facts))}
        for place, raw in every_mail(paths, unread)
    )
    if format == "jsonl":
        from mailbot.cli.showing import print_json_line

        for verdict in found:
            print_json_line(verdict)
    else:
        _show(found)
    if unread:
        raise typer.Exit(65)


def _show(found: Iterator[dict[str, object]]) -> None:
    from mailbot.cli.showing import console, printable, table

    shown = table("Mail", "Verdict", "Rule", "About", wide="About")
    counts: dict[str, int] = {}
    for verdict in found:
        name = str(verdict["verdict"])
        counts[name] = counts.get(name, 0) + 1
        addresses = verdict["addresses"]
        about = ", ".join(map(str, addresses)) if isinstance(addresses, list) else ""
        number = f" #{verdict['message']}" if "message" in verdict else ""
        shown.add_row(
            printable(Path(str(verdict["file"])).name)[-30:] + number,
            name,
            str(verdict["rule"]),
            printable(about),
        )
    if counts:
        console().print(shown)
    total = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    console().print(f"\n{total}" if counts else "There is no mail.")
