"""What may or may not have arrived: how many, since when, and what a person decides about it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import typer

from mailbot.cli.opening import Opened, OpenedForPersons, opened, opened_for_persons
from mailbot.cli.private_file import private_file, refuse_existing
from mailbot.cli.showing import console, counted, moment, print_json
from mailbot.cli.stop_marketing import who
from mailbot.core.address import parse_address
from mailbot.core.consent import batch_digest
from mailbot.core.csv_cells import safe_row
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import AddressError, InputError
from mailbot.core.person import PersonKey
from mailbot.lists.giving_out import checked_reason, record_giving_out
from mailbot.store import campaigns, uncertain
from mailbot.store.engine import Connection
from mailbot.store.outbox import LATE_ANSWER_LEASES
from mailbot.store.uncertain import Decision, Doubt, Group

_AT_ONCE: Final = 500  # messages a transaction: others wait for it
_COLUMNS: Final = ("message_id", "address", "since", "attempts")
_DONE: Final = {Decision.SENT: "settled as sent", Decision.AGAIN: "queued once more",
                Decision.DROP: "dropped"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody typed. `campaign` is None for order status and acknowledgements."""

    command: str  # as it is typed again
    kind: MessageKind
    campaign: str | None
    sent: Path | None
    settle: Decision | None
    list_to: str | None
    reason: str
    is_sure: bool

    @property
    def about(self) -> str:
        """In words."""
        return f"“{self.campaign}”" if self.campaign else self.kind.replace("_", " ")

    def group(self, conn: Connection) -> Group:
        """Raises NotFoundError where no campaign has that name."""
        of = campaigns.get(conn, self.campaign).id if self.campaign is not None else None
        return Group(self.kind, of)


@dataclass(slots=True)
class Settled:
    """How many, by decision; `others` are lines of the relay's log about other messages."""

    counts: dict[Decision, int] = field(default_factory=dict)
    others: int = 0


def show_or_settle(config: Path, asked: Asked, *, as_json: bool) -> None:
    """Show them in numbers, list them, or settle them: one of the three."""
    if asked.list_to is None:
        if asked.sent is None and asked.settle is None:
            _show(config, asked, as_json=as_json)
        else:
            _settle(config, asked, as_json=as_json)
    elif asked.sent is None and asked.settle is None:
        _list(config, asked, as_json=as_json)
    else:
        raise typer.BadParameter("list them first, then settle them", param_hint="'--list'")


def _answer_seconds(installation: Opened) -> float:
    return installation.settings.sender.lease_seconds * LATE_ANSWER_LEASES


def _doubt(installation: Opened, asked: Asked) -> Doubt:
    with installation.database.read() as conn:
        return uncertain.doubt(
            conn, asked.group(conn), answer_seconds=_answer_seconds(installation)
        )


def _show(config: Path, asked: Asked, *, as_json: bool) -> None:
    with opened(config) as installation:
        found = _doubt(installation, asked)
    if as_json:
        print_json(_as_json(asked, found))
        return
    screen = console()
    if not found.count:
        screen.print(f"Nothing of {asked.about} is uncertain.")
        return
    between = f"since {moment(found.oldest_at)} UTC"
    if moment(found.newest_at) != moment(found.oldest_at):
        between += f", the last since {moment(found.newest_at)}"
    what = counted(found.count, "message")
    screen.print(f"{what} of {asked.about} may or may not have arrived, {between}.")
    _show_fresh(found)
    screen.print("\nThe relay may know. What its log says it took:")
    screen.print(f"  {asked.command} --sent FILE", soft_wrap=True)
    screen.print("All of them, or all that the log does not name:")
    for decision, does in (
        ("sent", "they arrived, as far as anybody will know"),
        ("again", "once more, under the same Message-ID; may arrive twice"),
        ("drop", "let them be"),
    ):
        screen.print(f"  {asked.command} --settle {decision:<6}# {does}", soft_wrap=True)


def _show_fresh(found: Doubt) -> None:
    if found.fresh:
        many = counted(found.fresh, "answer")
        console().print(
            f"{many} of the relay may still come: until then these are not sent again or dropped."
        )


def _as_json(asked: Asked, found: Doubt) -> dict[str, object]:
    return {
        "kind": asked.kind, "campaign": asked.campaign, "uncertain": found.count,
        "may_still_be_answered": found.fresh, "oldest_at": found.oldest_at,
        "newest_at": found.newest_at,
    }  # fmt: skip


def _list(config: Path, asked: Asked, *, as_json: bool) -> None:
    """Recorded first, then written."""
    target = asked.list_to or ""
    why = checked_reason(asked.reason)
    refuse_existing(target)
    with (
        opened_for_persons(config) as installation,
        private_file(target) as file,
        installation.database.read() as conn,  # what is recorded is what is written
    ):
        group = asked.group(conn)
        persons = {one.person_hash for one in uncertain.messages(conn, group)}
        sequence = record_giving_out(
            installation.hand, count=len(persons), digest=batch_digest(persons),
            evidence={"reason": why, "what": f"uncertain messages: {asked.about}"},
        )  # fmt: skip
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        written = 0
        for one in uncertain.messages(conn, group):
            since = one.since.isoformat() if one.since else ""
            table.writerow(safe_row([one.message_id, one.address, since, str(one.attempts)]))
            written += 1
    if target == "-":
        return
    if as_json:
        print_json({"file": target, "event": sequence, "messages": written})
    else:
        typer.echo(f"{counted(written, 'message')} in {target}, as event {sequence}.")


def _settle(config: Path, asked: Asked, *, as_json: bool) -> None:
    names = _read_log(asked.sent) if asked.sent is not None else []
    with opened_for_persons(config) as installation:
        settled = Settled()
        waiting = _doubt(installation, asked).count
        if asked.settle is not None and waiting and not asked.is_sure and sys.stdin.isatty():
            others = " that the log does not name" if asked.sent is not None else ""
            question = f"All that is uncertain of {asked.about}{others}: {asked.settle}?"
            typer.confirm(question, abort=True, err=True)  # before anything is done
        if asked.sent is not None:
            taken = _taken(installation, asked, names, settled)
            told = f"a person's word ({who()}): the relay's log says that it was taken"
            _carry_out(installation, asked, taken, Decision.SENT, told, settled)
        if asked.settle is not None:
            with installation.database.read() as conn:
                ids = [one.id for one in uncertain.messages(conn, asked.group(conn))]
            told = f"a person's word ({who()}): {asked.settle}"
            _carry_out(installation, asked, ids, asked.settle, told, settled)
        left = _doubt(installation, asked)
    _show_settled(asked, settled, left, as_json=as_json)


def _carry_out(
    installation: Opened,
    asked: Asked,
    ids: list[int],
    decision: Decision,
    told: str,
    settled: Settled,
) -> None:
    seconds = _answer_seconds(installation)
    for start in range(0, len(ids), _AT_ONCE):
        with installation.database.write() as conn:
            done = uncertain.settle(
                conn, asked.group(conn), ids[start : start + _AT_ONCE], decision,
                told=told, by=who(), answer_seconds=seconds,
            )  # fmt: skip
        settled.counts[decision] = settled.counts.get(decision, 0) + done
    if asked.campaign is not None and settled.counts.get(Decision.AGAIN):
        # A daemon that was about to call the campaign done may not have seen them.
        with installation.database.write() as conn:
            campaigns.reopen(conn, campaigns.get(conn, asked.campaign).id, by=who())


def _read_log(path: Path) -> list[str]:
    """One name a line: a Message-ID or an address, as `<…>`, `message-id=<…>` or bare.

    Raises InputError for a line that is neither, and names it.
    """
    source: IO[str]
    if str(path) == "-":
        held = nullcontext(sys.stdin)
    else:
        held = path.open(encoding="utf-8", errors="backslashreplace")  # type: ignore[assignment]
    with held as source:
        return [name for name in _names(source, str(path)) if name]


def _names(lines: Iterable[str], where: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        name = line.strip().lower().removeprefix("message-id=").removeprefix("to=")
        name = name.strip("<>,")
        if name and ("@" not in name or any(map(str.isspace, name))):
            raise InputError(
                "this is neither a Message-ID nor an address.",
                where=f"{where}, line {number}",
                next_step="Write one a line, like those of: grep -o 'message-id=<[^>]*>' mail.log",
            )
        yield name


def _taken(
    installation: OpenedForPersons, asked: Asked, names: list[str], settled: Settled
) -> list[int]:
    """The ids of the messages that these names are about."""
    with installation.database.read() as conn:
        waiting = list(uncertain.messages(conn, asked.group(conn)))
    by_message_id = {one.message_id.strip("<>").lower(): one.id for one in waiting}
    by_person: dict[str, list[int]] = {}
    for one in waiting:
        by_person.setdefault(one.person_hash, []).append(one.id)
    taken: set[int] = set()
    for name in names:
        found = [by_message_id[name]] if name in by_message_id else []
        if not found:
            found = by_person.get(_hash_of(name, installation.person_key), [])
        taken.update(found)
        settled.others += not found
    return sorted(taken)


def _hash_of(name: str, key: PersonKey) -> str:
    try:
        return key.identify(parse_address(name)).person_hash
    except AddressError:
        return ""  # the Message-ID of another system


def _show_settled(asked: Asked, settled: Settled, left: Doubt, *, as_json: bool) -> None:
    if as_json:
        done = {decision: settled.counts.get(decision, 0) for decision in Decision}
        print_json({**_as_json(asked, left), "settled": done, "named_others": settled.others})
        return
    screen = console()
    told = [f"{counted(count, 'message')} {_DONE[decision]}"
            for decision, count in settled.counts.items()]  # fmt: skip
    screen.print(f"{', '.join(told) or 'Nothing was settled'}; {left.count:,} still uncertain.")
    if settled.others:
        lines = counted(settled.others, "line")
        screen.print(f"{lines} of {asked.sent} named no uncertain message of these.")
    _show_fresh(left)
