"""The commands by which a person decides about uncertain messages, of each kind."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

_Sent = Annotated[
    Path | None,
    typer.Option(
        "--sent",
        metavar="FILE",
        readable=False,  # reading it says more than typer would
        help="What the relay's log says it took: a Message-ID or address a line (- reads them).",
    ),
]
_How = Literal["sent", "again", "drop"]
_Settle = Annotated[
    _How | None,
    typer.Option("--settle", metavar="HOW", help="All (after --sent the others): sent|again|drop."),
]
_List = Annotated[
    str | None,
    typer.Option("--list", metavar="FILE", help="Write who they are to; - prints to a pipe."),
]
_Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="With --list, why: it is recorded.")
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def of_campaign(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the campaign is called.")],
    sent: _Sent = None,
    settle: _Settle = None,
    list_to: _List = None,
    reason: _Reason = "",
    yes: _Yes = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Decide about messages that may or may not have arrived; without options, count them.

    The connection was lost at the end of the message, or the daemon was killed:
    nobody but the relay knows. mailbot sends none of them again by itself.
    --settle again queues them once more under the same Message-ID, and the list
    is looked at again before each. What --list writes is recorded in the ledger.

    [bold]Examples[/bold]
      mailbot campaign uncertain spring
      grep -o 'message-id=<[^>]*>' mail.log > taken.txt
      mailbot campaign uncertain spring --sent taken.txt --settle again
      mailbot campaign uncertain spring --list who.csv --reason "ticket 17"
    """
    command = f"mailbot campaign uncertain {shlex.quote(name)}"
    _run(config, command, "campaign", name, sent, settle, list_to, reason, yes, as_json)


def of_order_status(
    sent: _Sent = None,
    settle: _Settle = None,
    list_to: _List = None,
    reason: _Reason = "",
    yes: _Yes = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Decide about order status that is uncertain after three resends; without options, count it.

    --settle again queues it once more under the same Message-ID; sent and drop
    end it. What --list writes is recorded in the ledger.

    [bold]Examples[/bold]
      mailbot order-status uncertain
      mailbot order-status uncertain --sent taken.txt --settle drop
    """
    command = "mailbot order-status uncertain"
    _run(config, command, "order_status", None, sent, settle, list_to, reason, yes, as_json)


def of_acknowledgements(
    sent: _Sent = None,
    settle: _Settle = None,
    list_to: _List = None,
    reason: _Reason = "",
    yes: _Yes = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Decide about answers to opt-outs that may or may not have arrived; else count them.

    Whoever they are for is on the list all the same. --settle again queues them
    once more under the same Message-ID.

    [bold]Examples[/bold]
      mailbot acknowledgement uncertain
      mailbot acknowledgement uncertain --settle drop
    """
    command = "mailbot acknowledgement uncertain"
    _run(config, command, "acknowledgement", None, sent, settle, list_to, reason, yes, as_json)


acknowledgement = typer.Typer(no_args_is_help=True)


@acknowledgement.callback()
def the_acknowledgements() -> None:
    """The answer to an opt-out: "you get no more offers". mailbot sends it by itself."""


acknowledgement.command("uncertain")(of_acknowledgements)


def _run(
    config: Path,
    command: str,
    kind: str,
    campaign: str | None,
    sent: Path | None,
    settle: _How | None,
    list_to: str | None,
    reason: str,
    is_sure: bool,
    as_json: bool,
) -> None:
    from mailbot.cli.uncertain.deciding import Asked, show_or_settle
    from mailbot.core.eligibility import MessageKind
    from mailbot.store.uncertain import Decision

    decision = Decision(settle) if settle is not None else None
    asked = Asked(command, MessageKind(kind), campaign, sent, decision, list_to, reason, is_sure)
    show_or_settle(config, asked, as_json=as_json)
