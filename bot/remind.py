"""The door for due timers: claims them one by one, rings the case as it stands now, and records what follows."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from bot.clock import Clock
from bot.notice import notice_ends
from bot.pace import pause
from bot.record import record, send
from bot.recount import Recounter
from bot.towns import Towns
from storage import cases, timers, waits
from storage.cases import SlowerWriter
from storage.store import GROUP, DatabaseReadOnly, DatabaseUnavailable, Store, Tx
from storage.timers import Timer
from workflow.call import ring_call
from workflow.outcome import Act, Notice, Reader
from workflow.people import Town
from workflow.recount import recount
from workflow.ring import ring

log = logging.getLogger(__name__)

BATCH: Final = 200


class CountedAnew(Exception):
    """The town's calendar has changed since this case's waits were counted: they are carried over before one rings."""

    def __init__(self, case: int) -> None:
        self.case = case
        super().__init__(self.__doc__)


class Reminder:
    """Rings what is due. Any number of processes may do so at once: the case's row and the timer's row count decide."""

    def __init__(
        self, store: Store, clock: Clock, towns: Towns, fresh: Callable[[], int], recounter: Recounter
    ) -> None:
        self.store = store
        self.clock = clock
        self.towns = towns
        self.fresh = fresh
        self.recounter = recounter

    async def ring_due(self, limit: int = BATCH) -> int:
        """Ring what is due now, at most `limit` timers, urgent ones first; answer how many rang.

        All of them at one moment: what they tell one person leaves together, which after a long absence is one message, not ten.
        """
        now, found = await self.store.read(lambda tx: self._due(tx, limit))
        by_case: dict[int | None, list[Timer]] = {}
        for timer in found:
            by_case.setdefault(timer.case_id, []).append(timer)
        due, rung = list(by_case.values()), 0
        for i in range(0, len(due), GROUP):
            rung += sum(await asyncio.gather(*(self._ring_in_turn(some, now) for some in due[i : i + GROUP])))
        return rung

    def _due(self, tx: Tx, limit: int) -> tuple[datetime, list[Timer]]:
        now = self.clock.now(tx)
        return now, timers.due(tx, now, limit)

    async def _ring_in_turn(self, due: list[Timer], now: datetime) -> int:
        """The timers of one case, one after another: the longest due first."""
        return sum([await self.ring_one(timer, now) for timer in due])

    async def ring_one(self, timer: Timer, now: datetime) -> bool:
        """Ring one timer in its own transaction; one that cannot be rung waits longer each time, and the others go on."""
        try:
            return await self.store.transact(lambda tx: self._ring(tx, timer, now))
        except CountedAnew as meant:
            await self.recounter.one(meant.case)
            return False  # the next look finds whether it still rings now
        except SlowerWriter:
            return False  # somebody is at the case: the next beat looks again
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise  # nothing is wrong with the timer
        except Exception:
            log.exception("a timer could not be rung: %s of case %s", timer.id, timer.case_id)
            await self.store.transact(lambda tx: timers.put_off(tx, timer, self.clock.now(tx) + pause(timer.tries)))
            return False

    def _ring(self, tx: Tx, timer: Timer, now: datetime) -> bool:
        if timer.case_id is None:
            return self._ring_call(tx, timer, now)
        case = cases.load(tx, timer.case_id, lock="skip")
        wait = next((w for w in case.waits if w.id == timer.wait_id), None) if case else None
        if wait and wait.rung == timer.rung and wait.next_at and wait.next_at > now:
            return False  # put off since it was found due
        version = timers.settle(tx, timer.id, now) if case else None
        if case is None or wait is None or version is None or wait.rung != timer.rung:
            return False
        act = self._act(self.towns.of(tx, version), now)
        if act.town.former and recount(case, act) is not None:
            raise CountedAnew(case.id)
        ends = notice_ends(tx, case, act) if wait.kind == "closing_notice" else None
        record(tx, ring(case, wait, act, notice_ends=ends))
        return True

    def _act(self, town: Town, now: datetime) -> Act:
        return Act(None, now, town, "auto", self.fresh)

    def _ring_call(self, tx: Tx, timer: Timer, now: datetime) -> bool:
        """A call that belongs to no case: the next row of the roster."""
        wait = waits.get(tx, timer.wait_id, lock=True)
        version = timers.settle(tx, timer.id, now) if wait else None
        if wait is None or version is None:
            return False
        act = self._act(self.towns.of(tx, version), now)
        rung, readers = ring_call(wait, act)
        waits.change(tx, wait, rung, now)
        kind = "danger" if wait.kind == "danger" else f"{wait.kind}_wanted"
        notice = Notice(
            kind,
            tuple(Reader("staff", r) for r in readers),
            wait=wait.id,
            data={"person": wait.subject},
            urgent=wait.kind == "danger",
            must=True,
        )
        send(tx, [notice], act, cause="wait.rung")
        return True
