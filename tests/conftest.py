"""Fixtures for every story: a fresh database on SQLite and on PostgreSQL, and a town in it."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.databases import Databases  # the path has to be known first
from tests.kill.report import pytest_terminal_summary  # noqa: F401 - counts what tests/kill has tried
from tests.town import Town, settled

# The same examples every time in CI; `make sweep` (HYPOTHESIS_PROFILE=sweep) looks for new ones, many more of them.
_NO_HURRY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "usual", deadline=None, max_examples=40, derandomize=True, database=None, suppress_health_check=_NO_HURRY
)
settings.register_profile(
    "sweep", deadline=None, max_examples=400, stateful_step_count=120, print_blob=True, suppress_health_check=_NO_HURRY
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    found = Databases()
    yield found
    found.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """The address of a database of each kind with the sample town in it."""
    url: str = getattr(databases, request.param)(settled)
    yield url
    databases.drop(url)


@pytest.fixture
async def town(database: str, tmp_path: Path) -> AsyncIterator[Town]:
    """The sample town on each database, on a Monday morning, with nothing in it yet."""
    found = await Town.found(database, tmp_path)
    yield found
    await found.close()


@pytest.fixture
async def lite(databases: Databases, tmp_path: Path) -> AsyncIterator[Town]:
    """The same on SQLite alone, for tables of many rows."""
    url = databases.sqlite(settled)
    found = await Town.found(url, tmp_path)
    yield found
    await found.close()
    databases.drop(url)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set TSUNAGI_ variables for one test."""

    def put(**values: str) -> None:
        for name in [n for n in os.environ if n.startswith("TSUNAGI_")]:
            monkeypatch.delenv(name)
        for name, value in values.items():
            monkeypatch.setenv(f"TSUNAGI_{name}", value)

    return put
