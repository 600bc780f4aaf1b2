"""Many at once, in two processes on one database: one winner, and everybody is told. `make chaos` plays a thousand rounds of each."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.audit import breaches
from bot.clock import Clock
from bot.receive import Answered
from storage import timers
from storage.timers import Timer
from storage.tx import Tx
from tests.chaos.conftest import beside, how_many
from tests.databases import Databases
from tests.town import START, Town, sample, settled
from workflow.promise import hours_for

TEN = [f"a{i}" for i in range(10)]
NAMES = " ".join(f"機関{i}" for i in range(10))
#: Asked of all ten, one after another, about one case.
DUTIES = ("家計相談", "就労相談", "居場所", "健康相談")
#: Who asks: several side by side, for a town where one alone asks all day is slow.
LEADS = ("suzuki", "tanaka", "ito", "kato")
MICRO = timedelta(microseconds=1)


def of_ten(url: str) -> None:
    """The sample town with ten agencies more, one person in each."""
    doc = sample()
    tomoshibi = next(one for one in doc["agency"] if one["code"] == "tomoshibi")
    ishii = next(one for one in doc["staff"] if one["code"] == "ishii")
    for i, code in enumerate(TEN):
        doc["agency"].append(deepcopy(tomoshibi) | {"code": code, "name": f"機関{i}"})
        post = [{"agency": code, "role": "staff"}]
        doc["staff"].append(
            deepcopy(ishii) | {"code": f"p{i}", "name": f"係{i}", "posts": post, "deputy": None, "email": ""}
        )
    settled(url, doc)


@pytest.fixture(params=["sqlite", "postgresql"])
async def ten(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[list[Town]]:
    url: str = getattr(databases, request.param)(of_ten)
    towns = beside(url, tmp_path, Clock(frozen=START), 2)
    yield towns
    for town in towns:
        await town.close()
    databases.drop(url)


async def found(town: Town, sql: str, **given: Any) -> list[tuple[Any, ...]]:
    def work(tx: Tx) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in tx.execute(text(sql), given)]

    return await town.app.store.read(work)


async def sound(town: Town) -> None:
    """What `tsunagi verify` says of it."""
    lines = await town.app.store.read(lambda tx: list(breaches(tx, town.now)))
    assert not [line for line in lines if not line.startswith("ok")]


async def asked(towns: Sequence[Town], rounds: int) -> list[tuple[str, int]]:
    """So many asks of ten agencies: (number, its first handoff's number)."""

    async def by(i: int, who: str, cases: int) -> list[str]:
        numbers = []
        for _ in range(cases):
            numbers.append(number := await towns[i % len(towns)].consented(who))
            for duty in DUTIES:
                await towns[i % len(towns)].says(who, f"一斉依頼 {number} {duty} {NAMES}")
        return numbers

    each = -(-rounds // (len(LEADS) * len(DUTIES)))
    made = await asyncio.gather(*(by(i, who, each) for i, who in enumerate(LEADS)))
    return [(number, 10 * i + 1) for numbers in made for number in numbers for i in range(len(DUTIES))][:rounds]


async def accepted_by_ten(towns: Sequence[Town], number: str, first: int) -> list[Answered]:
    start = asyncio.Barrier(10)

    async def one(i: int) -> Answered:
        await start.wait()
        return await towns[i % len(towns)].tries(f"p{i}", f"引受 {number}#{first + i}")

    return await asyncio.gather(*(one(i) for i in range(10)))


async def test_of_ten_who_accept_at_once_one_wins_and_all_hear_who(ten: list[Town]) -> None:
    """(fault 9)"""
    rounds = await asked(ten, how_many(32, 1_000))
    winners = {}
    for number, first in rounds:
        answers = await accepted_by_ten(ten, number, first)
        (winner,) = [i for i, one in enumerate(answers) if one.refused is None]
        assert "ありがとう" in answers[winner].messages[0].text
        for late in (one for i, one in enumerate(answers) if i != winner):
            assert late.refused == "AlreadyTaken"
            assert f"係{winner}" in late.messages[0].text and f"機関{winner}" in late.messages[0].text
        winners[number, first] = winner
    assert len(set(winners.values())) > 1, "it was nobody's turn by order"
    for number in dict.fromkeys(number for number, _ in rounds):
        firsts = [first for one, first in rounds if one == number]
        handoffs = [h for h in (await ten[0].case(number)).handoffs if any(0 <= h.no - f < 10 for f in firsts)]
        held = {h.no: h.holder for h in handoffs if h.held}
        assert held == {f + winners[number, f]: f"p{winners[number, f]}" for f in firsts}
        assert {h.reason for h in handoffs if not h.held} == {"stood_down"}
        assert (await ten[0].lines(number)).count("handoff.accept") == len(firsts)
    told = await found(
        ten[0],
        "SELECT kind, count(*) FROM letters WHERE surface = 'web' AND kind IN ('stood_down', 'accepted') GROUP BY kind",
    )
    assert dict(told) == {"stood_down": 9 * len(rounds), "accepted": len(rounds)}
    await sound(ten[0])


async def test_two_devices_of_one_person_are_one_acceptance(two: list[Town]) -> None:
    """(fault 10)"""
    rounds = how_many(10, 200)
    seen = 0
    for number in [await two[0].consented() for _ in range(rounds)]:
        await two[0].says("suzuki", f"依頼 {number} 家計相談 ともしび")
        row, card = next(one for one in await two[0].reads("ishii", seen) if one[0].kind == "offer")
        seen = row.id
        says = next(choice.says for choice in card.choices if choice.says.startswith("引受"))
        start = asyncio.Barrier(2)

        async def press(
            town: Town, start: asyncio.Barrier = start, token: str = row.token or "", says: str = says
        ) -> Answered:
            await start.wait()
            return await town.press("ishii", token, says)

        both = await asyncio.gather(*(press(town) for town in two))
        assert sorted(one.refused or "" for one in both) == ["", "AlreadyDone"]
        first, again = sorted(both, key=lambda one: one.refused or "")
        assert "引き受けてくださり" in first.messages[0].text and "引受済" in again.messages[0].text
        assert (await two[0].lines(number)).count("handoff.accept") == 1
    told = await found(two[0], "SELECT count(*) FROM letters WHERE surface = 'web' AND kind = 'accepted'")
    assert told == [(rounds,)]
    await sound(two[0])


async def offered(towns: Sequence[Town], count: int) -> list[str]:
    async def by(i: int, who: str, cases: int) -> list[str]:
        town, numbers = towns[i % len(towns)], []
        for _ in range(cases):
            numbers.append(number := await town.consented(who))
            await town.says(who, f"依頼 {number} 家計相談 ともしび")
        return numbers

    each = -(-count // len(LEADS))
    return [n for numbers in await asyncio.gather(*(by(i, who, each) for i, who in enumerate(LEADS))) for n in numbers][
        :count
    ]


async def expires(town: Town, number: str) -> datetime:
    """The instant at which the offer's last rung says 回答なし."""
    case = await town.case(number)
    wait = case.wait("react")
    assert wait is not None
    step = next(i for i, rung in enumerate(wait.policy.steps(wait.urgency)) if rung.act == "expire")
    hours = hours_for(wait.owner, case.handoff(1), case, town.place, town.now)
    at = wait.policy.ring_at(step, wait.opened_at, wait.due_at, hours, wait.urgency)
    assert at is not None
    return at


async def offers_timers(town: Town) -> dict[int, Timer]:
    """Of every case that is asked: the timer of its offer."""
    due = await town.app.store.read(lambda tx: timers.due(tx, town.now, 10_000))
    waits = dict(await found(town, "SELECT id, case_id FROM waits WHERE kind = 'react' AND closed_at IS NULL"))
    return {waits[timer.wait_id]: timer for timer in due if timer.wait_id in waits}


async def test_acceptance_and_expiry_in_the_same_microsecond(two: list[Town]) -> None:
    """(fault 11)"""
    chance = random.Random(11)
    numbers = await offered(two, how_many(45, 1_000))
    end = await expires(two[0], numbers[0])
    left, states = iter(numbers), dict[str, str]()
    for late in (-1, 0, 1):
        two[0].clock.frozen = end + late * MICRO
        waiting = await offers_timers(two[0])
        third = list(islice(left, len(numbers) // 3))
        for i in range(0, len(third), 8):
            deeds = []
            for number in third[i : i + 8]:
                here, there = chance.sample(two, 2)
                case = await two[0].case(number)
                pair = [here.tries("ishii", f"引受 {number}"), there.app.reminder.ring_one(waiting[case.id], there.now)]
                deeds += chance.sample(pair, 2)
            await asyncio.gather(*deeds)
        for number in third:
            states[number] = await became(two[0], number)
        assert late >= 0 or {states[number] for number in third} == {"accepted"}, "it is not over yet"
    assert {"accepted", "expired"} == set(states.values())
    while await two[1].app.reminder.ring_due():
        pass
    for number, state in states.items():
        assert await became(two[0], number) == state, "what was decided stays"
    await sound(two[0])


async def became(town: Town, number: str) -> str:
    """The offer was accepted and nobody was told of silence; or it had expired, and who accepted late was heard."""
    case = await town.case(number)
    handoff = case.handoff(1)
    assert handoff is not None
    kinds = {kind for (kind,) in await found(town, "SELECT DISTINCT kind FROM letters WHERE case_id = :id", id=case.id)}
    lines = await town.lines(number)
    assert lines.count("handoff.accept") + lines.count("handoff.expire") == 1
    if handoff.state == "accepted":
        assert not kinds & {"expired", "expired_receiver", "late_accept"} and "accepted" in kinds
    else:
        assert (handoff.state, handoff.late_accept) == ("expired", "ishii")
        assert {"expired", "expired_receiver", "late_accept"} <= kinds and "accepted" not in kinds
        assert lines.count("handoff.late_acceptance") == 1
    return handoff.state
