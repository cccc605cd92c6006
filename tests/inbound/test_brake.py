"""A burst of requests that fail authentication is held; a single one is an opt-out."""

from __future__ import annotations

from dataclasses import replace

import structlog.testing

from mailbot.core.consent import Reason
from mailbot.core.tokens import opt_out_address, sign_opt_out
from mailbot.store import mailboxes
from tests.inbound.desk import ACCOUNT, Desk
from tests.inbound.letters import HELP, SHOP, TOKEN_KEYS, letter, person

MX = "mx.shop.example"
FAILED = f"Authentication-Results: {MX}; spf=fail; dkim=none; dmarc=fail"
PASSED = f"Authentication-Results: {MX}; spf=pass; dkim=pass; dmarc=pass"


def burst(desk: Desk, count: int, header: str = FAILED) -> None:
    for number in range(count):
        desk.arrive(letter("unsubscribe", f"c{number}@example.net", header))
    desk.hear()


def reasons(desk: Desk, count: int) -> list[set[Reason]]:
    return [desk.reasons(f"c{number}@example.net") for number in range(count)]


def test_a_failed_check_alone_stops_no_opt_out_and_is_recorded(desk: Desk) -> None:
    desk.change(replace(SHOP, brake_requests=3), authserv_ids=(MX,))
    burst(desk, 1)
    assert reasons(desk, 1) == [{Reason.OPT_OUT}]
    (event,) = desk.events("c0@example.net")
    assert "spf fail, dkim none, dmarc fail" in event.evidence["evidence"]


def test_after_a_burst_the_next_ones_are_held_and_the_admin_is_told(desk: Desk) -> None:
    desk.change(replace(SHOP, brake_requests=3), authserv_ids=(MX,))
    with structlog.testing.capture_logs() as events:
        burst(desk, 5)
    assert reasons(desk, 5) == [{Reason.OPT_OUT}] * 3 + [{Reason.HELD}] * 2
    assert len(desk.waiting_reviews()) == 2
    assert "opt_out_brake_closed" in [event["event"] for event in events]


def test_requests_that_pass_are_never_braked(desk: Desk) -> None:
    desk.change(replace(SHOP, brake_requests=1), authserv_ids=(MX,))
    burst(desk, 3, PASSED)
    assert reasons(desk, 3) == [{Reason.OPT_OUT}] * 3


def test_what_strangers_servers_say_counts_for_nothing(desk: Desk) -> None:
    desk.change(replace(SHOP, brake_requests=1), authserv_ids=("other.example",))
    burst(desk, 3)
    assert reasons(desk, 3) == [{Reason.OPT_OUT}] * 3


def test_a_valid_token_is_never_braked(desk: Desk) -> None:
    desk.change(replace(SHOP, brake_requests=1), authserv_ids=(MX,))
    burst(desk, 2)
    token = sign_opt_out(TOKEN_KEYS, person("ann@example.net").person_hash)
    desk.arrive(letter("", "ann@example.net", FAILED, to=opt_out_address(HELP, token)))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}


def test_a_replay_counts_no_request_twice(desk: Desk) -> None:
    desk.change(replace(SHOP, brake_requests=3), authserv_ids=(MX,))
    burst(desk, 2)
    with desk.database.write() as conn:
        mailboxes.forget(conn, ACCOUNT)
    desk.hear()
    desk.arrive(letter("unsubscribe", "c2@example.net", FAILED))
    desk.hear()
    assert reasons(desk, 3) == [{Reason.OPT_OUT}] * 3


def test_a_mail_that_is_heard_again_does_not_brake_itself(desk: Desk) -> None:
    """With a limit of one: its own note is no earlier request."""
    desk.change(replace(SHOP, brake_requests=1), authserv_ids=(MX,))
    burst(desk, 1)
    with desk.database.write() as conn:
        mailboxes.forget(conn, ACCOUNT)
    desk.hear()
    assert reasons(desk, 1) == [{Reason.OPT_OUT}]
    assert desk.waiting_reviews() == []
