"""Every press that was answered is on the list, whatever is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.house import installed, wait_until
from tests.servers import relay as relays
from tests.servers.dovecot import free_port
from tests.web.storm import PUBLIC, storm

LIMIT = 120  # seconds in which the daemon has taken in all of it, on the slowest machine


def test_no_answered_press_is_lost_while_page_and_daemon_are_killed(tmp_path: Path) -> None:
    """500 a second for ten seconds; a minute of it is `make bench`."""
    with (
        relays.running() as relay,
        installed(
            tmp_path, imap_port=free_port(), relay_port=relay.port, username="help",
            password="none", more=PUBLIC,
        ) as house,
    ):  # fmt: skip
        came = storm(house, seconds=10, per_second=500)
        assert came.page_kills >= 1 and came.daemon_kills >= 1
        assert sorted(came.pressed.answered) == sorted(came.persons), "each was answered in the end"
        wait_until(lambda: not came.lost(house), LIMIT, "everybody answered is on the list")
        ended = house.run("ledger", "verify")
        assert ended.returncode == 0, ended.stdout + ended.stderr
