"""The kill sweep: one process that has all loaded already and forks a life for every stop-point.

For each step of a journey and each boundary of its door: the step begins on a copy of the town before it, is killed there (SIGKILL),
the world goes on (the platform repeats what was not acknowledged, the loops turn, leases run out), and the town is compared with the
one where nobody was killed. `python -m tests.kill.sweep` reads jobs, one JSON object a line, and answers each with one.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import bindparam, select

from adapters.base import Address, Chose, Inbound, Said, Sender
from bot.app import make
from bot.clock import Clock
from bot.deliver import LEASE_SECONDS
from bot.settings import Settings
from bot.town import build
from storage import letters, tables, timers
from storage.prepared import Prepared
from storage.tx import Tx
from tests.kill.journeys import JOURNEYS, Act, Journey, begun
from tests.kill.stops import Stops, platforms
from tests.kill.world import Ground, State, World, differences, ground, print_of, state_of, unknown
from tests.town import START, Town, sample
from workflow.people import Town as Place

Door: TypeAlias = Literal["receive", "ring", "send", "copies"]
Say: TypeAlias = Callable[[Any], None]

#: Until every lease of a killed process has run out.
LEASE: Final = timedelta(seconds=LEASE_SECONDS + 1)
#: How long the world goes on before the towns are compared.
GOES_ON: Final = timedelta(minutes=5)
#: The town as the process that forks has read it, by database.
_KNOWN: Final[dict[str, Place]] = {}
SETTINGS: Final = Settings(_env_file=None)  # type: ignore[call-arg]
#: A life that takes longer than this hangs.
SECONDS: Final = 60


@dataclass(frozen=True)
class Step:
    """One turn of one door."""

    door: Door
    at: datetime
    act: Act | None = None
    event: str = ""  #: the platform's id of it


@dataclass
class Taken:
    """A step of the unkilled life: how the world was before, and the boundaries that its door came to."""

    step: Step
    before: World
    after: World
    stops: list[str]
    next_act: int  #: the first act that had not begun


@dataclass
class Report:
    """What a sweep has tried and found."""

    database: str
    journey: str
    doors: Counter[str] = field(default_factory=Counter)
    same: int = 0  #: kills that left what another one had left, from which the world had gone on already
    to_the_end: int = 0  #: kills after which the whole journey was lived to its end
    unknown: Counter[str] = field(
        default_factory=Counter
    )  #: letters whose fate is not known, by the stop that made them so
    names: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def count(self, name: str) -> None:
        self.doors[name.split()[0]] += 1
        self.names.append(name)

    @property
    def kills(self) -> int:
        return sum(self.doors.values())

    @property
    def kinds(self) -> dict[str, int]:
        """How often each kind of stop was tried, without its place in the step."""
        return dict(Counter(" ".join((door, where)) for door, _, where in (name.split(" ", 2) for name in self.names)))


@dataclass(frozen=True)
class Job:
    """What is asked of this process."""

    url: str  #: of a database with the town in it, and its people linked
    journey: str
    folder: str | None = None  #: where there is room; None: the usual one
    every: int = 1  #: of the boundaries that are neither COMMIT nor a platform's, one in so many
    ends: int = 7  #: of the kills, one in so many is followed to the journey's end
    brief: bool = False  #: a step that goes the same way as another is left out; what two kills have left alike is gone on from once


# -- one process of the town


class Life:
    """An app with its doors on a database, at a moment."""

    def __init__(self, world: World, at: datetime, stops: Stops) -> None:
        self.stops = stops
        self.clock = Clock(frozen=at)
        self.wire = platforms(world.taken, stops)
        self.app = make(
            SETTINGS.model_copy(update={"database_url": world.url}),
            clock=self.clock,
            adapters={**self.wire},
            var=world.taken.parent,
        )
        self.app.receiver.flood = 0
        self.app.towns._town = _KNOWN.get(world.url.partition(":")[0])  # as in a process that has been up for a while
        self.errors: list[str] = []
        stops.listen(self.app.store)

    async def takes(self, step: Step, say: Say) -> None:
        """Turn a door once; stops are counted."""
        event = await self.event(step) if step.act else None
        self.stops.open(step.door)
        match step.door:
            case "receive":
                assert event is not None
                await self.app.receiver.receive(event)
                say({"acknowledged": True})
                await self.app.receiver.finish()
                await self.app.deliverer.finish()
            case "ring":
                await self.app.reminder.ring_due()
            case "send":
                await self.app.deliverer.send_due()
            case "copies":
                await self.app.copies.keep_true()
        self.stops.shut()

    async def event(self, step: Step) -> Inbound:
        """What the platform brings: words that name the cases as they are numbered here, or the newest fitting button."""
        act = step.act
        assert act is not None
        account = act.who if act.on == "web" else f"U-{act.who}"
        what = await self.app.store.read(lambda tx: _tapped(tx, act) if act.taps else _said(tx, act))
        return Inbound(step.event, Sender(act.on, account), Address(act.on, account), what)

    async def due(self, until: datetime) -> tuple[Door, datetime] | None:
        """The next door that has something to do, and when; None before then."""
        for moment in (self.clock.frozen, await self.app.store.read(_next)):
            assert self.clock.frozen is not None
            if moment is None or moment > until:
                continue
            self.clock.frozen = max(moment, self.clock.frozen)
            now, found = await self.app.store.read(self.app.due)
            if found.timer and found.timer <= now:
                return "ring", now
            if any(at <= now for at in found.letters.values()):
                return "send", now
            if found.stale:
                return "copies", now
        return None

    async def goes_on(self, step: Step, acknowledged: bool) -> None:
        """What the world does after a kill: repeat what nobody acknowledged, ring and send, look for what was lost."""
        if step.act and not acknowledged:
            await self.app.receiver.receive(await self.event(step))
            await self.app.deliverer.finish()
        await self.app.turner.settle()
        await self.app.turner.to(step.at + LEASE)
        for _ in range(2):  # what is found in the first round may be sent, and lost, again
            await self.app.deliverer.recover()
            await self.app.receiver.again_due()
            await self.app.turner.to(self.clock.now() + (GOES_ON - LEASE) / 2)

    async def lives(self, journey: Journey, first: int) -> None:
        """The rest of a journey, in peace."""
        for i, (moment, act) in enumerate(_schedule(journey)):
            if i < first:
                continue
            await self.app.turner.to(moment)
            if act:
                await self.app.receiver.receive(await self.event(_of(journey, i, moment, act)))
                await self.app.deliverer.finish()
                await self.app.turner.settle()

    async def state(self) -> State:
        now, wire = self.clock.now(), self.wire.values()
        found = await self.app.store.read(lambda tx: state_of(tx, wire, now))
        found["errors"] = [f"log: {line}" for line in self.errors]
        return found

    async def leased(self) -> list[str]:
        """The letters that somebody holds."""
        return [str(row.id) for row in await self.app.store.read(lambda tx: tx.execute(_LEASED).all())]


_LEASED: Final = Prepared(select(tables.letters.c.id).where(tables.letters.c.state == tables.constant("leased")))
_NUMBERS: Final = Prepared(select(tables.cases.c.number).order_by(tables.cases.c.opened_at, tables.cases.c.id))


_L: Final = tables.letters
_BUTTONS: Final = Prepared(
    select(_L.c.token).where(_L.c.surface == bindparam("on"), _L.c.address == bindparam("to")).order_by(_L.c.id.desc())
)


def _next(tx: Tx) -> datetime | None:
    return min(filter(None, (timers.next_due(tx), letters.next_due(tx))), default=None)


def _said(tx: Tx, act: Act) -> Said:
    return Said(act.says.format(*(row.number for row in tx.execute(_NUMBERS))))


def _tapped(tx: Tx, act: Act) -> Chose:
    for token, *_ in tx.execute(_BUTTONS, {"on": act.on, "to": f"U-{act.who}"}):
        letter = letters.by_token(tx, token)
        for place, says in enumerate(letter.doc.get("says", ()) if letter else ()):
            if says.startswith(act.says):
                return Chose(f"{token}{place}")
    raise AssertionError(f"{act.who} sees no button 「{act.says}」")


def _schedule(journey: Journey) -> list[tuple[datetime, Act | None]]:
    return list(journey.schedule(build(sample(), version=0), START))


def _of(journey: Journey, i: int, at: datetime, act: Act) -> Step:
    return Step("receive", at, act, f"{journey.name}:{i}")


# -- forking


@dataclass(frozen=True)
class End:
    """How a process ended."""

    killed: str  #: at which stop; empty: it lived to its end
    said: list[dict[str, Any]]

    @property
    def acknowledged(self) -> bool:
        """Whether the platform had been told that its event was kept."""
        return bool(self.get("acknowledged"))

    def get(self, name: str) -> Any:
        return next((line[name] for line in self.said if name in line), None)


class Broken(Exception):
    """A life ended otherwise than by its kill: {why}."""


def apart(job: Callable[[Say], Awaitable[None]]) -> End:
    """Run a job in a process of its own; its engines and its loop are made there. Raises Broken."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _alone(job, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    _, status = os.waitpid(child, 0)
    killed = next((line["killed"] for line in said if "killed" in line), "")
    if os.waitstatus_to_exitcode(status) != (-signal.SIGKILL if killed else 0):
        raise Broken(f"{status}: {said[-1:]}")
    return End(killed, said)


def _alone(job: Callable[[Say], Awaitable[None]], writing: int) -> None:
    """What a forked process does; it never comes back."""

    def say(line: Any) -> None:
        left = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        while left:
            left = left[os.write(writing, left) :]

    code = 1
    try:
        signal.alarm(SECONDS)
        gc.disable()  # it would touch, and so copy, all that is shared
        asyncio.run(job(say))  # type: ignore[arg-type]
        code = 0
    except BaseException:
        say({"broken": traceback.format_exc()})
    finally:
        os._exit(code)


class _Heard(logging.Handler):
    """ERRORs of the log: a kill is nothing to be sorry for, so there are none."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(self.format(record))


# -- the sweep of one journey


class Sweep:
    """One journey on one kind of database."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job
        self.journey = next(one for one in JOURNEYS if one.name == job.journey)
        self.schedule = _schedule(self.journey)
        self.folder = folder
        self.ground: Ground = ground(job.url)
        self.report = Report(job.url.partition(":")[0], job.journey)
        self._worlds = 0

    def run(self) -> Report:
        taken, last = self._lived()
        gc.collect()
        gc.freeze()  # what is never collected is never copied either
        ways: set[tuple[str, ...]] = set()
        for i, one in enumerate(taken):
            way = tuple(name.split(" ", 2)[2] for name in one.stops)
            if not (self.job.brief and way in ways):
                self._kill_all(i, one, last)
            ways.add(way)
        for world in (*(one.before for one in taken), last):
            self._forget(world)
        self.ground.close()
        return self.report

    # in peace

    def _lived(self) -> tuple[list[Taken], World]:
        """Live the journey without a kill, in this very process: what it compiles and reads its children have."""
        world = self._copy(World(self.job.url, self.folder / "nothing"))
        asyncio.run(self._begun(world))
        taken: list[Taken] = []
        at = START
        for i, (moment, act) in enumerate(self.schedule):
            acted, step = False, asyncio.run(self._due(world, at, moment))
            while step is not None or (act and not acted):
                if step is None and act:
                    step, acted = _of(self.journey, i, moment, act), True
                assert step is not None
                before = self._copy(world)
                stops, follows = asyncio.run(self._taken(world, step, moment))
                taken.append(Taken(step, before, world, stops, i + acted))
                step = follows
            at = moment
        asyncio.run(self._after(spare := self._copy(world), taken[-1].step))
        self._forget(spare)
        self.report.wrong += [f"{one.step}: its door keeps nothing" for one in taken if not _keeps(one.stops)]
        for one, after in zip(taken, [*(t.before for t in taken[1:]), world], strict=True):
            one.after = after
        return taken, world

    async def _begun(self, world: World) -> None:
        life = Life(world, START, Stops())
        _KNOWN[world.url.partition(":")[0]] = await life.app.store.read(life.app.towns.of)
        await begun(Town(life.app, life.clock, sample()), self.journey)
        await life.app.close()

    async def _due(self, world: World, at: datetime, until: datetime) -> Step | None:
        life = Life(world, at, Stops())
        found = await life.due(until)
        await life.app.close()
        return Step(*found) if found else None

    async def _taken(self, world: World, step: Step, until: datetime) -> tuple[list[str], Step | None]:
        stops = Stops()
        life = Life(world, step.at, stops)
        await life.takes(step, lambda _: None)
        found = await life.due(until)
        await life.app.close()
        return stops.names, Step(*found) if found else None

    async def _after(self, world: World, step: Step) -> None:
        """What every child will do, once here: so it is compiled already."""
        life = Life(world, step.at, Stops())
        await life.leased()
        await life.goes_on(step, True)
        await life.state()
        await life.app.close()

    # killed

    def _kill_all(self, turn: int, one: Taken, last: World) -> None:
        ought: dict[bool, State] = {}  #: the town without the kill: a little later, and at the journey's end
        world = self._copy(one.before)
        fresh = print_of(self.ground, world)
        known = {(fresh, False)}  #: what has been gone on from: this one is the unkilled life itself
        for stop in chosen(one.stops, self.job.every, turn):
            killed = apart(self._killing(world, one.step, stop))
            if killed.killed:  # else two works met in one COMMIT, and there was no such stop this time
                self.report.count(killed.killed)
                left = print_of(self.ground, world), killed.acknowledged
                if self.job.brief and left in known:
                    self.report.same += 1
                else:
                    to_end = self.report.kills % self.job.ends == 0 and self.schedule[-1][0] - one.step.at > GOES_ON
                    if to_end not in ought:
                        ought[to_end] = (
                            self._peace(last, one, None) if to_end else self._peace(one.after, one, one.step)
                        )
                    self._go_on(world, one, killed, ought[to_end], to_end)
                    known.add(left)
                    left = "", True
                if left[0] == fresh:
                    continue  # nothing was kept: the next one is killed where this one was
            self._forget(world)
            world = self._copy(one.before)
        self._forget(world)

    def _killing(self, world: World, step: Step, stop: int) -> Callable[[Say], Awaitable[None]]:
        async def job(say: Say) -> None:
            await Life(world, step.at, Stops(stop, say)).takes(step, say)

        return job

    def _peace(self, of: World, one: Taken, step: Step | None) -> State:
        """The town that was not killed: a little after this step, or (None) at the journey's end."""
        world = self._copy(of)

        async def job(say: Say) -> None:
            life = Life(world, one.step.at if step else self.schedule[-1][0], Stops())
            if step:
                await life.goes_on(step, True)
            say({"state": await life.state()})

        found: State = apart(job).get("state")
        self._forget(world)
        return found

    def _go_on(self, world: World, one: Taken, end: End, ought: State, to_end: bool) -> None:
        async def job(say: Say) -> None:
            life = Life(world, one.step.at, Stops())
            logging.getLogger().addHandler(_Heard(life.errors))
            say({"leased": await life.leased()})
            await life.goes_on(one.step, end.acknowledged)
            if to_end:
                await life.lives(self.journey, one.next_act)
            say({"state": await life.state()})

        name = f"{self.report.database} · {self.journey.name} · {one.step.at:%m-%d %H:%M} {one.step.act or ''} · {end.killed}"
        try:
            went = apart(job)
        except Broken as broken:
            self.report.wrong.append(f"{name}: {broken}")
            return
        self.report.to_the_end += to_end
        found: State = went.get("state")
        self.report.unknown.update(end.killed.partition(" ")[0] for _ in unknown(found))
        for line in differences(ought, found, frozenset(went.get("leased")), to_end):
            self.report.wrong.append(f"{name}: {line}")

    # worlds

    def _copy(self, of: World) -> World:
        self._worlds += 1
        taken = self.folder / f"taken-{self._worlds}"
        if of.taken.exists():
            taken.write_bytes(of.taken.read_bytes())
        return World(self.ground.copy(of.url), taken)

    def _forget(self, world: World) -> None:
        self.ground.drop(world.url)
        world.taken.unlink(missing_ok=True)


def _keeps(stops: list[str]) -> bool:
    return any("COMMIT" in name for name in stops)


def chosen(stops: list[str], every: int, turn: int) -> Iterator[int]:
    """The boundaries that are tried: each COMMIT and each answer of a platform, of the others one in so many, in turn."""
    for i, name in enumerate(stops):
        if "COMMIT" in name or " on " in name or (i + turn) % every == 0:
            yield i


def main() -> None:
    """Answer jobs until there are no more."""
    for line in sys.stdin:
        job = Job(**json.loads(line))
        with tempfile.TemporaryDirectory(prefix="tsunagi-kill-", dir=job.folder) as folder:
            try:
                answer = vars(Sweep(job, Path(folder)).run())
            except Exception:
                answer = {"broken": traceback.format_exc()}
        print(json.dumps(answer, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
