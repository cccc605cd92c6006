"""What a watched campaign looks like: at any width from 40 columns on, or as one line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mailbot.cli.campaign import story
from mailbot.cli.showing import moment, printable, span, words
from mailbot.core.cells import in_cells
from mailbot.core.outbox_states import State
from mailbot.store.tables import CampaignState

if TYPE_CHECKING:
    from mailbot.cli.campaign.watch import Seen

_STILL_TOO_LONG: Final = 30.0  # seconds in which nothing moved
_COLOUR: Final = {
    State.SENT: "green",
    State.DEFERRED: "yellow",
    State.BOUNCED: "red",
    State.REJECTED: "red",
    State.EXPIRED: "red",
    State.UNCERTAIN: "bold magenta",
}
# Always there, so that the screen stands still; the others come when they have a number.
_ALWAYS: Final = (State.SENT, State.DEFERRED, State.BOUNCED, State.REJECTED, State.UNCERTAIN)
_SHOWN: Final = (
    State.SENT, State.WITHHELD, State.DEFERRED, State.BOUNCED, State.REJECTED, State.EXPIRED,
    State.UNCERTAIN, State.CANCELLED,
)  # fmt: skip
_NEXT: Final = {
    CampaignState.LOADING: "Its audience is still being read.",
    CampaignState.DRAFT: "Next: mailbot campaign schedule {name} --now",
    CampaignState.SCHEDULED: "It begins by itself.",
    CampaignState.PAUSED: "Next: mailbot campaign resume {name}",
}


def as_screen(seen: Seen, width: int) -> RenderableType:
    """The whole picture: what it is, how far, who by outcome, how fast."""
    parts: list[RenderableType] = [Text(_headline(seen), "bold"), Text("")]
    parts.append(_bar(seen, width))
    if seen.progress.unexpanded and seen.campaign.state is CampaignState.SENDING:
        parts.append(Text(f"{_expansion(seen)}", "dim"))
    parts += [Text(""), _table(seen), Text("")]
    style = "bold yellow" if _is_stuck(seen) else ""
    parts += [Text(line, style) for line in _pace(seen)]
    if not seen.is_over:
        parts.append(Text("Ctrl-C ends the watching alone.", "dim"))
    return Group(*parts)


def as_line(seen: Seen) -> str:
    """The same on one line, for a pipe."""
    counts = [f"{count:,} {label}" for label, count, _ in _rows(seen) if count]
    if seen.progress.unexpanded and seen.campaign.state is CampaignState.SENDING:
        counts.append(_expansion(seen))
    told = "; ".join([", ".join(counts) or "nobody", *_pace(seen)])
    return f"{seen.at:%H:%M:%S} {_headline(seen)}: {told}"


def _headline(seen: Seen) -> str:
    campaign = seen.campaign
    because = f" ({printable(campaign.because)})" if campaign.because else ""
    state = f"{campaign.state}{because}"
    if campaign.state is CampaignState.SCHEDULED:
        state += f" for {moment(campaign.send_at)} UTC"
    return f"“{printable(campaign.name)}” is {state}"


def _bar(seen: Seen, width: int) -> RenderableType:
    total = seen.progress.settled + seen.waiting
    share = seen.progress.settled / total if total else float(seen.is_over)
    row = Table.grid(padding=(0, 1), expand=False)
    bar = ProgressBar(total=1.0, completed=share, width=max(10, min(width, 100) - 7))
    row.add_row(bar, f"{int(share * 100):>3} %")
    return row


def _expansion(seen: Seen) -> str:
    share = seen.progress.expanded / max(1, seen.progress.audience)
    return f"{int(share * 100)} % of {seen.progress.audience:,} are in the outbox"


def _rows(seen: Seen) -> Iterator[tuple[str, int, str]]:
    """Label, number and colour of each line."""
    by_state = seen.progress.by_state
    for state in _SHOWN:
        if state is State.WITHHELD:
            listed = in_cells(seen.progress.withheld).items()
            yield from ((f"withheld: {words(reason)}", count, "") for reason, count in listed)
            if not listed:
                yield "withheld", 0, ""
        elif by_state.get(state) or state in _ALWAYS:
            yield state, by_state.get(state, 0), _COLOUR.get(state, "")
    yield "still waiting", seen.waiting, "cyan"


def _table(seen: Seen) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", min_width=11)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for label, count, colour in _rows(seen):
        grid.add_row(f"{count:,}", label, style=colour if count else "dim")
    return grid


def _is_stuck(seen: Seen) -> bool:
    """Whether somebody should look; waiting for a morning or a pace is as it was wished."""
    if seen.campaign.state is not CampaignState.SENDING:
        return False
    is_still = seen.still_for >= _STILL_TOO_LONG and not seen.waits_for_pace
    return seen.is_marketing_stopped or (is_still and seen.quiet_until is None)


def _pace(seen: Seen) -> list[str]:
    campaign = seen.campaign
    if campaign.state in _NEXT:
        following = [_NEXT[campaign.state].format(name=shlex.quote(campaign.name))]
        return following + ([_quiet(seen, "It will wait")] if seen.quiet_until else [])
    if campaign.state in (CampaignState.DONE, CampaignState.CANCELLED):
        return []
    if seen.is_marketing_stopped:
        return ["All marketing is stopped: see mailbot status."]
    if seen.quiet_until is not None:
        return [_quiet(seen, "It waits")]
    if seen.still_for >= _STILL_TOO_LONG and not seen.waits_for_pace:
        still = span(timedelta(seconds=seen.still_for))
        return [f"Nothing moved for {still}: see mailbot status.", *_limits(seen)]
    told = _speed(seen)
    if seen.seconds_left is not None:
        left = timedelta(seconds=seen.seconds_left)
        told = f"{told}, about {span(left)} to go ({_until(seen, left)})"
    return [told, *_limits(seen)]


def _quiet(seen: Seen, waits: str) -> str:
    until = story.in_zone(seen.quiet_until, seen.campaign.zone) if seen.quiet_until else ""
    return f"{waits} for its quiet hours to end: {until}"


def _speed(seen: Seen) -> str:
    if seen.waits_for_pace and not seen.rate and seen.next_place_at is not None:
        return f"The next goes at {seen.next_place_at:%H:%M:%S} UTC"
    if seen.rate is None:
        return "… a second"
    return f"{seen.rate:,.0f} a second" if seen.rate >= 10 else f"{seen.rate:.1f} a second"


def _limits(seen: Seen) -> list[str]:
    told = []
    if seen.limits.per_hour:
        told.append(f"{seen.limits.per_hour:,} an hour")
    if seen.limits.per_hour_and_domain:
        told.append(f"{seen.limits.per_hour_and_domain:,} an hour to each domain")
    return [f"At most {', '.join(told)}."] if told else []


def _until(seen: Seen, left: timedelta) -> str:
    ends = seen.at + left
    day = "" if ends.date() == seen.at.date() else f"{ends:%Y-%m-%d} "
    return f"{day}{ends:%H:%M} UTC"
