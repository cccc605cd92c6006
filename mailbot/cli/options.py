"""Options that many commands take, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_CONFIG: Final = Path("/etc/mailbot/mailbot.toml")


def _nearest(ctx: typer.Context, value: Path) -> Path:
    """--config after the command, else before it, else $MAILBOT_CONFIG, else the default."""
    source = ctx.get_parameter_source("config")
    is_said_here = source is not None and source.name == "COMMANDLINE"
    if is_said_here or ctx.parent is None:
        return value
    outer = ctx.find_root().params.get("config", value)
    return outer if isinstance(outer, Path) else value


Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="MAILBOT_CONFIG",
        callback=_nearest,
        readable=False,  # reading it says more than typer would
        show_default=False,
        show_envvar=False,
        help="The settings ($MAILBOT_CONFIG, else /etc/mailbot/mailbot.toml).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
