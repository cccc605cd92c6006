"""`mailbot campaign test`: the letter to the team, before anybody else gets it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.cli.stop_marketing import who

if TYPE_CHECKING:
    from mailbot.cli.opening import OpenedForPersons
    from mailbot.config import Settings
    from mailbot.core.address import Address
    from mailbot.outbound.test_mail import TeamLine
    from mailbot.store.engine import Connection


def to_team(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the campaign is called.")],
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="ADDRESS", help="Who is to see it; repeat it, at most 10."),
    ],
    line: Annotated[
        int,
        typer.Option(
            "--line",
            "--as",
            min=1,
            metavar="N",
            help="Whose fields: the line of the audience file.",
        ),
    ] = 1,
    mark: Annotated[bool, typer.Option("--mark", help="Begin the subject with “[Test] ”.")] = False,
    anyone: Annotated[
        bool, typer.Option("--anyone", help="Also to addresses outside the shop's own domains.")
    ] = False,
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="Who does it: else your login name.")
    ] = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Send the letter to the team now, byte for byte as a customer would get it.

    Its fields are one customer's, its address and its way out are the reader's
    own: who presses “unsubscribe” in it leaves the list alone. So who is on the
    do-not-send list gets none. It waits for no pace and no quiet hours, and
    counts in no figures. Its headers say “X-Mailbot-Test: yes”. Exit code 1
    where somebody got none.

    [bold]Examples[/bold]
      mailbot campaign test spring --to me@shop.example
      mailbot campaign test spring --to me@shop.example \\
          --to boss@shop.example --line 17 --mark
    """
    from mailbot.cli.campaign.test_mail_screen import as_json as plain
    from mailbot.cli.campaign.test_mail_screen import show_tested
    from mailbot.cli.opening import opened_for_persons
    from mailbot.cli.showing import print_json
    from mailbot.outbound.preflight import House, refuse_faulty
    from mailbot.outbound.test_mail import SUBJECT_MARK, send_test
    from mailbot.store import campaigns
    from mailbot.store.restoring import Keeper

    with opened_for_persons(config) as installation:
        settings, database = installation.settings, installation.database
        recipients = _of_the_team(to, settings, anyone=anyone)
        # As a daemon that starts: is this the database that we knew, or an older one?
        Keeper(database, settings.store.journal_folder).keep_quietly()
        with database.read() as conn:
            campaign = campaigns.get(conn, name)
            _refuse_now(conn, settings)
            refuse_faulty(conn, campaign, House.of(settings))
        tested = send_test(
            database, campaign, recipients, _line_of(installation), by=by or who(),
            audience_line=line, mark=SUBJECT_MARK if mark else "",
        )  # fmt: skip
    if as_json:
        print_json(plain(campaign, tested))
    else:
        show_tested(campaign, tested)
    if tested.sent < len(tested.answers):
        raise typer.Exit(1)


def _line_of(installation: OpenedForPersons) -> TeamLine:
    from mailbot.config import load_dkim_keys, load_token_keys, read_relay_secret
    from mailbot.outbound.letterhead import Letterhead
    from mailbot.outbound.smtp import RelayConnection
    from mailbot.outbound.test_mail import TeamLine

    settings = installation.settings
    return TeamLine(
        installation.person_key,
        Letterhead.of(settings, load_token_keys(settings)),
        load_dkim_keys(settings),
        lambda: RelayConnection(settings.relay, partial(read_relay_secret, settings)),
    )


def _of_the_team(to: Iterable[str], settings: Settings, *, anyone: bool) -> list[Address]:
    """Raises AddressError for what is no address, RefusedError for a stranger's."""
    from mailbot.core.address import parse_address
    from mailbot.core.errors import RefusedError

    recipients = [parse_address(one) for one in to]
    strangers = [one.text for one in recipients if one.domain not in settings.team_domains]
    if strangers and not anyone:
        raise RefusedError(
            f"not in the shop's own domains ({', '.join(sorted(settings.team_domains))}): "
            f"{', '.join(strangers)}. Nothing was sent.",
            next_step="A test shows a customer's fields. If they may see them: add --anyone, or "
            "name their domain in shop.own_domains.",
        )
    return recipients


def _refuse_now(conn: Connection, settings: Settings) -> None:
    """Raise RefusedError where no marketing leaves this house at all."""
    from mailbot.core.errors import RefusedError
    from mailbot.store import switches

    if settings.recognition.mode == "shadow":
        raise RefusedError(
            "mailbot only watches, and sends nothing.",
            next_step='Set recognition.mode = "live", or look with mailbot campaign preview.',
        )
    if switches.is_marketing_stopped(conn):
        raise RefusedError(
            "all marketing is stopped, test mails as well.",
            next_step="mailbot status says why, and what lets it go on.",
        )
