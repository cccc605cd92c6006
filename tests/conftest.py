"""What holds for every test: its marks and limits, and a fresh database by the real migrations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from mailbot.store import schema
from mailbot.store.engine import Database

TESTS = Path(__file__).parent
SYSTEM_SECONDS = 300  # a system test may take longer than pyproject.toml says for the others
MARK_OF_FOLDER = {"system": "system", "benchmarks": "benchmark"}

# A busy machine is no fault of the code; `timeout` in pyproject.toml still ends what hangs.
hypothesis_settings.register_profile(
    "mailbot", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("mailbot")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test is a system test or a benchmark by the folder that it stands in."""
    for item in items:
        mark = MARK_OF_FOLDER.get(item.path.relative_to(TESTS).parts[0])
        if mark is None:
            continue
        item.add_marker(mark)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SYSTEM_SECONDS))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/mailbot.db"
    schema.upgrade(url)
    opened = Database.open(url)
    yield opened
    opened.close()
