"""`mailbot check`: what stands in the way of a start, in plain words."""

from __future__ import annotations

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json


def check(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Look at settings, keys, database, mailbox and relay, and say what is wrong.

    It logs in to both servers and changes nothing: no mail is sent, none is
    marked as read. Exit code 1 where anything says FAIL.

    [bold]Examples[/bold]
      mailbot check
      sudo -u mailbot mailbot check --config /etc/mailbot/mailbot.toml
    """
    from contextlib import nullcontext

    from rich.table import Table
    from rich.text import Text

    from mailbot.cli.showing import console, print_json, printable
    from mailbot.doctor import Level, examine

    styles = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
    screen = console()
    has_failed = False
    findings = []
    waiting = screen.status("looking …") if screen.is_terminal and not as_json else nullcontext()
    with waiting:
        for finding in examine(config):
            has_failed = has_failed or finding.level is Level.FAIL
            if as_json:
                findings.append({
                    "level": finding.level,
                    "subject": finding.subject,
                    "what": finding.what,
                    "next_step": finding.next_step,
                })  # fmt: skip
                continue
            line = Table.grid(padding=(0, 1))
            line.add_column(width=4)
            line.add_row(
                Text(finding.level, styles[finding.level]),
                printable(f"{finding.subject}: {finding.what}"),
            )
            if finding.next_step:
                line.add_row("", Text(printable(finding.next_step), "italic"))
            screen.print(line)
    if as_json:
        print_json({"is_fine": not has_failed, "findings": findings})
    if has_failed:
        raise typer.Exit(1)
