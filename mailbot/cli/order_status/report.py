"""`mailbot order-status report`: what became of what was handed over, for a shop that polls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.store.order_reports import OrderStatusChange, Told


def report(
    after: Annotated[
        int, typer.Option("--after", metavar="CURSOR", min=0, help="The cursor of the last report.")
    ] = 0,
    limit: Annotated[
        int, typer.Option("--limit", metavar="NUMBER", min=1, max=10_000, help="At most so many.")
    ] = 1000,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """What became of each message, by its idempotency key, in order of change.

    sent        the relay took it
    bounced     the mailbox does not exist: ask the customer for another
    withheld    not sent: the address is known to be undeliverable
    rejected    the relay refused this message for good
    expired     the relay put it off until the end
    uncertain   it may have arrived; it is sent again, three times at most
    cancelled   the customer was erased before it was sent

    Keep the cursor, and ask with --after for what came since; 0 is the
    beginning. Nothing is left out; what changes again is told again. Any
    number of programs may poll, each with a cursor of its own.

    [bold]Examples[/bold]
      mailbot order-status report
      mailbot order-status report --after 1042 --json
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.outbound.order_reports import report as report_of

    with opened(config) as installation:
        told = report_of(installation.database, after, limit)
    if as_json:
        print_json({
            "changes": [_as_json(change) for change in told.changes],
            "cursor": told.cursor,
            "has_more": told.has_more,
        })  # fmt: skip
    else:
        _show(told, after)


def _as_json(change: OrderStatusChange) -> dict[str, object]:
    return {
        "idempotency_key": change.idempotency_key,
        "type": change.type,
        "state": change.state,
        "changed_at": change.changed_at,
        "reason": change.withheld_reason,
        "reply": change.reply or None,
    }


def _show(told: Told, after: int) -> None:
    from mailbot.cli.showing import console, moment, printable, table

    if not told.changes:
        typer.echo(f"Nothing has changed since {after}." if after else "Nothing to tell yet.")
        return
    shown = table("Changed (UTC)", "State", "Key", "Why", wide="Why")
    for change in told.changes:
        why = change.withheld_reason or change.reply
        shown.add_row(
            moment(change.changed_at), change.state, printable(change.idempotency_key),
            printable(why),
        )  # fmt: skip
    console().print(shown)
    more = "There is more" if told.has_more else "What comes next"
    typer.echo(f"\n{more}: mailbot order-status report --after {told.cursor}")
