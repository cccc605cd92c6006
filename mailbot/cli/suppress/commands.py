"""`mailbot suppress`: the do-not-send list, by hand. Each change is a consent event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.cli.suppress import diff, export, importing

if TYPE_CHECKING:
    from mailbot.store.suppressions import Suppression

app = typer.Typer(no_args_is_help=True)

_Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="As on the envelope.")]
_AddedFor = Literal["opt_out", "complaint", "undeliverable"]
_LiftedFor = Literal["opt_out", "complaint", "imported", "held", "undeliverable"]
_ListedFor = Literal["opt_out", "complaint", "imported", "held", "undeliverable", "erased"]


@app.callback()
def suppress() -> None:
    """The do-not-send list: who gets no offers, and why.

    Order status still reaches them, unless the address is undeliverable.
    """


@app.command()
def add(
    address: _Address,
    because: Annotated[
        _AddedFor,
        typer.Option("--because", metavar="REASON", help="opt_out, complaint or undeliverable."),
    ] = "opt_out",
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="How you know: it is kept as evidence.")
    ] = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Put somebody on the list: an opt-out by phone or letter, a complaint, a dead address.

    It takes effect for every message that is not yet on the wire. An
    undeliverable address gets no order status either.

    [bold]Examples[/bold]
      mailbot suppress add ann@example.org --note "by phone, 2 March"
      mailbot suppress add bob@example.org --because undeliverable --note gone
    """
    from mailbot.cli.opening import opened_for_persons
    from mailbot.lists.by_hand import put_on_list

    with opened_for_persons(config) as installation:
        change = put_on_list(installation.hand, address, because, note.strip())
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({
            "address": change.address.text,
            "is_on_list": True,
            "reasons": sorted(change.reasons),
            "event": change.sequence,
            "offers_withheld": change.withheld,
        })  # fmt: skip
        return
    typer.echo(f"{change.address.text} is on the list ({because}), as event {change.sequence}.")
    if change.withheld:
        count = change.withheld
        typer.echo(f"{count} waiting {'offer is' if count == 1 else 'offers are'} withheld.")


@app.command()
def lift(
    address: _Address,
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Why this is right: kept as evidence.")
    ],
    because: Annotated[
        _LiftedFor | None,
        typer.Option(
            "--because", metavar="REASON", help="Which ends, where several stand: see above."
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Take somebody off the list. Nothing is deleted: an event says who lifted it, and why.

    To lift opt_out, complaint or imported records that this person wants offers
    again: only on their own wish. To lift held says that their mail was no
    request; to lift undeliverable, that the address is alive.

    [bold]Examples[/bold]
      mailbot suppress lift ann@example.org --note "wants offers again, by phone"
      mailbot suppress lift bob@example.org --because undeliverable --note alive
    """
    from mailbot.cli.opening import opened_for_persons
    from mailbot.lists.by_hand import take_off_list

    with opened_for_persons(config) as installation:
        change = take_off_list(installation.hand, address, because, note)
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({
            "address": change.address.text,
            "is_on_list": bool(change.reasons),
            "reasons": sorted(change.reasons),
            "event": change.sequence,
        })  # fmt: skip
        return
    typer.echo(f"Recorded as event {change.sequence}: {change.kind} of {change.address.text}.")
    left = ", ".join(sorted(change.reasons))
    typer.echo(f"Still on the list for: {left}." if left else "Not on the list any more.")


@app.command()
def show(address: _Address, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Is this person on the list, and why? Exit code 1 where not.

    [bold]Example[/bold]
      mailbot suppress show ann@example.org
    """
    from mailbot.cli.opening import opened_for_persons
    from mailbot.core.address import parse_address
    from mailbot.store import suppressions

    named = parse_address(address)
    with opened_for_persons(config) as installation, installation.database.read() as conn:
        found = suppressions.of_person(conn, installation.person_key.identify(named))
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({
            "address": named.text,
            "is_on_list": bool(found),
            "entries": [_as_json(entry) for entry in found],
        })  # fmt: skip
    elif found:
        _show(found)
    else:
        typer.echo(f"{named.text} is not on the list.")
    if not found:
        raise typer.Exit(1)


@app.command("list")
def list_(
    because: Annotated[
        _ListedFor | None,
        typer.Option("--because", metavar="REASON", help="Only these, like held."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")
    ] = 50,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The newest entries of the list, and how many there are.

    [bold]Examples[/bold]
      mailbot suppress list
      mailbot suppress list --because complaint --limit 200 --json
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.core.consent import Reason
    from mailbot.store import suppressions

    with opened(config) as installation, installation.database.read() as conn:
        counts = suppressions.count_by_reason(conn)
        newest = suppressions.newest(conn, limit, Reason(because) if because else None)
    if as_json:
        print_json(
            {
                "counts": {str(reason): count for reason, count in counts.items()},
                "newest": [_as_json(entry) for entry in newest],
            }
        )
        return
    total = counts.get(Reason(because), 0) if because else sum(counts.values())
    if not total:
        typer.echo("Nobody is on the list" + (f" for {because}." if because else "."))
        return
    _show(newest)
    if total > len(newest):
        typer.echo(f"\nThe newest {len(newest)} of {total:,}; --limit shows more.")


app.command("import")(importing.import_)
app.command("imports")(importing.imports)
app.command("export")(export.export)
app.command("diff")(diff.diff)
app.command("changes")(export.changes)


def _as_json(entry: Suppression) -> dict[str, object]:
    return {
        "address": entry.address,
        "person_hash": entry.person_hash,
        "reason": entry.reason,
        "since_at": entry.since_at,
        "source": entry.source,
        "rule": entry.rule,
    }


def _show(entries: list[Suppression]) -> None:
    from mailbot.cli.showing import console, moment, printable, table, words

    shown = table("Address", "Reason", "Since (UTC)", "By", "Rule", wide="Address")
    for entry in entries:
        address = (
            printable(entry.address) if entry.address else f"(erased, {entry.person_hash[:12]})"
        )
        shown.add_row(
            address, words(entry.reason), moment(entry.since_at), words(entry.source), entry.rule
        )
    console().print(shown)
