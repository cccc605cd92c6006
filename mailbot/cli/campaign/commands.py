"""`mailbot campaign`: marketing's own commands, from the draft to the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.campaign import audit, preflight, preview, report, test_mail
from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.cli.stop_marketing import who
from mailbot.cli.uncertain import commands as uncertain

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailbot.store.campaigns import Campaign
    from mailbot.store.engine import Connection, Database

app = typer.Typer(no_args_is_help=True)
app.command("audit")(audit.audit)
app.command("report")(report.report)
app.command("uncertain")(uncertain.of_campaign)
app.command("preflight")(preflight.preflight)
app.command("preview")(preview.preview)
app.command("test")(test_mail.to_team)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the campaign is called.")]
_Because = Annotated[
    str, typer.Option("--because", metavar="TEXT", help="Why; it stays with the campaign.")
]
_By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who does it: else your login name.")
]
_PerHour = Annotated[
    int | None,
    typer.Option("--per-hour", metavar="N", min=1, max=10_000_000, help="At most so many an hour."),
]
_PerHourAndDomain = Annotated[
    int | None,
    typer.Option(
        "--per-hour-and-domain", metavar="N", min=1, max=10_000_000,
        help="And to each recipient domain.",
    ),
]  # fmt: skip


@app.callback()
def campaign() -> None:
    """Marketing mail: one letter, many people, one time.

    create, then schedule. What is scheduled or being sent can be paused, then
    resumed; what is not over can be cancelled. Who is on the do-not-send list is
    left out, and the list is read again immediately before each single message.
    """


@app.command()
def create(
    name: _Name,
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            "--template",
            metavar="FILE",
            readable=False,
            help="The letter as text, if it is not to be made from the HTML.",
        ),
    ] = None,
    audience: Annotated[
        Path | None,
        typer.Option(
            "--audience",
            metavar="FILE.csv",
            readable=False,  # of each file here: reading it says more than typer would
            help="The people: any columns.",
        ),
    ] = None,
    audience_from: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Or an [[audience]] of the settings, with --query."),
    ] = None,
    query: Annotated[
        Path | None,
        typer.Option(metavar="FILE.sql", readable=False, help="One SELECT for that database."),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Else the text begins with a line “Subject: …” and a blank one."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", readable=False, help="The letter as HTML."),
    ] = None,
    email_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Which column holds the address, if not “email”."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="Call a column so in the letter; repeat it."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the file, if neither UTF-8 nor marked."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave lines out that name nobody.")
    ] = False,
    bad_lines: Annotated[
        Path | None,
        typer.Option("--bad-lines", metavar="FILE", help="Write those there, with the reason."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Make a draft from a letter and a CSV file, and say who it would reach.

    Every column is a field of the letter: {{ first_name }}. Nothing is created
    where the letter or a line of the file has a fault; --skip-bad creates it
    without the bad lines. Of an HTML letter alone the text part is made as well.

    [bold]Examples[/bold]
      mailbot campaign create spring --subject "New teas are in" \\
          --text spring.txt --html spring.html --audience customers.csv
      mailbot campaign create spring --text spring.txt \\
          --audience list.csv --email-column Kunde \\
          --field first_name=Vorname --encoding windows-1252
      mailbot campaign create spring --text spring.txt \\
          --audience-from shop --query customers.sql
    """
    from mailbot.cli.campaign.draft import People, create_draft
    from mailbot.cli.campaign.screen import show_draft

    file = audience or query
    is_queried = audience_from is not None and query is not None and encoding is None
    if file is None or (audience is None) is not is_queried or (query and not is_queried):
        raise typer.BadParameter(
            "say who: either --audience FILE.csv, or --audience-from SOURCE with --query FILE.sql "
            "(and without --encoding)",
            param_hint="'--audience'",
        )
    draft = create_draft(
        config,
        name=name,
        subject=subject,
        text_file=text,
        html_file=html,
        people=People(
            file, audience_from, email_column, encoding, field or (), skip_bad, bad_lines
        ),
    )
    show_draft(draft, as_json=as_json)


@app.command()
def schedule(
    name: _Name,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help='Like "2027-03-01 09:00".')
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="Like Europe/Berlin.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Start at once.")] = False,
    quiet: Annotated[
        str | None,
        typer.Option("--quiet", metavar="HOURS", help='Nothing goes out in them; or "none".'),
    ] = None,
    per_hour: _PerHour = None,
    per_hour_and_domain: _PerHourAndDomain = None,
    by: _By = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Say when a draft is to be sent; again, to change it while it waits.

    Without --quiet the hours of the settings hold, by clocks in --zone. The pace
    of the settings holds for all campaigns together, this one for it alone.

    [bold]Examples[/bold]
      mailbot campaign schedule spring --at "2027-03-01 09:00" \\
          --zone Europe/Berlin
      mailbot campaign schedule spring --now --per-hour 2000
      mailbot campaign schedule spring --now --quiet 21:00-08:00 \\
          --zone Europe/Berlin
    """
    from mailbot.cli.campaign.screen import show_scheduled
    from mailbot.cli.campaign.sending_time import read_plan, read_sending_time
    from mailbot.cli.opening import opened
    from mailbot.outbound.preflight import House, refuse_faulty
    from mailbot.store import campaign_changes, campaign_figures, campaigns
    from mailbot.store import engine as store

    if (at is None) is not now:
        raise typer.BadParameter("say when: either a time or --now", param_hint="'--at' or '--now'")
    if now and zone is not None and quiet is None:
        raise typer.BadParameter("--now needs no zone without --quiet", param_hint="'--zone'")
    with opened(config) as installation:
        with installation.database.read() as conn:
            draft = campaigns.get(conn, name)
            refuse_faulty(conn, draft, House.of(installation.settings))
        plan = read_plan(installation.settings, quiet, zone, per_hour, per_hour_and_domain)
        with installation.database.write() as conn:
            moment = store.now(conn)
            send_at = read_sending_time(at, zone, moment) if at is not None else moment
            before = campaigns.get(conn, name)
            change = campaign_changes.last(conn, before.id)
            scheduled = campaigns.schedule(conn, name, send_at, plan, by=by or who())
        with installation.database.read() as conn:  # counting must not hold up who writes
            reachable, excluded = campaign_figures.reach(conn, scheduled.id)
        show_scheduled(
            scheduled, reachable, excluded, zone=zone, before=before, change=change,
            at=moment, as_json=as_json,
        )  # fmt: skip


@app.command()
def pause(
    name: _Name,
    because: _Because = "",
    by: _By = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Hold a campaign where it is. What is on the wire at this moment may still go out.

    [bold]Example[/bold]
      mailbot campaign pause spring --because "the shop is out of stock"
    """
    from mailbot.store import campaigns

    person = by or who()
    why = because or f"paused by {person}"
    pausing = _written(lambda conn: campaigns.pause(conn, name, why, by=person))
    _move(config, as_json, f"“{name}” is paused.", pausing)


@app.command()
def resume(
    name: _Name,
    despite_brake: Annotated[
        bool,
        typer.Option("--despite-brake", help="Also where complaints or bounces stopped it."),
    ] = False,
    by: _By = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Let a paused campaign go on where it was: nobody gets it twice.

    It is also the answer where mailbot paused a campaign by itself because it was
    late. One that complaints or undeliverable addresses stopped goes on only
    --despite-brake, and stops again for what goes wrong from then on.

    [bold]Examples[/bold]
      mailbot campaign resume spring
      mailbot campaign resume spring --despite-brake
    """
    from mailbot.store import campaign_brakes

    person = by or who()
    resuming = _written(
        lambda conn: campaign_brakes.resume(conn, name, by=person, despite_brake=despite_brake)
    )
    _move(config, as_json, f"“{name}” goes on.", resuming)


@app.command()
def cancel(
    name: _Name,
    because: _Because = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    by: _By = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """End a campaign for good. What was sent stays sent; the rest never goes out.

    [bold]Example[/bold]
      mailbot campaign cancel spring --because "wrong price"
    """
    from mailbot.outbound import campaigns

    if not yes and sys.stdin.isatty():
        typer.confirm(f"End “{name}” for good?", abort=True, err=True)
    person = by or who()
    why = because or f"cancelled by {person}"
    told = f"“{name}” is over."
    _move(config, as_json, told, lambda database: campaigns.cancel(database, name, why, by=person))


@app.command("status")
def show(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One; else all.")] = None,
    watched: Annotated[
        bool, typer.Option("--watch", "-w", help="Look each second until it has ended.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """How far campaigns are, in numbers: never who.

    --watch goes on by itself until the campaign is done or cancelled; Ctrl-C ends
    the watching alone. To a pipe it writes one line for each change, with --json
    one object for each look.

    [bold]Examples[/bold]
      mailbot campaign status
      mailbot campaign status spring --json
      mailbot campaign status spring --watch
    """
    from mailbot.cli.campaign.screen import show_all, show_one
    from mailbot.cli.opening import opened

    if watched and name is None:
        raise typer.BadParameter("say which campaign to watch", param_hint="NAME")
    if watched and name is not None:
        from mailbot.cli.campaign.watch import watch
        from mailbot.core.pace import Limits

        with opened(config) as installation:
            paced = installation.settings.campaigns
            of_all = Limits(paced.per_hour, paced.per_hour_and_domain)
            watch(installation.database, name, of_all, as_json=as_json)
        return
    with opened(config) as installation, installation.database.read() as conn:
        if name is None:
            show_all(conn, as_json=as_json)
        else:
            show_one(conn, name, as_json=as_json)


def _move(config: Path, as_json: bool, told: str, change: Callable[[Database], Campaign]) -> None:
    from mailbot.cli.campaign.screen import in_numbers, show_moved
    from mailbot.cli.opening import opened
    from mailbot.core.errors import RefusedError

    with opened(config) as installation:
        try:
            moved = change(installation.database)
        except RefusedError as error:
            next_step = error.next_step or "mailbot campaign --help says what can follow what."
            raise RefusedError(error.what, where=error.where, next_step=next_step) from error
        with installation.database.read() as conn:  # counting must not hold up who writes
            numbers = in_numbers(conn, moved)
    show_moved(numbers, told, as_json=as_json)


def _written(change: Callable[[Connection], Campaign]) -> Callable[[Database], Campaign]:
    def write(database: Database) -> Campaign:
        with database.write() as conn:
            return change(conn)

    return write
