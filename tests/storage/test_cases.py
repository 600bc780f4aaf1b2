"""A case is kept as it was decided, its promise with it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.util.concurrency import await_

from storage import cases, people, promises, tables, timers, waits
from storage.cases import Filter, SlowerWriter
from storage.store import Store
from storage.tx import Tx
from tests.databases import KEYS
from tests.storage.small_town import AGENCIES, NINE, STAFF, TOWN, a_case, handoff, opened, settle_town, wait
from workflow.case import Asked, Case, Consent, Issue, Need
from workflow.ladder import Urgency
from workflow.sight import EVERYTHING, Sight

LATER = NINE + timedelta(hours=3)


async def kept(store: Store, number: str | int, *, lock: bool = False) -> Case:
    case = await store.transact(lambda tx: cases.load(tx, number, lock=lock))
    assert case is not None
    return case


async def saved(store: Store, before: Case, after: Case, *closed: Any) -> Case:
    return await store.transact(lambda tx: cases.save(tx, before, after, closed, at=LATER))


def live(tx: Tx) -> set[tuple[int, int, Any]]:
    t = tables.timers
    rows = tx.execute(
        select(t.c.wait_id, t.c.rung, t.c.due_at).where(t.c.fired_at.is_(None), t.c.cancelled_at.is_(None))
    )
    return {(wait_id, rung, due) for wait_id, rung, due in rows}


async def test_a_case_comes_back_as_it_was(store: Store) -> None:
    case = a_case(
        issues=(Issue(1, "work", "wanted"),),
        needs=(Need("work", (Asked("wakaba", NINE),), hops=1),),
        consent=Consent("partial", ("wakaba",), NINE),
        handoffs=(handoff(10, 1), handoff(11, 2, duty="watch", state="active", holder="sato", connected_at=NINE)),
        waits=(wait(100), wait(101, "react", handoff=10, owner="receiver", told=("sato",))),
    )
    await store.transact(opened(case))
    assert await kept(store, case.number) == case
    assert await kept(store, case.id, lock=True) == case
    assert await store.read(lambda tx: cases.load(tx, "no such number", lock=False)) is None


async def test_the_slower_writer_hears_of_it_and_changes_nothing(store: Store) -> None:
    before = a_case()
    await store.transact(opened(before))
    first = await saved(store, before, replace(before, district="北部"))
    assert first.version == before.version + 1
    with pytest.raises(SlowerWriter):
        await saved(store, before, replace(before, district="南部", handoffs=(handoff(10, 1),)))
    assert await kept(store, 1) == first


async def test_of_eight_who_read_and_then_add_one_none_is_lost(store: Store) -> None:
    await store.transact(opened(a_case()))

    def add(tx: Tx) -> None:
        case = cases.load(tx, 1, lock=True)
        assert case is not None
        cases.save(tx, case, replace(case, seq=case.seq + 1), at=LATER)

    await asyncio.gather(*(store.transact(add) for _ in range(40)))
    assert (await kept(store, 1)).seq == 40


@pytest.mark.postgres
async def test_whoever_waited_for_the_lock_sees_the_case_whole(databases: Any) -> None:
    url = databases.postgresql()
    store = Store(url, keys=KEYS)
    await store.transact(settle_town)
    before = a_case()
    await store.transact(opened(before))
    held, waited = asyncio.Event(), asyncio.Event()
    after = replace(before, district="北部", handoffs=(handoff(10, 1),))

    def slow(tx: Tx) -> None:
        case = cases.load(tx, 1, lock=True)
        assert case is not None
        held.set()
        cases.save(tx, case, after.become(version=case.version), at=LATER)
        tx.settle()
        await_(waited.wait())

    first = asyncio.create_task(store.transact(slow))
    await held.wait()
    second = asyncio.create_task(kept(store, 1, lock=True))
    while not await store.read(lambda tx: tx.execute(text(_WAITING)).scalar_one()):
        assert not second.done()
    waited.set()
    await first
    found = await second
    assert (found.district, [h.id for h in found.handoffs]) == ("北部", [10])
    await store.close()
    databases.drop(url)


_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_a_new_wait_has_one_timer_and_a_closed_one_none(store: Store) -> None:
    before = a_case()
    await store.transact(opened(before))
    old, new = before.waits[0], wait(101, "movement_intake", days=3)
    closed = replace(old, closed_at=LATER, why="case.screen", next_at=None)
    after = await saved(store, before, replace(before, waits=(new,)), closed)
    assert await store.read(live) == {(101, 0, new.next_at)}
    assert (await kept(store, 1)).waits == (new,)
    row = await store.read(lambda tx: tx.execute(select(tables.cases)).one())
    assert (row.waiting, row.nearest_due, row.nearest_kind) == (1, new.due_at, "movement_intake")
    assert after.waits == (new,)


async def test_the_next_rung_takes_the_place_of_the_one_that_rang(store: Store) -> None:
    before = a_case()
    await store.transact(opened(before))
    (timer,) = await store.read(lambda tx: timers.due(tx, NINE + timedelta(days=9)))
    assert await store.transact(lambda tx: timers.settle(tx, [timer.id], LATER)[0])
    assert not await store.transact(lambda tx: timers.settle(tx, [timer.id], LATER)[0])
    risen = replace(before.waits[0], rung=1, next_at=NINE + timedelta(days=2), told=("suzuki",))
    await saved(store, before, replace(before, waits=(risen,)))
    assert await store.read(live) == {(100, 1, risen.next_at)}
    assert await store.read(promises.silent_waits) == []
    assert await store.read(timers.next_due) == risen.next_at


async def test_a_paused_wait_does_not_ring_and_a_resumed_one_does(store: Store) -> None:
    before = a_case(waits=(wait(100), wait(101, "movement_intake", days=5)))
    await store.transact(opened(before))
    paused = replace(before.waits[0], next_at=None, paused_left=90.0)
    still = await saved(store, before, replace(before, waits=(paused, before.waits[1])))
    assert {rung[0] for rung in await store.read(live)} == {101}
    row = await store.read(lambda tx: tx.execute(select(tables.cases.c.nearest_kind)).one())
    assert row.nearest_kind == "movement_intake", "a clock that stands still is nobody's nearest"
    resumed = replace(paused, paused_left=None, due_at=NINE + timedelta(days=4), next_at=NINE + timedelta(days=4))
    await saved(store, still, replace(still, waits=(resumed, before.waits[1])))
    assert (100, 0, resumed.next_at) in await store.read(live)


async def test_a_rung_that_has_rung_rings_no_more(store: Store) -> None:
    before = a_case()
    await store.transact(opened(before))
    (timer,) = await store.read(lambda tx: timers.due(tx, NINE + timedelta(days=9)))
    await store.transact(lambda tx: timers.settle(tx, [timer.id], LATER)[0])
    moved = replace(before.waits[0], next_at=NINE + timedelta(days=3))
    await saved(store, before, replace(before, waits=(moved,)))
    assert await store.read(live) == set()
    found = await store.read(promises.silent_waits)
    assert [(one.key, one.case_id) for one in found] == [("100", 1)], "the auditor sees what lost its timer"


async def test_a_wait_cannot_vanish(store: Store) -> None:
    before = a_case()
    await store.transact(opened(before))
    with pytest.raises(waits.WaitLost):
        await saved(store, before, replace(before, waits=(wait(101),)))
    assert (await kept(store, 1)).version == before.version


async def test_the_lead_passes_from_one_holder_to_the_next_in_one_step(store: Store) -> None:
    held = handoff(10, 1, duty="lead", state="active", holder="suzuki")
    asked = handoff(11, 2, duty="lead", state="offered")
    before = a_case(handoffs=(asked, held), number="x")
    await store.transact(opened(before))
    after = replace(
        before,
        lead="sato",
        handoffs=(replace(asked, state="accepted", holder="sato"), replace(held, state="completed", ended_at=LATER)),
    )
    await saved(store, before, after)
    assert {h.id: h.state for h in (await kept(store, 1)).handoffs} == {10: "completed", 11: "accepted"}


@pytest.mark.parametrize(
    ("broken", "by"),
    [
        ({"lead": None}, "one_lead"),
        ({"interim": "body"}, "one_lead"),
        ({"lead": "nobody"}, "staff"),
        ({"waits": ()}, "promise_open_wait"),
        (
            {
                "handoffs": (
                    handoff(10, 1, duty="lead", state="active"),
                    handoff(11, 2, duty="lead", state="accepted"),
                )
            },
            "one_lead|case_id",
        ),
        (
            {"handoffs": (handoff(10, 1, state="active", batch=7), handoff(11, 2, state="accepted", batch=7))},
            "batch",
        ),
    ],
)
async def test_the_database_itself_keeps_the_promise(store: Store, broken: dict[str, Any], by: str) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)" + by + "|FOREIGN KEY"):
        await store.transact(opened(a_case(**broken)))
    assert await store.read(lambda tx: cases.load(tx, 1, lock=False)) is None


async def test_who_leads_cannot_leave_the_town(store: Store) -> None:
    case = a_case()
    await store.transact(opened(case))
    rest = [p for p in STAFF if p.code != "suzuki"]

    def leave(tx: Tx) -> int:
        return people.put_town(tx, {}, AGENCIES, rest, "watanabe", code="12220", name="ながれ市")

    with pytest.raises(people.StillHolds, match=r"suzuki \(lead 1\)"):
        await store.transact(leave)
    with pytest.raises(IntegrityError):
        await store.transact(lambda tx: tx.execute(text("UPDATE staff SET active = 0 WHERE code = 'suzuki'")))
    done = replace(case.waits[0], closed_at=LATER, next_at=None)
    await saved(store, case, replace(case, stage="closed", closed_at=LATER, waits=()), done)
    assert await store.transact(leave) == 2
    assert await store.read(people.active) == ["mori", "sato", "tanaka", "watanabe"]
    assert (await kept(store, 1)).lead == "suzuki", "a closed case remembers who led it"


async def test_the_journal_refuses_to_be_changed(store: Store) -> None:
    case = a_case()
    await store.transact(opened(case))
    line = "INSERT INTO journal (case_id, seq, at, kind, surface, data, prev, hash) VALUES (1, 1, 0, 'k', 'web', '{}', '', 'h')"
    await store.transact(lambda tx: tx.execute(text(line)))
    for change in ("UPDATE journal SET kind = 'other'", "DELETE FROM journal"):
        with pytest.raises(DBAPIError, match="append-only"):
            await store.transact(lambda tx, change=change: tx.execute(text(change)))


# Lists


async def town_with_cases(store: Store) -> None:
    late = wait(200, days=-1)
    await store.transact(opened(a_case(1, district="北部")))
    await store.transact(opened(a_case(2, waits=(late,), urgency=Urgency.HIGH)))
    await store.transact(
        opened(
            a_case(
                3,
                stage="support",
                lead=None,
                interim="body",
                previous=1,
                handoffs=(
                    handoff(30, 1, state="active", holder="sato"),
                    handoff(31, 2, duty="watch"),
                    handoff(32, 3, duty="advice", to_staff="tanaka", to_agency="kita"),
                ),
                waits=(
                    wait(300, "react", owner="receiver", handoff=31, days=-2),
                    wait(301, "next_step", owner="coordinator", subject="work", days=2),
                    wait(302, "queue", owner="coordinator", about=301, days=3),
                    wait(303, "checkin", owner="holder", handoff=30, days=-3, urgency=Urgency.EMERGENCY),
                ),
            )
        )
    )
    shut = a_case(4)
    await store.transact(opened(shut))
    done = replace(shut.waits[0], closed_at=LATER, next_at=None)
    await saved(store, shut, replace(shut, stage="closed", waits=()), done)


async def test_the_board_shows_late_cases_first_and_counts_the_rest(store: Store) -> None:
    await town_with_cases(store)
    columns = await store.read(lambda tx: cases.board(tx, EVERYTHING))
    assert {stage: column.total for stage, column in columns.items()} == {"intake": 2, "support": 1}
    assert [row.id for row in columns["intake"].rows] == [2, 1]
    one = await store.read(lambda tx: cases.board(tx, EVERYTHING, per_stage=1))
    assert (one["intake"].total, [row.id for row in one["intake"].rows]) == (2, [2])


@pytest.mark.parametrize(
    ("narrowed", "found"),
    [
        (Filter(), {1, 2, 3}),
        (Filter(stages=("support",)), {3}),
        (Filter(lead="suzuki"), {1, 2}),
        (Filter(interim=True), {3}),
        (Filter(agency="kita"), {1, 2, 3}),
        (Filter(agency="wakaba"), {3}),
        (Filter(duty="watch"), {3}),
        (Filter(district="北部"), {1}),
        (Filter(urgency=Urgency.HIGH), {2}),
        (Filter(late=NINE), {2, 3}),
        (Filter(number="00002"), {2}),
        (Filter(number="%"), set()),
    ],
)
async def test_a_list_is_narrowed(store: Store, narrowed: Filter, found: set[int]) -> None:
    await town_with_cases(store)
    assert {row.id for row in await store.read(lambda tx: cases.refs(tx, EVERYTHING, narrowed))} == found


async def test_everybody_finds_what_is_theirs(store: Store) -> None:
    await town_with_cases(store)

    async def stakes(who: str) -> set[tuple[int, str, int | None]]:
        found = await store.read(lambda tx: cases.of_staff(tx, Sight(TOWN.staff[who], TOWN, NINE)))
        return {(stake.case.id, stake.relation, stake.handoff) for stake in found}

    assert await stakes("suzuki") == {
        (1, "lead", None),
        (2, "lead", None),
        (3, "sender", 31),
        (3, "sender", 32),
    }
    assert await stakes("sato") == {(3, "holder", 30), (3, "asked", 31)}
    assert await stakes("tanaka") == {(3, "asked", 32)}


async def test_the_load_of_each_agency_is_counted(store: Store) -> None:
    await town_with_cases(store)
    loads = await store.read(lambda tx: cases.loads(tx, EVERYTHING, NINE))
    assert loads == ({"kita": 2, "body": 1}, {"wakaba": 1}, {"kita": 1, "wakaba": 1})


async def test_what_is_late_or_stuck_stands_in_one_group(store: Store) -> None:
    await town_with_cases(store)
    groups = await store.read(lambda tx: cases.exceptions(tx, EVERYTHING, NINE))
    assert [[found.wait.id for found in group.rows] for group in groups] == [[300], [301], [303, 200], [302]]
    few = await store.read(lambda tx: cases.exceptions(tx, EVERYTHING, NINE, most=1))
    assert [(group.total, len(group.rows)) for group in few] == [(1, 1), (1, 1), (2, 1), (1, 1)]
    kita = await store.read(lambda tx: cases.exceptions(tx, EVERYTHING, NINE, cases.Filter(lead="suzuki")))
    assert [group.total for group in kita] == [0, 0, 1, 0]
    assert groups.overdue.rows[0].case.number == "000003", "an emergency first"


async def test_open_waits_are_found_by_who_owes_them(store: Store) -> None:
    await town_with_cases(store)

    async def ids(**narrowed: Any) -> list[int]:
        return [found.wait.id for found in await store.read(lambda tx: cases.open_waits(tx, EVERYTHING, **narrowed))]

    assert await ids() == [303, 300, 200, 100, 301, 302]
    assert await ids(owners=("coordinator",)) == [301, 302]
    assert await ids(kinds=("screening",), lead="suzuki") == [200, 100]
    assert await ids(holder="sato") == [303]
    assert await ids(receiver_agencies=("wakaba",), due_before=NINE) == [303, 300]


async def test_episodes_and_numbers_are_found(store: Store) -> None:
    await town_with_cases(store)
    household = await store.read(lambda tx: cases.of_household(tx, EVERYTHING, 2))
    assert ([row.id for row in household.known], household.others, household.hidden) == ([2], 0, False)
    assert [
        row.id for row in await store.read(lambda tx: cases.find_numbers(tx, EVERYTHING, ["000004", "000001", "9"]))
    ] == [1, 4]
    for wanted in ([], [3], [3, 1, 99, 3], range(200)):
        several = await store.read(lambda tx, wanted=wanted: cases.load_several(tx, wanted))
        alone = [await store.read(lambda tx, one=one: cases.load(tx, one, lock=False)) for one in sorted(set(wanted))]
        assert several == [case for case in alone if case is not None]


async def test_a_wait_about_a_person_rings_without_a_case(store: Store) -> None:
    call = wait(900, "talk", subject="suzuki")
    await store.transact(lambda tx: waits.stand(tx, call))
    assert await store.read(waits.loose) == [call]
    risen = replace(call, rung=1, next_at=NINE + timedelta(days=2))
    await store.transact(lambda tx: waits.change(tx, call, risen, LATER))
    assert await store.transact(lambda tx: waits.get(tx, 900, lock=True)) == risen
    ended = replace(risen, closed_at=LATER, why="talk.done", next_at=None)
    await store.transact(lambda tx: waits.change(tx, risen, ended, LATER))
    assert await store.read(waits.loose) == []
    assert await store.read(timers.live) == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["open", "close", "pause", "resume", "ring", "later", "raise"]), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_every_wait_that_rings_has_one_live_timer(store: Store, steps: list[tuple[str, int]]) -> None:
    """I25 from below: whatever happens to waits, live timers are exactly the moments the waits name."""
    fresh = count(await _highest(store) + 1)
    case = a_case(next(fresh), waits=(wait(next(fresh)),))
    await store.transact(opened(case))
    for step, pick in steps:
        case = await _stepped(store, case, step, pick, fresh)
        expected = {(w.id, w.rung, w.next_at) for w in case.waits if w.next_at}
        own = {w.id for w in case.waits}
        assert {timer for timer in await store.read(live) if timer[0] in own} == expected
        assert await kept(store, case.id) == case


async def _highest(store: Store) -> int:
    ids = "SELECT coalesce(max(id), 0) FROM (SELECT id FROM waits UNION ALL SELECT id FROM cases) AS used"
    return int(await store.read(lambda tx: tx.execute(text(ids)).scalar_one()))


async def _stepped(store: Store, case: Case, step: str, pick: int, fresh: Any) -> Case:
    chosen = case.waits[pick % len(case.waits)]
    rest = tuple(w for w in case.waits if w is not chosen)
    due = chosen.due_at + timedelta(hours=1)
    match step:
        case "open":
            return await saved(store, case, replace(case, waits=(*case.waits, wait(next(fresh), days=2))))
        case "close" if rest:
            return await saved(store, case, replace(case, waits=rest), replace(chosen, closed_at=LATER, next_at=None))
        case "pause" if chosen.next_at:
            changed = replace(chosen, next_at=None, paused_left=1.0)
        case "resume" if not chosen.next_at:
            changed = replace(chosen, next_at=due, due_at=due, paused_left=None)
        case "ring" if chosen.next_at:
            found = await store.read(lambda tx: timers.due(tx, chosen.next_at, 10_000))
            timer = next(t for t in found if t.wait_id == chosen.id)
            assert await store.transact(lambda tx: timers.settle(tx, [timer.id], LATER)[0])
            changed = replace(chosen, rung=chosen.rung + 1, next_at=due)
        case "later" if chosen.next_at:
            changed = replace(chosen, due_at=due, next_at=due)
        case _:
            changed = replace(chosen, urgency=Urgency.HIGH)
    kept_order = tuple(changed if w is chosen else w for w in case.waits)
    return await saved(store, case, replace(case, waits=kept_order))


async def test_what_is_urgent_rings_before_thousands_that_are_due_as_long(store: Store) -> None:
    def work(tx: Tx) -> None:
        for i in range(2, 1_200):
            opened(a_case(i))(tx)
        opened(a_case(1_200, waits=(replace(wait(120_000), urgency=Urgency.HIGH),)))(tx)

    await store.transact(opened(a_case()))
    await store.transact(work)
    found = await store.read(lambda tx: timers.due(tx, NINE + timedelta(days=9), 20))
    assert found[0].case_id == 1_200 and len({timer.id for timer in found}) == len(found) == 20
