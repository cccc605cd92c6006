"""`mailbot erase`: forget a person, and never write to them again."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.core.address import Address


def erase(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Case and a +tag do not matter.")
    ],
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Why: kept in the ledger, for ever.")
    ],
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Delete what is readable of one person, and keep only hashes: they get no offer, ever.

    Addresses, fields, evidence and the relay's answers go; what waits for this
    person is cancelled. The ledger stays whole. It cannot be undone.
    Backups made before hold the data until you delete them.

    [bold]Example[/bold]
      mailbot erase ann@example.org --note "GDPR request, ticket 4711"
    """
    from mailbot.cli.opening import opened_for_persons, writing
    from mailbot.cli.showing import counted
    from mailbot.core.address import parse_address
    from mailbot.store import erasure, scrubbing
    from mailbot.store.engine import now
    from mailbot.store.recording import recorded

    named = parse_address(address)
    note = _checked(note, named)
    if not is_sure and sys.stdin.isatty():
        typer.confirm(f"Forget {named.text} for good?", abort=True)
    with opened_for_persons(config) as installation:
        person = installation.person_key.identify(named)
        key = f"cli:{uuid.uuid4()}"
        hand = installation.hand
        erased = recorded(hand.database, hand.person_key, key, lambda conn: erasure.erase(
            conn, person, key=key, source=hand.source, received_at=now(conn),
            policy_version=hand.policy_version, evidence={"by": hand.who, "note": note},
        ))  # fmt: skip
        with writing(installation) as conn:
            queries = erasure.forget_in_queries(conn, named)
        is_clean = scrubbing.scrub(installation.database, named.text)
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({
            "event": erased.sequence,
            "person_hash": person.person_hash,
            "evidence_deleted": erased.events,
            "messages_emptied": erased.messages,
            "messages_cancelled": erased.cancelled,
            "audiences_emptied": erased.audiences,
            "queries_emptied": queries,
            "is_gone_from_the_files": is_clean,
        })  # fmt: skip
        return
    typer.echo(f"Erased, as event {erased.sequence}. Only hashes are left: no offer goes there.")
    typer.echo(
        f"Emptied: the evidence of {erased.events}, messages: {erased.messages} "
        f"({erased.cancelled} waited and were cancelled), audiences: {erased.audiences}."
    )
    if queries:
        many = counted(len(queries), "audience's query", "audiences' queries")
        typer.echo(f"Emptied as well: {many} that named the address.")
    if not is_clean:
        typer.echo(
            "The address still stands in the database's files, since another program reads them.\n"
            "Run the same command again when mailbot is stopped."
        )


def _checked(note: str, named: Address) -> str:
    """A note is for ever: it must not say what the erasure deletes. Raises InputError."""
    from mailbot.core.errors import InputError

    note = note.strip()
    if not note:
        raise InputError("a note is needed.", where="--note", next_step="Say why this is right.")
    told = note.casefold()
    if named.match_key in told or named.text.casefold() in told:
        raise InputError(
            "the note holds the address that is to be forgotten, and notes are kept.",
            where="--note",
            next_step="Name a ticket instead.",
        )
    return note
