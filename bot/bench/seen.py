"""What a person waits for: `board`, and `start`, until `serve` says that it is ready."""

import statistics
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import uvloop
from starlette.requests import Request

from bot.app import App
from bot.bench.figure import Figure, as_known, doing
from bot.bench.ground import AT, Ground, app_at
from bot.bench.processes import begun, ended, ready
from bot.bench.town import multiply, people_at_work
from bot.demo.grow import FILE
from bot.operate import keep_town
from bot.pages.board import board as page
from bot.pages.frame import Desk
from bot.town import read
from storage.migrate import upgrade
from workflow.people import Town


def board(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in servers.items():
        yield from as_known(_board(Ground(kind, place, server), 100 if quick else 2_000))


async def _board(ground: Ground, count: int) -> AsyncGenerator[Figure]:
    async with ground:
        doing(f"board on {ground.kind}: {count} open cases, all late")
        url = await ground.migrated()
        async with app_at(url, ground.place, 1_000) as app:
            await people_at_work(app, 1)
            await app.store.transact(lambda tx: multiply(tx, count, 10))
            asked = await app.store.read(lambda tx: _asked(app, app.towns.of(tx), AT + timedelta(days=200)))
            times = []
            for _ in range(25):
                began = time.perf_counter()
                await page(asked)
                times.append(time.perf_counter() - began)
    times.sort()
    yield Figure(
        "board", ground.kind, p50_ms=round(times[12] * 1000, 1), p99_ms=round(times[-1] * 1000, 1),
        note=f"{count} open cases, all late",
    )  # fmt: skip


def _asked(app: App, town: Town, at: datetime) -> Desk:
    """The coordinator opens the board: everything but the network."""
    scope = {
        "type": "http", "method": "GET", "path": "/board", "query_string": b"", "headers": [], "scheme": "http",
        "server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    return Desk(app, Request(scope), town, at, town.staff["takahashi"], demo=False)


def start(place: Path, _servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    """The second start until /readyz says 200, and the memory of `serve` with the web chat alone."""
    doing("start: `serve` until it is ready, a few times")
    url = f"sqlite:///{place}/start.db"
    upgrade(url)
    uvloop.run(_town_only(url, place))
    took: list[float] = []
    memory = 0.0
    for _ in range(2 if quick else 4):
        began = time.perf_counter()
        one = begun("serve", url, place)
        try:
            ready(one.port)
            took.append(time.perf_counter() - began)
            memory = _rss(one.process.pid)
        finally:
            ended(one)
    seconds = statistics.median(took[1:])
    yield Figure(
        "start", "sqlite", p50_ms=round(seconds * 1000, 1), note=f"second start to /readyz; {memory:.0f} MB resident"
    )


async def _town_only(url: str, place: Path) -> None:
    async with app_at(url, place, 1_000) as app:
        doc = read(FILE.read_text(encoding="utf-8"))
        await app.store.transact(lambda tx: keep_town(tx, doc))


def _rss(pid: int) -> float:
    """Resident megabytes, where the machine tells (Linux)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0
