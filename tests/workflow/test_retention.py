"""保存の期間: fiscal years from the April after the closing; what an erasure leaves is what is counted."""

from datetime import date, timedelta

import pytest

from workflow import refusals as no
from workflow.retention import Standing, closed_before, erasable_from, must_be_erasable


@pytest.mark.parametrize(
    ("closed", "years", "day"),
    [
        (date(2026, 6, 1), 5, date(2032, 4, 1)), (date(2026, 4, 1), 5, date(2032, 4, 1)), (date(2026, 3, 31), 5, date(2031, 4, 1)),
        (date(2027, 1, 4), 5, date(2032, 4, 1)), (date(2028, 2, 29), 1, date(2029, 4, 1)),
    ],
)  # fmt: skip
def test_a_period_ends_with_a_fiscal_year(closed: date, years: int, day: date) -> None:
    assert erasable_from(closed, years) == day
    must_be_erasable(Standing(closed, held=False, gone=False), day, years)
    with pytest.raises(no.StillKept):
        must_be_erasable(Standing(closed, held=False, gone=False), day - timedelta(days=1), years)


def test_the_calendar_and_the_decision_agree_on_every_day() -> None:
    for closed in (date(2026, 3, 1) + timedelta(days=n) for n in range(0, 800, 7)):
        for today in (date(2030, 3, 25) + timedelta(days=n) for n in range(0, 800, 5)):
            assert (closed < closed_before(today, 5)) == (today >= erasable_from(closed, 5)), (closed, today)


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        (Standing(None, held=False, gone=False), no.OpenAgain), (Standing(date(2020, 1, 1), held=True, gone=False), no.OnHold),
        (Standing(date(2020, 1, 1), held=False, gone=True), no.ErasedAlready),
    ],
)  # fmt: skip
def test_what_stops_an_erasure(standing: Standing, why: type[no.Refusal]) -> None:
    with pytest.raises(why):
        must_be_erasable(standing, date(2040, 4, 1), 5)
