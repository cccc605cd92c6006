"""What `mailbot campaign audit` prints: numbers, never a person."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from mailbot.cli.campaign.origin import origin_as_json, origin_line
from mailbot.cli.showing import console, counted, printable, words
from mailbot.core.audit import BROKEN, UNPROVED, Finding
from mailbot.core.cells import in_cells
from mailbot.core.outbox_states import State
from mailbot.store.campaign_audit import Audit
from mailbot.store.campaigns import Campaign
from mailbot.store.tables import CampaignState

_WORDS: Final = {
    Finding.PROVED: "allowed by the list that was looked at",
    Finding.LISTED: "left although the list said no",
    Finding.BEYOND: "store a number that the ledger has not come to",
    Finding.NO_NUMBER: "store no number: no look at the list is known",
    Finding.UNTOLD: "may have been named by an import that has changed since",
}


def as_json(campaign: Campaign, found: Audit) -> dict[str, object]:
    """Plain values."""
    return {
        "name": campaign.name,
        "state": campaign.state,
        "is_over": _is_over(campaign, found),
        "is_proved": found.is_proved,
        "ledger_length": found.ledger_length,
        "audience": campaign.audience_count,
        "audience_origin": origin_as_json(campaign),
        "by_state": {state: found.by_state[state] for state in State if found.by_state[state]},
        "bounced_later": found.bounced_later,
        "withheld": in_cells(found.withheld),
        "judged": found.judged,
        "lost_attempts": found.lost_attempts,
        "findings": {kind: found.findings[kind] for kind in Finding},
        "wrong": found.count(BROKEN),
        "unproved": found.count(UNPROVED),
    }


def show_audit(campaign: Campaign, found: Audit) -> None:
    """By outcome, by what is proved, and the verdict."""
    screen = console()
    screen.print(
        f"“{printable(campaign.name)}” is {campaign.state}. "
        f"The ledger has come to event {found.ledger_length:,}."
    )
    if origin := origin_line(campaign):
        screen.print(printable(origin))
    if not _is_over(campaign, found):
        screen.print("It is not over: this is about what left so far.")
    screen.print()
    for state in State:
        if state is State.WITHHELD:
            for reason, count in in_cells(found.withheld).items():
                screen.print(f"  {count:>9,}  withheld: {words(reason)}")
        elif found.by_state[state]:
            screen.print(f"  {found.by_state[state]:>9,}  {state}{_later(state, found)}")
    screen.print("\nWhat left, or may have left, by the list at the number that it stores:")
    for finding, what in _WORDS.items():
        count = found.findings[finding]
        if count or finding is Finding.PROVED:
            style = "" if finding is Finding.PROVED else "bold red"
            screen.print(Text(f"  {count:>9,}  {what}", style))
    if found.lost_attempts:
        attempts = counted(found.lost_attempts, "lost attempt")
        screen.print(f"  among them {attempts} at messages that were then sent again or dropped")
    screen.print()
    _show_verdict(found)


def _later(state: State, found: Audit) -> str:
    if state is not State.BOUNCED or not found.bounced_later:
        return ""
    return f", of these {found.bounced_later:,} after the relay had taken them"


def _show_verdict(found: Audit) -> None:
    screen = console()
    wrong, unproved = found.count(BROKEN), found.count(UNPROVED)
    if wrong:
        told = f"{counted(wrong, 'message')} broke the promise, or somebody changed the outbox."
        screen.print(Text(told, "bold red"))
        screen.print("Is the ledger whole? mailbot ledger verify")
        screen.print("What became of one person: mailbot why ADDRESS")
    elif unproved:
        told = f"{counted(unproved, 'message')} cannot be proved; the others are."
        screen.print(Text(told, "bold yellow"))
    else:
        screen.print(Text("Proved: nobody on the list was mailed.", "green"))


def _is_over(campaign: Campaign, found: Audit) -> bool:
    is_ended = campaign.state in (CampaignState.DONE, CampaignState.CANCELLED)
    return is_ended and not found.on_the_way
