"""A database that is held by another or has no room left: nothing is half, nobody is told yes, and afterwards it goes on."""

import asyncio
import logging
import resource
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from bot.app import once
from bot.audit import breaches
from bot.clock import Clock, real
from deploy.failover import Crowd, Platform, Process, until
from storage import people
from storage.trouble import DatabaseUnavailable
from storage.tx import Tx
from tests.chaos.conftest import beside, linux_only
from tests.chaos.test_processes import PEOPLE, heard, linked
from tests.chaos.test_restarts import refused
from tests.databases import Databases
from tests.town import START, Town


async def counted(town: Town) -> tuple[int, int, int]:
    """Events, cases, and answers that were kept."""

    def work(tx: Tx) -> tuple[int, int, int]:
        names = ("inbox", "cases", "letters WHERE answer")
        return tuple(tx.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in names)  # type: ignore[return-value]

    return await town.app.store.read(work)


async def sound(town: Town) -> None:
    lines = await town.app.store.read(lambda tx: list(breaches(tx, town.now)))
    assert not [line for line in lines if not line.startswith("ok")]


async def says_until_refused(town: Town, why: str) -> tuple[int, str]:
    """How many were heard, and the id of the event that was not."""
    for n in range(200):
        try:
            await town.tries("suzuki", "受付 介護 困窮", id=f"said-{n}")
        except DatabaseUnavailable as no_room:
            assert why in str(no_room)
            return n, f"said-{n}"
    raise AssertionError("there was room for everything")


async def test_a_full_sqlite_file_takes_nothing_half(lite: Town, caplog: pytest.LogCaptureFixture) -> None:
    """(fault 39) SQLite's own limit stands for the disk's."""
    before, engine = await counted(lite), lite.app.store.engines[0]

    def narrow(connection: Any, _record: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 12}")

    event.listen(engine, "connect", narrow)  # nothing has been written yet: the writer is not connected
    heard, id_ = await says_until_refused(lite, "full")
    assert heard and await counted(lite) == tuple(n + heard for n in before)
    lite.clock.frozen = lite.now + timedelta(days=4)
    for _ in range(3):
        await once(lite.app)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "The database cannot be reached or cannot commit: its disk is full."
    ]
    await lite.app.store.transact(lambda tx: tx.execute(text("PRAGMA max_page_count = 1000000")))
    assert (await lite.tries("suzuki", "受付 介護 困窮", id=id_)).number
    assert await once(lite.app) > 0
    await sound(lite)


@pytest.mark.postgres
async def test_a_full_postgresql_takes_nothing_half(
    databases: Databases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """(fault 39) It says so in the middle of a transaction, by the code that a full disk has."""
    url = databases.postgresql(linked)
    (town,) = beside(url, tmp_path, Clock(frozen=START), 1)
    number = await town.intake()
    before = await counted(town)
    full = "BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END"

    def fill(tx: Tx) -> None:
        tx.execute(text(f"CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $${full}$$"))
        tx.execute(text("CREATE TRIGGER no_room BEFORE INSERT ON letters FOR EACH ROW EXECUTE FUNCTION no_room()"))

    await town.app.store.transact(fill)
    heard, id_ = await says_until_refused(town, "no room")
    assert (heard, await counted(town)) == (0, before)
    town.clock.frozen = town.now + timedelta(days=1)
    for _ in range(3):
        await once(town.app)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 1 and "no room" in said[0]
    assert "wait.rung" not in await town.lines(number)
    await town.app.store.transact(lambda tx: tx.execute(text("DROP FUNCTION no_room() CASCADE")))
    assert (await town.tries("suzuki", "受付 介護 困窮", id=id_)).number
    assert await once(town.app) > 0 and "wait.rung" in await town.lines(number)
    await sound(town)
    await town.close()
    databases.drop(url)


async def test_another_process_holds_the_file_for_longer_than_anybody_waits(
    lite: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """(fault 39) BEGIN IMMEDIATE by somebody else: no yes, and when it is let go of everything goes on."""
    monkeypatch.setattr("storage.sqlite.BUSY_SECONDS", 0.1)
    number = await lite.intake()
    before = await counted(lite)
    lite.clock.frozen = lite.now + timedelta(days=1)
    other = sqlite3.connect(lite.app.settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="another process holds it"):
        await lite.tries("suzuki", "受付 介護", id="said")
    for _ in range(3):
        await once(lite.app)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == ["The database cannot be reached or cannot commit: another process holds it."]
    assert await counted(lite) == before
    other.execute("ROLLBACK")
    other.close()
    assert await once(lite.app) > 0 and "wait.rung" in await lite.lines(number)
    assert (await lite.tries("suzuki", "受付 介護", id="said")).number
    assert (await lite.tries("suzuki", "受付 介護", id="said")).inbox is None
    await sound(lite)


async def test_who_waits_for_the_file_is_served_when_it_is_free(lite: Town) -> None:
    """(fault 39)"""
    other = sqlite3.connect(
        lite.app.settings.database_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(lite.tries("suzuki", "受付 介護"))
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    assert (await waiting).number


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().open() as found:
        yield found


@pytest.mark.kill
@linux_only()
async def test_a_process_whose_disk_is_full_says_no_until_there_is_room(
    databases: Databases, tmp_path: Path, processes: list[Process], platform: Platform
) -> None:
    """(fault 39) A real `serve` that may not let its files grow: 503, then everything that was sent again is there once."""
    url = databases.sqlite(linked)
    (town,) = beside(url, tmp_path / "var", Clock(), 1)
    await town.app.store.transact(lambda tx: people.mark_demo(tx, START, real()))
    processes.append(process := Process("serve", url, tmp_path, **platform.variables))
    await process.ready()
    crowd, over = Crowd([process.port], PEOPLE), asyncio.Event()
    speaking = asyncio.create_task(crowd.speaks(30, over))
    await until("people are heard", heard(crowd, 20))
    file = Path(url.removeprefix("sqlite:///"))
    size = max(one.stat().st_size for one in file.parent.glob(f"{file.name}*"))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + 40_000, resource.RLIM_INFINITY))
    await until("there is no room", refused(crowd))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await until("people are heard", heard(crowd, 20))
    over.set()
    await speaking
    assert await process.ended() == 0
    assert crowd.no.keys() == {"503"}
    events, _cases, answers = await counted(town)
    assert events == answers == len(crowd.yes)
    await town.close()
    assert not [line for line in process.said if "Traceback" in line], process.said
    databases.drop(url)
