"""Turning a demonstration's clock: every due instant in order, each rung and delivered at its own moment."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, time, timedelta
from typing import Final

from bot.clock import Clock, real
from bot.copies import Copies
from bot.deliver import Deliverer
from bot.remind import Reminder
from storage import letters, people, timers
from storage.store import Store
from storage.timers import Timer
from storage.tx import Tx
from workflow.calendar import instant
from workflow.people import Town

Told = Callable[[datetime, int], Awaitable[None] | None]
_PARTS: Final = re.compile(r"(\d{1,4})(bd|bh|d|h|min|m|s|w)")
_UNITS: Final = {"d": "days", "h": "hours", "min": "minutes", "m": "minutes", "s": "seconds", "w": "weeks"}


class NotADemo(Exception):
    """This database is not a demonstration: its clock is the real one and cannot be turned."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NoSuchSpan(Exception):
    """A span looks like 2d3h, 90min, 2bd or next-morning, and is at most 400 days."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def until(span: str, at: datetime, town: Town) -> datetime:
    """Read a span from a moment: 2d3h, 2bd (the town's business days), next-morning. Raises NoSuchSpan."""
    hours = town.body.hours
    if span == "next-morning":
        tomorrow = instant(at.astimezone(town.tz).date() + timedelta(days=1), time(0), town.tz)
        return hours.next_open(tomorrow)
    parts = _PARTS.findall(span)
    if not parts or "".join(n + unit for n, unit in parts) != span:
        raise NoSuchSpan
    end = at
    for n, unit in parts:
        if int(n) > 9_600:
            raise NoSuchSpan
        if unit == "bd":
            end = hours.add_days(end, int(n))
        elif unit == "bh":
            end = hours.add_minutes(end, int(n) * 60)
        else:
            end += timedelta(**{_UNITS[unit]: int(n)})
    if end - at > timedelta(days=400):
        raise NoSuchSpan
    return end


def _next(tx: Tx) -> datetime | None:
    """When something is due next: a wait rings or a letter leaves."""
    return min(filter(None, (timers.next_due(tx), letters.next_due(tx))), default=None)


class Turner:
    """Moves the town's clock. A frozen clock moves in memory; a demonstration's is a row that all processes read."""

    def __init__(self, store: Store, clock: Clock, reminder: Reminder, deliverer: Deliverer, copies: Copies) -> None:
        self.store = store
        self.clock = clock
        self.reminder = reminder
        self.deliverer = deliverer
        self.copies = copies

    async def set(self, moment: datetime) -> None:
        if self.clock.frozen is not None:
            self.clock.frozen = moment
        elif not await self.store.transact(lambda tx: people.set_demo_clock(tx, moment, real())):
            raise NotADemo
        self.clock.forget()

    async def now(self) -> datetime:
        return await self.store.read(self.clock.now)

    async def to(self, moment: datetime, told: Told | None = None) -> int:
        """Go to a moment, stopping at each due instant on the way; answer how many timers rang."""
        if self.clock.frozen is None and await self.store.read(people.demo_clock) is None:
            raise NotADemo
        rung = 0
        while True:
            due = await self.store.read(_next)
            if due is None or due > moment:
                break
            if due > await self.now():
                await self.set(due)
            rung += await self.settle()
            if await self._due(due):
                await asyncio.sleep(0)  # another process is at them
            if told and (waiting := told(due, rung)):
                await waiting
        if moment > await self.now():
            await self.set(moment)
        return rung + await self.settle()

    async def _due(self, at: datetime) -> list[Timer]:
        return await self.store.read(lambda tx: timers.due(tx, at))

    async def settle(self) -> int:
        """Ring and send all that is due at this very moment."""
        rung = 0
        while n := await self.reminder.ring_due():
            rung += n
        while await self.deliverer.send_due() or await self.copies.keep_true():
            pass
        return rung

    async def jump(self, moment: datetime) -> int:
        """Go there asleep, as after downtime: what came due meanwhile rings at once, newest state first."""
        await self.set(moment)
        return await self.settle()
