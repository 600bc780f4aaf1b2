"""The composition root: the only file that makes a store, an adapter, a clock or a scheduler."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from adapters import REGISTRY
from adapters.base import Adapter
from adapters.webchat import WebChat
from bot.clock import Clock
from bot.deliver import Deliverer
from bot.fresh import maker
from bot.receive import Receiver
from bot.remind import Reminder
from bot.settings import Settings
from bot.towns import Towns
from bot.turn import Turner
from storage import letters, timers
from storage.seal import Keys
from storage.store import DatabaseReadOnly, DatabaseUnavailable, Store

log = logging.getLogger(__name__)

#: Seconds between looks for what went wrong: leases that nobody finished, events that were parked.
MEND = 30.0
BEAT = 1.0  #: seconds between looks when nothing wakes the loop sooner


@dataclass(slots=True)
class App:
    """Everything one process works with."""

    settings: Settings
    store: Store
    clock: Clock
    towns: Towns
    fresh: Callable[[], int]
    receiver: Receiver
    reminder: Reminder
    deliverer: Deliverer
    turner: Turner
    web: WebChat
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    beaten: dict[str, float] = field(default_factory=dict)  #: loop → monotonic second of its last turn
    said: set[type[Exception]] = field(default_factory=set)  #: what the log knows of the database's trouble already

    async def close(self) -> None:
        await self.store.close()


def make(
    settings: Settings, *, clock: Clock | None = None, fresh: Callable[[], int] | None = None,
    adapters: dict[str, Adapter] | None = None, var: Path | None = None,
) -> App:  # fmt: skip
    """Wire the rooms together. Nothing is opened before the first transaction."""
    var = var or settings.var
    var.mkdir(parents=True, exist_ok=True)
    store = Store(settings.database_url, keys=Keys.at(var / "key"))
    clock = clock or Clock()
    towns, fresh = Towns(), fresh or maker()
    platforms = {name: _platform(place) for name, place in REGISTRY.items()} | (adapters or {})
    web = platforms["web"]
    assert isinstance(web, WebChat)
    reminder = Reminder(store, clock, towns, fresh)
    deliverer = Deliverer(store, clock, towns, platforms)
    app = App(
        settings, store, clock, towns, fresh, Receiver(store, clock, towns, fresh), reminder, deliverer,
        Turner(store, clock, reminder, deliverer), web,
    )  # fmt: skip
    store.on_commit(lambda flags: app.awake.set() if flags & {"timers", "letters"} else None)
    return app


def _platform(place: str) -> Adapter:
    module, _, kind = place.partition(":")
    made: Adapter = getattr(import_module(module), kind)()
    return made


async def work(app: App) -> None:
    """Ring and send whatever is due, until cancelled: woken by commits and by a beat a second.

    On cancellation the letter in hand is finished first.
    """

    async def beat() -> None:  # a plain function would be called in a thread, where an event of this loop is not to be set
        app.awake.set()

    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(beat, "interval", seconds=BEAT, coalesce=True, max_instances=1, misfire_grace_time=None)
    scheduler.start()
    try:
        while True:
            await app.awake.wait()
            app.awake.clear()
            turn = asyncio.ensure_future(once(app))
            try:
                await asyncio.shield(turn)
            except asyncio.CancelledError:
                with suppress(Exception):
                    await turn
                raise
    finally:
        scheduler.shutdown(wait=False)


async def once(app: App) -> int:
    """Do what is due now; answer how many timers rang. An error is logged and the next beat looks again.

    A database that is away or takes no changes is a sentence in the log, once until it works again.
    """
    rung = 0
    loop = asyncio.get_running_loop()
    try:
        timer_due, letter_due = await app.store.read(lambda tx: (timers.next_due(tx), letters.next_due(tx)))
        now = await app.store.read(app.clock.now)
        if timer_due and timer_due <= now:
            rung = await app.reminder.ring_due()
        if letter_due and letter_due <= now:
            await app.deliverer.send_due()
        if loop.time() - app.beaten.get("mend", 0) > MEND:
            app.beaten["mend"] = loop.time()
            await app.deliverer.recover()
            app.said.clear()  # something was written: the next trouble is news
            await app.receiver.again_due()
        app.beaten["work"] = loop.time()
        app.said.discard(DatabaseUnavailable)
    except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
        if type(trouble) not in app.said:
            app.said.add(type(trouble))
            log.error("%s", trouble)
    except Exception:
        log.exception("a beat went wrong; the next one looks again")
    return rung


def loop_age(app: App) -> timedelta | None:
    """How long ago the loop last turned; None before its first turn."""
    last = app.beaten.get("work")
    return None if last is None else timedelta(seconds=asyncio.get_running_loop().time() - last)
