"""What a town forgets by age: batch by batch, so that nobody waits for it; storage/sweep.py says what goes and what stays."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from storage import sweep as rows
from storage.sweep import Sweep

if TYPE_CHECKING:
    from bot.app import App


class Swept(NamedTuple):
    """How many rows have gone."""

    letters: int
    inbox: int
    waits: int
    traces: int


async def sweep(app: "App") -> Swept:
    """Delete what is older than the town's periods. Cancelled, it has done whole batches, and the next one goes on."""
    now, kept = await app.store.read(lambda tx: (app.clock.now(tx), app.towns.of(tx).retention))
    letters, inbox, traces = (now - timedelta(days=kept[what]) for what in ("letters", "inbox", "traces"))
    return Swept(
        letters=await _through(app, rows.letters(letters)),
        inbox=await _through(app, rows.inbox(letters, inbox)),
        waits=await _through(app, rows.waits(letters)),
        traces=await _through(app, rows.traces(traces)),
    )


async def _through(app: "App", batch: Sweep) -> int:
    gone, last = 0, 0
    while True:
        found = await app.store.transact(partial(batch, last))
        gone += found.gone
        if found.last is None:
            return gone
        last = found.last
        await asyncio.sleep(0)  # who waits for the writer has its turn
