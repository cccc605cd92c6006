"""`mailbot demo`: the real daemon in a little town of mail, a story played to it, and its audit.

servers.py  IMAP and SMTP in memory      letters.py   what customers write
inbox.py    help@ seen from outside      findings.py  what became of it, asked of all three
cast.py     shop, customers, campaigns   promises.py  what should have become of it
stage.py    folder and daemon            report.py    the tables
story.py    the acts                     encore.py    `--keep`
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from mailbot.core.errors import MailbotError
from mailbot.demo import cast

_NEEDED = ("pymap", "aiosmtpd")
_INTERRUPTED = 130  # what a shell reports after Ctrl-C


def run(keep: bool, console: Console) -> int:
    """Play the demo on `console`; 0 where everything came as promised, else 1.

    With `keep` it stays open until Ctrl-C. Raises MailbotError where it cannot run at all.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MailbotError(
            f"The demo needs {' and '.join(missing)}, which only the demo needs.",
            next_step="Run: pip install 'mailbot[demo]'",
        )
    # The environment wins over the configuration file: a real relay must not win over the demo's.
    for name in [name for name in os.environ if name.startswith("MAILBOT_")]:
        del os.environ[name]
    for name in ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM"):
        os.environ.pop(name, None)
    with _ended_by_signals():
        try:
            return _play(keep, console)
        except KeyboardInterrupt:
            console.print("\n The demo was ended; nothing is left behind.")
            return 0 if keep else _INTERRUPTED


def _play(keep: bool, console: Console) -> int:
    # Only here: pymap and aiosmtpd come with the demo extra.
    from mailbot.demo import encore, letters, promises, report, stage, story
    from mailbot.demo.servers import mail_servers

    started = time.monotonic()
    report.introduce(console)
    password = secrets.token_urlsafe(12)
    with mail_servers(cast.HELP, password) as servers:
        story.arrive(servers, letters.EARLIER)
        with stage.set_up(servers, password) as scene:
            with console.status("mailbot starts …") as spinner:
                for sentence in story.play(scene):
                    report.tell(console, sentence, time.monotonic() - started)
                    spinner.update("the story goes on …")
                findings = story.review(scene)
            checked = promises.check(findings)
            report.show(console, findings, checked)
            is_kept = report.conclude(console, checked, time.monotonic() - started)
            if keep:
                encore.keep_open(scene, console)
    return 0 if is_kept else 1


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo like Ctrl-C, so that the daemon never stays behind."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
