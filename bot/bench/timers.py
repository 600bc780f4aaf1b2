"""`timers`: due ones among many, rung for real; then an even pace under the real loop. `idle`: while nothing is due."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bot.app import App, work
from bot.bench.figure import ROUNDS, Figure, as_known, compared, doing, looks, ms
from bot.bench.ground import Ground, Shifted, app_at, rows, value
from bot.bench.replay import Statement, replay, rings_recorder
from bot.bench.town import STEP, multiply, nth, people_at_work
from bot.remind import BATCH, TOGETHER
from storage import timers as kept
from storage.tx import Tx

PACE: Final = 200  #: due timers a second that shall be rung as they come
PROMISED: Final = 250.0  #: milliseconds from due to rung, of 99 in a hundred


def timers(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in servers.items():
        ground = Ground(kind, place, server)
        yield from as_known(_timers(ground, 200, 2_000, 1) if quick else _timers(ground, 10_000, 1_000_000, 30))


async def _timers(ground: Ground, due: int, pending: int, seconds: int) -> AsyncGenerator[Figure]:
    async with ground:
        doing(f"timers on {ground.kind}: {pending} pending")
        url, paced = await ground.migrated(), PACE * seconds
        async with app_at(url, ground.place, 1_000) as app:
            await people_at_work(app, 1)
            case = await app.store.transact(lambda tx: _waiting(tx, due, paced, pending))
            first = await app.store.read(kept.next_due)
        assert first is not None
        await ground.settle(url)
        yield await _rung(ground, url, first + timedelta(seconds=1), due, pending)
        yield await _at_a_pace(ground, url, case, first + timedelta(hours=1), seconds, pending)


def _waiting(tx: Tx, due: int, paced: int, pending: int) -> int:
    """Make what is due together, and behind it what is due one after another an hour later; answer the case it is copied from."""
    multiply(tx, due + paced, pending)
    run = tx.connection.exec_driver_sql
    case = int(run("SELECT min(case_id) FROM timers WHERE fired_at IS NULL AND cancelled_at IS NULL").scalar_one())
    later = f"{3_600_000_000 + 1_000_000} + CAST({nth(case)} - {due} AS BIGINT) * {1_000_000 // PACE}"
    run(f"UPDATE timers SET due_at = due_at + {later} WHERE case_id >= {case + due * STEP}")
    return case


# -- as fast as they go


async def _rung(ground: Ground, url: str, at: datetime, due: int, pending: int) -> Figure:
    """Rounds of engine and reference in turn, each with timers of its own: what was recorded on a copy is rung by the driver."""
    share = due // (2 * ROUNDS)
    recorded = await _recorded(ground, url, at, share)
    engine, reference, cpu = [], [], []
    doing(f"timers on {ground.kind}: {ROUNDS} rounds of {share}, engine and driver in turn")
    for round_ in range(ROUNDS):
        async with app_at(url, ground.place, 10_000_000 * (round_ + 2)) as app:
            app.clock.frozen = at
            used, began = time.process_time(), time.perf_counter()
            await ring(app, share)
            engine.append(share / (time.perf_counter() - began))
            cpu.append((time.process_time() - used) / share * 1000)
        took, _ = await replay(ground.kind, url, recorded[round_])
        reference.append(share / took)
    note = f"{due} due among {pending}, half of them rung by the engine, half by the driver alone"
    return compared("timers", ground.kind, engine, reference, cpu=cpu, note=note)


async def _recorded(ground: Ground, url: str, at: datetime, share: int) -> list[list[list[Statement]]]:
    """The statements of every second share of what is due, on a copy: the engine rings the others before."""
    doing(f"timers on {ground.kind}: recording what {ROUNDS * share} rings say to the database")
    copy, found = await ground.new(url), []
    async with app_at(copy, ground.place, 5_000_000) as app:
        app.clock.frozen = at
        for _ in range(ROUNDS):
            await ring(app, share)
            found.append(await heard(app, share, TOGETHER))
    await ground.drop(copy)
    return found


async def ring(app: App, count: int) -> int:
    """Ring so many of what is due, as the loop does; answer how many rang."""
    rung = 0
    while rung < count and (n := await app.reminder.ring_due(min(BATCH, count - rung))):
        rung += n
    assert rung == count, f"{rung} of {count} rang"
    return rung


async def heard(app: App, count: int, together: int) -> list[list[Statement]]:
    """Ring so many, so many to a transaction; answer what each transaction said to the database."""
    await app.store.read(app.towns.of)  # looked up once a process, not once a ring
    app.reminder.together = together
    with rings_recorder(app) as rings:
        await ring(app, count)
    assert len(rings) >= count / together, f"{len(rings)} transactions were heard of {count} rings"
    return rings


# -- at an even pace


async def _at_a_pace(ground: Ground, url: str, case: int, at: datetime, seconds: int, pending: int) -> Figure:
    doing(f"timers on {ground.kind}: {PACE}/s for {seconds} s")
    async with app_at(url, ground.place, 90_000_000, clock=Shifted(at)) as app:
        used = time.process_time()
        due = f"case_id IS NOT NULL AND due_at > {micros(at)} AND due_at <= {micros(at) + (seconds + 1) * 1_000_000}"
        silent = f"SELECT count(*) FROM timers WHERE {due} AND fired_at IS NULL AND cancelled_at IS NULL"
        async with working(app):
            await asyncio.sleep(seconds + 1)  # the first is due in a second
            async for _ in looks(10, 0.2):
                if not (left := await value(app, silent)):
                    break
            used = time.process_time() - used
        late = await rows(app, f"SELECT fired_at - due_at FROM timers WHERE {due} AND fired_at > 0")
        waited = [row[0] / 1_000_000 for row in late]
    note = (
        f"steady: {PACE} due a second for {seconds} s among {pending}, {left} not rung; milliseconds from due to rung"
    )
    return Figure(
        "timers", ground.kind, None, round(len(waited) / seconds, 1), None, None, ms(waited, 0.5), ms(waited, 0.99),
        round(used / max(1, len(waited)) * 1000, 3), note,
    )  # fmt: skip


def micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


@asynccontextmanager
async def working(app: App) -> AsyncIterator[None]:
    """The loop of `tsunagi work`, meanwhile."""
    loop = asyncio.ensure_future(work(app))
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


# -- nothing to do


def idle(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    """The share of a core that the loops take while a million timers sleep."""
    for kind, server in servers.items():
        ground = Ground(kind, place, server)
        yield from as_known(_idle(ground, 2_000, 2) if quick else _idle(ground, 1_000_000, 20))


async def _idle(ground: Ground, pending: int, seconds: int) -> AsyncGenerator[Figure]:
    async with ground:
        doing(f"idle on {ground.kind}: {pending} pending")
        url = await ground.migrated()
        async with app_at(url, ground.place, 1_000) as app:
            await people_at_work(app, 1)
            await app.store.transact(lambda tx: multiply(tx, 2, pending))
            async with working(app):
                await asyncio.sleep(2)
                cpu = time.process_time()
                await asyncio.sleep(seconds)
                share = (time.process_time() - cpu) / seconds
    yield Figure("idle", ground.kind, note=f"{share:.2%} of a core with {pending} timers pending")
