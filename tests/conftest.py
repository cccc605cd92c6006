"""What holds for every test: its marks and limits, and fresh databases by the real migrations."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from mailbot.store import schema
from mailbot.store.engine import Database
from tests import databases
from tests.databases import ENGINES, Databases, PostgresqlDatabases, SqliteFiles
from tests.servers.postgresql import PostgreSQL

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What stands in tests/store runs on both engines; elsewhere a test asks, by on_both_engines.

    A test about one engine alone says so by only_on(engine, reason).
    """
    if "engine" not in metafunc.fixturenames:
        return
    folder = metafunc.definition.path.relative_to(TESTS).parts[0]
    only = metafunc.definition.get_closest_marker("only_on")
    if only is not None:
        name, _reason = only.args
        metafunc.parametrize("engine", [name], indirect=True)
    elif folder == "store" or metafunc.definition.get_closest_marker("on_both_engines"):
        metafunc.parametrize("engine", ENGINES, indirect=True)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Logging is global, and commands configure it: leave it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine this test's databases are of: one of ENGINES."""
    name: str = getattr(request, "param", "sqlite")
    assert name in ENGINES
    return name


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "mailbot.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running PostgreSQL, which no test stops; one for each process of tests."""
    with PostgreSQL() as server:
        databases.prepare(server)
        yield server


@pytest.fixture(name="databases")
def databases_of_engine(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Databases]:
    """As many databases as this test wants, gone after it."""
    if engine == "sqlite":
        yield SqliteFiles(tmp_path, request.getfixturevalue("migrated_file"))
        return
    made = PostgresqlDatabases(request.getfixturevalue("postgresql"))
    yield made
    made.drop()


@pytest.fixture
def empty_url(databases: Databases) -> str:
    """A database with nothing in it."""
    return databases.empty()


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    """A database with the newest schema, by the real migrations, and nothing else in it."""
    opened = Database.open(databases.migrated())
    yield opened
    opened.close()
