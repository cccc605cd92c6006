"""`mailbot db`: the database's schema, its backups, and what it forgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli import grants
from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from mailbot.store.backups import Backup

app = typer.Typer(no_args_is_help=True)
app.command("grants")(grants.grants)


@app.callback()
def db() -> None:
    """Create the database, bring it up to date, back it up and restore it."""


@app.command()
def upgrade(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Create the database, or bring its schema up to this program's. It destroys nothing.

    Run it once before the first start and after each new version, as the user
    that mailbot runs as. It may be run again at any time.

    [bold]Examples[/bold]
      mailbot db upgrade
      sudo -u mailbot mailbot db upgrade
    """
    from mailbot.cli.showing import print_json
    from mailbot.config import load
    from mailbot.store import schema

    version = schema.upgrade(load(config).store.url)
    if as_json:
        print_json({"schema_version": version})
    else:
        typer.echo(f"The database is ready: its schema is at version {version}.")


@app.command()
def forget(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be forgotten.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Delete readable addresses of messages that are long over; the daemon does it by itself.

    How long they are kept: outbox_addresses_days under \\[retention]. Hashes, states
    and counts stay, and so does the do-not-send list.

    [bold]Examples[/bold]
      mailbot db forget --dry-run
      mailbot db forget
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import print_json
    from mailbot.store import retention
    from mailbot.store.engine import now

    with opened(config) as installation:
        days = installation.settings.retention.outbox_addresses_days
        with installation.database.read() as conn:
            before = now(conn) - timedelta(days=days)
            found = retention.count(conn, before) if dry_run else None
        if found is None:
            found = retention.forget(installation.database, before)
    if as_json:
        print_json({
            "dry_run": dry_run, "before": before,
            "messages": found.messages, "audience_members": found.members,
        })  # fmt: skip
        return
    would = "Would forget" if dry_run else "Forgot"
    typer.echo(
        f"{would} the addresses of {found.messages:,} messages and {found.members:,} audience "
        f"members from before {before:%Y-%m-%d} ({days} days)."
    )


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Write a whole backup to a new file while mailbot goes on. It is looked through.

    SQLite: a database file; PostgreSQL: a dump by pg_dump. Readable by you alone
    (0600): it holds addresses. Keep the person key with it, and keep the journal
    (journal under \\[store]) out of it.

    [bold]Examples[/bold]
      mailbot db backup /backup/mailbot-2027-03-01.db
      mailbot db backup "/backup/mailbot-$(date +%F).dump"   # PostgreSQL
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import counted, print_json
    from mailbot.store import backups

    with opened(config) as installation:
        made = backups.make(installation.database, target)
    if as_json:
        print_json(_as_json(made))
        return
    events = counted(made.head.sequence, "event")
    typer.echo(f"{target} is whole: {events}, schema {made.version}, {made.size:,} bytes.")
    typer.echo(f"The ledger's head: {made.head.sequence}:{made.head.hash}")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` made.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Put a backup in the database's place. The present database is put aside, not deleted.

    The backup is looked through first. On PostgreSQL store.url has to name an empty
    database. Stop the daemon before. Whatever was heard since the backup is then
    played back from the journal, and marketing waits: mailbot restore show.

    [bold]Example[/bold]
      systemctl stop mailbot
      sudo -u mailbot mailbot db restore /backup/mailbot-2027-03-01.db
    """
    from mailbot.cli.showing import counted, print_json
    from mailbot.config import load
    from mailbot.core.errors import RefusedError
    from mailbot.store import backups, schema
    from mailbot.store.journal import Journal

    store = load(config).store
    if Journal(store.journal_folder).is_daemon_running():
        raise RefusedError(
            "mailbot runs on this database", next_step="Stop it first: systemctl stop mailbot"
        )
    file = backups.sqlite_file(store.url)
    if file is None:
        done = backups.restore_dump(source, store.url)
    else:
        done = backups.restore_file(source, file, datetime.now(UTC))
    if as_json:
        print_json(_as_json(done))
        return
    typer.echo(f"Restored: {counted(done.head.sequence, 'event')}, schema {done.version}.")
    if done.put_aside is not None:
        typer.echo(f"The database that was there is now {done.put_aside}")
    if done.version != schema.newest_version():
        typer.echo("Its schema is older than this program: mailbot db upgrade")
    typer.echo("Next: mailbot restore show   # what was heard since; marketing waits")


def _as_json(backup: Backup) -> dict[str, object]:
    return {
        "file": str(backup.path),
        "schema_version": backup.version,
        "events": backup.head.sequence,
        "head": f"{backup.head.sequence}:{backup.head.hash}",
        "bytes": backup.size,
        "put_aside": str(backup.put_aside) if backup.put_aside else None,
    }
