"""`mailbot campaign preflight`: everything that can be known of a campaign before it is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.config import Settings
    from mailbot.core.checklist import Check


def preflight(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the campaign is called.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Go through letter, law, links, people and DNS, and say what stands in the way.

    Each person's letter is written once and thrown away, so that a field that is
    missing in one line of a million is found here. An error forbids sending:
    `schedule` refuses then. A warning is for you to judge. Exit code 1 where
    there is an error.

    [bold]Examples[/bold]
      mailbot campaign preflight spring
      mailbot campaign preflight spring --json
    """
    from mailbot.cli.campaign.preflight_screen import as_json as plain
    from mailbot.cli.campaign.preflight_screen import show_preflight
    from mailbot.cli.ledger.screen import progress
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.outbound.preflight import House, examine
    from mailbot.store import campaigns

    with opened(config) as installation, installation.database.read() as conn:
        campaign = campaigns.get(conn, name)
        with progress(campaign.audience_count, "Letters") as tell:
            found = examine(conn, campaign, House.of(installation.settings), tell)
    found = replace(found, checks=(*found.checks, _domains(installation.settings)))
    if as_json:
        print_json(plain(campaign, found))
    else:
        show_preflight(campaign, found)
    if not found.is_ready:
        raise typer.Exit(1)


def _domains(settings: Settings) -> Check:
    """What the DNS says of our domains; whoever may not read the keys is told nothing of those."""
    from mailbot.config import load_dkim_keys
    from mailbot.core.errors import ConfigError
    from mailbot.outbound.dns import posture

    try:
        identities = load_dkim_keys(settings)
    except ConfigError:
        identities = ()
    return posture(settings, identities).as_check()
