"""Letters leave at the platform's pace, urgent first, every conversation on its own, and the pace outlives a process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Address, Delivery, Gone, Inbound, Later, Parcel, Refused, Said, Sender, Sent
from bot.app import make, once
from bot.clock import Clock
from bot.operate import keep_town
from bot.record import new_token
from bot.settings import Settings
from storage import letters, people, tables
from storage.letters import LetterRow
from storage.tx import Tx
from tests.databases import Databases
from tests.town import Town, sample, settled
from tests.toy import Toy


@pytest.fixture
async def toy() -> Toy:
    return Toy()


@pytest.fixture(params=["sqlite", "postgresql"])
async def here(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path, toy: Toy) -> AsyncIterator[Town]:
    url: str = getattr(databases, request.param)(settled)
    town = await Town.found(url, tmp_path, adapters={"toy": toy})
    yield town
    await town.close()
    databases.drop(url)


async def post(here: Town, *rows: tuple[str, int | None, bool], surface: str = "toy") -> None:
    """Letters that are due: (conversation, case, urgent), a second apart in age."""

    def letter(n: int, to: str, case: int | None, urgent: bool) -> LetterRow:
        return LetterRow(
            id=here.app.fresh(), kind="phone", surface=surface, doc={"person": "suzuki", "due": here.now.isoformat()}, address=to, to_room="tomoshibi",
            case_id=case, urgent=urgent, token=new_token(), created_at=here.now - timedelta(hours=1) + timedelta(seconds=n),
            not_before=here.now - timedelta(minutes=30) + timedelta(seconds=n), state="pending",
        )  # fmt: skip

    made = [letter(n, *row) for n, row in enumerate(rows)]
    await here.app.store.transact(lambda tx: letters.write(tx, made))


async def leaving(here: Town, toy: Toy, seconds: float) -> list[tuple[float, str]]:
    """Turn the clock; (second, conversation) of everything that left."""
    begin, left = here.now, []
    toy.says = lambda parcel: (
        left.append(((here.now - begin).total_seconds(), parcel.to.conversation)) or Sent(parcel.key)
    )  # type: ignore[func-returns-value]
    await here.later(minutes=seconds / 60)
    return left


async def test_one_a_second_and_conversation_and_nobody_waits_for_another(here: Town, toy: Toy) -> None:
    await post(here, *[("C-busy", None, False)] * 20, ("C-quiet", None, False))
    left = await leaving(here, toy, 30)
    busy = [at for at, to in left if to == "C-busy"]
    assert busy == [float(n) for n in range(20)]
    assert [at for at, to in left if to == "C-quiet"] == [0.0]


async def test_a_storm_leaves_the_first_of_every_case_before_any_second(here: Town, toy: Toy) -> None:
    """Three hundred letters of a hundred cases for one channel: the first hundred are of a hundred cases (fault 30)."""
    numbers = [(await here.case(await here.intake())).id for _ in range(100)]
    await post(here, *[("C-busy", case, False) for case in numbers for _ in range(3)])
    left = await leaving(here, toy, 330)
    assert len(left) == 300 and [at for at, _ in left] == [float(n) for n in range(300)]
    rows = await here.app.store.read(lambda tx: sorted(
        (row for row in letters.for_person(tx, "ishii", ("tomoshibi",), surface="toy", limit=400)), key=lambda row: row.sent_at or row.created_at
    ))  # fmt: skip
    cases = [row.case_id for row in rows]
    for third in (cases[:100], cases[100:200], cases[200:]):
        assert sorted(third, key=str) == sorted(numbers, key=str)


async def test_what_is_urgent_goes_before_all_that_waits(here: Town, toy: Toy) -> None:
    await post(here, *[("C-busy", None, False)] * 10)
    await here.app.turner.settle()
    await post(here, ("C-busy", None, True))
    await here.later(minutes=1)
    assert [parcel.message.text for parcel in toy.sent] and len(toy.sent) == 11
    rows = await here.app.store.read(
        lambda tx: letters.for_person(tx, "ishii", ("tomoshibi",), surface="toy", limit=100)
    )
    by_time = [row.urgent for row in sorted(rows, key=lambda row: (row.sent_at, row.id))]
    assert by_time[1] is True, "the one that was on its way, then the urgent one"


async def test_one_conversation_that_is_full_is_left_alone_also_by_the_next_process(
    here: Town, toy: Toy, tmp_path: Path
) -> None:
    def says(parcel: Parcel) -> Delivery:
        full = parcel.to.conversation == "C-full" and here.now < until
        return Later(timedelta(seconds=90), "429") if full else Sent(parcel.key)

    until = here.now + timedelta(seconds=90)
    toy.says = says
    await post(here, ("C-full", None, False), ("C-full", None, False), ("C-other", None, False))
    await here.app.turner.settle()
    assert sorted(p.to.conversation for p in toy.sent) == ["C-full", "C-other"], "the second did not even try"
    settings = Settings(database_url=here.app.settings.database_url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    other = make(settings, clock=Clock(frozen=here.now + timedelta(seconds=30)), adapters={"toy": toy}, var=tmp_path)
    await other.deliverer.send_due()
    assert len(toy.sent) == 2
    await other.close()
    await here.later(minutes=5)
    assert [p.to.conversation for p in toy.sent].count("C-full") == 3 and {
        row.state
        for row in await here.app.store.read(lambda tx: letters.for_person(tx, "ishii", ("tomoshibi",), surface="toy"))
    } == {"sent"}


async def test_two_processes_send_each_letter_once(here: Town, toy: Toy, tmp_path: Path) -> None:
    await post(here, *[(f"C-{n % 7}", None, False) for n in range(35)])
    settings = Settings(database_url=here.app.settings.database_url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    other = make(settings, clock=here.clock, adapters={"toy": toy}, var=tmp_path)
    for _ in range(12):
        await asyncio.gather(here.app.deliverer.send_due(), other.deliverer.send_due())
        here.clock.frozen = here.now + timedelta(seconds=1)
    await other.close()
    keys = [parcel.key for parcel in toy.sent]
    assert len(keys) == len(set(keys)) == 35


async def test_what_is_late_for_one_person_leaves_as_one_message(here: Town, toy: Toy) -> None:
    """After a night that the engine slept through: one bundle, not five rings."""
    number = (await here.case(await here.intake())).id
    rows = [
        LetterRow(
            id=here.app.fresh(), kind="phone", surface="toy", doc={"person": "suzuki", "due": here.now.isoformat()}, address="U-ishii", to_staff="ishii",
            case_id=number, token=new_token(), created_at=here.now - timedelta(hours=9), not_before=here.now - timedelta(hours=n), state="pending",
        )
        for n in range(1, 6)
    ]  # fmt: skip
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    left = await leaving(here, toy, 30)
    assert [at for at, _ in left] == [0.0] and "5件" in f"{toy.sent[0].message.title}"


@pytest.mark.parametrize(("why", "words"), [("quota", "使い切りました"), ("revoked", "設定の確認")])
async def test_a_platform_that_takes_nothing_more_is_told_to_the_coordinators_once(
    here: Town, toy: Toy, why: str, words: str
) -> None:
    """Every letter goes to the next address; nobody is told of each of them (fault 31), or a token is revoked (fault 33)."""
    toy.says = lambda _parcel: Gone(why, closed=True)
    await post(here, *[(f"C-{n}", None, False) for n in range(4)])
    await here.app.turner.settle()
    await here.later(hours=2)
    told = [m for m in await here.news("takahashi") if m.title == "届けられない連絡先があります"]
    assert len(told) == 1 and words in told[0].text
    await here.later(days=3)
    await post(here, ("C-9", None, False))
    await here.app.turner.settle()
    again = [m for m in await here.news("takahashi") if m.title == "届けられない連絡先があります"]
    assert len(again) == (0 if why == "quota" else 1)


class Slow(Toy):
    """It answers when it is let."""

    def __init__(self, name: str = "toy") -> None:
        super().__init__(name=name)
        self.answers = asyncio.Event()
        self.waits: Callable[[Parcel], bool] = lambda parcel: parcel.to.conversation == "C-slow"

    async def send(self, parcel: Parcel) -> Delivery:
        if self.waits(parcel):
            await self.answers.wait()
        return await super().send(parcel)


async def happens(here: Town, done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await here.app.store.read(here.app.clock.now)


async def test_a_platform_that_is_slow_holds_up_neither_the_clocks_nor_anybody_else(
    databases: Databases, tmp_path: Path
) -> None:
    slow = Slow()
    url = databases.sqlite(settled)
    here = await Town.found(url, tmp_path, adapters={"toy": slow})
    number = await here.intake()
    await post(here, ("C-slow", None, False), ("C-slow", None, False), ("C-quick", None, False))
    here.clock.frozen = here.place.body.hours.add_days(here.now, 3)
    async with asyncio.timeout(10):
        rung = await once(here.app)
    assert rung > 0 and "wait.rung" in await here.lines(number), "the beat came back, and it rang"
    await happens(here, lambda: [p.to.conversation for p in slow.sent] == ["C-quick"])
    await post(here, ("C-quick", None, False))
    here.clock.frozen = here.now + timedelta(minutes=1)
    await once(here.app)
    await happens(here, lambda: len(slow.sent) == 2)
    slow.answers.set()
    await here.app.deliverer.finish()
    assert [p.to.conversation for p in slow.sent] == ["C-quick", "C-quick", "C-slow"]
    here.clock.frozen = here.now + timedelta(minutes=1)
    await once(here.app)
    await here.app.deliverer.finish()
    assert [p.to.conversation for p in slow.sent][3:] == ["C-slow"], "in its turn"
    await here.close()
    databases.drop(url)


async def test_no_platform_waits_for_another(here: Town, toy: Toy) -> None:
    """Two hundred letters for one that does not answer, all of them older: the other platform's leave at once."""
    slow = Slow("slow")
    slow.waits = lambda parcel: True
    here.app.deliverer.adapters["slow"] = slow
    await post(here, *[(f"C-{n}", None, False) for n in range(200)], surface="slow")
    await once(here.app)
    await post(here, *[(f"C-{n}", None, False) for n in range(60)])
    async with asyncio.timeout(10):
        while len(toy.sent) < 60:
            await once(here.app)
        assert not slow.sent
        slow.answers.set()
        while len(slow.sent) < 200:
            await once(here.app)
        await here.app.deliverer.finish()
    assert await here.app.store.read(letters.waiting) == (0, None)
    assert len({parcel.key for parcel in slow.sent}) == 200


async def test_what_became_of_one_that_cannot_be_written_down_takes_no_other_with_it(
    here: Town, toy: Toy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fates are written together; a defect in one is its own."""
    hold = letters.finish

    def falls(tx: Tx, id: int, *rest: Any, **more: Any) -> bool:
        if more["why"] == "defect":
            raise KeyError("a defect of ours")
        return hold(tx, id, *rest, **more)

    monkeypatch.setattr(letters, "finish", falls)
    toy.says = lambda parcel: Refused("defect" if parcel.to.conversation == "C-3" else "full")
    await post(here, *[(f"C-{n}", None, False) for n in range(8)])
    await once(here.app)
    async with asyncio.timeout(10):
        await here.app.deliverer.finish()
    states = [row.why for row in await here.app.store.read(letters.stuck)]
    assert states == ["full"] * 7
    assert "could not be written down" in caplog.text
    caplog.clear()


async def test_a_platform_takes_so_many_a_second_from_all_processes_together(
    here: Town, toy: Toy, tmp_path: Path
) -> None:
    """Twenty letters for twenty people of a platform that takes five a second: urgent first, and a new process changes nothing."""
    toy.caps = replace(toy.caps, second=5)
    await post(here, *[(f"C-{n:02}", None, n == 19) for n in range(20)])
    settings = Settings(database_url=here.app.settings.database_url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    for second in range(1, 5):
        other = make(settings, clock=here.clock, adapters={"toy": toy}, var=tmp_path)
        for _ in range(2):
            await asyncio.gather(here.app.deliverer.send_due(), other.deliverer.send_due())
        await other.close()
        assert len(toy.sent) == 5 * second
        here.clock.frozen = here.now + timedelta(seconds=1)
    assert {parcel.to.conversation for parcel in toy.sent[:5]} == {"C-19", *(f"C-{n:02}" for n in range(4))}
    assert len({parcel.key for parcel in toy.sent}) == 20


async def test_an_answer_leaves_although_whoever_brought_the_words_was_cut_off(here: Town, toy: Toy) -> None:
    """A line that closes while we stop: what was kept is answered, in whatever moment it closed, and the stop waits for it."""
    await here.app.store.transact(lambda tx: people.link(tx, "toy", "U1", "suzuki", here.now))
    for n in range(20):
        event = Inbound(f"E{n}", Sender("toy", "U1"), Address("toy", "U1"), Said("今日"))
        bringing = asyncio.create_task(here.app.receiver.receive(event))
        for _ in range(n):
            await asyncio.sleep(0)
        bringing.cancel()
        await asyncio.gather(bringing, return_exceptions=True)
    await here.app.receiver.finish()
    await here.app.deliverer.finish()
    rows = await here.app.store.read(lambda tx: letters.for_person(tx, "suzuki", (), surface="toy"))
    assert {row.state for row in rows} == {"sent"} and len(rows) == len(toy.sent) >= 15


async def test_what_waits_for_somebody_who_leaves_the_town_goes_out_no_more(here: Town, toy: Toy) -> None:
    await post(here, ("U-kondo", None, False), ("U-ishii", None, False))
    theirs = tables.letters.update().where(tables.letters.c.address == "U-kondo").values(to_room=None, to_staff="kondo")
    await here.app.store.transact(lambda tx: tx.execute(theirs))
    doc = sample()
    doc["staff"] = [one | {"deputy": None} for one in doc["staff"] if one["code"] != "kondo"]
    await here.app.store.transact(lambda tx: keep_town(tx, doc, here.now))
    await here.app.turner.settle()
    assert [parcel.to.conversation for parcel in toy.sent] == ["U-ishii"]
    row = await here.app.store.read(
        lambda tx: tx.execute(tables.letters.select().where(tables.letters.c.address == "U-kondo")).one()
    )
    assert (row.state, row.why, row.tries) == ("superseded", "left", 0)
