"""`mailbot restore`: what a restored backup had forgotten, and the word that it may be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mailbot.store.restoring import Restored
    from mailbot.store.switches import Switch

app = typer.Typer(no_args_is_help=True)

# What a person may have to do about what was not played back.
_ADVICE = {
    "imported": "Import the files again: mailbot suppress import FILE",
    "opt_in": "Who came back since is on the list until they say so again.",
}


@app.callback()
def restore() -> None:
    """After a database was restored from a backup: look, and let marketing go on."""


@app.command()
def show(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show what the backup had forgotten, and what was done about it.

    Compares the database with its journal first: it may be run before the daemon
    is started. Exit code 1 while `mailbot restore accept` is waited for.

    [bold]Examples[/bold]
      mailbot restore show
      mailbot restore show --json
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.store import restoring, switches

    with opened(config) as installation:
        folder = installation.settings.store.journal_folder
        restoring.Keeper(installation.database, folder).keep()
        with installation.database.read() as conn:
            waiting = switches.get(conn, switches.LIST_DISTRUSTED)
            history = restoring.history(conn)
    if as_json:
        print_json({
            "waits_to_be_accepted": waiting.is_on,
            "because": waiting.because if waiting.is_on else None,
            "since": waiting.set_at if waiting.is_on else None,
            "history": [
                {"event": one.sequence, "at": one.at, "is_acceptance": one.is_acceptance,
                 **one.evidence}
                for one in history
            ],
        })  # fmt: skip
    else:
        _show(waiting, history)
    if waiting.is_on:
        raise typer.Exit(1)


@app.command()
def accept(
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="What you looked at: it is recorded.")
    ],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Say that the restored database may be used: marketing goes on.

    Campaigns that were under way stay paused: what was sent of them after the
    backup is not known here, and would be sent twice.

    [bold]Example[/bold]
      mailbot restore accept --note "backup of 02:00; spring was sent by then"
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.cli.stop_marketing import who
    from mailbot.core.errors import InputError
    from mailbot.store import restoring, switches

    if not note.strip():
        raise InputError("--note is empty", next_step="Say what you looked at: it is recorded.")
    with opened(config) as installation, installation.database.write() as conn:
        sequence = restoring.accept(
            conn, who=who(), note=note.strip(),
            policy_version=installation.settings.shop.policy_version,
        )  # fmt: skip
        is_stopped = switches.get(conn, switches.MARKETING_STOPPED).is_on
    if as_json:
        print_json({"event": sequence, "marketing_stopped": is_stopped})
        return
    typer.echo(f"Accepted; it is event {sequence} of the ledger.")
    if is_stopped:
        typer.echo("Marketing is stopped by hand: mailbot start-marketing")
    else:
        typer.echo("Marketing goes on. Campaigns stay paused: mailbot campaign resume NAME")


def _show(waiting: Switch, history: list[Restored]) -> None:
    from rich.text import Text

    from mailbot.cli.showing import console, moment, printable

    screen = console()
    found = next((one for one in history if not one.is_acceptance), None)
    if found is None:
        screen.print("This database was never restored from a backup.")
        return
    screen.print(Text(f"Found at {moment(found.at)} UTC: {found.evidence['what']}.", "bold"))
    _show_counts(found)
    accepted = next((one for one in history if one.is_acceptance), None)
    screen.print()
    if waiting.is_on:
        screen.print(Text("Marketing waits for you. Order status goes on.", "bold yellow"))
        screen.print('To go on: mailbot restore accept --note "what you looked at"')
    elif accepted is not None:
        by, note = accepted.evidence.get("by", ""), accepted.evidence.get("note", "")
        screen.print(f"Accepted by {printable(by)} at {moment(accepted.at)} UTC: {printable(note)}")


def _show_counts(found: Restored) -> None:
    from mailbot.cli.showing import console, printable, words

    screen = console()

    def line(label: str, value: str) -> None:
        screen.print(f"  {label:<18}{value}")

    def listed(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{count:,} {words(kind)}" for kind, count in counts.items())

    evidence = found.evidence
    if "lost" not in evidence:
        return
    line("Forgotten", f"{int(evidence['lost']):,} events behind event {evidence['agreed']}")
    line("Played back", listed(found.counts("played_back")) or "nothing")
    told = found.counts("not_played_back")
    if told:
        line("Not played back", listed(told))
    for kind in told:
        if kind in _ADVICE:
            line("", _ADVICE[kind])
    if int(evidence["unknown"]):
        line("Not known", f"{int(evidence['unknown']):,} events: the journal itself was cut")
    line("Campaigns paused", printable(evidence["paused"]) or "none")
    line("Order mail", f"{int(evidence['waiting']):,} waited in the backup: sent, or sent again")
