"""The log: one valid line an event, libraries included, and no customer's address in it."""

from __future__ import annotations

import io
import json
import logging
import os
import time
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from mailbot import log
from mailbot.log import AddressShortener


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _events(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def _event(out: io.StringIO) -> dict[str, Any]:
    (event,) = _events(out)
    return event


def test_a_pipe_gets_json_with_utc_time_level_and_event_first() -> None:
    out = io.StringIO()
    log.configure(stream=out)
    structlog.get_logger("any").bind(mailbox="help").info("opt_out_recorded", uid=7)
    event = _event(out)
    assert list(event) == ["timestamp", "level", "event", "mailbox", "uid"]
    assert (event["level"], event["event"], event["uid"]) == ("info", "opt_out_recorded", 7)
    assert event["timestamp"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(event["timestamp"])
    assert abs(age.total_seconds()) < 60


def test_a_terminal_gets_coloured_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    log.configure(stream=out)
    structlog.get_logger().info("opt_out_recorded", uid=7)
    assert "opt_out_recorded" in out.getvalue()
    assert "\x1b[" in out.getvalue()
    assert not out.getvalue().startswith("{")


@pytest.mark.parametrize(("format", "is_json"), [("json", True), ("console", False)])
def test_the_form_can_be_chosen_whatever_the_stream(format: log.Format, is_json: bool) -> None:
    out = Terminal() if is_json else io.StringIO()
    log.configure(format=format, stream=out)
    structlog.get_logger().info("started")
    assert out.getvalue().startswith("{") is is_json
    assert "\x1b[" not in out.getvalue()


def test_events_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    log.configure("warning", stream=out)
    structlog.get_logger().info("heard")
    structlog.get_logger().warning("refused")
    assert _event(out)["event"] == "refused"


@pytest.mark.parametrize("library", ["apscheduler.scheduler", "sqlalchemy.engine", "imapclient"])
def test_libraries_speak_through_the_same_log_from_warning_on(library: str) -> None:
    out = io.StringIO()
    log.configure("debug", stream=out)
    logging.getLogger(library).info("chatter")
    logging.getLogger(library).warning("missed a run by %s", "3 s")
    event = _event(out)
    assert (event["event"], event["level"]) == ("missed a run by 3 s", "warning")
    assert event["logger"] == library


def test_a_warning_of_python_is_an_event() -> None:
    out = io.StringIO()
    log.configure(stream=out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("this will go away", DeprecationWarning, stacklevel=1)
    assert "this will go away" in _event(out)["event"]


def test_configuring_twice_writes_each_event_once() -> None:
    out = io.StringIO()
    log.configure(stream=io.StringIO())
    log.configure(stream=out)
    logging.getLogger("alembic").error("no")
    structlog.get_logger().error("no")
    assert len(_events(out)) == 2


@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("apscheduler")])
def test_an_exception_is_one_field_of_one_line_with_addresses_shortened(logger: Any) -> None:
    out = io.StringIO()
    log.configure(stream=out)
    try:
        raise ValueError("no mailbox for eve@customer.example")
    except ValueError:
        logger.exception("intake_failed")
    event = _event(out)
    assert event["exception"].startswith("Traceback (most recent call last):")
    assert event["exception"].endswith("ValueError: no mailbox for e***@customer.example")


def test_a_traceback_on_a_terminal_shows_no_local_variables() -> None:
    out = Terminal()
    log.configure(stream=out)
    password = "hunter2" * 2
    try:
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger().exception("login_failed")
    assert "ValueError: 14" in out.getvalue()
    assert password not in out.getvalue()


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        ("eve@customer.example", "e***@customer.example"),
        ("Eve <eve.o@customer.example>, x@y", "Eve <e***@customer.example>, x***@y"),
        ("to=eve+tag@customer.example.", "t***@customer.example."),
        ('"eve smith"@customer.example', "e***@customer.example"),
        ("müller@müller.example", "m***@müller.example"),
        ("eve@[192.0.2.1]", "e***@[192.0.2.1]"),
        ("/G=Eve/S=Smith/@gateway.example", "/G***@gateway.example"),
        ("550 <eve@customer.example>: no", "550 <e***@customer.example>: no"),
        ("help@shop.example, HELP@Shop.Example", "help@shop.example, HELP@Shop.Example"),
        ("help+u-token@shop.example", "h***@shop.example"),
        ("3 @ 5 and @home", "3 @ 5 and @home"),
        ({"to": ["eve@a.example"]}, {"to": ["e***@a.example"]}),
        ({"eve@a.example": 1}, {"e***@a.example": 1}),
        (("eve@a.example", 5, None), ["e***@a.example", 5, None]),
        (b"eve@a.example", "b'e***@a.example'"),
        (ValueError("eve@a.example"), "e***@a.example"),
        (Path("/tmp/x"), "/tmp/x"),
    ],
)
def test_customers_addresses_are_shortened_and_ours_are_not(
    written: object, logged: object
) -> None:
    out = io.StringIO()
    log.configure(stream=out, own_addresses=["Help@shop.example"])
    structlog.get_logger().info("seen", value=written)
    assert _event(out)["value"] == logged


@pytest.mark.parametrize("level", ["info", "warning", "error", "critical"])
def test_addresses_are_shortened_from_info_on_and_full_at_debug(level: str) -> None:
    out = io.StringIO()
    log.configure("debug", stream=out)
    structlog.get_logger().debug("rcpt eve@a.example")
    getattr(structlog.get_logger(), level)("rcpt eve@a.example")
    told, shortened = _events(out)
    assert told["event"] == "rcpt eve@a.example"
    assert shortened["event"] == "rcpt e***@a.example"


def test_a_message_id_names_no_person_and_stays() -> None:
    out = io.StringIO()
    log.configure(stream=out)
    structlog.get_logger().info("seen", message_id="<a1@mail.example>")
    assert _event(out)["message_id"] == "<a1@mail.example>"


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a/" * 50_000, "a@" * 50_000, '"' * 50_000, "@" * 9]
)
def test_hostile_text_takes_no_time(text: str) -> None:
    started = time.perf_counter()
    AddressShortener()(None, "info", {"level": "info", "value": text + " @"})
    assert time.perf_counter() - started < 2


def test_a_subject_cannot_forge_a_line_or_move_the_cursor() -> None:
    subject = "hi\n2026-01-01 [info] opt_in_recorded\x1b[2J\u202e\udce9"
    for format in ("console", "json"):
        out = io.StringIO()
        log.configure(format="console" if format == "console" else "json", stream=out)
        structlog.get_logger().info("seen", subject=subject)
        (line,) = out.getvalue().splitlines()
        assert "\x1b" not in line
        line.encode("utf-8")


def test_a_full_disk_costs_the_line_and_not_the_work() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as out:
        log.configure(stream=out)
        structlog.get_logger().error("database_lost")
        structlog.get_logger().error("database_lost")
        with suppress(OSError):  # what Python kept back cannot be written either
            out.close()


def test_the_journal_gets_the_priority_before_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as out:
        status = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log.configure(stream=out)
        structlog.get_logger().error("relay_lost")
        logging.getLogger("alembic").warning("slow")
        out.seek(0)
        first, second = out.read().splitlines()
    assert first.startswith('<3>{"timestamp"')
    assert second.startswith('<4>{"timestamp"')
    assert json.loads(first[3:])["event"] == "relay_lost"
