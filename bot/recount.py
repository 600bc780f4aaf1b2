"""The door for a calendar that has changed: every open wait is carried over, case by case, each in a transaction of its own."""

import logging
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from bot.aside import Aside
from bot.clock import Clock, real
from bot.record import record
from bot.town.former import forgetting
from bot.towns import Towns
from storage import beats, cases, people, waits
from storage.cases import SlowerWriter
from storage.store import Store
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from workflow.outcome import Act
from workflow.recount import carried, recount

log = logging.getLogger(__name__)

NAME: Final = "recount"
BATCH: Final = 64
#: For how long a process is the one that does it, unless it says so again: after each batch.
LEASE: Final = timedelta(seconds=60)


class Recounter:
    """Goes through the open cases once the town's calendar has changed.

    The town remembers its former calendars until all is done: killed in the middle it begins anew, and moves nothing twice.
    """

    def __init__(self, store: Store, clock: Clock, towns: Towns, fresh: Callable[[], int]) -> None:
        self.store = store
        self.clock = clock
        self.towns = towns
        self.fresh = fresh
        self.parked: set[int] = set()  #: cases that could not be carried over
        self._me = secrets.token_hex(8)
        self.aside = Aside(self.run, "open waits could not be carried over; it begins again")

    async def run(self, told: Callable[[int, int], None] | None = None) -> int:
        """Carry all over; answer how many cases moved. `told` hears (cases looked at, cases in all).

        Gone through until nothing moves: somebody who still saw the former calendar may have opened a wait behind us.
        """
        moved = 0
        while (former := await self.store.read(self._former)) and await self._mine():
            now, whole = await self._once(told)
            moved += now
            if whole and not now:
                await self.store.transact(lambda tx, count=former: self._done(tx, count))  # type: ignore[misc]
        return moved

    def _former(self, tx: Tx) -> int:
        return len(self.towns.of(tx).former) if people.town_version(tx) else 0

    async def _mine(self) -> bool:
        now = real()
        return await self.store.transact(lambda tx: beats.take(tx, NAME, self._me, now, now + LEASE))

    async def _once(self, told: Callable[[int, int], None] | None) -> tuple[int, bool]:
        """Go through all: how many moved, and whether to the end."""
        ids = await self.store.read(cases.open_ids)
        moved = await self.store.transact(self._calls)
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            moved += sum([await self.one(case) for case in await self._moving(some)])
            if told:
                told(start + len(some), len(ids))
            if not await self._mine():
                return moved, False
        return moved, True

    async def _moving(self, ids: list[int]) -> list[int]:
        """Which of these are to be carried over; all of them, each by itself, when one cannot be looked at."""

        def work(tx: Tx) -> list[int]:
            act = self._act(tx)
            return [case.id for case in cases.load_several(tx, ids) if recount(case, act) is not None]

        sound = [id_ for id_ in ids if id_ not in self.parked]
        try:
            return [id_ for id_ in await self.store.read(work) if id_ in sound]
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception:
            return sound

    async def one(self, case: int) -> bool:
        """Carry one case over; False when nothing moved. One that cannot be is set aside, and the others go on."""
        try:
            return await self.store.transact(lambda tx: self._carry(tx, case))
        except SlowerWriter:
            return True  # somebody is at the case: it is looked at once more
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception:
            log.exception("a case's waits could not be carried over: %s", case)
            self.parked.add(case)
            return False

    def _carry(self, tx: Tx, id_: int) -> bool:
        case = cases.load(tx, id_, lock=True)
        found = recount(case, self._act(tx)) if case else None
        if found is not None:
            record(tx, found)
        return found is not None

    def _calls(self, tx: Tx) -> int:
        """Calls belong to no case; they are few."""
        act, count = self._act(tx), 0
        for listed in waits.loose(tx):
            wait = waits.get(tx, listed.id, lock=True)
            moved = carried(wait, act.town.body, act.town, act.at) if wait else None
            if wait is not None and moved is not None and moved is not wait:
                waits.change(tx, wait, moved, act.at)
                count += 1
        return count

    def _done(self, tx: Tx, count: int) -> None:
        found = people.town_doc(tx, lock=True)
        if found is not None:
            people.put_doc(tx, forgetting(found[0], count))
        beats.let_go(tx, NAME, self._me)

    def _act(self, tx: Tx) -> Act:
        return Act(None, self.clock.now(tx), self.towns.of(tx), "auto", self.fresh)
