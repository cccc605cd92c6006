"""What `mailbot campaign` shows: numbers and reasons, never a person."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailbot.cli.campaign import story
from mailbot.cli.campaign.draft import Draft
from mailbot.cli.campaign.origin import origin_as_json
from mailbot.cli.showing import console, counted, moment, print_json, printable, table, words
from mailbot.core.cells import in_cells
from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store import campaign_changes, campaign_figures, campaign_tests, campaigns
from mailbot.store.campaign_changes import CampaignChange
from mailbot.store.campaign_figures import Progress
from mailbot.store.campaigns import Campaign
from mailbot.store.engine import Connection, now
from mailbot.store.tables import CampaignState

_MOST_SHOWN = 20  # lines of a file
_OVER = frozenset({CampaignState.DONE, CampaignState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Numbers:
    """A campaign, and how far it is. `reachable` is None once nobody is left to be queued."""

    campaign: Campaign
    progress: Progress
    reachable: int | None
    excluded: Mapping[Reason, int]
    at: datetime

    @property
    def waiting(self) -> int:
        """Who is still to be written to, in the outbox or not there yet."""
        if self.campaign.state in _OVER:
            return 0
        on_the_way = self.state(State.CLAIMED) + self.state(State.SENDING)
        return self.progress.unexpanded + self.progress.waiting + on_the_way

    def state(self, *states: State) -> int:
        """How many rows stand in these states together."""
        return sum(self.progress.by_state.get(state, 0) for state in states)

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        campaign = self.campaign
        return {
            "name": campaign.name,
            "state": campaign.state,
            "because": campaign.because,
            "subject": campaign.subject,
            "created_at": campaign.created_at,
            "send_at": campaign.send_at,
            "audience": self.progress.audience,
            "audience_origin": origin_as_json(campaign),
            "expanded": self.progress.expanded,
            "reachable_now": self.reachable,
            "excluded_now": in_cells(self.excluded),
            "waiting": self.waiting,
            "by_state": dict(self.progress.by_state),
            "withheld": in_cells(self.progress.withheld),
            **story.as_json(campaign, self.at),
        }


def in_numbers(conn: Connection, campaign: Campaign) -> Numbers:
    """Count one campaign."""
    progress, at = campaign_figures.progress(conn, campaign.id), now(conn)
    if campaign.state in _OVER or campaign.is_expanded:
        return Numbers(campaign, progress, None, {}, at)  # the list is long: not asked in vain
    return Numbers(campaign, progress, *campaign_figures.reach(conn, campaign.id), at)


def show_draft(draft: Draft, *, as_json: bool) -> None:
    """What `create` made, who it would reach, and which lines were left out."""
    audience, unit = draft.audience, draft.audience.rows.unit
    if as_json:
        print_json({
            "name": draft.campaign.name,
            "state": draft.campaign.state,
            "audience_file": audience.where,
            "audience_origin": origin_as_json(draft.campaign),
            "columns": audience.columns,
            "email_column": audience.headings[audience.email_index],
            "lines": audience.good,
            "reachable_now": draft.reachable,
            "excluded_now": in_cells(draft.excluded),
            "left_out": [{"line": bad.line, "why": bad.why} for bad in audience.bad_lines],
            "left_out_count": audience.bad,
            "duplicates": [
                {"line": twice.line, "first_line": twice.first_line}
                for twice in audience.duplicates
            ],
            "duplicate_count": audience.duplicate,
            "text_made_from_html": draft.is_text_made,
            "warnings": [
                {"where": fault.where, "what": fault.what, "next_step": fault.next_step}
                for fault in draft.warnings
            ],
        })  # fmt: skip
        return
    screen = console()
    name = draft.campaign.name
    column = audience.headings[audience.email_index]
    people = counted(audience.good - audience.duplicate, "person", "people")
    screen.print(f"“{name}” is a draft for {people} ({audience.where}, address in “{column}”).")
    screen.print(f"Fields for the letter: {', '.join(audience.columns)}")
    if draft.is_text_made:
        screen.print(f"Its text part was made from the HTML. Read it: mailbot campaign preview "
                     f"{shlex.quote(name)}")  # fmt: skip
    _show_reach(draft.reachable, draft.excluded)
    _show_lines("left out", [f"{unit} {bad.line}: {bad.why}" for bad in audience.bad_lines],
                audience.bad)  # fmt: skip
    _show_lines(
        "there twice, written to once",
        [f"{unit} {twice.line} repeats {unit} {twice.first_line}" for twice in audience.duplicates],
        audience.duplicate,
    )
    for fault in draft.warnings:
        screen.print(f"\nLook at this: {fault.where}: {fault.what} {fault.next_step}")
    tomorrow = draft.campaign.created_at + timedelta(days=1)
    screen.print("\nNext: look at every letter, have one yourself, and say when.")
    for command in (
        f"preflight {shlex.quote(name)}",
        f"test {shlex.quote(name)} --to YOUR-ADDRESS",
        f'schedule {shlex.quote(name)} --at "{tomorrow:%Y-%m-%d} 09:00" --zone Europe/Berlin',
    ):
        screen.print(f"  mailbot campaign {command}", soft_wrap=True)  # so that it can be copied


def _show_lines(heading: str, lines: list[str], count: int) -> None:
    if not count:
        return
    screen = console()
    screen.print(f"\n{counted(count, 'line')} {heading}:")
    for line in lines[:_MOST_SHOWN]:
        screen.print(f"  {printable(line)}")
    if count > _MOST_SHOWN:
        screen.print(f"  and {count - _MOST_SHOWN:,} more")


def _show_reach(reachable: int, excluded: Mapping[Reason, int]) -> None:
    screen = console()
    screen.print(f"\n  {reachable:>9,}  can be reached now")
    for reason, count in in_cells(excluded).items():
        screen.print(f"  {count:>9,}  on the do-not-send list: {words(reason)}")


def show_scheduled(
    campaign: Campaign,
    reachable: int,
    excluded: Mapping[Reason, int],
    *,
    zone: str | None,
    before: Campaign,
    change: CampaignChange | None,
    at: datetime,
    as_json: bool,
) -> None:
    """When it goes out, what that replaces, and to how many as the list stands now."""
    if as_json:
        print_json({
            "name": campaign.name, "state": campaign.state, "send_at": campaign.send_at,
            "reachable_now": reachable, "excluded_now": in_cells(excluded),
            "replaced_send_at": before.send_at, **story.as_json(campaign, at),
        })  # fmt: skip
        return
    send_at = campaign.send_at
    shown = moment(send_at) + " UTC"
    if send_at is not None and zone is not None:
        from zoneinfo import ZoneInfo

        local = send_at.astimezone(UTC).astimezone(ZoneInfo(zone))
        shown = f"{local:%A, %Y-%m-%d %H:%M} {zone} ({shown})"
    screen = console()
    screen.print(f"“{campaign.name}” is to be sent from {shown} on.")
    if before.send_at is not None and change is not None:
        screen.print(
            f"Before, it was to be sent from {moment(before.send_at)} UTC on: "
            f"{printable(change.by)} said so at {change.at:%Y-%m-%d %H:%M:%S} UTC."
        )
    for line in story.told(campaign, at):
        screen.print(printable(line))
    _show_reach(reachable, excluded)


def show_moved(numbers: Numbers, told: str, *, as_json: bool) -> None:
    """One sentence, and how far it is."""
    if as_json:
        print_json(numbers.as_json())
        return
    sent, waiting = numbers.state(State.SENT), numbers.waiting
    console().print(f"{told} {sent:,} sent, {waiting:,} waiting.")


def show_all(conn: Connection, *, as_json: bool) -> None:
    """Every campaign on a line, newest first."""
    every = [in_numbers(conn, campaign) for campaign in campaigns.every(conn)]
    if as_json:
        print_json([numbers.as_json() for numbers in every])
    elif every:
        show_table(every)
    else:
        console().print("There is no campaign yet. See: mailbot campaign create --help")


def show_table(every: list[Numbers]) -> None:
    """The table of `campaign status` and of `status`; a column without numbers is left out."""
    failed = (State.BOUNCED, State.REJECTED, State.EXPIRED, State.UNCERTAIN)
    columns = {
        "People": [one.progress.audience for one in every],
        "Sent": [one.state(State.SENT) for one in every],
        "Withheld": [one.state(State.WITHHELD) for one in every],
        "Failed": [one.state(*failed) for one in every],
        "Waiting": [one.waiting for one in every],
    }
    used = {name: counts for name, counts in columns.items() if name == "People" or any(counts)}
    shown = table("Campaign", "State", "Sent from (UTC)", *used, wide="Campaign", right=used)
    for row, one in enumerate(every):
        shown.add_row(
            printable(one.campaign.name),
            one.campaign.state,
            moment(one.campaign.send_at) or "–",
            *(f"{counts[row]:,}" for counts in used.values()),
        )
    console().print(shown)


def show_one(conn: Connection, name: str, *, as_json: bool) -> None:
    """One campaign in all its numbers."""
    numbers = in_numbers(conn, campaigns.get(conn, name))
    changes = campaign_changes.of_campaign(conn, numbers.campaign.id)
    tests = campaign_tests.of_campaign(conn, numbers.campaign.id)
    if as_json:
        history, tested = story.history_as_json(changes), story.history_as_json(tests)
        print_json({**numbers.as_json(), "history": history, "tests": tested})
        return
    campaign, screen = numbers.campaign, console()
    because = f" ({printable(campaign.because)})" if campaign.because else ""
    screen.print(f"“{printable(campaign.name)}” is {campaign.state}{because}.")
    screen.print(f"Subject: {printable(campaign.subject)}")
    if campaign.send_at:
        screen.print(f"Sent from: {moment(campaign.send_at)} UTC")
    for line in story.told(campaign, numbers.at):
        screen.print(printable(line))
    screen.print(f"\n  {numbers.progress.audience:>9,}  people in the audience")
    for state in State:
        if state is State.WITHHELD:
            for reason, count in in_cells(numbers.progress.withheld).items():
                screen.print(f"  {count:>9,}  withheld: {words(reason)}")
        elif numbers.state(state):
            screen.print(f"  {numbers.state(state):>9,}  {state}")
    rest = numbers.progress.unexpanded
    if rest > 0 and numbers.reachable is not None:
        screen.print(f"  {rest:>9,}  not yet queued")
        _show_reach(numbers.reachable, numbers.excluded)
    story.show_history(changes, tests)
