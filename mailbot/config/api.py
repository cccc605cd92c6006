"""[api]: the settings of the API for the shop's own programs."""

from __future__ import annotations

from ipaddress import ip_address

from pydantic import Field, field_validator

from mailbot.config.public import Listen
from mailbot.config.table import Table
from mailbot.config.values import Number
from mailbot.core.errors import InputError


class ApiSettings(Table):
    """[api]: where it listens, and within which bounds."""

    listen: Listen = "127.0.0.1:8026"
    connections: Number = Field(default=100, ge=1, le=10_000)
    timeout_seconds: Number = Field(default=30, ge=1, le=120)

    @field_validator("listen", mode="after")
    @classmethod
    def _is_no_public_address(cls, listen: str) -> str:
        """Keys and addresses go over it in plain text: a web server with TLS stands in front."""
        if listen.startswith("unix:"):
            return listen
        host = listen.rpartition(":")[0].strip("[]")
        try:
            is_ours = ip_address(host).is_loopback
        except ValueError:
            is_ours = host == "localhost"
        if not is_ours:
            raise InputError(
                f"{listen!r} can be reached from other machines, in plain text.",
                next_step='Write "127.0.0.1:8026" or "unix:/run/…", and let nginx or Caddy in '
                "front speak TLS.",
            )
        return listen
