"""`mailbot`: all commands in one, and every error as words on standard error and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Annotated, Any, Final

import typer

from mailbot import __version__
from mailbot.cli import (
    api_keys,
    check,
    db,
    demo,
    erase,
    keys,
    recognise,
    restore,
    run,
    stop_marketing,
)
from mailbot.cli.campaign import commands as campaign
from mailbot.cli.ledger import commands as ledger
from mailbot.cli.options import DEFAULT_CONFIG, Config
from mailbot.cli.order_status import commands as order_status
from mailbot.cli.policy import commands as policy
from mailbot.cli.replay import commands as replay
from mailbot.cli.review import commands as review
from mailbot.cli.status import commands as status
from mailbot.cli.suppress import commands as suppression
from mailbot.cli.uncertain import commands as uncertain
from mailbot.cli.web import commands as web
from mailbot.cli.why import commands as why
from mailbot.core.errors import MailbotError

INTERRUPTED: Final = 130
_USAGE: Final = 64  # EX_USAGE: systemd does not start a service again that was called wrongly
_BUG: Final = 70  # EX_SOFTWARE
_IO: Final = 74  # EX_IOERR

_EXIT_CODES: Final = """\
[bold]Exit codes[/bold] (those of sysexits.h, so that scripts can tell a typo from an outage)

   0  done                             70  a bug in mailbot
   1  no; refused; needs a person      74  the database, a disk
  64  wrong command or option          77  a server refused us
  65  the input cannot be used         78  the settings, a key
  69  a server cannot be reached      130  Ctrl-C

[bold]Completion[/bold]: mailbot --install-completion, then open a new shell.
"""

app = typer.Typer(
    name="mailbot",
    rich_markup_mode="rich",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_CODES,
)
_IS_DEBUGGING: ContextVar[bool] = ContextVar("_IS_DEBUGGING", default=False)

_DAEMON, _ASK, _DO = "The daemon", "Ask", "Do"
app.command("run", rich_help_panel=_DAEMON)(run.run)
app.add_typer(web.app, name="web", rich_help_panel=_DAEMON)
app.command("demo", rich_help_panel=_DAEMON)(demo.demo)
app.command("check", rich_help_panel=_DAEMON)(check.check)
app.command("status", rich_help_panel=_ASK)(status.status)
app.command("why", rich_help_panel=_ASK)(why.why)
app.add_typer(ledger.app, name="ledger", rich_help_panel=_ASK)
app.command("recognise", rich_help_panel=_ASK)(recognise.recognise)
app.add_typer(review.app, name="review", rich_help_panel=_DO)
app.command("replay", rich_help_panel=_DO)(replay.replay)
app.add_typer(suppression.app, name="suppress", rich_help_panel=_DO)
app.command("erase", rich_help_panel=_DO)(erase.erase)
app.add_typer(campaign.app, name="campaign", rich_help_panel=_DO)
app.add_typer(order_status.app, name="order-status", rich_help_panel=_DO)
app.add_typer(uncertain.acknowledgement, name="acknowledgement", rich_help_panel=_DO)
app.command("stop-marketing", rich_help_panel=_DO)(stop_marketing.stop_marketing)
app.command("start-marketing", rich_help_panel=_DO)(stop_marketing.start_marketing)
app.add_typer(db.app, name="db", rich_help_panel=_DAEMON)
app.add_typer(restore.app, name="restore", rich_help_panel=_DAEMON)
app.add_typer(policy.app, name="policy", rich_help_panel=_DO)
app.add_typer(keys.app, name="keys", rich_help_panel=_DAEMON)
app.add_typer(api_keys.app, name="api-keys", rich_help_panel=_DAEMON)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"mailbot {__version__}")
        raise typer.Exit


@app.callback()
def mailbot(
    config: Config = DEFAULT_CONFIG,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the program an error came from.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Customers write "unsubscribe" to help@, and get order-status mail only from then on.

    Each command has examples: mailbot suppress add --help
    """
    del config, version  # their callbacks have done the work
    _IS_DEBUGGING.set(debug)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No exception leaves, Ctrl-C included."""
    for stream in (sys.stdout, sys.stderr):
        # Customers write in every script; a terminal of another one must not end a command.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    code = _told(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code if isinstance(error, BrokenPipeError) else _tell_os_error(error)
        # Python flushes again when it ends, and would say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _told(arguments: Sequence[str] | None) -> int:
    command = typer.main.get_command(app)
    _tidy_help(command)
    try:
        result = command.main(arguments, prog_name="mailbot", standalone_mode=False)
    except MailbotError as error:
        return _tell(_in_words(error), error.exit_code)
    except typer.TyperException as error:
        return _tell_wrong_usage(error)
    except typer.Abort:
        return _tell("ended; nothing was done", 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as error:  # rich and typer end so where a pipe was closed
        return error.code if isinstance(error.code, int) else 1
    except OSError as error:
        return _tell_os_error(error)
    except Exception as error:
        what = f"this is a bug in mailbot: {type(error).__name__}: {error}"
        return _tell(f"{what}\n  `mailbot --debug …` shows where: please report it.", _BUG)
    return result if isinstance(result, int) else 0


def _tidy_help(command: Any, parent: object = None) -> None:
    """`--json`, not `--json <bool>`, lest anybody write `--json true`; examples stay indented.

    typer takes the indent away where the examples come first: an empty markup in front keeps it.
    """
    context = command.context_class(command, parent=parent, **command.context_settings)
    for param in command.get_params(context):
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    command.help = re.sub(
        r"(\[bold\]Examples?\[/bold\]\n)(?= )", r"\1[bold][/bold]", command.help or ""
    )
    for inner in getattr(command, "commands", {}).values():
        _tidy_help(inner, context)


def _in_words(error: MailbotError) -> str:
    """What is wrong and where on the first line, what to do next below it."""
    if not error.next_step:
        return str(error)
    what = str(error).removesuffix(error.next_step).rstrip()
    return f"{what if what.endswith(('.', '?', ')', ':')) else what + '.'}\n  {error.next_step}"


def _tell_wrong_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # a command group by itself: its help
        typer.echo(error.format_message())
        return _USAGE
    path = context.command_path if context is not None else "mailbot"
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    end = "" if message.endswith("?") else "."
    return _tell(f"{message}{end}\n  Look at `{path} --help`.", _USAGE)


def _tell_os_error(error: OSError) -> int:
    place = f"{error.filename}: " if error.filename else ""
    return _tell(f"{place}{(error.strerror or str(error)).lower()}", _IO)


def _tell(words: str, code: int) -> int:
    with suppress(OSError):  # what was printed so far comes first
        sys.stdout.flush()
    if _IS_DEBUGGING.get():
        traceback.print_exc()
    sys.stderr.write(f"mailbot: {words}\n")
    return code
