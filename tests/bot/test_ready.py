"""/readyz tells the truth within five seconds; that a process could not work is told once, and stands on the page and in /metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.base import Refused
from bot import ready
from bot.app import App, make, work
from bot.clock import Clock, real
from bot.pages import routes
from bot.settings import Settings
from storage import findings
from storage.tx import Tx
from tests.databases import Databases
from tests.town import Town, settled
from tests.toy import Toy


@asynccontextmanager
async def working(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    """Its loop turns, and somebody asks its pages."""
    task = asyncio.create_task(work(app))
    transport = httpx2.ASGITransport(app=routes(app), client=("127.0.0.1", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as browser:
        await until(lambda: "work" in app.beaten)
        try:
            yield browser
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - what it waits for is somebody else's
            await asyncio.sleep(0.01)


async def asked(browser: httpx2.AsyncClient) -> tuple[int, dict[str, Any]]:
    answer = await browser.get("/readyz")
    return answer.status_code, answer.json()


async def unready(town: Town) -> list[str]:
    return [m.text for m in await town.news("takahashi") if m.title == "つなぎが働けなかった時間"]


async def test_a_dead_loop_is_red_at_once_and_a_silent_one_after_five_seconds(lite: Town) -> None:
    """(fault 40) The process still answers."""
    app = lite.app
    async with working(app) as browser:
        assert (await asked(browser))[0] == 200
        assert "tsunagi_ready 1.0" in (await browser.get("/metrics")).text
        assert app.working is not None
        app.working.cancel()
        await until(app.working.done)
        code, body = await asked(browser)
        assert code == 503 and body["checks"] == {"database": "ok", "loops": "stopped", "disk": "ok"}
        assert "tsunagi_ready 0.0" in (await browser.get("/metrics")).text
    async with working(app) as browser:
        app.beaten["work"] = asyncio.get_running_loop().time() - 5.1
        code, body = await asked(browser)
        assert code == 503 and body["checks"]["loops"] == "silent for 5 seconds"


async def test_a_loop_that_stays_dead_is_told_once_although_nobody_asks(lite: Town) -> None:
    """(fault 40) Whoever can write says so after a minute, and waits for no end; the next process closes it."""
    app = lite.app
    async with working(app):
        assert app.working is not None
        app.working.cancel()
        await until(app.working.done)
        await ready.look(app)
        assert await unready(lite) == []
        (one,) = await app.store.read(findings.standing)
        assert one.kind == "server"
        for _ in range(2):
            lite.clock.frozen = lite.now + timedelta(minutes=1)
            await ready.look(app)
        (text,) = await unready(lite)
        assert "働けずにいます" in text
    app.health = ready.Health()  # another process on this machine
    async with working(app):
        await ready.look(app)
        assert await app.store.read(findings.standing) == [] and await unready(lite) == []


async def test_a_platform_that_refuses_us_changes_nothing(lite: Town) -> None:
    toy = Toy()
    toy.says = lambda _parcel: Refused("no")
    lite.app.deliverer.adapters["toy"] = toy
    async with working(lite.app) as browser:
        assert (await asked(browser))[0] == 200


async def test_a_database_that_is_gone_is_red_and_told_once_when_it_is_back(
    databases: Databases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL refuses every connection, with two processes at work: one letter, with from and to."""
    url = databases.postgresql(settled)
    town = await Town.found(url, tmp_path)
    settings = Settings(database_url=url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    second = make(settings, clock=town.clock, var=tmp_path)
    async with working(town.app) as browser, working(second):
        apps = (town.app, second)
        for app in apps:
            await ready.look(app)
        databases.away(url, gone=True)
        code, body = await asked(browser)
        assert code == 503 and "cannot be reached" in body["checks"]["database"]
        metrics = await browser.get("/metrics")
        assert metrics.status_code == 200 and "tsunagi_ready 0.0" in metrics.text
        for app in apps:
            await ready.look(app)
            assert app.health.red_since == town.now and not ready.ready(app)
        town.clock.frozen = town.now + timedelta(minutes=7)
        databases.away(url, gone=False)
        async with asyncio.timeout(10):
            while town.app.health.red_since or second.health.red_since:
                for app in apps:
                    await ready.look(app)
                await asyncio.sleep(0.01)
        (text,) = await unready(town)
        assert "9:00" in text and "9:07" in text
        assert (await asked(browser))[0] == 200
        (one,) = await town.app.store.read(lambda tx: findings.gone(tx, town.now))
        assert one.kind == "server" and one.told_at
        for app in apps:
            await ready.look(app)
        assert await unready(town) == []
    caplog.clear()
    await second.close()
    await town.close()
    databases.drop(url)


async def at_version(app: App, version: str) -> None:
    def put(tx: Tx) -> None:
        tx.connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")

    await app.store.transact(put)


async def test_a_newer_database_is_served_and_an_older_one_is_not(town: Town) -> None:
    """A newer program has migrated and we still serve: said in the body, and no reason to be restarted."""
    async with working(town.app) as browser:
        now = (await asked(browser))[1]["database"]["version"]
        await at_version(town.app, "9999")
        code, body = await asked(browser)
        assert (code, body["database"]["version"], body["database"]["program"]) == (200, "9999", now)
        await at_version(town.app, "0001")
        code, body = await asked(browser)
        assert code == 503 and "0001" in body["checks"]["database"]


async def test_clocks_and_audits_are_in_the_body_and_in_the_figures(databases: Databases, tmp_path: Path) -> None:
    url = databases.postgresql(settled)
    settings = Settings(database_url=url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    app = make(settings, clock=Clock(machine=lambda: real() - timedelta(seconds=30)), var=tmp_path)
    async with working(app) as browser:
        await until(lambda: app.beats.aside is not None)
        await app.beats.finish()
        code, body = await asked(browser)
        assert code == 200, "a wrong clock is a finding, and we work on"
        assert body["database"]["clock_ahead_seconds"] == pytest.approx(30, abs=1)
        assert body["audit"]["age_seconds"] < 60 and body["audit"]["findings"] == {"clock": 1}
        text = (await browser.get("/metrics")).text
        assert 'tsunagi_findings_open{kind="clock"} 1.0' in text
        assert "tsunagi_audit_age_seconds " in text and "tsunagi_clock_ahead_seconds " in text
    await app.close()
    databases.drop(url)
