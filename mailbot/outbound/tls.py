"""TLS on the way to the relay."""

from __future__ import annotations

import ssl
from pathlib import Path

from mailbot.core.errors import RelayRefused


def client_context(ca_file: Path | None, where: str) -> ssl.SSLContext:
    """A context that checks certificate and name, by `ca_file` or by what the system trusts.

    Raises RelayRefused where the file holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise RelayRefused(
            f"relay.ca_file {ca_file} holds no certificates that can be read.",
            where=where,
            next_step="Let it name a PEM file that this user may read.",
        ) from error
