"""The calendar's beats: what some process does each minute, or once a day at a local hour, whichever comes to it first."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from bot.anchors import anchor
from bot.aside import Aside
from bot.audit import audit, audit_all
from bot.erasing import look
from bot.sweep import sweep
from bot.towns import NoTown
from storage import beats
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from workflow import calendar
from workflow.people import Town

if TYPE_CHECKING:
    from bot.app import App

log = logging.getLogger(__name__)

#: The newest scheduled instant at or before a moment, in the town's own hours.
Rule: TypeAlias = Callable[[datetime, Town], datetime]
#: Seconds between looks whether something is due that no other process has come to.
LOOK: Final = 10.0
#: What was done further ahead than this was done before the clock was set back.
AHEAD: Final = timedelta(minutes=2)


def every_minute(at: datetime, _town: Town) -> datetime:
    return at.replace(second=0, microsecond=0)


def daily(hour: time) -> Rule:
    """Each day at a local hour; in a spring's gap at its end."""

    def rule(at: datetime, town: Town) -> datetime:
        today = at.astimezone(town.tz).date()
        instant = calendar.instant(today, hour, town.tz)
        return instant if instant <= at else calendar.instant(today - timedelta(days=1), hour, town.tz)

    return rule


@dataclass(frozen=True, slots=True)
class Beat:
    """One of them. Its work may be done twice, by two processes at once even, and must then come to the same.

    A process takes a lease, works, and claims the instant when it is done: what a killed process has begun is done by another one
    when the lease has run out, and what raised is tried again then. Claimed before, a whole day's work could be lost.
    """

    name: str
    rule: Rule
    work: "Callable[[App], Awaitable[object]]"
    lease: timedelta  #: longer than the work takes


#: To add one is a line.
BEATS: Final = (
    Beat("audit", every_minute, audit, timedelta(minutes=1)),
    Beat("audit_all", daily(time(3, 10)), audit_all, timedelta(hours=1)),
    Beat("sweep", daily(time(3, 40)), sweep, timedelta(hours=1)),
    Beat("anchor", daily(time(0, 20)), anchor, timedelta(minutes=5)),  # behind whoever began to read before midnight
    Beat("retention", daily(time(4, 10)), look, timedelta(hours=1)),
)


class Beats:
    """Does whatever is due, one after another and aside: the loop goes on ringing meanwhile."""

    def __init__(self, holder: str, table: Iterable[Beat] = BEATS) -> None:
        self.holder = holder
        self.table = tuple(table)
        self._done: dict[str, datetime] = {}  #: beat → the newest instant that is known to be done
        self._looked = -LOOK
        self.aside: Aside | None = None

    def start(self, app: "App") -> None:
        """Begin to look for what is due, unless that is being done."""
        second = asyncio.get_running_loop().time()
        if second - self._looked >= LOOK and not (self.aside and self.aside.under_way):
            self._looked = second
            self.aside = Aside(lambda: self._look(app), "the beats could not be looked at")
            self.aside.start()

    async def finish(self) -> None:
        """Wait for what is under way."""
        if self.aside:
            await self.aside.finish()

    async def _look(self, app: "App") -> None:
        try:
            now, town = await app.store.read(lambda tx: (app.clock.now(tx), app.towns.of(tx)))
        except NoTown:
            return  # nobody to look after yet
        except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
            log.debug("%s", trouble)  # the loop says it
            return
        for beat in self.table:
            if self._done.get(beat.name) == (instant := beat.rule(now, town)):
                continue
            try:
                if await self.do(app, beat, instant):
                    self._done[beat.name] = instant
            except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
                log.error("%s", trouble)
            except Exception:
                log.exception("%s went wrong; it is done again when its lease has run out", beat.name)

    async def do(self, app: "App", beat: Beat, instant: datetime) -> bool:
        """Do a beat unless it has been done; True when it is done, by whomever; False while another process is at it."""

        token = (
            f"{self.holder}:{secrets.token_hex(4)}"  # of this try: what raised is not begun again while its lease lasts
        )

        def taken(tx: Tx) -> bool | None:
            now, lease = app.clock.now(tx), f"beat:{beat.name}"
            if not beats.take(tx, lease, token, now, now + beat.lease):
                return False
            last = beats.last(tx, beat.name)  # behind the lease: whoever held it has claimed by now
            if last is not None and instant <= last <= now + AHEAD:
                beats.let_go(tx, lease, token)
                return None
            return True

        mine = await app.store.transact(taken)
        if mine:
            await beat.work(app)
            await app.store.transact(lambda tx: _claim(tx, beat, instant, app.clock.now(tx), token))
        return mine is not False


def _claim(tx: Tx, beat: Beat, instant: datetime, at: datetime, token: str) -> None:
    beats.claim(tx, beat.name, instant, at)
    beats.forget(tx, beat.name, instant)
    beats.let_go(tx, f"beat:{beat.name}", token)
