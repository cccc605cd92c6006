"""`mailbot demo --keep`: the town stays open, says how to play with it, and shows each mail."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from mailbot.core.inbound_message import read_message
from mailbot.demo import cast
from mailbot.demo.servers import HOST
from mailbot.demo.stage import Stage

_LOOK_EVERY_SECONDS = 0.5


def keep_open(stage: Stage, console: Console) -> NoReturn:
    """Explain, then show what comes and goes until Ctrl-C. Raises MailbotError if mailbot ends."""
    _explain(stage, console)
    received = len(stage.servers.inbox.look())
    sent = len(stage.servers.delivered())
    while True:
        time.sleep(_LOOK_EVERY_SECONDS)
        stage.check_daemon()
        mails = stage.servers.inbox.look()
        for mail in mails[received:]:
            message = read_message(mail.content)
            _show(console, ("→ help@", "cyan"), f"from {message.from_text}", message.subject)
        delivered = stage.servers.delivered()
        for taken in delivered[sent:]:
            subject = read_message(taken.content).subject
            _show(console, ("← sent", "green"), f"to {taken.recipient}", subject)
        received, sent = len(mails), len(delivered)


def _show(console: Console, arrow: tuple[str, str], who: str, subject: str) -> None:
    line = Text.assemble(" ", arrow, f" {who}: ", (subject or "(no subject)", "italic"))
    console.print(line, soft_wrap=True)


def _explain(stage: Stage, console: Console) -> None:
    say = Text.assemble(("\n Everything is still running.", "bold"), " In another terminal:\n")
    console.print(say)
    _command(console, f"export MAILBOT_CONFIG={shlex.quote(str(stage.config))}")
    for what, *commands in _ideas(stage):
        console.print(Text(f"\n # {what}", style="dim"), soft_wrap=True)
        for command in commands:
            _command(console, command)
    end = Text.assemble(
        f"\n mailbot's log is {stage.folder}/daemon.log. ",
        ("Ctrl-C here ends it all and leaves nothing behind.\n", "bold"),
    )
    console.print(end, soft_wrap=True)


def _command(console: Console, command: str) -> None:
    """Unwrapped, so that it can be copied."""
    console.print(f" {command}", soft_wrap=True, markup=False, highlight=False)


def _ideas(stage: Stage) -> tuple[tuple[str, ...], ...]:
    """What to try: a sentence, and the commands, which work one after the other."""
    mailbot, writer = _program(), cast.EMILY.address
    letter = f"From: {writer}\\nTo: {cast.HELP}\\nSubject: Please unsubscribe me\\n\\n"
    order = {
        "type": "shipped",
        "to": writer,
        "idempotency_key": "order-2001-shipped",
        "fields": {"order_number": "2001"},
    }
    write = (
        f'{sys.executable} -c \'import smtplib; smtplib.SMTP("{HOST}", {stage.servers.smtp_port})'
        f'.sendmail("{writer}", "{cast.HELP}", "{letter}")\''
    )
    create = (
        f'{mailbot} campaign create spring --subject "Spring teas are here"'
        f" --text {stage.folder}/winter.txt --audience {stage.folder}/customers.csv"
    )
    schedule = f"{mailbot} campaign schedule spring --now"
    report = f"echo '{json.dumps(order)}' | {mailbot} order-status send"
    questions = (f"{mailbot} why {writer}", f"{mailbot} suppress list", f"{mailbot} status")
    return (
        ("Be a customer, and write to help@ (another sender, another subject …)", write),
        ("Be marketing, and send another offer: she does not get it", create, schedule),
        ("Be the shop, and report on her order: that she gets", report),
        ("Ask for her whole story, for the do-not-send list, for mailbot's health", *questions),
    )


def _program() -> str:
    """mailbot as this demo was started: the script beside this Python, or the module."""
    script = Path(sys.executable).with_name("mailbot")
    return shlex.quote(str(script)) if script.exists() else f"{sys.executable} -m mailbot"
