"""`beside`: other engines ringing the same, on the same PostgreSQL with as many pending; and what a kill -9 costs.

They come with the optional extra `bench`; what is not installed is said and left out.
"""

import asyncio
import json
import pickle
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from bot.bench.figure import Figure, as_known, doing
from bot.bench.ground import RUNG, Ground, app_at, reached, rows, value
from bot.bench.processes import begun, ended, killed, own_environment
from bot.bench.rivals import RIVALS
from bot.bench.timers import heard, ring
from bot.bench.town import multiply, people_at_work
from storage import timers as kept

PATIENCE: Final = 60.0  #: seconds that a rival may ring
LATE: Final = 120.0  #: seconds after which what has not been done is lost


def beside(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    if "postgresql" not in servers:
        yield Figure("beside", "postgresql", note="not measured: no PostgreSQL (TSUNAGI_TEST_DATABASE_URL)")
        return
    ground = Ground("postgresql", place, servers["postgresql"])
    yield from as_known(_rates(ground, 40, 400, 20.0) if quick else _rates(ground, 3_000, 1_000_000, PATIENCE))
    yield _apscheduler(place, 40 if quick else 500)
    yield from as_known(_killed(ground, 40 if quick else 500))


# -- how fast


async def _rates(ground: Ground, due: int, pending: int, seconds: float) -> AsyncGenerator[Figure]:
    there = [name for name in RIVALS if find_spec(name)]
    for name in RIVALS:
        if name not in there:
            yield Figure(
                "beside", ground.kind, note=f"not measured: {name} is not installed (pip install -e '.[bench]')"
            )
    if not there:
        return
    async with ground:
        doing(f"beside: {pending} pending, and what {due} rings say to the database")
        base = await _waiting(ground, due, pending)
        played = ground.place / "rings.pickle"
        copy = await ground.new(base)
        async with app_at(copy, ground.place, 5_000_000) as app:
            await _turned(app)
            played.write_bytes(pickle.dumps(await heard(app, due, 1)))
        await ground.drop(copy)
        for name in there:
            doing(f"beside: Tsunagi, then {name}")
            ours = await _ours(ground, base, due)
            url = await ground.new(base)
            told = await _theirs(name, url, played, pending, seconds)
            async with app_at(url, ground.place, 1_000) as app:
                rung = await value(app, RUNG)
            await ground.drop(url)
            yield _compared(name, ours, told, rung, due, pending)


def _compared(name: str, ours: float, told: dict[str, Any] | None, rung: int, due: int, pending: int) -> Figure:
    """`rung`: of Tsunagi's timers, by which a rival's own count is checked."""
    if told is None or not told["rung"]:
        return Figure("beside", "postgresql", note=f"{name} rang nothing: what it said stands above")
    assert rung >= told["rung"], f"{name} says that it rang {told['rung']}, {rung} have rung"
    theirs = told["rung"] / told["seconds"]
    return Figure(
        "beside", "postgresql", None, round(ours, 1), round(theirs, 1), round(ours / theirs, 2),
        note=f"{told['name']} rang {told['rung']} of {due} due among {pending} in {told['seconds']:.1f} s",
    )  # fmt: skip


async def _waiting(ground: Ground, due: int, pending: int) -> str:
    url = await ground.migrated()
    async with app_at(url, ground.place, 1_000) as app:
        await people_at_work(app, 1)
        await app.store.transact(lambda tx: multiply(tx, due, pending))
    await ground.settle(url)
    return url


async def _turned(app: Any) -> None:
    """Turn a frozen clock to when all is due."""
    app.clock.frozen = await app.store.read(kept.next_due)


async def _ours(ground: Ground, base: str, due: int) -> float:
    url = await ground.new(base)
    async with app_at(url, ground.place, 10_000_000) as app:
        await _turned(app)
        began = time.perf_counter()
        await ring(app, due)
        took = time.perf_counter() - began
    await ground.drop(url)
    return due / took


async def _theirs(name: str, url: str, played: Path, pending: int, seconds: float) -> dict[str, Any] | None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.bench.rivals", name, url, str(played), str(pending), str(seconds),
        env=own_environment(), stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found: dict[str, Any] | None = json.loads(said.splitlines()[-1]) if said else None
    return found


# -- killed in mid-ring


def _apscheduler(place: Path, jobs: int) -> Figure:
    doing(f"beside: APScheduler's job store with {jobs} due, killed in the middle")
    with sqlite3.connect(place / "done.db") as done:
        done.execute("CREATE TABLE done (job INTEGER)")
    command = [sys.executable, "-m", "bot.bench.rivals", "apscheduler", str(place)]

    def count() -> int:
        return int(done.execute("SELECT count(DISTINCT job) FROM done").fetchone()[0])

    first = subprocess.Popen([*command, str(jobs)], env=own_environment(), cwd=place)
    try:
        end = time.monotonic() + LATE
        while count() < jobs // 4 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        first.kill()
        first.wait()
    subprocess.run([*command, "0"], env=own_environment(), cwd=place, check=True, timeout=LATE)
    done_ = count()
    done.close()
    note = f"APScheduler {version('apscheduler')}, SQLAlchemyJobStore: killed -9 in the middle of {jobs} due and begun again, it lost {jobs - done_}"
    return Figure("beside", "sqlite", note=note)


async def _killed(ground: Ground, due: int) -> AsyncGenerator[Figure]:
    """The same with `tsunagi work`."""
    async with ground:
        doing(f"beside: `tsunagi work` with {due} due, killed in the middle")
        url = await _waiting(ground, due, 10)
        async with app_at(url, ground.place / "var", 1_000) as app:
            await app.store.transact(
                lambda tx: tx.connection.exec_driver_sql("UPDATE timers SET due_at = 1 WHERE case_id > 0")
            )
            one = begun("work", url, ground.place)
            try:
                await reached(app, RUNG, due // 4)
            finally:
                killed(one)
            one = begun("work", url, ground.place)
            try:
                await reached(app, RUNG, due)
            finally:
                await asyncio.to_thread(ended, one)
            (rung, told) = (await rows(app, _RUNG))[0]
    note = f"Tsunagi: killed -9 in the middle of {due} due and begun again, it lost {due - rung}; {told} said twice"
    yield Figure("beside", ground.kind, note=note)


#: How many have rung, and how many rings wrote a reader the same more than once.
_RUNG: Final = (
    "SELECT (SELECT count(*) FROM timers WHERE fired_at > 0), (SELECT count(*) FROM ("
    "SELECT 1 FROM letters WHERE kind = 'ring' GROUP BY wait, to_staff, to_room, surface HAVING count(*) > 1) AS twice)"
)
