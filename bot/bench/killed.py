"""`recover`: a worker killed with timers and letters in its hands. `restart`: from a process's start to its first letter."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import update

from bot.app import App
from bot.bench.figure import Figure, as_known, doing, looks, ms
from bot.bench.ground import RUNG, Ground, app_at, reached, rows, value
from bot.bench.processes import Abroad, Serving, begun, ended, killed, outside
from bot.bench.timers import micros
from bot.bench.town import PEOPLE, account, link, multiply, people_at_work, peopled
from bot.clock import Clock, real
from storage import tables
from storage.tx import Tx

LEASE: Final = 2.0  #: seconds that are left of the lease of whoever was killed: the bench does not wait for a minute
PATIENCE: Final = 90.0
PLATFORMS: Final = ("telegram", "line", "slack")
CAUSE: Final = "bench"  #: of the letters that are watched
AGO: Final = timedelta(days=33)  #: a month and a bit: what was opened then is asked after now
_CONNECTED: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tsunagi'"
)
_HELD: Final = "SELECT count(*) FROM letters WHERE state = 'leased'"


def recover(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    if "postgresql" not in servers:
        yield Figure("recover", "postgresql", note="not measured: no PostgreSQL (TSUNAGI_TEST_DATABASE_URL)")
        return
    ground = Ground("postgresql", place, servers["postgresql"])
    yield from as_known(_recover(ground, 10 if quick else 100, 1 if quick else 3))


async def _recover(ground: Ground, count: int, rounds: int) -> AsyncGenerator[Figure]:
    rung: list[float] = []
    settled: list[float] = []
    fates: dict[str, int] = {}
    async with ground:
        base = await _town(ground, count, count)
        for round_ in range(rounds):
            doing(f"recover, {round_ + 1} of {rounds}: a worker with {count} timers and {count} letters is killed")
            url = await ground.new(base)
            async with outside() as abroad, app_at(url, ground.place / "var", 90_000_000, clock=Clock()) as app:
                late, letters, became = await _killed(app, ground, url, abroad, count)
            await ground.drop(url)
            rung += late
            settled += letters
            for state, n in became.items():
                fates[state] = fates.get(state, 0) + n
    told = ", ".join(f"{n} {state}" for state, n in sorted(fates.items()))
    note = (
        f"kill -9 of a worker with {count} timers and {count} letters, rounds: {rounds}; another had rung the timers {ms(rung, 0.99):.0f} ms "
        f"after it (p99), and settled the letters p50 and p99 after their lease: {told}"
    )
    yield Figure("recover", ground.kind, p50_ms=ms(settled, 0.5), p99_ms=ms(settled, 0.99), note=note)


async def _killed(
    app: App, ground: Ground, url: str, abroad: Abroad, count: int
) -> tuple[list[float], list[float], dict[str, int]]:
    """One round. Seconds from the kill until each timer rang, and from the lease's end until each letter was settled; what these became."""
    processes: list[Serving] = []
    try:
        abroad.answers.clear()
        processes.append(begun("work", url, ground.place, abroad.environment))
        await reached(app, _HELD, count)
        before = await value(app, _CONNECTED)
        processes.append(begun("work", url, ground.place, abroad.environment))
        await reached(app, _CONNECTED, before + 2)  # it has looked, and has mended: its loop turns
        await app.store.transact(lambda tx: _now(tx))
        await reached(app, RUNG, 1)
        killed(processes[0])
        at, over = micros(real()), micros(real()) + round(LEASE * 1_000_000)
        abroad.answers.set()
        await app.store.transact(
            lambda tx: tx.connection.exec_driver_sql(f"UPDATE letters SET lease_until = {over} WHERE state = 'leased'")
        )
        letters, became = await _settled(app, over)
        await reached(app, RUNG, count)
        late = [
            max(0.0, (row[0] - at) / 1_000_000)
            for row in await rows(app, "SELECT fired_at FROM timers WHERE fired_at > 0")
        ]
        return late, letters, became
    finally:
        for one in processes:
            if one.process.poll() is None:
                await asyncio.to_thread(ended, one)


def _now(tx: Tx) -> None:
    """Every timer is due now, and its wait knows."""
    at = micros(real())
    live = "fired_at IS NULL AND cancelled_at IS NULL"
    tx.connection.exec_driver_sql(f"UPDATE timers SET due_at = {at} WHERE {live}")
    for id_, doc in tx.connection.exec_driver_sql("SELECT id, doc FROM waits WHERE closed_at IS NULL").all():
        tx.execute(update(tables.waits).where(tables.waits.c.id == id_).values(doc=json.loads(doc) | {"next_at": at}))


async def _settled(app: App, over: int) -> tuple[list[float], dict[str, int]]:
    """Watch our letters until none is on its way any more, nor what goes in its stead: seconds after the lease, how many became what."""
    seen: set[int] = set()
    waited: list[float] = []
    became: dict[str, int] = {}
    async for _ in looks(PATIENCE, 0.02):
        found = await rows(app, f"SELECT id, state FROM letters WHERE cause = '{CAUSE}'")
        now, on_their_way = micros(real()), 0
        for id_, state in found:
            if state in ("pending", "leased"):
                on_their_way += 1
            elif id_ not in seen:
                seen.add(id_)
                waited.append((now - over) / 1_000_000)
                became[state] = became.get(state, 0) + 1
        if not on_their_way:
            return waited, became
    return [*waited, *[PATIENCE] * on_their_way], became | {"never settled": on_their_way}


# -- restart


def restart(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in list(servers.items())[: 1 if quick else None]:
        yield from as_known(_restart(Ground(kind, place, server), 100 if quick else 10_000, 1 if quick else 4))


async def _restart(ground: Ground, count: int, rounds: int) -> AsyncGenerator[Figure]:
    took: list[float] = []
    async with ground:
        base = await _town(ground, count, 1)
        for round_ in range(rounds):
            doing(f"restart on {ground.kind}, {round_ + 1} of {rounds}: {count} open cases")
            url = await ground.new(base)
            async with outside() as abroad:
                began = time.monotonic()
                one = begun("serve", url, ground.place, abroad.environment)
                try:
                    async for _ in looks(PATIENCE, 0.005):
                        if abroad.told:
                            break
                    took.append(abroad.told[0] - began)
                finally:
                    await asyncio.to_thread(ended, one)
            await ground.drop(url)
    # The first start leaves the bytecode.
    took = took[1:] or took
    note = f"from the start of `serve` with {count} open cases until its first letter reached the platform; median of {len(took)}"
    yield Figure(
        "restart", ground.kind, p50_ms=round(statistics.median(took) * 1000, 1), p99_ms=ms(took, 0.99), note=note
    )


async def _town(ground: Ground, cases: int, letters: int) -> str:
    """So many open cases, their check-ins put off until somebody lets them ring, and letters that wait to leave, each for somebody else."""
    url = await ground.migrated()
    async with app_at(url, ground.place / "var", 1_000, clock=Clock(frozen=real() - AGO)) as app:
        codes = await peopled(app)
        await people_at_work(app, 1, codes)

        def waiting(tx: Tx) -> None:
            link(tx, codes, *PLATFORMS)
            multiply(tx, cases, 0, PEOPLE)
            run = tx.connection.exec_driver_sql
            run(f"UPDATE timers SET due_at = {micros(real() + AGO)} WHERE fired_at IS NULL AND cancelled_at IS NULL")
            (like,) = run(
                "SELECT id FROM letters WHERE case_id IS NOT NULL AND answer = (1 = 0) ORDER BY id DESC LIMIT 1"
            ).one()
            columns = list(run("SELECT * FROM letters LIMIT 0").keys())
            for i in range(letters):
                surface = PLATFORMS[i % len(PLATFORMS)]
                changed = {
                    "id": f"id + {10_000_000 + i}", "surface": f"'{surface}'", "address": f"'{account(surface, i)}'", "state": "'pending'",
                    "to_staff": f"'{codes[i]}'", "to_room": "NULL", "token": f"'bench-{i}'", "sent_at": "NULL", "must": "(1 = 1)",
                    "urgent": "(1 = 1)", "cause": f"'{CAUSE}'",
                }  # fmt: skip
                names = ", ".join(f'"{name}"' for name in columns)
                values = ", ".join(changed.get(name, f'"{name}"') for name in columns)
                run(f"INSERT INTO letters ({names}) SELECT {values} FROM letters WHERE id = {like}")

        await app.store.transact(waiting)
    await ground.settle(url)
    return url
