"""`campaign`: marketing mail queued once for many."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.opening import ConfigOption, JsonOption, Opened, opened
from mailbot.core.errors import AudienceError, InputError, TemplateError

if TYPE_CHECKING:
    from mailbot.core.preflight import Fault
    from mailbot.core.templates import Template
    from mailbot.outbound.audience import Audience, BadLine
    from mailbot.store.campaigns import Campaign, Progress

app = typer.Typer(help="Special offers.", no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
BecauseOption = Annotated[str, typer.Option(help="Why; shown by status.")]
_BAD_LINES_SHOWN = 20


@app.command()
def create(
    name: NameArgument,
    subject: Annotated[str, typer.Option(help="May use the audience's columns: {{ first_name }}.")],
    text: Annotated[Path, typer.Option(metavar="FILE", help="The text part, a Jinja template.")],
    audience: Annotated[Path, typer.Option(metavar="FILE.csv", help="Who is to get it.")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="The HTML part.")] = None,
    email_column: Annotated[str | None, typer.Option(help="The column of the address.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out the lines that cannot be used.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a draft from a template and a CSV file, and say who would get it and who not.

    Nothing is stored while a line or the template has a fault; --skip-bad leaves such lines out.

    Example: mailbot campaign create spring --subject "New teas are in" --text spring.txt
    --audience customers.csv
    """
    from mailbot.outbound import campaigns
    from mailbot.outbound.audience import Audience
    from mailbot.store import campaigns as stored

    with opened(config) as mailbot:
        sources = _read(text), _read(html) if html else None
        template = campaigns.read_template(name, subject, *sources)
        people = Audience(audience, email_column)
        warnings = _preflight(mailbot, template, people)
        bad: list[BadLine] = []
        good = sum(1 for _ in people.lines(bad))
        if (bad and not skip_bad) or not good:
            raise AudienceError(_told(bad, good), where=str(audience), next_step=_ADVICE)
        campaign = campaigns.create(
            mailbot.database, mailbot.person_key, name=name, subject=subject,
            text_source=sources[0], html_source=sources[1], audience=people.lines([]),
        )  # fmt: skip
        with mailbot.database.read() as conn:
            reachable, excluded = stored.reach(conn, campaign.id)
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({
            "name": name, "state": campaign.state, "audience": good, "reachable": reachable,
            "excluded": excluded, "bad_lines": [asdict(line) for line in bad],
            "warnings": [asdict(fault) for fault in warnings],
        })  # fmt: skip
        return
    typer.echo(f"“{name}” is a draft: {good} people, {reachable} of them can be reached now.")
    for reason, count in sorted(excluded.items()):
        typer.echo(f"  left out: {count} ({reason.replace('_', ' ')})")
    for line in bad[:_BAD_LINES_SHOWN]:
        typer.echo(f"  line {line.line} is left out: {line.why}")
    for fault in warnings:
        typer.echo(f"  please look at {fault.where}: {fault.what} {fault.next_step}")
    typer.echo(f'Next: mailbot campaign schedule {name} --at "2027-03-01 09:00", or --now')


_ADVICE = "Mend these lines, or leave them out with --skip-bad. Nothing was stored."


def _told(bad: list[BadLine], good: int) -> str:
    if not bad:
        return "nobody stands in it"
    lines = [f"\n  line {line.line}: {line.why}" for line in bad[:_BAD_LINES_SHOWN]]
    more = len(bad) - len(lines)
    rest = f"\n  and {more} more" if more > 0 else ""
    return f"{len(bad)} lines cannot be used, {good} can:{''.join(lines)}{rest}\n "


def _preflight(mailbot: Opened, template: Template, people: Audience) -> list[Fault]:
    """Refuse what must not go out; return what a person should look at."""
    from mailbot.config import load_token_keys
    from mailbot.core.preflight import Severity, campaign_faults
    from mailbot.outbound.letterhead import Letterhead

    letterhead = Letterhead.of(mailbot.settings, load_token_keys(mailbot.settings))
    faults = campaign_faults(
        template,
        [column for column in people.columns if column != people.address_column],
        letterhead.marketing.address,
        letterhead.order_status.address,
        letterhead.shop.postal_address,
    )
    errors = [fault for fault in faults if fault.severity is Severity.ERROR]
    if errors:
        listed = "".join(f"\n  {fault.where}: {fault.what} {fault.next_step}" for fault in errors)
        raise TemplateError(f"cannot be sent like this:{listed}", where=template.name)
    return [fault for fault in faults if fault.severity is not Severity.ERROR]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateError(
            "this file is not UTF-8", where=str(path), next_step="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise TemplateError(
            f"cannot be read ({error.strerror})", where=str(path), next_step="Name a file."
        ) from error


@app.command()
def schedule(
    name: NameArgument,
    at: Annotated[str | None, typer.Option(metavar='"2027-03-01 09:00"', help="When.")] = None,
    zone: Annotated[str, typer.Option(help="The time's zone, like Europe/Berlin.")] = "UTC",
    now: Annotated[bool, typer.Option("--now", help="At once.")] = False,
    config: ConfigOption = None,
) -> None:
    """Set when a campaign is sent.

    Example: mailbot campaign schedule spring --at "2027-03-01 09:00" --zone Europe/Berlin
    """
    from mailbot.store import campaigns, engine

    if now == (at is not None):
        raise typer.BadParameter("give either --at or --now")
    with opened(config) as mailbot, mailbot.database.write() as conn:
        current = engine.now(conn)
        send_at = current if at is None else _moment(at, zone)
        if send_at < current:
            raise InputError(
                f"{at} in {zone} is past (it is {current:%Y-%m-%d %H:%M} UTC)",
                next_step="Give a time to come, or --now.",
            )
        campaigns.schedule(conn, name, send_at)
    typer.echo(
        f"“{name}” goes out " + ("now." if at is None else f"at {send_at:%Y-%m-%d %H:%M} UTC.")
    )


def _moment(text: str, zone_name: str) -> datetime:
    from datetime import UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(
            f"“{zone_name}” is no time zone", next_step="Write one like Europe/Berlin, or UTC."
        ) from error
    try:
        local = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"“{text}” is no time", next_step="Write it like 2027-03-01 09:00."
        ) from error
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        raise InputError(
            f"there is no {text} in {zone_name}: the clocks skip it",
            next_step="Give a time an hour before or after.",
        )
    return moment


@app.command()
def pause(name: NameArgument, because: BecauseOption = "", config: ConfigOption = None) -> None:
    """Stop sending a campaign; resume goes on where it was.

    Example: mailbot campaign pause spring --because "wrong price"
    """
    from mailbot.store import campaigns

    with opened(config) as mailbot, mailbot.database.write() as conn:
        campaigns.pause(conn, name, because)
    typer.echo(f"“{name}” is paused.")


@app.command()
def resume(name: NameArgument, config: ConfigOption = None) -> None:
    """Go on with a paused campaign.

    Example: mailbot campaign resume spring
    """
    from mailbot.store import campaigns

    with opened(config) as mailbot, mailbot.database.write() as conn:
        campaign = campaigns.resume(conn, name)
    typer.echo(f"“{name}” is {campaign.state}.")


@app.command()
def cancel(name: NameArgument, because: BecauseOption = "", config: ConfigOption = None) -> None:
    """End a campaign for good: what waits is not sent, what was sent stays sent.

    Example: mailbot campaign cancel spring --because "wrong price"
    """
    from mailbot.store import campaigns

    with opened(config) as mailbot, mailbot.database.write() as conn:
        campaigns.cancel(conn, name, because)
    typer.echo(f"“{name}” is cancelled.")


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how far campaigns are, in numbers: never who.

    Example: mailbot campaign status spring
    """
    from mailbot.store import campaigns

    with opened(config) as mailbot, mailbot.database.read() as conn:
        found = campaigns.every(conn) if name is None else [campaigns.get(conn, name)]
        counted = [(campaign, campaigns.progress(conn, campaign.id)) for campaign in found]
    if as_json:
        from mailbot.cli.showing import print_json

        print_json([_as_plain(campaign, progress) for campaign, progress in counted])
        return
    if not counted:
        typer.echo("There are no campaigns yet: mailbot campaign create makes one.")
        return
    _print(counted)


def _print(counted: list[tuple[Campaign, Progress]]) -> None:
    from mailbot.cli.showing import console, shown, table

    rows = []
    for campaign, progress in counted:
        by_state = ", ".join(
            f"{count} {shown(state)}" for state, count in progress.by_state.items()
        )
        withheld = ", ".join(f"{count} {shown(why)}" for why, count in progress.withheld.items())
        rows.append((
            campaign.name, campaign.state, campaign.send_at, progress.audience, by_state,
            withheld or campaign.because,
        ))  # fmt: skip
    columns = ["campaign", "state", "sent from", "people", "messages", "withheld because"]
    console().print(table("", columns, rows))


def _as_plain(campaign: Campaign, progress: Progress) -> dict[str, object]:
    return {
        "name": campaign.name, "state": campaign.state, "send_at": campaign.send_at,
        "because": campaign.because, "audience": progress.audience,
        "messages": progress.by_state, "withheld": progress.withheld,
    }  # fmt: skip
