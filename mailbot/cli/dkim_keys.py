"""`mailbot keys dkim` and `records`: the keys that sign our mail, and what the DNS has to say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json
from mailbot.core.errors import InputError, RefusedError

if TYPE_CHECKING:
    from mailbot.core.dkim import SigningKey


def dkim(
    selector: Annotated[
        str, typer.Argument(metavar="SELECTOR", help="The key's name in the DNS, like mailbot1.")
    ],
    domain: Annotated[
        str, typer.Argument(metavar="DOMAIN", help="The domain that our mail is from.")
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="Where the private key is written.")
    ],
    ed25519: Annotated[
        bool, typer.Option("--ed25519", help="A short key; not every receiver knows it yet.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a key that signs our mail (DKIM), and say what to publish. RSA of 2048 bits.

    It signs once it stands under \\[\\[dkim]] in the settings. Publish its record a day before,
    and let `mailbot check` look. To change keys, use a new selector each time.

    [bold]Examples[/bold]
      mailbot keys dkim mailbot1 shop.example --to /etc/mailbot/dkim-mailbot1
      mailbot keys dkim mailbot2 shop.example --to /etc/mailbot/dkim-mailbot2 \\
          --ed25519
    """
    from mailbot.cli.private_key import write_key
    from mailbot.config.dkim_keys import make_key
    from mailbot.config.settings import DkimSettings

    selector, domain = _checked(DkimSettings, selector, domain)
    if os.path.lexists(to):
        raise RefusedError(
            "there is a file already, and a key is never overwritten: mail that it signed would "
            "no longer be known as ours.",
            where=str(to),
            next_step="Name a new file, and give the new key a new selector.",
        )
    key = make_key("ed25519" if ed25519 else "rsa")
    write_key(to, key.pem)
    if as_json:
        from mailbot.cli.showing import print_json

        print_json({"file": str(to), **_as_json(selector, domain, key)})
        return
    typer.echo(f"Written, readable by you alone: {to}\n\nPublish this record in the DNS:\n")
    typer.echo(_shown(selector, domain, key))
    typer.echo(
        f'\nThen add to the settings:\n\n[[dkim]]\ndomain = "{domain}"\n'
        f'selector = "{selector}"\nkey_file = "{to.absolute()}"\n\n'
        "Another user mailbot runs as? chgrp mailbot the file, and chmod 640."
    )


def records(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """What the DNS has to say of the keys under \\[\\[dkim]], ready for a zone file.

    [bold]Example[/bold]
      mailbot keys records
    """
    from mailbot.config import load, load_dkim_keys

    keys = [(one.selector, one.domain, one.key) for one in load_dkim_keys(load(config))]
    if as_json:
        from mailbot.cli.showing import print_json

        print_json([_as_json(*one) for one in keys])
        return
    if not keys:
        typer.echo("There is no key under [[dkim]]: the relay has to sign our mail.")
    for one in keys:
        typer.echo(_shown(*one))


def _shown(selector: str, domain: str, key: SigningKey) -> str:
    from mailbot.config.dkim_keys import zone_lines

    return zone_lines(selector, domain, key)


def _as_json(selector: str, domain: str, key: SigningKey) -> dict[str, object]:
    return {
        "name": f"{selector}._domainkey.{domain}",
        "algorithm": key.algorithm,
        "bits": key.bits,
        "record": key.record,
    }


def _checked(table: type, selector: str, domain: str) -> tuple[str, str]:
    """Both as the settings would take them. Raises InputError as they would."""
    from pydantic import ValidationError

    try:
        entry = table(selector=selector, domain=domain, key_file="-")
    except ValidationError as error:
        (cause, *_) = [one.get("ctx", {}).get("error") for one in error.errors()]
        if isinstance(cause, InputError):
            raise cause from error
        raise
    return entry.selector, entry.domain
