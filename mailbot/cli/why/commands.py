"""`mailbot why`: the whole story of one person on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.cli.why.story import Story


def why(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Case and a +tag do not matter.")
    ],
    campaign: Annotated[
        str | None,
        typer.Option("--campaign", metavar="NAME", help="Why this one was sent, or was not."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Every event and message, with all evidence.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Tell one person's whole story: what they asked, what they were sent, what was withheld.

    Newest first. Each event with its evidence, the rule that understood it and the
    policy in force; each message with the state of the list (#) that was looked at
    before it was sent or withheld, and whether it was right by that. Exit code 1
    where nothing is known of the address.

    [bold]Examples[/bold]
      mailbot why ann@example.org
      mailbot why "Ann <ann+shop@example.org>" --all --json
      mailbot why ann@example.org --campaign spring
    """
    from mailbot.cli.opening import opened_for_persons
    from mailbot.cli.why.story import as_json as in_json
    from mailbot.cli.why.story import tell
    from mailbot.core.address import parse_address

    named = parse_address(address)
    with opened_for_persons(config) as installation, installation.database.read() as conn:
        story = tell(conn, named, installation.person_key.identify(named), campaign)
    if as_json:
        from mailbot.cli.showing import print_json

        print_json(in_json(story))
    else:
        _show(story, show_all=show_all)
    if story.is_unknown:
        raise typer.Exit(1)


def _show(story: Story, *, show_all: bool) -> None:
    from mailbot.cli.why.screen import show_events, show_messages, show_standing

    show_standing(story)
    show_events(story, show_all=show_all)
    show_messages(story, show_all=show_all)
