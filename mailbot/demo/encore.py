"""`mailbot demo --keep`: the town stays open, says how to play with it, and shows each mail."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape

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
            _show(console, "[cyan]→ help@[/]", "from", mail.content)
        delivered = stage.servers.delivered()
        for taken in delivered[sent:]:
            _show(console, "[green]← sent[/]", f"to {taken.recipient}", taken.content)
        received, sent = len(mails), len(delivered)


def _show(console: Console, arrow: str, who: str, content: bytes) -> None:
    message = read_message(content)
    if who == "from":
        who = f"from {message.from_text}"
    console.print(f" {arrow} {escape(who)}: [italic]{escape(message.subject) or '(no subject)'}[/]")


def _explain(stage: Stage, console: Console) -> None:
    run = f"{_program()} --config {stage.config}"
    writer = cast.EMILY.address
    letter = f"From: {writer}\\nSubject: Please unsubscribe me\\n\\n"
    send = (
        f'{sys.executable} -c \'import smtplib; smtplib.SMTP("{HOST}", {stage.servers.smtp_port})'
        f'.sendmail("{writer}", "{cast.HELP}", "{letter}")\''
    )
    spring = (
        f"{run} campaign create Spring --template {stage.folder}/winter.txt "
        f"--audience {stage.folder}/customers.csv && {run} campaign schedule Spring"
    )
    console.print()
    console.print(" [bold]Everything is still running. Play with it from another terminal:[/]")
    for what, command in (
        ("Be a customer: write to help@ (change the sender and the subject as you like)", send),
        ("Ask for one person's whole story", f"{run} why {writer}"),
        ("See how mailbot is", f"{run} status"),
        ("See the do-not-send list", f"{run} suppress list"),
        ("Be marketing: send another offer, and see who does not get it", spring),
    ):
        console.print(f"\n [dim]# {what}[/]")
        console.print(f" {command}", soft_wrap=True, markup=False, highlight=False)
    console.print(f"\n [dim]The daemon's log is {stage.folder}/daemon.log[/]", soft_wrap=True)
    console.print(" [bold]Ctrl-C ends it and leaves nothing behind.[/]\n")


def _program() -> str:
    """mailbot as this demo was started: the script beside this Python, or the module."""
    script = Path(sys.executable).with_name("mailbot")
    return str(script) if script.exists() else f"{sys.executable} -m mailbot"
