"""One log for mailbot and its libraries: JSON lines to a pipe or journal, colours on a terminal.

Standard error carries it, so that what a command prints stays clean. No customer's address leaves
at info or above, even where an event was given one by mistake (privacy.md: a keyed hash instead).
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

# Ids that look like an address and name a message, not a person.
_MESSAGE_IDS: Final = frozenset({"message_id", "in_reply_to"})
_DEEPEST: Final = 6  # levels of lists and tables in one value

# Anything like x@y. What may stand before it ends the run that is tried, or is "/" (a URL's user);
# the lengths are bounded, so that time stays linear.
_STOP: Final = r"""\s<>()\[\],;:"'|"""
_ADDRESS: Final = re.compile(
    rf'(?P<local>"[^"\n]{{1,128}}"|(?<![^{_STOP}/])[^{_STOP}/@][^{_STOP}@]{{0,256}})'
    rf"@(?P<domain>[^{_STOP}/@]*[^{_STOP}/@.?!]|\[[^\]\s]{{1,64}}\])"
)
# Control characters, lone surrogates, and what turns the direction of writing.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SYSLOG_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(
    level: Level = "info",
    format: Format = "auto",
    *,
    own_addresses: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every event, ours and the libraries', to `stream` (standard error).

    Libraries are heard from warning on. `own_addresses` may stand in full, as Settings has them.
    """
    out = stream if stream is not None else sys.stderr
    is_console = format == "console" or (format == "auto" and out.isatty())
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        AddressShortener(own_addresses),
        *(_for_console(out) if is_console else _for_machines(out)),
    ]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(out),
        cache_logger_on_first_use=False,
    )
    _route_libraries(out, level, first, last)


class _Lines:
    """Writes each event as one line. A full disk or a closed pipe costs the line, not the work."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._out.write(line + "\n")
            self._out.flush()

    debug = info = warning = error = critical = msg


class AddressShortener:
    """Turns john@shop.example into j***@shop.example in events at info and above.

    A safety net: callers bind person hashes. Our own addresses stay, whatever their case.
    """

    def __init__(self, own_addresses: Iterable[str] = ()) -> None:
        self._own = frozenset(address.lower() for address in own_addresses)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """A structlog processor; runs after exceptions have become text."""
        if event.get("level") == "debug":
            return event
        for key, value in event.items():
            if key not in _MESSAGE_IDS:
                event[key] = self._shorten(value, _DEEPEST)
        return event

    def _shorten(self, value: object, depth: int) -> Any:
        if isinstance(value, str):
            return _ADDRESS.sub(self._short_form, value) if "@" in value else value
        if value is None or isinstance(value, int | float | date):
            return value
        if depth and isinstance(value, Mapping):
            return {
                self._shorten(key, 0): self._shorten(one, depth - 1) for key, one in value.items()
            }
        if depth and isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
            return [self._shorten(one, depth - 1) for one in value]
        return self._shorten(str(value), 0)

    def _short_form(self, found: re.Match[str]) -> str:
        if found[0].lower() in self._own:
            return found[0]
        return f"{found['local'].lstrip(chr(34))[0]}***@{found['domain']}"


def _for_machines(out: TextIO) -> list[Processor]:
    # ASCII only: whatever a mail's subject held, a line stays one valid line.
    renderer = structlog.processors.JSONRenderer(default=_as_text)
    return [_in_order, _SyslogPriority(renderer) if _is_journal(out) else renderer]


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _in_order(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """When, how bad, what: then the rest, as it was bound."""
    head = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**head, **event}


def _for_console(out: TextIO) -> list[Processor]:
    # Plain tracebacks: the pretty ones print local variables, and those hold passwords.
    renderer = structlog.dev.ConsoleRenderer(
        colors=out.isatty() and "NO_COLOR" not in os.environ,
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_make_printable, renderer]


def _make_printable(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A subject line may not move the cursor or forge a line of the log."""
    for key, value in event.items():
        text = str(value) if isinstance(value, list | dict) else value
        if not isinstance(text, str):
            continue
        lines = text.split("\n") if key in ("exception", "stack") else [text]
        event[key] = "\n".join(_UNPRINTABLE.sub(_escaped, line) for line in lines)
    return event


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


class _SyslogPriority:
    """Begins the line with <4> or so, which journald takes as its priority (sd-daemon(3))."""

    def __init__(self, renderer: Processor) -> None:
        self._renderer = renderer

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        priority = _SYSLOG_PRIORITY.get(event.get("level", "info"), 6)
        return f"<{priority}>{self._renderer(logger, method, event)!s}"


def _is_journal(out: TextIO) -> bool:
    """systemd says in $JOURNAL_STREAM which file is the journal (systemd.exec(5))."""
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _route_libraries(
    out: TextIO, level: Level, first: list[Processor], last: list[Processor]
) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, getattr(logging, level.upper())))
    logging.captureWarnings(True)
