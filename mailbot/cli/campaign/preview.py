"""`mailbot campaign preview`: how a letter will look, before anybody gets it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config


def preview(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the campaign is called.")],
    line: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Whose letter: the line of the audience file."),
    ] = 1,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FOLDER", help="Write it there: .eml, .txt and .html."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Show one person's letter: its headers, the text, and what the HTML says beside it.

    Nothing is sent. The .eml that --save writes is the letter byte for byte,
    for a mail program; the .html is for a browser. The way out in it is
    nobody's: who tries it opts no customer out.

    [bold]Examples[/bold]
      mailbot campaign preview spring
      mailbot campaign preview spring --line 17 --save /tmp/spring
    """
    from mailbot.cli.campaign.letter_files import save_letter
    from mailbot.cli.campaign.preview_screen import show_preview
    from mailbot.cli.opening import opened
    from mailbot.config import load_token_keys
    from mailbot.outbound.letterhead import Letterhead
    from mailbot.outbound.preview import preview as write
    from mailbot.store import campaigns
    from mailbot.store import engine as store

    with opened(config) as installation, installation.database.read() as conn:
        campaign = campaigns.get(conn, name)
        letterhead = Letterhead.of(installation.settings, load_token_keys(installation.settings))
        written = write(conn, campaign, letterhead, store.now(conn), line)
    show_preview(campaign, written)
    if save is not None:
        save_letter(save, campaign.name, written.message)
