"""`mailbot status`: how it is, on one screen, and what needs a person."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mailbot.cli.status.situation import Situation


def status(
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Print figures for Prometheus instead.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Show mailboxes, list, outbox, campaigns and reviews on one screen.

    Exit code 1 where something needs a person; what it is stands at the end. With
    --metrics it is 0 whenever the figures could be read.

    [bold]Examples[/bold]
      mailbot status
      mailbot status --json
      mailbot status --metrics > /var/lib/node_exporter/mailbot.prom
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.cli.status.metrics import as_metrics
    from mailbot.cli.status.situation import look

    with opened(config) as installation:
        found = look(installation)
    if metrics:
        typer.echo(as_metrics(found), nl=False)
        return
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)
    if found.needs:
        raise typer.Exit(1)


def _show(found: Situation) -> None:
    from rich.table import Table
    from rich.text import Text

    from mailbot.cli.campaign.screen import show_table
    from mailbot.cli.showing import console, counted, printable
    from mailbot.cli.status.legal_clock import lines as clock_lines

    screen = console()

    def heading(words: str) -> None:
        screen.print()
        screen.print(Text(words, "bold"))

    policy = f", privacy policy {printable(found.policy_version)}"
    screen.print(Text(f"{found.shop}, {found.now:%Y-%m-%d %H:%M} UTC{policy}", "bold"))
    if found.marketing.is_on:
        since = f" since {found.marketing.set_at:%Y-%m-%d %H:%M}" if found.marketing.set_at else ""
        words = f"Marketing is stopped{since}: {printable(found.marketing.because)}"
        screen.print(Text(words, "bold yellow"))
    if found.shadow is not None:
        _show_shadow(found.shadow)
    heading("Mailboxes")
    _show_mailboxes(found)
    heading("Do-not-send list")
    total = sum(found.listed.values())
    by_reason = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found.listed.items()))
    screen.print(f"  {counted(total, 'entry', 'entries')}{': ' if total else ''}{by_reason}")
    heading("Legal clock")
    for line in clock_lines(found.clock, found.now):
        screen.print(f"  {line}")
    heading("Outbox")
    _show_outbox(found)
    if found.campaigns:
        heading("Campaigns under way")
        show_table(found.campaigns)
    if found.reviews:
        heading("Reviews waiting")
        _show_reviews(found)
    screen.print()
    if found.needs:
        screen.print(Text("This needs a person:", "bold red"))
        listed = Table.grid(padding=(0, 1))
        for need in found.needs:
            listed.add_row(" •", printable(need))
        screen.print(listed)
    else:
        screen.print(Text("Nothing needs a person.", "green"))


def _ago(at: datetime | None, now: datetime) -> str:
    from mailbot.cli.showing import span

    return f"{span(now - at)} ago" if at else "never"


def _show_shadow(would: Mapping[str, int]) -> None:
    from rich.text import Text

    from mailbot.cli.showing import console, words

    listed = ", ".join(f"{count:,} × {words(kind)}" for kind, count in sorted(would.items()))
    console().print(Text("Shadow mode: mailbot only watches, and sends nothing.", "bold yellow"))
    console().print(f"  So far it would have recorded: {listed or 'nothing'}.")
    console().print('  Look with `mailbot replay`; go live with mode = "live" in [recognition].')


def _show_mailboxes(found: Situation) -> None:
    from mailbot.cli.showing import console, moment, printable, table

    shown = table("Mailbox", "Last heard", "Read by", "Blind since (UTC)", wide="Mailbox")
    for mailbox in found.mailboxes:
        shown.add_row(
            printable(mailbox.account),
            _ago(mailbox.heard_at, found.now),
            printable((mailbox.claimed_by or "nobody").partition(":")[0]),
            moment(mailbox.blind_since) or "–",
        )
    console().print(shown)


def _show_outbox(found: Situation) -> None:
    from mailbot.cli.showing import console, span, table

    screen = console()
    if not found.outbox:
        screen.print("  empty")
        return
    used = [name for name in found.outbox_columns if any(row.get(name) for row in
            found.outbox.values())]  # fmt: skip
    shown = table("Kind", *used, right=used)
    for kind, row in found.outbox.items():
        shown.add_row(kind.replace("_", " "), *(f"{row.get(name, 0):,}" for name in used))
    screen.print(shown)
    if found.oldest_waiting_at and found.now - found.oldest_waiting_at > timedelta(minutes=1):
        screen.print(
            f"  The oldest that is due waits for {span(found.now - found.oldest_waiting_at)}."
        )


def _show_reviews(found: Situation) -> None:
    from mailbot.cli.showing import console, moment, printable, table

    shown = table("Id", "Due (UTC)", "Folder", "Because", wide="Because", right=["Id"])
    for item in found.reviews[:10]:
        shown.add_row(
            str(item.id), moment(item.due_at), printable(item.place.folder),
            printable(item.because),
        )  # fmt: skip
    console().print(shown)
    if len(found.reviews) > 10:
        console().print(f"  and {len(found.reviews) - 10:,} more")
