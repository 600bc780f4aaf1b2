"""Whole processes, killed (-9) and started again: what `tsunagi work` and `tsunagi serve` leave to the next one."""

import asyncio
import os
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from bot.audit import breaches
from bot.clock import real
from bot.record import new_token
from storage import letters, people, tables
from storage.letters import LetterRow
from storage.store import Store
from storage.tx import Tx
from tests.databases import Databases
from tests.fakes.telegram import JSON, FakeTelegram
from tests.kill.conftest import ROOT
from tests.kill.report import PROCESSES
from tests.town import START, Town, settled

pytestmark = pytest.mark.kill

SECRET = "a-secret_of-the-town"
SECONDS = 60  #: until a condition has to hold


@dataclass(slots=True)
class Deadly(FakeTelegram):
    """Telegram in whose answers a process is killed: it has taken the message, or (`takes` False) not even read it."""

    victim: "asyncio.subprocess.Process | None" = None
    takes: bool = True
    kills: int = 0

    async def _do_sendMessage(self, given: JSON) -> JSON:
        if self.victim is None:
            return await super(Deadly, self)._do_sendMessage(given)
        victim, self.victim = self.victim, None
        if self.takes:
            await super(Deadly, self)._do_sendMessage(given)
        victim.kill()
        await victim.wait()
        self.kills += 1
        raise ConnectionResetError


@dataclass(slots=True)
class Place:
    """A demonstration's database, its Telegram, and the processes that are started on them."""

    url: str
    folder: Path
    telegram: Deadly
    store: Store
    turned: timedelta = timedelta()
    running: "list[asyncio.subprocess.Process]" = field(default_factory=list)

    async def start(self, *words: str, **more: str) -> "asyncio.subprocess.Process":
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TSUNAGI_")}
        given = {
            "DATABASE_URL": self.url, "TELEGRAM_BOT_TOKEN": self.telegram.token, "TELEGRAM_API_URL": self.telegram.url,
            "TELEGRAM_SECRET_TOKEN": SECRET, "SECRET_KEY": "x" * 40, **more,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", *words, cwd=self.folder, stdin=asyncio.subprocess.DEVNULL,
            env={**clean, "PYTHONPATH": str(ROOT), **{f"TSUNAGI_{name}": value for name, value in given.items()}},
        )  # fmt: skip
        self.running.append(process)
        return process

    async def turn(self, **span: float) -> None:
        """Turn the town's clock for every process."""
        self.turned += timedelta(**span)
        await self.store.transact(lambda tx: people.set_demo_clock(tx, START + self.turned, real()))

    async def post(self, *chats: int) -> None:
        """A letter to each chat, due now."""
        at = START + self.turned
        rows = [
            LetterRow(
                id=1_000 + chat, kind="phone", surface="telegram", doc={"person": "suzuki", "due": at.isoformat()}, address=str(chat),
                to_room="tomoshibi", token=new_token(), created_at=at, not_before=at, state="pending",
            )
            for chat in chats
        ]  # fmt: skip
        self.telegram.chats |= dict.fromkeys(chats, "")
        await self.store.transact(lambda tx: letters.write(tx, rows))

    async def fates(self) -> dict[int, str]:
        """Chat → what became of its letter."""
        table = tables.letters
        asked = select(table.c.address, table.c.state).where(table.c.surface == "telegram", ~table.c.answer)
        return {int(to): state for to, state in await self.store.read(lambda tx: tx.execute(asked).all())}


@pytest.fixture(params=["sqlite", "postgresql"])
async def here(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[Place]:
    """A demonstration with one open offer, so that something rings too."""
    async with _place(getattr(databases, request.param)(settled), tmp_path) as found:
        yield found
    databases.drop(found.url)


@asynccontextmanager
async def _place(url: str, folder: Path) -> AsyncIterator[Place]:
    town = await Town.found(url, folder)
    await town.says("suzuki", f"依頼 {await town.consented()} 家計相談 ともしび")
    telegram = Deadly()
    await telegram.start()
    found = Place(url, folder, telegram, town.app.store)
    await found.store.transact(lambda tx: people.mark_demo(tx, START, real()))
    try:
        yield found
    finally:
        for process in found.running:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await town.close()
        await telegram.stop()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition of real processes."""
    async with asyncio.timeout(SECONDS):
        while not await holds():  # noqa: ASYNC110 - what others' processes do sets no event here
            await asyncio.sleep(0.05)


async def test_a_worker_killed_again_and_again_loses_nothing(
    here: Place, record_property: Callable[[str, Any], None]
) -> None:
    """(faults 1 and 2) Nine workers, each killed in Telegram's answer: what it had in hand is unknown, the others go once."""
    for round in range(9):
        await here.post(100 + 2 * round, 101 + 2 * round)
        here.telegram.takes = round % 2 == 0
        here.telegram.victim = await here.start("work")
        await asyncio.wait_for(here.telegram.victim.wait(), SECONDS)
        await here.turn(hours=3)
    last = await here.start("work")

    async def settled_all() -> bool:
        return set((await here.fates()).values()) <= {"sent", "unknown"}

    await until(settled_all)
    last.terminate()
    await asyncio.wait_for(last.wait(), SECONDS)
    fates = await here.fates()
    shown = {chat: len(here.telegram.texts(chat)) for chat in fates}
    assert here.telegram.kills == 9 and len(fates) == 18
    assert max(shown.values()) == 1, "nothing is sent blindly a second time"
    assert all(shown[chat] == 1 for chat, fate in fates.items() if fate == "sent")
    for round in range(9):
        assert "unknown" in {fates[100 + 2 * round], fates[101 + 2 * round]}, "what was in hand is marked"
    now = START + here.turned
    found = [line for line in await here.store.read(lambda tx: [*breaches(tx, now)]) if line.startswith("breach")]
    assert not found, "every timer that came due meanwhile has rung"
    record_property(PROCESSES, here.telegram.kills)


def _ready_at(port: int) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(trust_env=False) as line:
                return (await line.get(f"http://127.0.0.1:{port}/readyz", timeout=2)).status_code == 200
        return False

    return ready


def _says(text: str, id: int) -> JSON:
    person = {"id": 4001, "is_bot": False, "first_name": "x"}
    message = {"message_id": id, "date": 1_780_000_000, "chat": {"id": 4001, "type": "private", "first_name": "x"}}
    return {"update_id": id, "message": message | {"from": person, "text": text}}


async def test_an_update_whose_server_was_killed_is_kept_once(
    databases: Databases, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """(fault 7) Killed before the commit, and again in its answer: Telegram brings it again, and it happens once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = databases.sqlite(settled)
    async with _place(url, tmp_path) as here, httpx.AsyncClient(trust_env=False, timeout=SECONDS) as line:
        await here.store.transact(lambda tx: people.link(tx, "telegram", "4001", "ishii", START))
        here.telegram.chats[4001] = ""
        number = (await here.store.read(_numbers))[0]

        async def post() -> int:
            header = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
            with suppress(httpx.HTTPError):
                hook = f"http://127.0.0.1:{port}/hooks/telegram"
                return (await line.post(hook, json=_says(f"検討 {number} 6/3", 901), headers=header)).status_code
            return 0

        async def serve() -> "asyncio.subprocess.Process":
            process = await here.start("serve", PORT=str(port))
            await until(_ready_at(port))
            return process

        process = await serve()
        held = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
        posted = asyncio.create_task(post())
        await asyncio.wait([posted], timeout=0.5)  # it waits for the database; nothing is kept yet
        process.kill()
        assert await posted == 0, "no yes for what is not kept"
        held.execute("ROLLBACK")
        held.close()
        assert not await _kept(here)
        here.telegram.victim = await serve()
        await post()  # kept, and killed while Telegram answers to our answer
        await asyncio.wait_for(here.running[-1].wait(), SECONDS)
        assert await _kept(here) == 1
        await serve()
        assert await post() == 200
        assert await _kept(here) == 1 and len(here.telegram.texts(4001)) == 1
        assert (await here.store.read(_considered)) == 1
        record_property(PROCESSES, 2)
    databases.drop(url)


def _numbers(tx: Tx) -> list[str]:
    return list(tx.execute(select(tables.cases.c.number)).scalars())


def _considered(tx: Tx) -> int:
    return len(tx.execute(select(tables.journal.c.id).where(tables.journal.c.kind == "handoff.consider")).all())


async def _kept(here: Place) -> int:
    table = tables.inbox
    return len(
        await here.store.read(lambda tx: tx.execute(select(table.c.id).where(table.c.platform == "telegram")).all())
    )
