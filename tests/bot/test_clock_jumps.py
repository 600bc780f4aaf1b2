"""A host's clock is put back an hour or on by a day: nothing rings twice, nothing is lost, nobody is held up for as long as that."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import fresh
from bot.app import once
from storage import beats, letters, paces, people
from storage.letters import LetterRow
from tests.databases import Databases
from tests.journeys.rings import rings
from tests.town import START, Town, settled
from tests.toy import Toy

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture(params=["sqlite", "postgresql"])
async def here(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path, toy: Toy) -> AsyncIterator[Town]:
    """石井 of ともしび is told outside too."""
    url: str = getattr(databases, request.param)(settled)
    town = await Town.found(url, tmp_path, adapters={"toy": toy})
    await town.app.store.transact(lambda tx: people.link(tx, "toy", "U-ishii", "ishii", START))
    yield town
    await town.close()
    databases.drop(url)


def put(town: Town, span: timedelta) -> None:
    town.clock.frozen = town.now + span


async def offered(here: Town) -> str:
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    return number


async def beat(here: Town, times: int = 3) -> None:
    """What `serve` does each second, and what it looks after each half minute."""
    for _ in range(times):
        await once(here.app)
        await here.app.deliverer.finish()
        await here.app.deliverer.recover()
        put(here, timedelta(seconds=1))


async def test_put_back_an_hour_each_rung_rings_once(here: Town) -> None:
    await offered(here)
    await here.later(days=1)
    assert len(await rings(here, "react")) == 1
    put(here, -HOUR)
    await beat(here)
    assert len(await rings(here, "react")) == 1
    await here.later(days=3)
    assert [act for _, act, _ in await rings(here, "react")] == ["remind", "remind", "tell"]


async def test_put_on_a_day_and_back_everything_was_told_once(here: Town) -> None:
    """What was due within that day rang too early, once, as after a day asleep; nothing rings for it again."""
    number = await offered(here)
    put(here, DAY)
    await beat(here)
    put(here, -DAY)
    await beat(here)
    rung = [act for _, act, _ in await rings(here, "react")]
    await here.later(days=4)
    assert rung == ["remind"]
    assert [act for _, act, _ in await rings(here, "react")] == ["remind", "remind", "tell"]
    assert (await here.case(number)).handoffs[0].state == "expired"


async def test_a_letter_that_waits_for_its_turn_does_not_wait_the_hour_again(here: Town, toy: Toy) -> None:
    await here.app.store.transact(lambda tx: paces.hold(tx, "toy", "U-ishii", here.now + timedelta(seconds=30)))
    rows = [
        LetterRow(
            id=here.app.fresh(), kind="phone", surface="toy", doc={"person": "suzuki", "due": here.now.isoformat()},
            address="U-ishii", to_staff="ishii", urgent=n == 0, token=f"{n}" * 21, created_at=here.now,
            not_before=here.now, state="pending",
        )
        for n in range(2)
    ]  # fmt: skip
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    await once(here.app)
    await here.app.deliverer.finish()
    assert not toy.sent, "its conversation is not free yet"
    put(here, -HOUR)
    await beat(here, 6)
    assert len(toy.sent) == 2
    assert await here.app.store.read(letters.waiting) == (0, None)


async def test_a_letter_whose_sender_was_killed_is_found_before_the_hour_is_over(here: Town) -> None:
    rows = [
        LetterRow(
            id=7, kind="phone", surface="toy", doc={}, address="U-ishii", to_staff="ishii", token="k" * 21,
            created_at=here.now, not_before=here.now, state="pending",
        )
    ]  # fmt: skip
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    await here.app.store.transact(lambda tx: letters.lease(tx, here.now, {"toy": 5}, 0, 60))
    assert await here.app.deliverer.recover() == 0
    put(here, -HOUR)
    assert await here.app.deliverer.recover() == 1
    (stuck,) = await here.app.store.read(letters.stuck)
    assert (stuck.id, stuck.state) == (7, "unknown")


async def test_a_lease_of_a_dead_process_ends_and_one_of_a_living_one_holds(here: Town) -> None:
    """Two machines' clocks may differ by seconds: that is no clock put back."""
    seconds = timedelta(seconds=30)

    async def takes(who: str, at: datetime) -> bool:
        return await here.app.store.transact(lambda tx: beats.take(tx, "listen:toy", who, at, at + seconds))

    assert await takes("dead", here.now)
    assert not await takes("next", here.now - timedelta(seconds=5))
    assert await takes("next", here.now - HOUR)
    assert not await takes("third", here.now - HOUR), "and so does the one that it took"
    assert await takes("next", here.now - HOUR + seconds / 2) and await takes("third", here.now)


async def test_a_beat_of_an_hour_that_comes_twice_is_one(here: Town) -> None:
    async def claims(at: datetime) -> bool:
        return await here.app.store.transact(lambda tx: beats.claim(tx, "bundle", START, at))

    assert await claims(here.now)
    put(here, -HOUR)
    assert not await claims(here.now)


def test_ids_go_on_in_order_whatever_the_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's clock is the one thing here that is not ours."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    moments = [now, now, now - HOUR, now - HOUR, now + DAY, now, *[now + 2 * DAY] * 9_000, now]
    monkeypatch.setattr(fresh, "real", iter(moments).__next__)
    one = fresh.maker()
    made = [one() for _ in moments]
    assert made == sorted(set(made))
    assert len({id_ >> 12 & 0x3FF for id_ in made}) == 1, "no id looks like another process's"
    assert max(made) < 2**63
