"""PostgreSQL goes down at once and comes back, again and again, under people who speak; connections are cut in mid-work."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from bot.audit import breaches
from bot.clock import Clock, real
from deploy.failover import Crowd, NoPrograms, Platform, Process, Server, until, whole
from storage import people
from storage.migrate import upgrade
from storage.trouble import DatabaseUnavailable
from storage.tx import Tx
from tests.chaos.conftest import beside, how_many
from tests.chaos.test_processes import PEOPLE, heard, linked
from tests.databases import Databases, quick
from tests.town import START, Town, settled


def open_to_all(folder: str) -> Path:
    """PostgreSQL runs under an account of its own where we are root."""
    Path(folder).chmod(0o755)
    return Path(folder)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A PostgreSQL that may be ill-treated."""
    place = open_to_all(tempfile.mkdtemp(prefix="tsunagi-pg-", dir=quick()))
    try:
        made = Server(place / "data", fsync="off", full_page_writes="off")  # a power cut would end the test too
    except NoPrograms as missing:
        shutil.rmtree(place)
        pytest.skip(str(missing))
    await asyncio.to_thread(made.make)
    await made.start()
    yield made
    made.kill()
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.kill
@pytest.mark.postgres
async def test_postgresql_restarts_under_load_and_all_that_was_acknowledged_is_there(
    server: Server, tmp_path: Path, processes: list[Process]
) -> None:
    """(fault 39) Nothing is half, what could not be kept was answered 503, and the loops go on by themselves."""
    await server.ask("CREATE DATABASE tsunagi")
    url = server.url("tsunagi")
    await asyncio.to_thread(upgrade, url)
    await asyncio.to_thread(linked, url)
    (town,) = beside(url, tmp_path / "var", Clock(), 1)
    await town.app.store.transact(lambda tx: people.mark_demo(tx, START, real()))
    async with Platform().open() as platform:
        processes.append(process := Process("serve", url, tmp_path, **platform.variables))
        await process.ready()
        await platform.greeted_by(1)
        crowd, over = Crowd([process.port], PEOPLE), asyncio.Event()
        speaking = asyncio.create_task(crowd.speaks(40, over))
        restarts = how_many(3, 60)
        for _ in range(restarts):
            await until("people are heard", heard(crowd, 30))
            await asyncio.to_thread(server.stop)
            await until("nothing can be kept", refused(crowd))
            await server.start()
        await until("people are heard", heard(crowd, 30))
        over.set()
        await speaking
        await until("it is ready again by itself", ready(process))
        assert await process.ended() == 0
        assert crowd.no.keys() <= {"503"}, crowd.no
        await town.app.turner.set(await town.app.turner.now() + timedelta(minutes=2))
        await town.app.store.transact(town.app.deliverer.settle_lost)

        async def ask(statement: str) -> list[object]:
            return await town.app.store.read(lambda tx: tx.execute(text(statement)).all())

        assert not await whole(ask, crowd, platform)
    lines = await town.app.store.read(lambda tx: list(breaches(tx, town.app.clock.now(tx))))
    assert not [line for line in lines if not line.startswith("ok")]
    await town.close()
    assert not [line for line in process.said if "Traceback" in line], process.said
    assert len(process.said) <= 3 * restarts + 1, process.said


def refused(crowd: Crowd) -> Callable[[], Awaitable[bool]]:
    before = crowd.no.total()

    async def so() -> bool:
        return crowd.no.total() > before

    return so


def ready(process: Process) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        await process.ready()
        return True

    return so


@pytest.mark.postgres
async def test_connections_are_cut_in_the_middle_of_everything(databases: Databases, tmp_path: Path) -> None:
    """(fault 39) pg_terminate_backend at any moment: what was answered is kept once; what was not comes again and is known."""
    url = databases.postgresql(settled)
    town, other = beside(url, tmp_path, Clock(frozen=START), 2)
    cuts, refused, over = 0, 0, asyncio.Event()

    async def cut() -> None:
        nonlocal cuts
        one = await asyncpg.connect(url)
        pick = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL LIMIT 1"
        while not over.is_set() and cuts < how_many(40, 400):
            cuts += bool(await one.fetchval(f"SELECT pg_terminate_backend(({pick}))"))
            await asyncio.sleep(0.03)
        await one.close()

    async def speaks(who: str, here: Town) -> list[str]:
        nonlocal refused
        numbers = []
        for _ in range(how_many(12, 100)):
            id_ = secrets.token_hex(8)
            while True:
                try:
                    answered = await here.tries(who, "受付 介護 困窮", id=id_)
                except DatabaseUnavailable:
                    refused += 1
                    continue
                break
            numbers.append(answered.number or "kept before")
        return numbers

    cutting = asyncio.create_task(cut())
    leads = ("suzuki", "tanaka", "saito", "ito", "kato", "sato")
    said = await asyncio.gather(*(speaks(who, town if i % 2 else other) for i, who in enumerate(leads)))
    over.set()
    await cutting
    numbers = [number for one in said for number in one]

    def count(tx: Tx) -> tuple[int, int, int]:
        events, cases, parked = tx.execute(
            text(
                "SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM cases), (SELECT count(*) FROM inbox WHERE state = 'parked')"
            )
        ).one()
        return events, cases, parked

    assert await town.app.store.read(count) == (len(numbers), len(numbers), 0)
    assert cuts >= 10, f"{cuts} cuts, {refused} refused"
    lines = await town.app.store.read(lambda tx: list(breaches(tx, town.now)))
    assert not [line for line in lines if not line.startswith("ok")]
    for one in (town, other):
        await one.close()
    databases.drop(url)
