"""Other people's engines, each in a process of its own (`python -m bot.bench.rivals`), ringing what Tsunagi rings.

A ring is one transaction by asyncpg with the statements that our engine issued; what comes on top is theirs. No claim that they
would need them all: each is made to do the same work, with as many of its own jobs pending as Tsunagi has timers.
"""

import asyncio
import json
import logging
import os
import pickle
import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg

from bot.bench.figure import looks
from bot.bench.replay import CLIENTS, Statement, play

Rings: TypeAlias = Sequence[Sequence[Statement]]
YEAR: Final = 365 * 86_400


class Band:
    """Rings by number, on eight connections; counted from when the first begins."""

    def __init__(self, url: str, rings: Rings) -> None:
        self.url, self.rings = url, rings
        self.began = 0.0
        self.rung = 0
        self._pool: Any = None
        self._made = asyncio.Lock()

    async def ring(self, i: int) -> None:
        async with self._made:
            self.began = self.began or time.perf_counter()
            self._pool = self._pool or await asyncpg.create_pool(
                self.url, min_size=CLIENTS, max_size=CLIENTS, statement_cache_size=500
            )
        async with self._pool.acquire() as connection:
            await play(connection, self.rings[i])
        self.rung += 1

    def result(self, name: str) -> dict[str, Any]:
        """What it has done until now."""
        took = time.perf_counter() - self.began if self.rung else 0.0
        return {"name": f"{name} {version(name)}", "rung": self.rung, "seconds": took}


# -- Procrastinate (procrastinate/sql/schema.sql): a worker fetches one job at a time


async def procrastinate(url: str, rings: Rings, pending: int, seconds: float) -> dict[str, Any]:
    library: Any = import_module("procrastinate")
    connector = library.PsycopgConnector(conninfo=url, min_size=2, max_size=CLIENTS + 2)
    app, band = library.App(connector=connector), Band(url, rings)

    async def ring(i: int) -> None:
        await band.ring(i)

    app.task(name="ring", queue="rings")(ring)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        connection = await asyncpg.connect(url)
        # In bulk, without what its triggers would write of each. What is due lies among what is not, as in any town: it was put there
        # before some and after others.
        await connection.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
        apart = pending // len(rings) + 1
        await connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at) "
            f"SELECT 'rings', 'ring', jsonb_build_object('i', k / {apart} - 1), "
            f"CASE WHEN k % {apart} = 0 THEN now() - interval '1 minute' ELSE now() + interval '1 year' END "
            f"FROM generate_series(1, {apart * len(rings)}) AS k"
        )
        await connection.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
        await connection.execute("VACUUM ANALYZE procrastinate_jobs")
        await connection.close()
        working = app.run_worker_async(
            queues=["rings"], concurrency=CLIENTS, wait=False, install_signal_handlers=False, listen_notify=False
        )
        with suppress(TimeoutError):  # so many it has rung
            await asyncio.wait_for(working, seconds)
    return band.result("procrastinate")


# -- DBOS (dbos/_queue.py): what is delayed is put into a queue once a second, and all of it is claimed at once


async def dbos(url: str, rings: Rings, pending: int, seconds: float) -> dict[str, Any]:
    library: Any = import_module("dbos")
    engine, band = library.DBOS, Band(url, rings)

    async def ring() -> None:
        await band.ring(int(engine.workflow_id.rpartition("-")[2]))

    engine(config={
        "name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR",
        "application_version": "bench", "executor_id": "bench",
    })  # fmt: skip
    workflow = engine.workflow(name="ring")(ring)
    await asyncio.to_thread(engine.launch)
    queue = await engine.register_queue_async("rings")
    with library.SetWorkflowID("pattern-0"), library.SetEnqueueOptions(delay_seconds=YEAR):
        await queue.enqueue_async(workflow)
    connection = await asyncpg.connect(url)
    await _delayed(connection, "later", pending, "+ k")
    await connection.execute("VACUUM ANALYZE")
    await _delayed(connection, "due", len(rings), f"- {(YEAR + 60) * 1000}::bigint")
    # A workflow is over when its outcome is written down.
    over = "SELECT count(*) FROM dbos.workflow_status WHERE completed_at IS NOT NULL"
    async for _ in looks(seconds, 0.1):
        if await connection.fetchval(over) >= len(rings):
            break
    await connection.close()
    return band.result("dbos")


async def _delayed(connection: Any, name: str, count: int, delay: str) -> None:
    """Copies of the workflow that waits: its inputs, then itself, for it may be claimed at once."""
    for table in ("workflow_input", "workflow_status"):
        columns = [row[0] for row in await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'dbos' AND table_name = $1", table
        )]  # fmt: skip
        changed = {"workflow_uuid": f"'{name}-' || (k - 1)", "delay_until_epoch_ms": f"delay_until_epoch_ms {delay}"}
        values = ", ".join(changed.get(column, f'"{column}"') for column in columns)
        names = ", ".join(f'"{column}"' for column in columns)
        await connection.execute(
            f"INSERT INTO dbos.{table} ({names}) SELECT {values} "
            f"FROM dbos.{table}, generate_series(1, {count}) AS k WHERE workflow_uuid = 'pattern-0'"
        )


# -- APScheduler's job store: a job is taken out of it when it is handed to a thread, not when it has been done


def apscheduler(folder: str, jobs: int) -> None:
    """Add so many jobs, all due, and run what is in the store until it is empty."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler

    store = SQLAlchemyJobStore(f"sqlite:///{folder}/jobs.db", engine_options={"connect_args": {"timeout": 60}})
    scheduler = BackgroundScheduler({"default": store}, timezone="UTC")
    scheduler.start(paused=True)
    for i in range(jobs):
        scheduler.add_job("bot.bench.rivals:note", args=(folder, i), misfire_grace_time=None)
    scheduler.resume()
    while scheduler.get_jobs():
        time.sleep(0.1)
    scheduler.shutdown(wait=True)


def note(folder: str, i: int) -> None:
    """Do a job: what it is to do takes a moment, and then it is written down that it was done."""
    time.sleep(0.02)
    with sqlite3.connect(f"{folder}/done.db", timeout=60) as connection:
        connection.execute("INSERT INTO done (job) VALUES (?)", (i,))
    connection.close()


RIVALS: Final[dict[str, Callable[[str, Rings, int, float], Coroutine[Any, Any, dict[str, Any]]]]] = {
    "procrastinate": procrastinate,
    "dbos": dbos,
}


def main(name: str, *given: str) -> None:
    if name == "apscheduler":
        apscheduler(given[0], int(given[1]))
        return
    logging.disable(logging.WARNING)
    url, rings, pending, seconds = given
    told = asyncio.run(
        RIVALS[name](url, pickle.loads(Path(rings).read_bytes()), int(pending), float(seconds))  # noqa: S301 - our own file
    )
    print(json.dumps(told), flush=True)
    os._exit(0)  # their threads have nothing left to do that the bench would want to wait for


if __name__ == "__main__":
    main(*sys.argv[1:])
