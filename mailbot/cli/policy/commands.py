"""`mailbot policy`: the versions of the privacy policy, and since when each is in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def policy() -> None:
    """The versions of the privacy policy: each event names the one in force at receipt."""


@app.command()
def add(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="What it is called: 40 characters at most.")
    ],
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="In force since or from then on (UTC): now."),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="FILE", help="The posted text: its digest is recorded."),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where it is posted.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Record a new version of the privacy policy, in the ledger as well.

    Events that are received from then on name it. No version is added twice, and
    none for a time of which events already name another one.

    [bold]Examples[/bold]
      mailbot policy add 2027-03 --from 2027-03-01 --text privacy.txt
      mailbot policy add 8 --url https://shop.example/privacy/8
    """
    from mailbot.cli.policy.change import add_version
    from mailbot.cli.showing import moment, print_json

    added = add_version(config, version, from_, text, url)
    if as_json:
        print_json({
            "version": added.version, "in_force_at": added.in_force_at,
            "text_digest": added.text_digest, "url": added.url, "event": added.sequence,
        })  # fmt: skip
        return
    since = moment(added.in_force_at)
    typer.echo(f"Version {added.version} is in force from {since} UTC, as event {added.sequence}.")


@app.command("list")
def list_(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Every version, and which is in force now.

    [bold]Example[/bold]
      mailbot policy list --json
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.showing import console, moment, print_json, printable, table
    from mailbot.store import policies
    from mailbot.store.engine import now

    with opened(config) as installation, installation.database.read() as conn:
        versions = policies.all_versions(conn)
        at = now(conn)
        in_force = policies.in_force(conn, at) or installation.settings.shop.policy_version
    if as_json:
        print_json({
            "in_force": in_force,
            "versions": [
                {"version": one.version, "in_force_at": one.in_force_at,
                 "text_digest": one.text_digest, "url": one.url, "event": one.sequence}
                for one in versions
            ],
        })  # fmt: skip
        return
    if not versions:
        typer.echo(f"Version {in_force} is in force, by policy_version in the settings.")
        typer.echo("None is recorded: mailbot policy add --help")
        return
    shown = table("Version", "From (UTC)", "", "Event", "SHA-256 of the text", "Posted at",
                  wide="Posted at", right=["Event"])  # fmt: skip
    for one in versions:
        mark = "in force" if one.version == in_force else "to come" if one.in_force_at > at else ""
        shown.add_row(
            printable(one.version), moment(one.in_force_at), mark, f"#{one.sequence}",
            (one.text_digest or "")[:16], printable(one.url or ""),
        )  # fmt: skip
    console().print(shown)
