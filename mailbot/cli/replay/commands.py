"""`mailbot replay`: the requests that were missed, found by reading everything again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mailbot.config import MailboxSettings, Settings
    from mailbot.core.errors import MailboxError
    from mailbot.inbound.replay import FiledMail, Replay


def replay(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH…",
            readable=False,
            show_default=False,
            help="Mails, folders of mails, mbox files. Without any: the mailboxes.",
        ),
    ] = None,
    mailbox: Annotated[
        str, typer.Option("--mailbox", metavar="NAME", help="Only this one, as the settings say.")
    ] = "",
    folder: Annotated[
        str, typer.Option("--folder", metavar="NAME", help="Only this one, watched or not.")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="DATE", help="Only what came then (UTC) or later.")
    ] = "",
    is_applied: Annotated[
        bool, typer.Option("--apply", help="Carry out what was missed; else nothing is changed.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Read everything again, whatever was read before, and show the requests that were missed.

    Nothing is changed: --apply carries them out, each in a transaction of its
    own, so that Ctrl-C leaves nothing half-done. Nobody is sent an
    acknowledgement for history. The mail stays unread, and the daemon may run.

    Reports that mail of ours was undeliverable or unwanted count as requests.
    A mail out of a file counts as received when the line above it in the mbox
    says, else now.

    Exit code 1 where something was missed and not carried out.

    [bold]Examples[/bold]
      mailbot replay
      mailbot replay --mailbox help --since 2026-03-01 --json
      mailbot replay archive.mbox --apply
    """
    from mailbot import log
    from mailbot.cli.opening import opened_for_persons
    from mailbot.cli.replay.screen import Bar, found_as_json, show_found
    from mailbot.cli.showing import print_json
    from mailbot.config import load_token_keys
    from mailbot.inbound.replay import Replay
    from mailbot.inbound.shop import Shop

    if paths and (mailbox or folder):
        raise typer.BadParameter("--mailbox and --folder are of mailboxes, not of files.")
    first_day = _day(since)
    unread: list[Path] = []
    failures: list[MailboxError] = []
    with opened_for_persons(config) as installation:
        settings = installation.settings
        log.configure("error", own_addresses=[settings.shop.help_address])
        shop = Shop.of(settings, installation.person_key, load_token_keys(settings))
        boxes = _chosen(settings, mailbox)
        with Bar() as bar:
            found = Replay(
                shop, installation.database, is_applied=is_applied, since=first_day,
                on_progress=bar.show,
            )  # fmt: skip
            try:
                if paths:
                    ids = [one for box in settings.mailboxes for one in box.authserv_ids]
                    found.files(_filed(paths, unread), ids)
                else:
                    failures = _read_mailboxes(found, settings, boxes, folder)
            except KeyboardInterrupt:
                bar.end()
                typer.echo(f"mailbot: ended; {_until_here(found, is_applied)}", err=True)
                raise
    findings = found.findings
    if as_json:
        print_json(found_as_json(findings, is_applied=is_applied, failures=failures))
    else:
        show_found(findings, is_applied=is_applied, is_shadow=shop.is_shadow, settings=settings)
    for failure in failures[1:]:
        typer.echo(f"mailbot: {failure}", err=True)
    if failures:
        raise failures[0]
    if unread:
        raise typer.Exit(65)
    if findings.missed and not is_applied:
        raise typer.Exit(1)


def _until_here(found: Replay, is_applied: bool) -> str:
    from mailbot.cli.showing import counted

    if not is_applied:
        return "nothing was changed"
    count = len(found.findings.missed)
    return (
        f"{counted(count, 'request was', 'requests were')} carried out, run it again for the rest"
    )


def _day(text: str) -> datetime | None:
    """Its first moment in UTC; None for ""."""
    from datetime import UTC, date, datetime, time

    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text.strip()), time(), UTC)
    except ValueError as error:
        raise typer.BadParameter(
            f"“{text}” is no date: write it like 2026-03-01.", param_hint="--since"
        ) from error


def _chosen(settings: Settings, name: str) -> list[MailboxSettings]:
    """All, or the one of that name."""
    chosen = [box for box in settings.mailboxes if name in ("", box.name)]
    if not chosen:
        names = ", ".join(box.name for box in settings.mailboxes)
        raise typer.BadParameter(
            f"the settings have no mailbox “{name}”, but: {names}.", param_hint="--mailbox"
        )
    return chosen


def _read_mailboxes(
    found: Replay, settings: Settings, boxes: list[MailboxSettings], folder: str
) -> list[MailboxError]:
    """One that cannot be read does not hide the others; returns what went wrong."""
    from mailbot.config import read_secret
    from mailbot.core.errors import MailboxError
    from mailbot.inbound.imap import Mailbox

    failures = []
    for box in boxes:
        try:
            with Mailbox(box, read_secret(settings, box.password_file)) as mailbox:
                found.account(mailbox, box, folder)
        except MailboxError as error:
            failures.append(error)
    return failures


def _filed(paths: list[Path], unread: list[Path]) -> Iterator[FiledMail]:
    import os

    from mailbot.cli.mail_files import every_delivered_mail
    from mailbot.inbound.replay import FiledMail
    from mailbot.store.reviews import Place

    for at, raw, delivered_at in every_delivered_mail(paths, unread):
        number = at.get("message", 1)
        path = os.fsencode(str(at["file"])).decode("utf-8", "replace")  # as databases store it
        place = Place("file", path, 0, number if isinstance(number, int) else 1)
        yield FiledMail(place, raw, delivered_at)
