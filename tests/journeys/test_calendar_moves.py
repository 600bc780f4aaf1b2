"""A closure added later moves what is open: later, never earlier, journalled, on every card; a closure taken away moves nothing."""

from collections.abc import AsyncIterator, Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from bot.app import make
from bot.operate import keep_town
from bot.settings import Settings
from storage import cases, journal, people, tables, timers
from storage.journal import Line
from storage.tx import Tx
from tests.databases import Databases
from tests.journeys.ladder_walks import KIND, WALKS
from tests.journeys.rings import due, moment, rings
from tests.town import START, TOKYO, Doc, Town, sample, settled
from tests.toy import Slate
from workflow.calendar import WEEKDAYS, instant, local
from workflow.sight import EVERYTHING

Change = Callable[[Doc], None]
#: Tuesday 2 June, the day after every story begins.
TUESDAY = "2026-06-02"


def closed(*days: str) -> Change:
    """The town closes on these days."""

    def change(doc: Doc) -> None:
        doc["municipality"]["closed"] = [*doc["municipality"]["closed"], *days]

    return change


def hours(agency: str, **changes: object) -> Change:
    """An agency's opening changes."""

    def change(doc: Doc) -> None:
        found = next(a for a in doc["agency"] if a["code"] == agency)
        found |= changes

    return change


async def load(town: Town, *changes: Change) -> None:
    """`town load --apply` writes a document like the sample but for these changes; nothing is carried over yet."""
    doc = sample()
    for change in changes:
        change(doc)
    await town.app.store.transact(lambda tx: keep_town(tx, doc, town.now))


async def loads(town: Town, *changes: Change) -> int:
    """… and what is open is carried over: in how many cases something moved."""
    await load(town, *changes)
    return await town.app.recounter.run()


async def moves(town: Town, number: str) -> list[Line]:
    case = await town.case(number)
    return [x for x in await town.app.store.read(lambda tx: journal.read(tx, case.id)) if x.kind == "wait.moved"]


async def offered(town: Town) -> str:
    """An offer to ともしび, Monday at nine: due in two business days, on Wednesday at nine."""
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    return number


async def test_a_day_on_which_the_town_closes_is_not_counted(town: Town) -> None:
    """(fault 27)"""
    number = await offered(town)
    assert await due(town, number, "react") == "06-03 09:00"
    before = await town.case(number)
    assert await loads(town, closed(TUESDAY)) == 1
    assert await due(town, number, "react") == "06-04 09:00"
    assert (await town.case(number)).version == before.version + 1, "every copy of its cards is brought up to date"
    line = next(x for x in await moves(town, number) if x.data["wait"] == "react")
    assert (line.source, line.dest, line.actor) == ("2026-06-03T00:00:00+00:00", "2026-06-04T00:00:00+00:00", "clock")
    await town.later(days=4)
    found = [(at, act) for at, act, _ in await rings(town, "react")]
    assert found[:2] == [("06-01 17:00", "remind"), ("06-04 09:00", "remind")], "half of the open time, and its end"
    assert not [k for k in await town.kinds("ishii") if "moved" in k], "nobody is rung for a day that moved"


async def test_it_moves_once_whatever_is_loaded_again(town: Town) -> None:
    number = await offered(town)
    await loads(town, closed(TUESDAY))
    for _ in range(2):
        assert await loads(town, closed(TUESDAY)) == 0
    assert await due(town, number, "react") == "06-04 09:00"
    assert await loads(town, closed(TUESDAY, "2026-06-04")) == 1
    assert await due(town, number, "react") == "06-05 09:00"
    kept = await town.app.store.read(people.town_doc)
    assert kept and "former" not in kept[0], "the town remembers no calendar longer than it has to"


async def test_a_closure_taken_away_changes_nothing_that_stands(town: Town) -> None:
    """And what is opened from then on knows nothing of it."""
    await loads(town, closed(TUESDAY))
    number = await offered(town)
    assert await due(town, number, "react") == "06-04 09:00"
    before = await town.lines(number)
    assert await loads(town) == 0
    assert (await due(town, number, "react"), await town.lines(number)) == ("06-04 09:00", before)
    assert await due(town, await offered(town), "react") == "06-03 09:00"


async def test_two_loads_before_anybody_has_carried_over_the_first(town: Town) -> None:
    number = await offered(town)
    await load(town, closed(TUESDAY))
    between = await offered(town)
    await load(town, closed(TUESDAY, "2026-06-03"))
    assert await town.app.recounter.run() == 2
    assert await due(town, number, "react") == "06-05 09:00"
    assert await due(town, between, "react") == "06-05 09:00"


async def test_an_agency_that_shortens_its_hours_has_longer(town: Town) -> None:
    """Four business hours of an urgent offer; only that agency's waits move (faults 24, 27)."""
    number = await town.consented()
    await town.says("suzuki", f"急ぎ {number}")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    others = await town.consented()
    first = await due(town, number, "react")
    stands = [w.due_at for w in (await town.case(others)).waits]
    await loads(
        town, hours("tomoshibi", hours="", open=dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), "10:00-12:00"))
    )
    assert first == "06-01 14:00"
    assert await due(town, number, "react") == "06-02 12:00"
    assert [w.due_at for w in (await town.case(others)).waits] == stands
    assert not await moves(town, others)


async def test_an_agencys_own_closure_moves_its_own(town: Town) -> None:
    number = await offered(town)
    lead = await due(town, number, "movement_intake")
    await loads(town, hours("tomoshibi", closed=["2026-06-02..2026-06-04"]))
    assert await due(town, number, "react") == "06-08 09:00"
    assert await due(town, number, "movement_intake") == lead


async def test_longer_hours_bring_nothing_forward(town: Town) -> None:
    number = await offered(town)
    every_day = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "06:00-22:00")
    assert await loads(town, hours("tomoshibi", hours="", open=every_day)) == 0
    assert await due(town, number, "react") == "06-03 09:00" and not await moves(town, number)


async def test_a_named_day_moves_only_when_it_is_closed_itself(town: Town) -> None:
    """検討 to the fifth: a closure before it leaves it, its own closure moves it, and the card says so."""
    number = await offered(town)
    await town.says("ishii", f"検討 {number} 6/5")
    named = (await town.case(number)).handoffs[0].until
    assert named is not None and named.astimezone(TOKYO).date() == date(2026, 6, 5)
    await loads(town, closed(TUESDAY))
    assert (await town.case(number)).handoffs[0].until == named
    await loads(town, closed(TUESDAY, "2026-06-05"))
    case = await town.case(number)
    wait = case.wait("decide")
    assert wait is not None and case.handoffs[0].until == wait.due_at
    assert wait.due_at.astimezone(TOKYO).date() == date(2026, 6, 8)


async def test_a_clock_that_stands_still_keeps_what_it_has_left(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", f"質問 {number} 連絡の方法")
    paused = next(w for w in (await town.case(number)).waits if w.kind == "react")
    await loads(town, closed(TUESDAY))
    after = next(w for w in (await town.case(number)).waits if w.kind == "react")
    assert (after.paused_left, after.due_at) == (paused.paused_left, paused.due_at)


async def test_an_emergency_knows_no_closure(town: Town) -> None:
    number = await town.intake(rest="緊急")
    stands = [(w.kind, w.due_at) for w in (await town.case(number)).waits]
    await loads(town, closed(TUESDAY))
    assert [(w.kind, w.due_at) for w in (await town.case(number)).waits] == stands


async def test_what_has_fallen_due_stays_due_and_its_next_rung_moves(town: Town) -> None:
    number = await offered(town)
    await town.later(until=datetime(2026, 6, 3, 9, 30, tzinfo=TOKYO))
    assert len(await rings(town, "react")) == 2, "half of it, and its end"
    await loads(town, hours("tomoshibi", closed=["2026-06-03"]))
    assert await due(town, number, "react") == "06-03 09:00"
    (line,) = [x for x in await moves(town, number) if x.data["wait"] == "react"]
    assert line.dest is None and line.data["rings"] > line.data["rang"]
    await town.later(days=5)
    case = await town.case(number)
    ended = case.handoffs[0].ended_at
    assert ended is not None and moment(ended) == "06-04 14:00", "the head's four hours, and by then 回答なし too"


async def test_a_call_moves_too(town: Town) -> None:
    """相談 without a case: by the end of this day, on which the town closes after all."""
    await town.says("suzuki", "相談")
    await loads(town, closed("2026-06-01"))
    await town.later(until=datetime(2026, 6, 2, 8, 0, tzinfo=TOKYO))
    assert not await rings(town, "talk")
    found = await town.app.store.read(lambda tx: timers.due(tx, START + timedelta(days=30)))
    assert [moment(t.due_at) for t in found if t.case_id is None] == ["06-02 12:00"]


async def test_a_wait_that_is_due_before_it_was_carried_over_is_not_rung(town: Town) -> None:
    """The load is done, whoever carried over was killed: the clock itself looks first."""
    number = await offered(town)
    await load(town, closed("2026-06-03"))
    await town.later(until=datetime(2026, 6, 3, 12, 0, tzinfo=TOKYO))
    assert [at for at, _, _ in await rings(town, "react")] == ["06-01 17:00"]
    assert await due(town, number, "react") == "06-04 09:00"
    assert await town.app.recounter.run() == 0


async def test_killed_in_the_middle_another_process_goes_on(town: Town, tmp_path: Path) -> None:
    """Three hundred open cases are three hundred transactions; each case moves once, whoever does it."""
    numbers = [await offered(town) for _ in range(6)]
    await load(town, closed(TUESDAY))
    ids = await town.app.store.read(cases.open_ids)
    for case in ids[:2]:
        assert await town.app.recounter.one(case)
    settings = Settings(database_url=town.app.settings.database_url, _env_file=None)  # type: ignore[call-arg]
    other = make(settings, clock=town.clock, fresh=town.app.fresh, var=tmp_path)
    seen: list[tuple[int, int]] = []
    assert await other.recounter.run(lambda done, all_: seen.append((done, all_))) == 4
    assert seen == [(6, 6), (6, 6)], "it goes through all, and once more to see that nothing is left"
    assert await town.app.recounter.run() == 0
    await other.close()
    for number in numbers:
        assert await due(town, number, "react") == "06-04 09:00"
        assert len([x for x in await moves(town, number) if x.data["wait"] == "react"]) == 1


@pytest.fixture
async def here(databases: Databases, tmp_path: Path, slate: Slate) -> AsyncIterator[Town]:
    """石井 of ともしび reads where cards can be changed."""
    url = databases.sqlite(settled)
    town = await Town.found(url, tmp_path, adapters={"slate": slate})
    await town.app.store.transact(lambda tx: people.link(tx, "slate", "U-ishii", "ishii", START))
    yield town
    await town.close()
    databases.drop(url)


@pytest.fixture
def slate() -> Slate:
    return Slate()


async def test_one_case_that_cannot_be_read_holds_up_no_other(here: Town, caplog: pytest.LogCaptureFixture) -> None:
    """(fault 19)"""
    broken, sound = await offered(here), await offered(here)
    id_ = (await here.case(broken)).id
    of_it = update(tables.waits).where(tables.waits.c.case_id == id_)
    await here.app.store.transact(lambda tx: tx.execute(of_it.values(doc={"of": "another version"})))
    assert await loads(here, closed(TUESDAY)) == 1
    assert await due(here, sound, "react") == "06-04 09:00"
    assert len([r for r in caplog.records if "could not be carried over" in r.getMessage()]) == 1
    caplog.clear()


async def test_the_card_shows_the_new_day_where_it_lies(here: Town, slate: Slate) -> None:
    await offered(here)
    await here.later(minutes=3)
    (card,) = slate.shown("U-ishii")
    assert "6/3(水) 9:00" in card.text
    await loads(here, closed(TUESDAY))
    await here.app.turner.settle()
    (now,) = slate.shown("U-ishii")
    assert "6/4(木) 9:00" in now.text and "6/3(水) 9:00" not in str(now)
    assert len(slate.sent) == 1, "changed, not sent again"


@pytest.mark.parametrize("urgency", ["normal", "high"])
async def test_every_kind_of_wait_is_later_or_as_it_was(lite: Town, urgency: str) -> None:
    """Whatever a case waits for: with a week of closures nothing is earlier, nothing falls on closed time, and it moves once."""
    for walk in WALKS.values():
        await walk(lite, urgency)
    numbers = await lite.app.store.read(_numbers)
    before = {w.id: w for n in numbers for w in (await lite.case(n)).waits}
    week = closed("2026-06-01..2026-06-10", "2026-07-01..2026-07-03", "2026-09-01")
    assert await loads(lite, week) > 20
    place = await lite.app.store.read(lite.app.towns.of)
    moved = set()
    for number in numbers:
        case = await lite.case(number)
        for wait in case.waits:
            was = before[wait.id]
            assert wait.due_at >= was.due_at and (wait.next_at or was.next_at) == wait.next_at
            if wait.next_at is None or was.next_at is None:
                assert wait == was
                continue
            assert wait.next_at >= was.next_at
            moved |= {wait.kind} if wait.due_at > was.due_at else set()
            agency = (
                place.agencies[case.handoff(wait.handoff).to_agency] if wait.owner in ("receiver", "holder") else None
            )  # type: ignore[arg-type,union-attr]
            assert agency is None or agency.hours.admits(wait.due_at), wait.kind
    assert moved >= {
        KIND.get(k, k) for k in ("react", "decide", "first_contact", "movement_intake", "answer_question", "condition")
    }, moved
    assert await loads(lite, week) == 0


def _numbers(tx: Tx) -> list[str]:
    return [row.number for row in cases.refs(tx, EVERYTHING)]


@pytest.mark.parametrize("hour", [8, 9, 10])
async def test_hours_that_change_around_the_due_time_neither_double_nor_skip(lite: Town, hour: int) -> None:
    """An hour before, at that very instant, an hour after: the end of the offer is told once, on the day that it then has (fault 24)."""
    number = await offered(lite)
    await lite.later(until=datetime(2026, 6, 3, 9, tzinfo=TOKYO) - timedelta(microseconds=1))
    lite.clock.frozen = datetime(2026, 6, 3, hour, tzinfo=TOKYO)
    if hour > 9:
        await lite.app.turner.settle()
    await loads(lite, hours("tomoshibi", hours="10:00-12:00, 13:00-17:00"))
    await lite.later(days=5)
    ends = [at for at, act, _ in await rings(lite, "react") if act == "remind"]
    assert ends == ["06-01 17:00", "06-03 10:00"]
    assert [kind for kind in await lite.lines(number) if kind == "handoff.expire"] == ["handoff.expire"]


async def test_a_town_that_moves_to_another_zone_moves_what_is_still_to_come(lite: Town) -> None:
    """An hour to the west: what is due is due at the same time of the day there; what has been told stays (fault 24)."""

    def west(doc: Doc) -> None:
        doc["municipality"]["timezone"] = "Asia/Taipei"

    number = await offered(lite)
    await lite.later(days=1)
    told = await rings(lite, "react")
    await loads(lite, west)
    assert await due(lite, number, "react") == "06-03 10:00", "nine o'clock in Taipei"
    await lite.later(days=1, hours=2)
    assert [at for at, _, _ in await rings(lite, "react")] == [told[0][0], "06-03 10:00"]


GAPS = {
    "America/New_York": ("2026-03-08 02:30", "03:00"), "Europe/Berlin": ("2028-03-26 02:30", "03:00"),
    "Africa/Cairo": ("2026-04-24 00:30", "01:00"), "America/Santiago": ("2026-09-06 00:30", "01:00"),
    "Australia/Lord_Howe": ("2026-10-04 02:15", "02:30"), "America/Havana": ("2026-03-08 00:30", "01:00"),
    "Asia/Tokyo": ("2026-03-08 02:30", "02:30"),
}  # fmt: skip


@pytest.mark.parametrize("zone", list(GAPS))
async def test_a_check_in_in_the_hour_that_a_zone_skips(databases: Databases, tmp_path: Path, zone: str) -> None:
    """It is shown beforehand when it will be, at the first instant after the gap, and asked then, once (fault 21)."""
    wall, first = GAPS[zone]
    named = datetime.fromisoformat(wall)
    doc = sample()
    doc["municipality"] |= {"timezone": zone, "closed": [], "holidays": "", "holiday_dates": []}
    hours("tomoshibi", hours="", open=dict.fromkeys(WEEKDAYS, "00:00-24:00"))(doc)
    month_before = instant(named.date().replace(month=named.month - 1), named.time(), zone)
    url = databases.sqlite()
    town = await Town.found(url, tmp_path, doc=doc, at=month_before)
    number = await town.accepted()
    shown = str(await town.says("ishii", f"つながった {number}"))
    wait = (await town.case(number)).wait("checkin")
    assert wait is not None
    expected = instant(named.date(), time.fromisoformat(first), zone)
    assert wait.due_at == expected and f"{local(wait.due_at, zone):%H:%M}" == first
    assert f"{named.month}/{named.day}" in shown and f"{int(first[:2])}:{first[3:]}" in shown, shown
    await town.later(until=expected - timedelta(minutes=1))
    assert not await rings(town, "checkin")
    await town.later(until=expected + timedelta(hours=20))
    asked = [at for at, act, _ in await rings(town, "checkin") if act == "ask"]
    assert asked == [moment(expected)]
    await town.close()
    databases.drop(url)
