"""`morning`: ten thousand check-ins due at 08:30, one urgent matter among them, under the real loop with a platform outside."""

import time
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bot.app import App
from bot.bench.figure import Figure, as_known, doing
from bot.bench.ground import RUNG, Ground, Shifted, app_at, reached, value
from bot.bench.processes import outside
from bot.bench.timers import micros, working
from bot.bench.town import PEOPLE, STEP, link, multiply, people_at_work, peopled
from storage.tx import Tx

WRITTEN: Final = 20.0  #: seconds until all shall have been rung and written down
URGENT: Final = 1.0  #: seconds until the urgent one shall have left
OPENS: Final = datetime.fromisoformat("2026-07-13T08:30+09:00")  #: a Monday
PATIENCE: Final = 600.0


def morning(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in servers.items():
        yield from as_known(_morning(Ground(kind, place, server), 100 if quick else 10_000))


async def _morning(ground: Ground, due: int) -> AsyncGenerator[Figure]:
    async with ground, outside() as abroad:
        doing(f"morning on {ground.kind}: {due} due at 08:30")
        url = await ground.migrated()
        async with app_at(url, ground.place, 1_000) as app:
            codes = await peopled(app)
            await people_at_work(app, 1, codes)
            await app.store.transact(lambda tx: link(tx, codes, "telegram"))
            urgent = await app.store.transact(lambda tx: _due(tx, due))
        await ground.settle(url)
        clock = Shifted(OPENS)
        async with app_at(url, ground.place, 10_000_000, clock=clock, **abroad.settings) as app:
            clock.begin(OPENS - timedelta(seconds=2))  # the platform's library has been read by now
            used = time.process_time()
            async with working(app):
                await reached(app, RUNG, due, PATIENCE)
                used = time.process_time() - used
                written = (await value(app, "SELECT max(fired_at) FROM timers") - micros(OPENS)) / 1_000_000
                left = await _left(app, urgent)
            outward = await value(
                app, f"SELECT count(*) FROM letters WHERE surface = 'telegram' AND created_at >= {micros(OPENS)}"
            )
    note = (
        f"{due} check-ins due at 08:30: written {written:.1f} s after, {outward} letters for Telegram among them; "
        f"p99: until the urgent one had left"
    )
    yield Figure(
        "morning", ground.kind, None, round(due / written, 1), None, None, None, round(left * 1000, 1),
        round(used / due * 1000, 3), note,
    )  # fmt: skip


def _due(tx: Tx, due: int) -> int:
    """All check-ins at one instant, each case led and held by one of the people; the last of them is an urgent case, which is told."""
    multiply(tx, due, 0, PEOPLE)
    run = tx.connection.exec_driver_sql
    live = "fired_at IS NULL AND cancelled_at IS NULL"
    run(f"UPDATE timers SET due_at = {micros(OPENS)} WHERE {live}")
    run(f"UPDATE waits SET due_at = {micros(OPENS)} WHERE closed_at IS NULL")
    # Who has held a case for a month has a word of their own for it.
    run(
        f"INSERT INTO marks (reader, case_id, word, released) SELECT h.holder, h.case_id, 'bench-' || h.case_id, (1 = 0) FROM handoffs h WHERE h.case_id > {STEP}"
    )
    last = int(run(f"SELECT max(case_id) FROM timers WHERE {live}").scalar_one())
    run(f"UPDATE cases SET urgency = 'high' WHERE id = {last}")
    run(f"UPDATE waits SET urgency = 'high' WHERE case_id = {last}")
    return last


async def _left(app: App, urgent: int) -> float:
    """How long after it was due the urgent one had left, in seconds by the town's clock."""
    left = f"FROM letters WHERE case_id = {urgent} AND surface = 'telegram' AND sent_at > 0"
    await reached(app, f"SELECT count(*) {left}", 1)
    return float(await value(app, f"SELECT min(sent_at) {left}") - micros(OPENS)) / 1_000_000
