"""What a town forgets by age: batch by batch, so that nobody waits for it; storage/sweep.py says what goes and what stays."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from storage import sweep as rows
from storage.sweep import Sweep
from storage.tx import Tx

if TYPE_CHECKING:
    from bot.app import App


#: Nobody keeps copies of chats longer; a town may keep them shorter.
CHAT_DAYS: Final = 30


class Swept(NamedTuple):
    """How many rows have gone."""

    letters: int
    inbox: int
    waits: int
    traces: int
    chats: int = 0  #: texts and copies


async def sweep(app: "App") -> Swept:
    """Delete what is older than the town's periods. Cancelled, it has done whole batches, and the next one goes on."""
    now, kept, days = await app.store.read(lambda tx: _periods(tx, app))
    letters, inbox, traces = (now - timedelta(days=kept[what]) for what in ("letters", "inbox", "traces"))
    return Swept(
        letters=await _through(app, rows.letters(letters)),
        inbox=await _through(app, rows.inbox(letters, inbox)),
        waits=await _through(app, rows.waits(letters)),
        traces=await _through(app, rows.traces(traces)),
        chats=sum(
            [await _through(app, one(now - timedelta(days=days))) for one in (rows.said, rows.posts, rows.copies)]
        ),
    )


def _periods(tx: Tx, app: "App") -> tuple[datetime, Mapping[str, int], int]:
    """Now, the periods in days, and that of chats."""
    town = app.towns.of(tx)
    return app.clock.now(tx), town.retention, min(town.limits["retention_chat_days"], CHAT_DAYS)


async def _through(app: "App", batch: Sweep) -> int:
    gone, last = 0, 0
    while True:
        found = await app.store.transact(partial(batch, last))
        gone += found.gone
        if found.last is None:
            return gone
        last = found.last
        await asyncio.sleep(0)  # who waits for the writer has its turn
