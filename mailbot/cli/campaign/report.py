"""`mailbot campaign report`: what became of a campaign, in numbers and in the relay's words."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mailbot.cli.campaign.screen import Numbers

_MOST_WORDS: Final = 5


def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the campaign is called.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """What became of a campaign: sent, withheld and why, and what failed in the relay's words.

    Numbers only. The words bear no address, and none is shown that fewer than five
    messages got. A bounce may be reported days after a message was sent: then it
    moves from sent to bounced.

    [bold]Examples[/bold]
      mailbot campaign report spring
      mailbot campaign report spring --json
    """
    from mailbot.cli.campaign.screen import in_numbers
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.core.cells import in_cells
    from mailbot.core.outbox_states import State
    from mailbot.store import campaign_replies, campaigns

    with opened(config) as installation, installation.database.read() as conn:
        numbers = in_numbers(conn, campaigns.get(conn, name))
        later = campaign_replies.bounced_later(conn, numbers.campaign.id)
        said: dict[str, dict[str, int]] = {}
        for state in (State.BOUNCED, State.REJECTED, State.EXPIRED, State.DEFERRED):
            if numbers.state(state):
                replies = campaign_replies.of_state(conn, numbers.campaign.id, state)
                said[str(state)] = in_cells({**replies.by_words, "": replies.wordless})
    if as_json:
        print_json(_as_json(numbers, later, said))
    else:
        _show(numbers, later, said)


def _as_json(
    numbers: Numbers, later: int, said: Mapping[str, Mapping[str, int]]
) -> dict[str, object]:
    return {
        **numbers.as_json(),
        "bounced_later": later,
        "replies": {
            state: [
                {"words": words or None, "count": count}
                for words, count in by_words.items()
            ]
            for state, by_words in said.items()
        },
    }  # fmt: skip


def _show(numbers: Numbers, later: int, said: Mapping[str, Mapping[str, int]]) -> None:
    from mailbot.cli.showing import console, moment, printable, words
    from mailbot.core.cells import in_cells
    from mailbot.core.outbox_states import State

    screen, campaign = console(), numbers.campaign
    screen.print(f"“{printable(campaign.name)}” is {campaign.state}.")
    if campaign.send_at:
        screen.print(f"Sent from: {moment(campaign.send_at)} UTC")
    screen.print(f"\n  {numbers.progress.audience:>9,}  people in the audience")
    for state in (
        State.SENT, State.WITHHELD, State.BOUNCED, State.REJECTED, State.DEFERRED, State.EXPIRED,
        State.UNCERTAIN, State.CANCELLED,
    ):  # fmt: skip
        if state is State.WITHHELD:
            for reason, count in in_cells(numbers.progress.withheld).items():
                screen.print(f"  {count:>9,}  withheld: {words(reason)}")
        elif count := numbers.state(state):
            came = f", of these {later:,} after the relay had taken them" if later else ""
            screen.print(f"  {count:>9,}  {state}{came if state is State.BOUNCED else ''}")
            _show_words(said.get(state, {}))
    if numbers.waiting:
        screen.print(f"  {numbers.waiting:>9,}  still waiting")
    if numbers.state(State.UNCERTAIN):
        command = f"mailbot campaign uncertain {shlex.quote(campaign.name)}"
        screen.print(f"\nDecide about what is uncertain: {command}", soft_wrap=True)


def _show_words(by_words: Mapping[str, int]) -> None:
    from mailbot.cli.showing import console, printable, words
    from mailbot.core.cells import SMALL_CELLS

    shown = [one for one in by_words.items() if one[0] != SMALL_CELLS][:_MOST_WORDS]
    for said, count in shown:
        text = f"“{printable(said)}”" if said else "nothing is kept of what was said"
        console().print(f"             {count:>7,}  {text}")
    rest = sum(by_words.values()) - sum(count for _, count in shown)
    if rest:
        few = SMALL_CELLS in by_words and len(shown) == len(by_words) - 1
        told = f"other words, {words(SMALL_CELLS)}" if few else "other words"
        console().print(f"             {rest:>7,}  {told}")
