"""The commands, one file a noun. They call the functions of the rooms below and hold no rule.

Libraries are imported inside the commands, so that `mailbot --help` is quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from mailbot import __version__
from mailbot.cli import campaign, database, keys, order_status, suppress
from mailbot.cli.health import check, status
from mailbot.cli.marketing import stop_marketing
from mailbot.cli.recognition import recognise
from mailbot.cli.running import demo, run
from mailbot.cli.story import why
from mailbot.core.errors import MailbotError

_BUG = 70  # EX_SOFTWARE
_INTERRUPTED = 130  # 128 + SIGINT

EXIT_CODES = """
Exit codes: 0 done, 1 no or a problem was found, 2 wrong usage, 65 what was handed over cannot be
used, 69 a server cannot be reached, 70 a fault of mailbot itself, 74 the database cannot be read or
written, 77 a server refused us, 78 the configuration is wrong.
"""

app = typer.Typer(
    name="mailbot",
    help='Customers write "unsubscribe" to help@, and get order-status mail only from then on.\n\n'
    "The configuration is --config FILE, else $MAILBOT_CONFIG, else /etc/mailbot/mailbot.toml.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, demo, check, status, why, recognise, stop_marketing):
    app.command()(command)
for name, group in (
    ("suppress", suppress.app),
    ("campaign", campaign.app),
    ("order-status", order_status.app),
    ("db", database.app),
    ("keys", keys.app),
):
    app.add_typer(group, name=name)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"mailbot {__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    del version


def main() -> NoReturn:
    """Run the command line; every error leaves as a sentence and an exit code."""
    try:
        app(standalone_mode=True)
        sys.exit(0)
    except MailbotError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # Whoever read us has read enough; Python must not complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("MAILBOT_DEBUG"):
            raise
        _end(
            f"this is a fault of mailbot itself: {type(error).__name__}: {error}\n"
            "Please report it. MAILBOT_DEBUG=1 before the command shows where it happened.",
            _BUG,
        )


def _end(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"mailbot: {message}\n")
    sys.exit(code)
