"""Where a process of mailbot kills itself: `kill -9` at an exact place, in tests only.

Runs in the process that is to die. `arm` wraps what POINTS names, or the COMMIT of whichever
transaction walked an edge of the outbox, and then the process runs mailbot's own command line.
POINTS is the only place here that knows mailbot's functions by name.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.engine.default import DefaultDialect

from mailbot.__main__ import main
from mailbot.config import load
from mailbot.core.errors import RefusedError
from mailbot.core.outbox_states import State
from mailbot.outbound import campaigns
from mailbot.outbound.campaigns import CampaignLetters
from mailbot.outbound.claims import Claims
from mailbot.outbound.dialogue import Dialogue
from mailbot.outbound.order_status import OrderStatusLetters
from mailbot.outbound.rounds import Rounds
from mailbot.outbound.sender import Sender
from mailbot.outbound.smtp import RelayConnection
from mailbot.outbound.telling import Telling
from mailbot.store import deliveries
from mailbot.store.engine import Database

When = Literal["before", "after"]
Act = Literal["mute_heartbeat", "cancel_campaign_before_look"]
LAST_WORDS = b"(killed itself here)\n"
_END_OF_BODY = b"\r\n.\r\n"

_carried: ContextVar[int | None] = ContextVar("carried", default=None)  # the row of this line


@dataclass(frozen=True, slots=True)
class Plan:
    """When to die: about these outbox rows, at a point or at the COMMIT that walks an edge.

    `since` is the last entry of the table `walked` before the process started. With neither point
    nor edge the process lives. `acts` are what else goes on meanwhile.
    """

    rows: frozenset[int]
    when: When = "before"
    point: str | None = None
    edge: tuple[State, State] | None = None
    since: int = 0
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """Functions to die around, each an attribute of a class or module; `about` tells the rows."""

    functions: tuple[tuple[Any, str], ...]
    about: Callable[..., Collection[int | None]] = lambda *_, **__: (_carried.get(),)


def _of_row(_self: object, row: Any) -> Collection[int]:
    return (row.id,)


def _of_body(_self: object, words: bytes) -> Collection[int | None]:
    return (_carried.get(),) if words.endswith(_END_OF_BODY) else ()


_BODY = Point(((Dialogue, "say"),), _of_body)
_LOOK = Point(
    ((deliveries, "look_before_sending"),), lambda _conn, outbox_ids, **_: tuple(outbox_ids)
)
POINTS = {
    "compose": Point(((CampaignLetters, "compose"), (OrderStatusLetters, "compose")), _of_row),
    "look": _LOOK,
    "mail": Point(((RelayConnection, "mail"),)),
    "rcpt": Point(((RelayConnection, "rcpt"),)),
    "data": Point(((RelayConnection, "data"),)),
    "body": _BODY,  # between the relay's 354 and the first byte
    "half_body": _BODY,
    "settle": Point(
        ((Rounds, "settle"),), lambda _self, ended: (ended.attempt.row.id,)
    ),
    "tell": Point(
        ((Telling, "tell"),), lambda _self, ended, _state: (ended.attempt.row.id,)
    ),
}  # fmt: skip


def run(plan: Plan, arguments: list[str], log: str) -> None:
    """The child: output to the file `log`, then `mailbot ARGUMENTS`, armed. Never returns."""
    with open(os.devnull, "rb") as nothing, open(log, "ab") as told:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    sys.argv = ["mailbot", *arguments]
    arm(plan, arguments)
    sys.exit(main())


def arm(plan: Plan, arguments: list[str]) -> None:
    """Lay the trap that `plan` describes."""
    _note_what_is_carried()
    if "mute_heartbeat" in plan.acts:
        Claims.beat = _stay_mute  # type: ignore[assignment, method-assign]
    if "cancel_campaign_before_look" in plan.acts:
        config = arguments[arguments.index("--config") + 1]
        _wrap(_LOOK, plan.rows, before=lambda *_: _cancel_campaigns(config))
    if plan.edge is not None:
        _die_at_commit(plan, plan.edge)
    elif plan.point == "half_body":
        _wrap(POINTS["half_body"], plan.rows, before=_die_in_the_body)
    elif plan.point is not None:
        deed = {plan.when: _die}
        _wrap(POINTS[plan.point], plan.rows, **deed)


def _die(*_: object) -> None:
    os.write(2, LAST_WORDS)  # to the daemon's log
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_the_body(dialogue: Dialogue, words: bytes) -> None:
    """Half of the body is with the kernel, which delivers it; the rest never was anywhere."""
    socket = dialogue._transport.get_extra_info("socket")
    os.write(socket.fileno(), words[: len(words) // 2])
    _die()


def _nothing(*_: object) -> None:
    return


def _wrap(
    point: Point,
    rows: frozenset[int],
    *,
    before: Callable[..., object] = _nothing,
    after: Callable[..., object] = _nothing,
) -> None:
    for owner, name in point.functions:
        setattr(owner, name, _wrapped(getattr(owner, name), point, rows, before, after))


def _wrapped(
    function: Any,
    point: Point,
    rows: frozenset[int],
    before: Callable[..., object],
    after: Callable[..., object],
) -> Any:
    def is_about_them(*given: Any, **named: Any) -> bool:
        return not rows.isdisjoint(point.about(*given, **named))

    @wraps(function)
    def plain(*given: Any, **named: Any) -> Any:
        is_it = is_about_them(*given, **named)
        if is_it:
            before(*given)
        result = function(*given, **named)
        if is_it:
            after(*given)
        return result

    @wraps(function)
    async def waiting(*given: Any, **named: Any) -> Any:
        is_it = is_about_them(*given, **named)
        if is_it:
            before(*given)
        result = await function(*given, **named)
        if is_it:
            after(*given)
        return result

    return waiting if inspect.iscoroutinefunction(function) else plain


def _note_what_is_carried() -> None:
    """Each line is a task of its own, whose context knows the row that it carries."""
    carry = Sender._carry

    async def noted(self: Sender, line: Any, row: Any) -> Any:
        _carried.set(row.id)
        return await carry(self, line, row)

    Sender._carry = noted  # type: ignore[method-assign]


def _die_at_commit(plan: Plan, edge: tuple[State, State]) -> None:
    """Around the COMMIT of the first transaction that moved one of the rows along `edge`.

    The triggers of tests.system.crashes.furnished tell of each move in its own transaction.
    """
    commit = DefaultDialect.do_commit
    ids = ", ".join(str(row) for row in sorted(plan.rows))
    has_walked = (
        f"SELECT count(*) FROM walked WHERE id > {plan.since} AND outbox_id IN ({ids}) "
        f"AND old_state = '{edge[0]}' AND new_state = '{edge[1]}'"
    )

    def do_commit(self: DefaultDialect, dbapi_connection: Any) -> None:
        cursor = dbapi_connection.cursor()
        is_it = cursor.execute(has_walked).fetchone()[0] > 0
        cursor.close()
        if is_it and plan.when == "before":
            _die()
        commit(self, dbapi_connection)  # type: ignore[no-untyped-call]
        if is_it:
            _die()

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


async def _stay_mute(_self: Claims) -> None:
    """No heartbeat: each lease runs out, as that of a machine which lost its database does."""
    await asyncio.Event().wait()


def _cancel_campaigns(config: str) -> None:
    """What somebody at another console does between the attempt and the look.

    On a busy machine a look is made again, when the first was too old: it is cancelled once.
    """
    database = Database.open(load(Path(config)).store.url)
    try:
        with suppress(RefusedError):
            campaigns.cancel(database, "spring", "wrong price")
    finally:
        database.close()
