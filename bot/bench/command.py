"""`command`: a chat event through the whole door. `growth`: the same after years."""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bot.app import App
from bot.bench.figure import ROUNDS, Figure, as_known, compared, doing
from bot.bench.ground import Ground, app_at
from bot.bench.replay import CLIENTS, Statement, recorder, replay
from bot.bench.town import PEOPLE, STEP, Copies, people_at_work, peopled, say
from storage.tx import Tx

#: Cases that a town has had, and how many commands a round.
SIZES: Final = (1_000, 10_000, 100_000)


def command(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in servers.items():
        doing(f"command on {kind}: a chat event through the whole door")
        yield from as_known(_command(Ground(kind, place, server), 80 if quick else 1_600))


async def _command(ground: Ground, count: int) -> AsyncGenerator[Figure]:
    engine, reference, cpu, times, raw = [], [], [], [], []
    async with ground:
        base = await ground.migrated()
        async with app_at(base, ground.place, 1_000) as app:
            numbers = await people_at_work(app, CLIENTS if count < 100 else 2 * CLIENTS)
        recorded = await _recorded(ground, base, numbers, count)
        for round_ in range(1 if count < 100 else ROUNDS):
            url = await ground.new(base)
            async with app_at(url, ground.place, 10_000_000 * (round_ + 2)) as app:
                took, used, waited = await _clients(app, numbers, count)
            await ground.drop(url)
            engine.append(count / took)
            cpu.append(used / count * 1000)
            times += waited
            url = await ground.new(base)
            took, used = await replay(ground.kind, url, recorded)
            reference.append(count / took)
            raw.append(used / count * 1000)
            await ground.drop(url)
    note = f"check-in answered: 変わりなし; the driver alone takes {statistics.median(raw):.2f} ms of CPU"
    yield compared(
        "command", ground.kind, engine, reference, clients=CLIENTS, times=times, cpu=cpu, note=note
    )  # fmt: skip


async def _clients(app: App, numbers: Sequence[tuple[str, str]], count: int) -> tuple[float, float, list[float]]:
    """Eight clients, each with cases of its own, speaking as fast as they are answered."""
    times: list[float] = []

    async def client(n: int) -> None:
        mine = numbers[n::CLIENTS]
        for i in range(count // CLIENTS):
            began = time.perf_counter()
            await say(app, *_words(mine[i % len(mine)]))
            times.append(time.perf_counter() - began)

    await say(app, *_words(numbers[0]))
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client(n) for n in range(CLIENTS)))
    return time.perf_counter() - began, time.process_time() - cpu, times


def _words(one: tuple[str, str]) -> tuple[str, str]:
    return one[0], f"変わりなし {one[1]}"


async def _recorded(
    ground: Ground, base: str, numbers: Sequence[tuple[str, str]], count: int
) -> list[list[Statement]]:  # fmt: skip
    """The statements of `count` commands, one after another, on a copy."""
    url = await ground.new(base)
    async with app_at(url, ground.place, 5_000_000) as app:
        await app.store.read(app.towns.of)  # looked up once a process, not once a command
        with recorder(app) as heard:
            found = []
            for i in range(count):
                heard.clear()
                await say(app, *_words(numbers[i % len(numbers)]))
                found.append(list(heard))
    await ground.drop(url)
    return found


# -- growth


def growth(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    """The reference is the engine itself in the smallest town, the sizes in turn."""
    sizes, count = ((50, 500), 80) if quick else (SIZES, 800)
    for kind, server in servers.items():
        yield from as_known(_growth(Ground(kind, place, server), sizes, count))


async def _growth(ground: Ground, sizes: Sequence[int], count: int) -> AsyncGenerator[Figure]:
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    lines: dict[int, int] = {}
    async with ground:
        base = await ground.migrated()
        async with app_at(base, ground.place, 1_000) as app:
            codes = await peopled(app)
            numbers = await people_at_work(app, CLIENTS if count < 100 else 2 * CLIENTS, codes)
            await people_at_work(app, 1, codes[-1:])  # the one that is copied
        grown = {size: await _grown(ground, base, size) for size in sizes}
        doing(f"growth on {ground.kind}: {ROUNDS} rounds, the sizes in turn")
        for round_ in range(1 if count < 100 else ROUNDS):
            for size, url in grown.items():
                async with app_at(url, ground.place, 10_000_000 * (round_ + 2)) as app:
                    took, used, waited = await _clients(app, numbers, count)
                    lines[size] = await app.store.read(_lines)
                rates[size].append(count / took)
                cpu[size].append(used / count * 1000)
                times[size] += waited
    for size in sizes:
        note = f"{size} cases, {lines[size]} lines of journal; the reference is the same with {sizes[0]} cases"
        yield compared(
            "growth", ground.kind, rates[size], rates[sizes[0]], clients=CLIENTS, times=times[size], cpu=cpu[size], note=note
        )  # fmt: skip


async def _grown(ground: Ground, base: str, size: int) -> str:
    """A town that has had so many cases."""
    doing(f"growth on {ground.kind}: {size} cases with years of journal")
    url = await ground.new(base)
    async with app_at(url, ground.place, 1_000) as app:
        await app.store.transact(lambda tx: Copies(tx, PEOPLE).cases(size))
        for table in YEARS:  # apart: one transaction of gigabytes is nobody's day
            await app.store.transact(partial(_years, table=table, size=size))
    await ground.settle(url)
    return url


#: What ten years leave of a case: each of its lines of journal so many times, closed waits with their rung timers; and what a
#: daily sweep has not taken yet: its last letters and events.
YEARS: Final = {"journal": 4, "waits": 6, "timers": 6, "letters": 1, "inbox": 1}
LAST: Final = 3


def _lines(tx: Tx) -> int:
    return int(tx.connection.exec_driver_sql("SELECT count(*) FROM journal").scalar_one())


def _years(tx: Tx, *, table: str, size: int) -> None:
    """Write one table's share of those years, for every copy."""
    for again in range(YEARS[table]):
        copies = Copies(tx, PEOPLE)
        copies.of(table, _meant(copies, table), size - 1, _changed(copies, table, again))


def _meant(copies: Copies, table: str) -> str:
    last = f"(SELECT id FROM {table} WHERE {{}} ORDER BY id DESC LIMIT {LAST})"
    return {
        "journal": f"case_id = {copies.case}",
        "waits": f"id = {copies.wait}",
        "timers": f"wait_id = {copies.wait} AND fired_at IS NULL AND cancelled_at IS NULL",
        "letters": f"id IN {last.format(f'case_id = {copies.case}')}",
        "inbox": f"id IN {last.format('1 = 1')}",
    }[table]


def _changed(copies: Copies, table: str, again: int) -> dict[str, str]:
    moved = f"+ i * CAST({STEP} AS BIGINT)"
    aside = f"{moved} + {STEP // 2 + again}"  # numbers between those of two copies
    of_case = {"case_id": f"case_id {moved}"}
    return {
        "journal": {"id": "", **of_case, "seq": f"seq + {1_000 * again}"},
        "waits": {"id": f"id {aside}", **of_case, "handoff": f"handoff {moved}", "closed_at": "opened_at"},
        "timers": {"id": "", **of_case, "wait_id": f"wait_id {aside}", "fired_at": "due_at"},
        "letters": {
            "id": f"id {moved}", **of_case, "token": "token || '-' || i", "inbox_id": "NULL", "to_staff": copies.person("to_staff"),
        },
        "inbox": {
            "id": f"id {moved}", "event_id": "event_id || '-' || i", "natural_key": "natural_key || '-' || i",
            "speaker": copies.person("speaker"),
        },
    }[table]  # fmt: skip
