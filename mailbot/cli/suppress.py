"""`suppress`: look after the do-not-send list by hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.opening import ConfigOption, JsonOption, Opened, opened
from mailbot.core.errors import RefusedError

if TYPE_CHECKING:
    from mailbot.core.consent import Kind
    from mailbot.store.suppressions import Suppression

app = typer.Typer(help="The do-not-send list.", no_args_is_help=True, rich_markup_mode=None)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]
NoteOption = Annotated[
    str, typer.Option(help="How you know: who asked, when, by which way. Kept as evidence.")
]


@app.command()
def add(address: AddressArgument, note: NoteOption, config: ConfigOption = None) -> None:
    """Put a person on the list who opted out by another way than mail.

    Example: mailbot suppress add ann@example.org --note "by phone, 2 March, spoke to Jo"
    """
    from mailbot.core.consent import Kind
    from mailbot.store import outbox

    with opened(config) as mailbot:
        _, person = mailbot.person(address)
        _record(mailbot, Kind.OPT_OUT, address, note)
        with mailbot.database.write() as conn:
            withheld = outbox.withhold_marketing_of(conn, person, "opt_out")
    waiting = f" {withheld} waiting offers are withheld." if withheld else ""
    typer.echo(f"{address} gets no more offers; order status goes on.{waiting}")


@app.command()
def lift(address: AddressArgument, note: NoteOption, config: ConfigOption = None) -> None:
    """Take a person off the list: who asked to come back, or whose address works again.

    Every reason is ended, each by an event with your note; nothing is deleted.

    Example: mailbot suppress lift ann@example.org --note "mail of 3 March: wants offers again"
    """
    from mailbot.core.consent import ENDS, Kind
    from mailbot.store import suppressions

    with opened(config) as mailbot:
        _, person = mailbot.person(address)
        with mailbot.database.read() as conn:
            standing = suppressions.reasons(conn, person)
        if not standing:
            raise RefusedError(f"{address} is not on the list")
        for kind in (Kind.OPT_IN, Kind.REACHABLE):
            if standing & ENDS[kind]:
                _record(mailbot, kind, address, note)
        with mailbot.database.read() as conn:
            left = suppressions.reasons(conn, person)
    if left:
        raise RefusedError(f"{address} stays on the list: {', '.join(sorted(left))}")
    typer.echo(f"{address} is off the list and may get offers again.")


@app.command()
def show(
    address: AddressArgument, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say whether a person is on the list, and why. Exit code 1 where not.

    Example: mailbot suppress show ann@example.org
    """
    from mailbot.store import suppressions

    with opened(config) as mailbot:
        _, person = mailbot.person(address)
        with mailbot.database.read() as conn:
            entries = suppressions.of_person(conn, person)
    if as_json:
        _print_json(entries)
    elif entries:
        _print_table(entries)
    else:
        typer.echo(f"{address} is not on the list.")
    raise typer.Exit(0 if entries else 1)


@app.command("list")
def list_(
    config: ConfigOption = None,
    because: Annotated[
        str | None, typer.Option(help="Only this reason: opt_out, held, complaint …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest entries.

    Example: mailbot suppress list --because complaint --limit 20
    """
    from mailbot.core.consent import Reason
    from mailbot.store import suppressions

    if because is not None and because not in set(Reason):
        raise typer.BadParameter(f"the reasons are: {', '.join(Reason)}", param_hint="--because")
    with opened(config) as mailbot, mailbot.database.read() as conn:
        entries = suppressions.newest(conn, limit, Reason(because) if because else None)
    if as_json:
        _print_json(entries)
    elif entries:
        _print_table(entries)
    else:
        typer.echo("The list is empty.")


def _record(mailbot: Opened, kind: Kind, text: str, note: str) -> None:
    from mailbot.core.consent import ConsentEvent, Source
    from mailbot.store import consent
    from mailbot.store.engine import now

    if not note.strip():
        raise typer.BadParameter("say how you know", param_hint="--note")
    address, person = mailbot.person(text)
    with mailbot.database.write() as conn:
        consent.record(conn, ConsentEvent(
            kind=kind,
            source=Source.COMMAND_LINE,
            person=person,
            key=f"command-line:{uuid.uuid4().hex}",
            received_at=now(conn),
            rule="by-hand",
            policy_version=mailbot.settings.shop.policy_version,
            address=address.text,
            evidence={"note": note.strip()},
        ))  # fmt: skip


def _print_table(entries: Iterable[Suppression]) -> None:
    from mailbot.cli.showing import console, table

    rows = [
        (entry.address or f"(erased) {entry.person_hash[:12]}", entry.reason, entry.since_at,
         entry.source, entry.rule)
        for entry in entries
    ]  # fmt: skip
    console().print(table("", ["address", "reason", "since", "by", "rule"], rows))


def _print_json(entries: Iterable[Suppression]) -> None:
    from dataclasses import asdict

    from mailbot.cli.showing import print_json

    print_json([asdict(entry) for entry in entries])
