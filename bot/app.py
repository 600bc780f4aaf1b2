"""The composition root: the only file that makes a store, an adapter, a clock or a scheduler."""

import asyncio
import gc
import logging
import os
import platform
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from time import monotonic

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from adapters import REGISTRY
from adapters.base import Adapter, Listening, Outside
from adapters.webchat import WebChat
from bot.audit import heed
from bot.beat import Beats
from bot.clock import Clock
from bot.copies import Copies
from bot.deliver import Deliverer
from bot.enter.oidc import Provider
from bot.fresh import maker
from bot.listen import listen
from bot.looks import Openings
from bot.ready import Health
from bot.receive import Receiver
from bot.recount import Recounter
from bot.remind import Reminder
from bot.settings import Settings
from bot.towns import Towns
from bot.turn import Turner
from storage.due import Due, look
from storage.seal import Keys
from storage.store import Store
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx

log = logging.getLogger(__name__)

#: Seconds between looks for what went wrong: leases that nobody finished, events that were parked.
MEND = 30.0
HOME = "今日"  #: what opening a platform's home page says
BEAT = 1.0  #: seconds between looks when nothing wakes the loop sooner
TURN = 0.05  #: seconds from one look at what is due to the next, however much is kept in between


@dataclass(slots=True)
class App:
    """Everything one process works with."""

    settings: Settings
    store: Store
    clock: Clock
    towns: Towns
    fresh: Callable[[], int]
    receiver: Receiver
    recounter: Recounter
    reminder: Reminder
    deliverer: Deliverer
    copies: Copies
    turner: Turner
    web: WebChat
    beats: Beats
    began: datetime  #: by this machine's clock
    provider: Provider
    anchors: Path  #: the folder where each day's end of the looks is written down, outside the database
    openings: Openings = field(default_factory=Openings)
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    beaten: dict[str, float] = field(default_factory=dict)  #: loop → monotonic second of its last turn
    said: set[type[Exception]] = field(default_factory=set)  #: what the log knows of the database's trouble already
    working: "asyncio.Task[None] | None" = None  #: the loop; None before it begins
    health: Health = field(default_factory=Health)

    def due(self, tx: Tx) -> tuple[datetime, Due]:
        """Now, and what is due."""
        now = self.clock.now(tx)
        return now, look(tx, now, self.deliverer.platforms)

    async def close(self) -> None:
        """End what goes on aside, then let go of platforms and database."""
        await asyncio.gather(self.beats.finish(), self.recounter.aside.finish(), self.copies.aside.finish())
        for adapter in self.deliverer.adapters.values():
            if isinstance(adapter, Outside):
                await adapter.close()
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
    fresh = fresh or maker()
    platforms = _platforms(settings.platforms | {"HOME": HOME}) | (adapters or {})
    web = platforms["web"]
    assert isinstance(web, WebChat)
    towns = Towns(frozenset(name for name, one in platforms.items() if not one.inside))
    recounter = Recounter(store, clock, towns, fresh)
    reminder = Reminder(store, clock, towns, fresh, recounter)
    deliverer = Deliverer(store, clock, towns, fresh, platforms)
    copies = Copies(store, clock, towns, fresh, platforms)
    app = App(
        settings, store, clock, towns, fresh, Receiver(store, clock, towns, fresh, deliverer), recounter, reminder, deliverer, copies,
        Turner(store, clock, reminder, deliverer, copies), web, Beats(holder()), clock.here(), Provider(settings),
        settings.anchors or var / "anchors",
    )  # fmt: skip
    store.on_commit(lambda flags: app.awake.set() if flags & {"timers", "letters"} else None)
    return app


def holder() -> str:
    """Which process this is, among all that share the database."""
    return f"{platform.node()}:{os.getpid()}"


def _platforms(variables: Mapping[str, str]) -> dict[str, Adapter]:
    """Make what is part of the system, and the platforms whose variables are there: the others are not even imported."""
    found: dict[str, Adapter] = {}
    for name, (place, prefix) in REGISTRY.items():
        if prefix and not any(variable.startswith(prefix) for variable in variables):
            continue
        module, _, kind = place.partition(":")
        adapter = getattr(import_module(module), kind)
        found[name] = adapter.made(variables) if prefix else adapter()
    return found


async def work(app: App) -> None:
    """Listen, ring and send whatever is due, until cancelled: woken by commits and by a beat a second.

    On cancellation the letters in hand are finished first.
    """

    # A plain function would be called in a thread, where an event of this loop is not to be set.
    async def beat() -> None:
        app.awake.set()

    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(beat, "interval", seconds=BEAT, coalesce=True, max_instances=1, misfire_grace_time=None)
    scheduler.start()
    app.working = asyncio.current_task()
    listening = [
        asyncio.create_task(listen(name, one, app.store, app.receiver, holder()))
        for name, one in app.deliverer.adapters.items() if isinstance(one, Listening)
    ]  # fmt: skip
    turned = 0.0
    try:
        while True:
            await app.awake.wait()
            await asyncio.sleep(turned + TURN - monotonic())  # what was kept meanwhile is looked at together
            app.awake.clear()
            turned = monotonic()
            turn = asyncio.ensure_future(once(app))
            try:
                await asyncio.shield(turn)
            except asyncio.CancelledError:
                with suppress(Exception):
                    await turn
                raise
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        scheduler.shutdown(wait=False)
        await app.receiver.finish()  # its answers are under way then
        await asyncio.gather(
            app.deliverer.finish(), app.copies.aside.finish(), app.beats.finish(), app.recounter.aside.finish()
        )


async def work_until_told(app: App) -> None:
    """Work until SIGTERM or SIGINT."""
    working = asyncio.create_task(work(app))
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, working.cancel)
    with suppress(asyncio.CancelledError):
        await working


def settle_down() -> None:
    """Leave what a process holds for good out of the search for garbage, which stopped everything for 0.2 s each time."""
    gc.collect()
    gc.freeze()


async def once(app: App) -> int:
    """Do what is due now, sending aside; answer how many timers rang. An error is logged and the next beat looks again.

    A database that is away or takes no changes is a sentence in the log, once until it works again.
    """
    rung = 0
    loop = asyncio.get_running_loop()
    try:
        now, due = await app.store.read(app.due, apart=True)
        if due.timer and due.timer <= now:
            rung = await app.reminder.ring_due()
        if ready := {name for name, at in due.letters.items() if at <= now}:
            await app.deliverer.start_due(ready)
        coming = [at for at in (due.timer, *due.letters.values()) if at and at > now]
        if coming and (soon := (min(coming) - now).total_seconds()) < BEAT:
            loop.call_later(soon, app.awake.set)  # it comes before the beat
        if due.stale:
            app.copies.aside.start()
        if due.lost or loop.time() - app.beaten.get("mend", 0) > MEND:
            app.beaten["mend"] = loop.time()
            await app.deliverer.recover()
            app.said.clear()  # something was written: the next trouble is news
            await app.receiver.again_due()
            app.recounter.aside.start()
            await heed(app)
        app.beats.start(app)
        app.beaten["work"] = loop.time()
        app.said.discard(DatabaseUnavailable)
    except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
        if type(trouble) not in app.said:
            app.said.add(type(trouble))
            log.error("%s", trouble)
    except Exception:
        log.exception("a beat went wrong; the next one looks again")
    return rung
