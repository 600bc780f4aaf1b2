"""Real processes on one database, begun, paused, told to stop and killed while everything falls due at once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.audit import breaches
from bot.clock import Clock, real
from deploy.failover import FIRST_CHAT, Crowd, Platform, Process, tsunagi, until, whole
from storage import people
from tests.chaos.conftest import beside, how_many, micro
from tests.databases import Databases
from tests.town import START, TOKYO, Town, sample, settled

#: When a consultation of this morning that is 急ぎ has to be looked at.
EVENING = datetime(2026, 6, 1, 17, 15, tzinfo=TOKYO)
LEADS = (
    "suzuki",
    "tanaka",
    "saito",
    "ito",
    "kato",
    "nishimura",
    "okamoto",
    "chiba",
    "okada",
    "sugiyama",
    "hasegawa",
    "fujiwara",
)
PEOPLE = len(sample()["staff"])


def linked(url: str) -> None:
    """The sample town; everybody has an account."""
    doc = sample()
    for i, person in enumerate(doc["staff"]):
        person["chat"] = {"telegram": f"{FIRST_CHAT + i}"}
    settled(url, doc)


@dataclass
class Place:
    """A town on a database that real processes share, and the platform they speak through."""

    url: str
    folder: Path
    town: Town
    platform: Platform
    processes: list[Process]

    def start(self, what: str) -> Process:
        self.processes.append(Process(what, self.url, self.folder, **self.platform.variables))
        return self.processes[-1]

    async def ask(self, statement: str) -> Sequence[Any]:
        return await self.town.app.store.read(lambda tx: tx.execute(text(statement)).all())

    async def turn(self, **by: float) -> None:
        """The town's clock goes on for everybody."""
        await self.town.app.turner.set(await self.town.app.turner.now() + timedelta(**by))

    async def nothing_is_due(self) -> bool:
        until = micro(EVENING + timedelta(minutes=10))
        ((due,),) = await self.ask(
            f"SELECT (SELECT count(*) FROM timers WHERE due_at <= {until} AND fired_at IS NULL AND cancelled_at IS NULL)"
            f" + (SELECT count(*) FROM letters WHERE surface = 'telegram' AND state = 'pending' AND not_before <= {until})"
        )
        return due == 0

    async def given_up(self) -> int:
        """The others' letters whose sender never came back."""
        return await self.town.app.store.transact(self.town.app.deliverer.settle_lost)

    async def sound(self) -> None:
        lines = await self.town.app.store.read(lambda tx: list(breaches(tx, self.town.app.clock.now(tx))))
        assert not [line for line in lines if not line.startswith("ok")]


@pytest.fixture
async def at(
    databases: Databases, tmp_path: Path, processes: list[Process]
) -> AsyncIterator[Callable[..., Awaitable[Place]]]:
    """Makes such a place on a database of one kind, a minute before this evening's due time."""
    made: list[Place] = []
    platform = Platform()

    async def make(kind: str, cases: int) -> Place:
        url: str = getattr(databases, kind)(linked)
        clock = Clock(frozen=START)
        (town,) = beside(url, tmp_path / "var", clock, 1)
        made.append(Place(url, tmp_path, town, platform, processes))

        async def by(who: str) -> None:
            for _ in range(-(-cases // len(LEADS))):
                await town.intake(who, "介護", "急ぎ")

        await asyncio.gather(*(by(who) for who in LEADS))
        await town.app.store.transact(lambda tx: people.mark_demo(tx, EVENING - timedelta(minutes=1), real()))
        clock.frozen = None
        return made[-1]

    async with platform.open():
        yield make
        for place in made:
            for process in processes:
                process.end(signal.SIGKILL)
            await place.town.close()
            databases.drop(place.url)


async def everything_once(place: Place, crowd: Crowd) -> None:
    """Every event, every timer, every message: once, or it is said that nobody knows."""
    assert not await whole(place.ask, crowd, place.platform)
    await place.sound()
    cases = (await place.ask("SELECT count(*) FROM cases WHERE stage <> 'closed'"))[0][0]
    rung = await place.ask("SELECT case_id, count(*) FROM timers WHERE fired_at IS NOT NULL GROUP BY case_id")
    assert len(rung) == cases and {count for _, count in rung} == {1}
    told = await place.ask(
        "SELECT case_id, surface, count(*) FROM letters WHERE kind = 'ring' GROUP BY case_id, surface"
    )
    assert len(told) == 2 * cases and {count for *_, count in told} == {1}


@pytest.mark.kill
@pytest.mark.postgres
async def test_processes_come_and_go_and_everything_happens_once(at: Callable[..., Awaitable[Place]]) -> None:
    """(fault 15) Five hundred due items in a minute of the town's; one process pauses and is killed, one is told to stop."""
    place = await at("postgresql", how_many(252, 1_200))
    serving, first = place.start("serve"), place.start("work")
    await serving.ready()
    await place.platform.greeted_by(2)
    crowd, over = Crowd([serving.port], PEOPLE, ("今日", "つぎへ")), asyncio.Event()
    speaking = asyncio.create_task(crowd.speaks(6, over))
    second = None
    for second_of_the_minute in range(10):
        await place.turn(seconds=6)
        await until("people are heard", heard(crowd, 3))
        match second_of_the_minute:
            case 1:
                second = place.start("work")
            case 3:
                first.tell(signal.SIGSTOP)
            case 5:
                first.tell(signal.SIGCONT)
            case 7:
                await first.ended(signal.SIGKILL)
    assert second is not None
    await place.platform.greeted_by(3)
    assert await second.ended() == 0, "told to stop, it ends in order"
    await quiet(place)
    over.set()
    await speaking
    await place.turn(minutes=2)
    await place.given_up()
    serving.lives()
    assert await serving.ended() == 0
    await everything_once(place, crowd)
    assert not [line for one in place.processes for line in one.said if "Traceback" in line or "ERROR" in line]


@pytest.mark.kill
async def test_several_processes_on_one_file_lose_nothing(at: Callable[..., Awaitable[Place]]) -> None:
    """(fault 15) SQLite: `serve`, `work` and a `say` at once; the writers take turns."""
    place = await at("sqlite", how_many(24, 480))
    serving, working = place.start("serve"), place.start("work")
    await serving.ready()
    await place.platform.greeted_by(2)
    crowd, over = Crowd([serving.port], PEOPLE, ("今日", "つぎへ")), asyncio.Event()
    speaking = asyncio.create_task(crowd.speaks(6, over))
    saying = asyncio.create_task(asyncio.to_thread(tsunagi, place.url, place.folder, "say", "--as", "endo", "今日"))
    for _ in range(3):
        await place.turn(seconds=20)
        await until("people are heard", heard(crowd, 3))
    assert await saying
    await quiet(place)
    working.lives()
    assert await working.ended() == 0
    over.set()
    await speaking
    assert await serving.ended() == 0
    await everything_once(place, crowd)
    assert not [line for one in place.processes for line in one.said if "Traceback" in line or "ERROR" in line]


def heard(crowd: Crowd, more: int) -> Callable[[], Awaitable[bool]]:
    enough = len(crowd.yes) + more

    async def so() -> bool:
        return len(crowd.yes) >= enough

    return so


async def quiet(place: Place) -> None:
    """Seconds of the town go by until all that was due has happened."""

    async def so() -> bool:
        if await place.nothing_is_due():
            return True
        await place.turn(seconds=3)
        return False

    await until("everything has rung and left", so, 60, every=0.25)
