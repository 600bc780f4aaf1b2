"""Ways in, where rows race: of two uses of one thing at once, one wins; and nobody leaves the town with something in hand."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from storage import people, ways
from storage.store import Store
from storage.tx import Tx
from storage.ways import Lane, Passkey
from tests.storage.small_town import AGENCIES, NINE, STAFF, a_case, handoff, opened, wait
from workflow.people import Absence

SOON = timedelta(minutes=10)
KEY = Passkey("k1", "sato", b"public", 4, "電話", NINE, None)


async def at_once(store: Store, work: Callable[[Tx], object], times: int = 6) -> int:
    """How many of several at once got what they came for."""
    return len([one for one in await asyncio.gather(*(store.transact(work) for _ in range(times))) if one])


async def test_a_question_is_answered_once_and_in_time(store: Store) -> None:
    await store.transact(lambda tx: ways.ask(tx, "q", "letter", "sato", {"digits": "x"}, NINE, NINE + SOON))
    assert await store.transact(lambda tx: ways.answer(tx, "q", "link", NINE)) is None, "of another kind"
    assert await store.transact(lambda tx: ways.answer(tx, "q", "letter", NINE + SOON)) is None, "too late"
    assert await at_once(store, lambda tx: ways.answer(tx, "q", "letter", NINE)) == 1
    assert await store.read(lambda tx: ways.peek(tx, "q", "letter", NINE)) is None


async def test_tries_are_counted_one_after_another(store: Store) -> None:
    await store.transact(lambda tx: ways.ask(tx, "q", "letter", None, {}, NINE, NINE + SOON))
    found = await asyncio.gather(
        *(store.transact(lambda tx: ways.count_try(tx, "q", "letter", NINE)) for _ in range(5))
    )
    assert sorted(one.tries for one in found if one) == [1, 2, 3, 4, 5]

    def count(tx: Tx) -> int:
        lane = ways.lane(tx, "address:x", NINE)
        ways.set_lane(tx, "address:x", Lane(lane.tries + 1, NINE, NINE))
        return lane.tries

    assert sorted(await asyncio.gather(*(store.transact(count) for _ in range(6)))) == [0, 1, 2, 3, 4, 5]


async def test_a_passkey_counts_on_and_a_removed_one_opens_nothing(store: Store) -> None:
    assert await store.transact(lambda tx: ways.add_passkey(tx, KEY))
    assert not await store.transact(lambda tx: ways.add_passkey(tx, replace(KEY, staff="mori"))), "it is somebody's"
    assert await at_once(store, lambda tx: ways.passkey_used(tx, KEY, 5, NINE)) == 1
    assert not await store.transact(lambda tx: ways.remove_passkey(tx, "k1", "mori", NINE)), "not one's own"
    assert await store.transact(lambda tx: ways.remove_passkey(tx, "k1", "sato", NINE))
    assert await store.read(lambda tx: ways.passkey(tx, "k1")) is None
    assert not await store.transact(lambda tx: ways.passkey_used(tx, replace(KEY, sign_count=5), 6, NINE))


async def test_a_step_and_a_recovery_code_are_used_once(store: Store) -> None:
    def make(tx: Tx) -> None:
        ways.put_app(tx, "sato", b"sealed", NINE)
        ways.put_recovery(tx, "sato", ["r1", "r2"], NINE)

    await store.transact(make)
    assert await at_once(store, lambda tx: ways.take_step(tx, "sato", 100, NINE)) == 1
    assert not await store.transact(lambda tx: ways.take_step(tx, "sato", 99, NINE)), "one before it"
    await store.transact(lambda tx: ways.put_app(tx, "sato", b"another", NINE))
    kept = await store.read(lambda tx: ways.app(tx, "sato"))
    assert kept and kept.sealed == b"sealed", "one that is in use is not replaced in passing"
    assert not await store.transact(lambda tx: ways.use_recovery(tx, "mori", "r1", NINE)), "somebody else's"
    assert await at_once(store, lambda tx: ways.use_recovery(tx, "sato", "r1", NINE)) == 1
    assert await store.read(lambda tx: ways.recovery_left(tx, "sato")) == 1


async def test_what_is_long_over_is_not_kept(store: Store) -> None:
    await store.transact(lambda tx: ways.ask(tx, "old", "passkey", None, {}, NINE, NINE + SOON))
    await store.transact(lambda tx: ways.lane(tx, "old", NINE))
    later = NINE + timedelta(days=9)

    def again(tx: Tx) -> None:
        ways.ask(tx, "new", "passkey", None, {}, later, later + SOON)
        ways.lane(tx, "new", later)
        ways.forget_lanes(tx, later, "new")

    await store.transact(again)

    def left(tx: Tx) -> tuple[list[str], list[str]]:
        tables = ways.tables
        return (
            [row.hash for row in tx.execute(tables.challenges.select())],
            [row.lane for row in tx.execute(tables.tries.select())],
        )

    assert await store.read(left) == (["new"], ["new"])


@pytest.mark.parametrize("what", ["role", "watch", "asked", "question", "deputy"])
async def test_who_holds_something_cannot_leave_the_town(store: Store, what: str) -> None:
    """A role, a watch, an offer by name, a question to answer, somebody's absence: the refusal says which."""
    held = {
        "role": handoff(10, 1, state="active", holder="sato"),
        "watch": handoff(10, 1, state="active", duty="watch", holder="sato"),
        "asked": handoff(10, 1, to_staff="sato"),
        "question": handoff(10, 1, state="info_requested", sender="sato"),
    }

    def settle(tx: Tx) -> None:
        case = a_case(handoffs=(held[what],) if what in held else ())
        waits = [wait(100)] + ([wait(101, "answer_question", owner="sender", handoff=10)] if what == "question" else [])
        opened(replace(case, waits=tuple(waits)))(tx)
        people.add_absence(
            tx, Absence("tanaka", NINE, NINE + SOON, "sato" if what == "deputy" else None), "tanaka", NINE
        )

    await store.transact(settle)
    rest = [p for p in STAFF if p.code != "sato"]

    def leave(tx: Tx) -> int:
        return people.put_town(tx, {}, AGENCIES, rest, "watanabe", code="1", name="n", at=NINE)

    with pytest.raises(people.StillHolds, match=rf"sato \({what} 1\)") as refused:
        await store.transact(leave)
    assert [(one.staff, one.what) for one in refused.value.held] == [("sato", what)]
    assert "sato" in await store.read(people.active)
