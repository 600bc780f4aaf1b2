"""When a push may leave (I28): three a person a day, one a case a day, volunteers one a week; urgent ones never wait, none is lost."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pace import BUNDLES, Push, Pushed, leaves_at, next_bundle
from tests.properties.values import the_town

TOKYO = ZoneInfo("Asia/Tokyo")
HOURS = the_town().agencies["minamo"].hours
CALM = Push(urgent=False, soft=False, sparing=False, hours=HOURS)
URGENT = CALM._replace(urgent=True)


def at(text: str) -> datetime:
    """A moment of June 2026, the first of which is a Monday."""
    return datetime.strptime(f"2026-06-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=TOKYO)


def pushed(*moments: str, case: int | None = None, urgent: bool = False) -> list[Pushed]:
    return [Pushed(at(m), case, urgent) for m in moments]


TABLE = [
    ("inside hours at once", CALM, "01 10:00", [], "01 10:00"),
    ("before opening at opening", CALM, "01 07:00", [], "01 08:30"),
    ("at night the next morning", CALM, "01 20:00", [], "02 08:30"),
    ("Friday evening on Monday", CALM, "05 18:00", [], "08 08:30"),
    ("urgent at night at once", URGENT, "01 23:00", [], "01 23:00"),
    ("urgent beyond the budget at once", URGENT, "01 10:00", pushed("01 08:30", "01 09:00", "01 09:30"), "01 10:00"),
    ("soft in the next bundle", CALM._replace(soft=True), "01 10:00", [], "01 12:00"),
    ("soft after the last bundle tomorrow", CALM._replace(soft=True), "01 17:00", [], "02 08:30"),
    ("the fourth joins the bundle that leaves anyway", CALM, "01 10:00", pushed("01 08:30", "01 09:00", "01 12:00"), "01 12:00"),
    ("the fourth waits for tomorrow", CALM, "01 10:00", pushed("01 08:30", "01 09:00", "01 09:30"), "02 08:30"),
    ("urgent ones count for nothing", CALM, "01 10:00", pushed("01 08:30", "01 09:00", "01 09:30", urgent=True), "01 10:00"),
    ("the same case tomorrow", CALM, "01 10:00", pushed("01 09:00", case=7), "02 08:30"),
    ("another case today", CALM, "01 10:00", pushed("01 09:00", case=8), "01 10:00"),
    ("the same case does not ride today's later bundle", CALM._replace(soft=True), "01 10:00", [*pushed("01 09:00", case=7), *pushed("01 12:00", case=8)], "02 08:30"),
    ("a volunteer once a week", CALM._replace(sparing=True), "03 10:00", pushed("01 10:00"), "08 12:00"),
    ("a volunteer rides along", CALM._replace(sparing=True), "03 10:00", pushed("01 10:00", "03 12:00"), "03 12:00"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("push", "earliest", "others", "leaves"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_when_it_leaves(push: Push, earliest: str, others: list[Pushed], leaves: str) -> None:
    found = leaves_at(at(earliest), push, others, 7, the_town())
    assert f"{found.astimezone(TOKYO):%d %H:%M}" == leaves


MINUTES = st.integers(0, 20 * 24 * 60)
PUSHES = st.lists(st.tuples(MINUTES, st.integers(1, 3), st.booleans(), st.integers(0, 9)), max_size=30)


@given(PUSHES, st.booleans())
def test_the_budget_holds_whatever_is_told(told: list[tuple[int, int, bool, int]], volunteer: bool) -> None:
    """I28, for one reader to whom things are told one after another."""
    out: list[Pushed] = []
    for minutes, case, soft, dice in sorted(told):
        push = Push(urgent=dice == 0, soft=soft, sparing=volunteer, hours=HOURS)
        earliest = at("01 00:00") + timedelta(minutes=minutes)
        leaves = leaves_at(earliest, push, out, case, the_town())
        assert leaves >= earliest and leaves - earliest < timedelta(days=400), "none is lost"
        assert not push.urgent or leaves == earliest, "no HIGH or EMERGENCY rung is held"
        assert push.urgent or HOURS.admits(leaves) or leaves.astimezone(TOKYO).time() in BUNDLES
        out.append(Pushed(leaves, case, push.urgent))
    calm = [o for o in out if not o.urgent]
    days = {o.at.astimezone(TOKYO).date() for o in calm}
    for day in days:
        today = [o for o in calm if o.at.astimezone(TOKYO).date() == day]
        assert len({o.at for o in today}) <= 3
        for case in (1, 2, 3):
            assert len({o.at for o in today if o.case == case}) <= 1
    if volunteer:
        moments = sorted({o.at for o in calm})
        assert all(b - a >= timedelta(days=7) for a, b in pairwise(moments))


@given(MINUTES)
def test_the_next_bundle_is_a_bundle_of_an_open_day(minutes: int) -> None:
    moment = at("01 00:00") + timedelta(minutes=minutes)
    bundle = next_bundle(moment, HOURS, the_town())
    local = bundle.astimezone(TOKYO)
    assert bundle >= moment and local.time() in BUNDLES
    assert (
        HOURS.open_minutes(
            datetime.combine(local.date(), BUNDLES[0], TOKYO), datetime.combine(local.date(), BUNDLES[2], TOKYO)
        )
        > 0
    )
    assert next_bundle(bundle, HOURS, the_town()) == bundle


def test_a_town_may_set_its_own_budget() -> None:
    quiet = replace(the_town(), limits={"push_a_day": 1})
    assert leaves_at(at("01 10:00"), CALM, pushed("01 09:00"), 7, quiet) == at("02 08:30")
