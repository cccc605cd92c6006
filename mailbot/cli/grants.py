"""`mailbot db grants`: the rights of the public page's role on PostgreSQL."""

from __future__ import annotations

from typing import Annotated

import typer


def grants(
    role: Annotated[
        str, typer.Argument(metavar="ROLE", help="The page's role, like mailbot_public.")
    ],
) -> None:
    """Print the SQL by which ROLE may add wishes of customers, and do nothing else.

    Make the role first (CREATE ROLE … LOGIN), and run this as the owner of
    mailbot's tables, after `mailbot db upgrade`.

    [bold]Example[/bold]
      mailbot db grants mailbot_public | psql mailbot
    """
    from mailbot.store.door import grants as sql

    typer.echo(sql(role), nl=False)
