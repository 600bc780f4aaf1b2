"""How hard it is pressed: a little in CI, all of it by `make chaos`. The programs of the drill are those of deploy/failover.py."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from adapters.base import Adapter
from bot.app import App, make
from bot.clock import Clock
from bot.settings import Settings
from deploy.failover import Process, several
from tests.fakes.telegram import FakeTelegram
from tests.town import START, Town, sample

#: `make chaos` sets it.
WHOLE: Final = "CHAOS" in os.environ


def how_many(in_ci: int, whole: int) -> int:
    return whole if WHOLE else in_ci


def at_loopback(url: str, **given: Any) -> Settings:
    return Settings(database_url=url, _env_file=None, **given)  # type: ignore[call-arg]


def beside(
    url: str, var: Path, clock: Clock, count: int, adapters: list[dict[str, Adapter]] | None = None
) -> list[Town]:
    """So many processes' worth of everything on one database; they share nothing but the hands of the clock."""
    apps: list[App] = []
    for i in range(count):
        app = make(at_loopback(url), clock=clock, var=var, adapters=adapters[i] if adapters else None)
        app.receiver.flood = 0
        apps.append(app)
    return [Town(app, clock, sample()) for app in apps]


@pytest.fixture
async def two(database: str, tmp_path: Path) -> AsyncIterator[list[Town]]:
    """Two processes' worth on a database of each kind."""
    towns = beside(database, tmp_path, Clock(frozen=START), 2)
    yield towns
    for town in towns:
        await town.close()


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    fake = await FakeTelegram().start()
    yield fake
    await fake.stop()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    with several() as found:
        yield found


def linux_only() -> pytest.MarkDecorator:
    return pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes the limits of a process that runs")


def micro(moment: datetime) -> int:
    """As the database keeps it."""
    return round(moment.timestamp() * 1_000_000)
