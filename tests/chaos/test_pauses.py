"""A process that stood still while others went on: what it brings when it wakes is not taken any more, and it held up nobody."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.base import Delivery, Gone, Later, Parcel, Refused, Sent, Unknown
from bot.clock import Clock, real
from bot.record import new_token
from deploy.failover import Process, until
from storage import beats, letters, people
from storage.letters import LetterRow
from storage.store import Store
from storage.tx import Tx
from tests.chaos.conftest import beside
from tests.databases import KEYS, Databases
from tests.fakes.telegram import FakeTelegram, Mischief
from tests.town import START, Town, settled
from tests.toy import Toy

TEN_MINUTES = timedelta(minutes=10)


@dataclass
class Slow(Toy):
    """Does not answer before it is told to."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, parcel: Parcel) -> Delivery:
        self.asked.set()
        await self.go_on.wait()
        return await super().send(parcel)


@pytest.fixture
async def paused(database: str, tmp_path: Path) -> AsyncIterator[tuple[Town, Town, Slow]]:
    """One who is in the middle of sending, and another on the same database."""
    slow = Slow()
    here, there = beside(
        database,
        tmp_path,
        Clock(frozen=START),
        2,
        [{"toy": slow, "slate": Toy("slate")}, {"toy": Toy(), "slate": Toy("slate")}],
    )
    yield here, there, slow
    for town in (here, there):
        await town.close()


def letter(town: Town, **changes: object) -> LetterRow:
    row = {
        "id": town.app.fresh(), "kind": "phone", "surface": "toy", "address": "1", "to_staff": "sato", "token": new_token(),
        "doc": {"person": "suzuki", "due": town.now.isoformat()}, "created_at": town.now, "not_before": town.now, "must": True,
    }  # fmt: skip
    return LetterRow(**(row | changes))  # type: ignore[arg-type]


async def kept(town: Town) -> list[tuple[str, str | None, str]]:
    def work(tx: Tx) -> list[tuple[str, str | None, str]]:
        return [tuple(row) for row in tx.execute(text("SELECT state, ref, surface FROM letters ORDER BY id"))]  # type: ignore[misc]

    return await town.app.store.read(work)


@pytest.mark.parametrize(
    "outcome",
    [Sent("late"), Later(timedelta(0), "429"), Unknown("late"), Gone("blocked"), Refused("late")],
    ids=lambda outcome: type(outcome).__name__,
)
async def test_a_lease_that_ran_out_settles_nothing(paused: tuple[Town, Town, Slow], outcome: Delivery) -> None:
    """(fault 15) Whatever the sleeper brings: the letter stays as the others have found it, and nothing more leaves because of it."""
    here, there, slow = paused
    slow.says = lambda parcel: outcome
    for at, account, since in (("toy", "1", START - TEN_MINUTES), ("slate", "2", START)):
        await here.app.store.transact(
            lambda tx, at=at, account=account, since=since: people.link(tx, at, account, "sato", since)
        )
    await here.app.store.transact(lambda tx: letters.write(tx, [letter(here)]))
    sending = asyncio.create_task(here.app.deliverer.send_due())
    await slow.asked.wait()
    here.clock.frozen = here.now + TEN_MINUTES
    assert await there.app.deliverer.recover() == 1
    found = await kept(there)
    assert found[0][:2] == ("unknown", None)
    slow.go_on.set()
    await sending
    assert await kept(there) == found


async def test_while_its_lease_lasts_it_settles_its_letter(paused: tuple[Town, Town, Slow]) -> None:
    here, there, slow = paused
    slow.says = lambda parcel: Sent("in time")
    await here.app.store.transact(lambda tx: letters.write(tx, [letter(here)]))
    sending = asyncio.create_task(here.app.deliverer.send_due())
    await slow.asked.wait()
    assert await there.app.deliverer.recover() == 0
    slow.go_on.set()
    await sending
    assert await kept(there) == [("sent", "in time", "toy")]


# -- a real process, stopped by the machine


@pytest.fixture
async def town(databases: Databases, tmp_path: Path, telegram: FakeTelegram) -> AsyncIterator[tuple[str, Town]]:
    """A demonstration on PostgreSQL whose clock all processes read; 石井 has Telegram."""
    url = databases.postgresql(settled)
    (here,) = beside(url, tmp_path / "var", Clock(), 1)
    telegram.chats[7_000] = ""

    def begin(tx: Tx) -> None:
        people.mark_demo(tx, START, real())
        people.link(tx, "telegram", "7000", "ishii", START)

    await here.app.store.transact(begin)
    yield url, here
    await here.close()
    databases.drop(url)


def platform(fake: FakeTelegram) -> dict[str, str]:
    return {"TELEGRAM_BOT_TOKEN": fake.token, "TELEGRAM_API_URL": fake.url}


async def state(town: Town, id: int) -> str:
    found = await town.app.store.read(lambda tx: letters.get(tx, id))
    assert found is not None
    return found.state


@pytest.mark.kill
@pytest.mark.postgres
async def test_a_process_that_was_stopped_for_ten_minutes_writes_nothing_when_it_wakes(
    town: tuple[str, Town], telegram: FakeTelegram, tmp_path: Path, processes: list[Process]
) -> None:
    """(fault 15) SIGSTOP in the middle of sending, ten minutes of the town's clock, SIGCONT; then SIGTERM, and it ends in order."""
    url, here = town
    row = letter(here, surface="telegram", address="7000", created_at=START, not_before=START)
    telegram.next("sendMessage", Mischief(accept=True, slow=1.0))
    await here.app.store.transact(lambda tx: letters.write(tx, [row]))
    process = Process("work", url, tmp_path, **platform(telegram))
    processes.append(process)

    async def asked() -> bool:
        return "sendMessage" in telegram.calls

    await until("it sends", asked, 60)
    process.tell(signal.SIGSTOP)
    assert await state(here, row.id) == "leased"
    await here.app.turner.set(await here.app.turner.now() + TEN_MINUTES)
    # Another process finds it: this one knows no platform, so that it takes no letter itself.
    assert await here.app.store.transact(here.app.deliverer.settle_lost) == 1
    assert await state(here, row.id) == "unknown"
    process.tell(signal.SIGCONT)
    second = letter(here, surface="telegram", address="7000", created_at=START, not_before=START)
    await here.app.store.transact(lambda tx: letters.write(tx, [second]))

    async def sent() -> bool:
        return await state(here, second.id) == "sent"

    await until("it goes on", sent)
    assert await process.ended() == 0
    assert await state(here, row.id) == "unknown"
    assert telegram.calls.count("sendMessage") == 2
    assert not process.said


@pytest.mark.postgres
async def test_whoever_stops_in_the_middle_of_a_work_holds_nobody_up_for_long(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(fault 15) What it has locked is let go of after a while; when it wakes it begins anew on what the others have left."""
    monkeypatch.setattr("storage.postgres.HELD_SECONDS", 1)
    url = databases.postgresql()
    holds, wakes, tries = threading.Event(), threading.Event(), []

    def sleeper(tx: Tx) -> bool:
        done = beats.claim(tx, "08:30", START, START)
        tries.append(done)
        if len(tries) == 1:
            holds.set()
            assert wakes.wait(30)
        beats.claim(tx, "it woke", START, START)
        return done

    async def elsewhere() -> bool:
        store = Store(url, keys=KEYS)
        try:
            return await store.transact(sleeper)
        finally:
            await store.close()

    stopped = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    await asyncio.to_thread(holds.wait)
    here = Store(url, keys=KEYS)
    async with asyncio.timeout(8):
        assert await here.transact(lambda tx: beats.claim(tx, "08:30", START, START))
    wakes.set()
    assert not await stopped, "somebody else has done it"
    assert tries == [True, False]
    await here.close()
    databases.drop(url)
