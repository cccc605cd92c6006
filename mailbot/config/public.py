"""[public]: the settings of the public page, and what one of them must look like."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from mailbot.config.table import Table
from mailbot.config.values import Line, NewFolder, Number, StoreUrl
from mailbot.core.errors import InputError

# Scheme, host (IDN as xn--), port, and folders; the token comes behind it.
_URL: Final = re.compile(
    r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?(?:/[A-Za-z0-9._~-]+)*"
)
_LONGEST_URL: Final = 300  # the whole address of a page stands on one line of a mail's header
_TCP: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>\d{1,5})")
_LONGEST_SOCKET_PATH: Final = 100  # bytes; unix(7) has room for 107


def _public_url(url: str) -> str:
    bare = url.rstrip("/")
    if url.startswith("http://"):
        raise InputError(
            f"{url[:80]!r} is not safe: RFC 8058 asks for https.",
            next_step='Write "https://…", as nginx or Caddy answers it.',
        )
    if not _URL.fullmatch(bare) or any(part in (".", "..") for part in bare.split("/")):
        raise InputError(
            f"{url[:80]!r} is no web address that a page can stand under.",
            next_step='Write one like "https://mail.shop.example", without "?" or "#"; a name '
            'outside ASCII in its form "xn--…".',
        )
    if len(bare) > _LONGEST_URL:
        raise InputError(f"{bare[:60]!r}… is too long.", next_step="Write a shorter one.")
    return bare


def _listen(where: str) -> str:
    path = where.removeprefix("unix:")
    if path != where:
        if path.startswith("/") and len(path.encode()) <= _LONGEST_SOCKET_PATH:
            return where
        raise InputError(
            f"{where[:80]!r} names no socket.",
            next_step="Write an absolute path of at most 100 bytes, like "
            '"unix:/run/mailbot-public/http.sock".',
        )
    found = _TCP.fullmatch(where)
    if not found or not 0 <= int(found["port"]) <= 65_535:
        raise InputError(
            f"{where[:80]!r} is no address to listen on.",
            next_step='Write "127.0.0.1:8025", "[::1]:8025" or "unix:/run/…".',
        )
    return where


def _proxy(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise InputError(
            f"{text[:60]!r} is no IP address or network.",
            next_step='Write one like "127.0.0.1" or "10.0.0.0/8".',
        ) from error


PublicUrl = Annotated[Line, AfterValidator(_public_url)]
Listen = Annotated[Line, AfterValidator(_listen)]
Proxy = Annotated[Line, AfterValidator(_proxy)]


class PublicSettings(Table):
    """[public]: the page on which a customer leaves by one click."""

    url: PublicUrl | None = Field(default=None, examples=["https://mail.hollowandfinch.example"])
    listen: Listen = "127.0.0.1:8025"
    trusted_proxies: tuple[Proxy, ...] = ("127.0.0.1/32", "::1/128")
    spool: NewFolder | None = Field(default=None, examples=["/var/lib/mailbot-public"])
    database_url: StoreUrl | None = Field(
        default=None,
        examples=["postgresql+psycopg://mailbot_public@db.hollowandfinch.example/mailbot"],
    )
    language: Literal["en", "de", "fr", "es"] = "en"
    wrong_links_per_minute: Number = Field(default=30, ge=1, le=10_000)
    connections: Number = Field(default=500, ge=10, le=10_000)
    timeout_seconds: Number = Field(default=10, ge=1, le=120)

    @field_validator("database_url", mode="after")
    @classmethod
    def _is_a_server(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith("postgresql"):
            raise InputError(
                "is for PostgreSQL alone.",
                next_step="Leave it out: with SQLite wishes go through the folder of `spool`.",
            )
        return url

    @property
    def spool_folder(self) -> Path:
        """Where wishes wait, also where none is written."""
        return self.spool or Path("/var/lib/mailbot-public")
