"""The door for due timers: claims a few cases at once, rings each as it stands now, and records what follows."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from bot.clock import Clock
from bot.notice import notice_ends
from bot.pace import pause
from bot.record import record_all, send
from bot.recount import Recounter
from bot.towns import Towns
from storage import cases, timers, waits
from storage.cases import SlowerWriter
from storage.store import Store
from storage.timers import Timer
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from workflow.call import ring_call
from workflow.case import Case, Wait
from workflow.outcome import Act, Notice, Outcome, Reader
from workflow.people import Town
from workflow.recount import recount
from workflow.ring import ring

log = logging.getLogger(__name__)

BATCH: Final = 200
#: Cases that are rung in one transaction: most of a ring's cost is the way to the database and back.
TOGETHER: Final = 16
#: Such transactions under way at once: whoever presses a button meanwhile waits for no more.
AT_ONCE: Final = 4


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
        self.together = TOGETHER

    async def ring_due(self, limit: int = BATCH) -> int:
        """Ring what is due now, at most `limit` timers, urgent ones first; answer how many rang.

        All of them at one moment: what they tell one person leaves together, which after a long absence is one message, not ten.
        """
        now, found = await self.store.read(lambda tx: self._due(tx, limit))
        by_case: dict[int | None, list[Timer]] = {}
        for timer in found:
            by_case.setdefault(timer.case_id, []).append(timer)
        due, rung = list(by_case.values()), 0
        together = [due[i : i + self.together] for i in range(0, len(due), self.together)]
        for i in range(0, len(together), AT_ONCE):
            rung += sum(await asyncio.gather(*(self._ring_some(some, now) for some in together[i : i + AT_ONCE])))
        return rung

    def _due(self, tx: Tx, limit: int) -> tuple[datetime, list[Timer]]:
        now = self.clock.now(tx)
        return now, timers.due(tx, now, limit)

    async def _ring_some(self, due: list[list[Timer]], now: datetime) -> int:
        """The timers of a few cases: the first of each in one transaction, the others one after another, the longest due first.

        When anything is the matter with one of them, each goes by itself.
        """
        first = [of_case[0] for of_case in due if of_case[0].case_id is not None] if len(due) > 1 else []
        try:
            rung = await self.store.transact(lambda tx: self._ring(tx, first, now)) if first else 0
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception as wrong:  # whichever it is says so by itself
            log.info("%s timers are rung one by one: %s", len(first), type(wrong).__name__)
            rung, first = 0, []
        alone = [timer for of_case in due for timer in of_case if timer not in first]
        return rung + sum([await self.ring_one(timer, now) for timer in alone])

    async def ring_one(self, timer: Timer, now: datetime) -> bool:
        """Ring one timer in its own transaction; one that cannot be rung waits longer each time, and the others go on."""
        ring = self._ring_call if timer.case_id is None else self._ring
        try:
            return bool(await self.store.transact(lambda tx: ring(tx, [timer], now)))
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

    def _ring(self, tx: Tx, due: Sequence[Timer], now: datetime) -> int:
        """Ring one timer each of as many cases, but of those that somebody is at; answer how many rang."""
        found = {case.id: case for case in cases.load_free(tx, [timer.case_id for timer in due if timer.case_id])}
        here = [(timer, case, _wait(case, timer)) for timer in due if (case := found.get(timer.case_id or 0))]
        # One that was put off since it was found due is left as it is.
        here = [(t, case, wait) for t, case, wait in here if not (wait and wait.next_at and wait.next_at > now)]
        settled, version = timers.settle(tx, [timer.id for timer, _, _ in here], now)
        if version is None:
            return 0
        act = self._act(self.towns.of(tx, version), now)
        outs = [self._rung(tx, case, wait, act) for timer, case, wait in here if wait and timer.id in settled]
        record_all(tx, outs)
        return len(outs)

    def _rung(self, tx: Tx, case: Case, wait: Wait, act: Act) -> Outcome:
        if act.town.former and recount(case, act) is not None:
            raise CountedAnew(case.id)
        ends = notice_ends(tx, case, act) if wait.kind == "closing_notice" else None
        return ring(case, wait, act, notice_ends=ends)

    def _act(self, town: Town, now: datetime) -> Act:
        return Act(None, now, town, "auto", self.fresh)

    def _ring_call(self, tx: Tx, due: Sequence[Timer], now: datetime) -> int:
        """A call that belongs to no case: the next row of the roster."""
        (timer,) = due
        wait = waits.get(tx, timer.wait_id, lock=True)
        _, version = timers.settle(tx, [timer.id], now) if wait else (None, None)
        if wait is None or version is None:
            return 0
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
        return 1


def _wait(case: Case, timer: Timer) -> Wait | None:
    """The wait that a timer rings; None when it is over or stands at another rung by now."""
    return next((w for w in case.waits if w.id == timer.wait_id and w.rung == timer.rung), None)
