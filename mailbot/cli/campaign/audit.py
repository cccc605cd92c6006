"""`mailbot campaign audit`: prove that nobody on the list was mailed, in numbers."""

from __future__ import annotations

from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json


def audit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the campaign is called.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Prove that nobody on the list was mailed, and say who was withheld and why, in numbers.

    Each message stores the number of the ledger's event up to which the list was
    read immediately before it left. The ledger says what stood on the list then:
    no clock is asked. What may or may not have arrived is judged like what was
    sent. It may be asked while the campaign runs. Exit code 1 where anything is
    wrong, or not proved. `mailbot ledger verify` proves the ledger itself.

    [bold]Examples[/bold]
      mailbot campaign audit spring
      mailbot campaign audit spring --json > spring-audit.json
    """
    from mailbot.cli.campaign.audit_screen import as_json as plain
    from mailbot.cli.campaign.audit_screen import show_audit
    from mailbot.cli.ledger.screen import progress
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.store import campaign_audit, campaigns

    with opened(config) as installation, installation.database.read() as conn:
        campaign = campaigns.get(conn, name)
        with progress(campaign.expanded_count, "Messages") as tell:
            found = campaign_audit.audit(conn, campaign, tell)
    if as_json:
        print_json(plain(campaign, found))
    else:
        show_audit(campaign, found)
    if not found.is_proved:
        raise typer.Exit(1)
