"""Friday afternoon and before long closures the answer names the real due time and what to do before it."""

from datetime import datetime

import pytest

from bot.voice import voice_for
from bot.voice.closure import before_closure
from tests.properties.values import handoff, the_case, the_town
from tests.town import TOKYO
from workflow.case import Wait
from workflow.ladder import DEFAULTS, Urgency


def said(at: datetime, *, own: bool = False, lang: str = "ja", due_days: int = 2) -> str:
    """An offer to ひばり (8:30–17:15, Monday to Friday) made at a moment."""
    town, case = the_town(), the_case("support", handoff("offered"))
    hours = town.agencies["hibari"].hours
    due = hours.add_days(at, due_days) if due_days else hours.end_of_day(at)
    wait = Wait(1, "react", "receiver", at, due, DEFAULTS["react"], handoff=501, urgency=Urgency.NORMAL)
    return before_closure(wait, case, town, at, voice_for(town, lang), speaker="yoshida" if own else "suzuki")


def test_friday_afternoon_names_the_day_and_the_telephone() -> None:
    text = said(datetime(2026, 6, 5, 14, 0, tzinfo=TOKYO))
    for part in ("相談支援ひばり", "6/8(月)", "6/9(火) 14:00", the_town().agencies["hibari"].phone):
        assert part in text, text
    assert "電話" not in said(datetime(2026, 6, 5, 14, 0, tzinfo=TOKYO), own=True)


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 6, 5, 10, 0, tzinfo=TOKYO),  # Friday morning
        datetime(2026, 6, 4, 15, 0, tzinfo=TOKYO),  # Thursday
        datetime(2026, 6, 6, 15, 0, tzinfo=TOKYO),  # closed already
        datetime(2026, 6, 5, 20, 0, tzinfo=TOKYO),
    ],
)
def test_at_other_times_nothing_is_added(at: datetime) -> None:
    assert not said(at)


def test_what_is_due_before_they_close_needs_no_such_word() -> None:
    assert not said(datetime(2026, 6, 5, 14, 0, tzinfo=TOKYO), due_days=0)


def test_before_the_new_year_it_is_said_from_the_morning_on() -> None:
    """12/29–1/3: closed from Tuesday on, open again on Monday the 4th."""
    text = said(datetime(2026, 12, 28, 9, 0, tzinfo=TOKYO))
    assert "2027/1/4(月)" in text
    assert "2027" in said(datetime(2026, 12, 28, 9, 0, tzinfo=TOKYO), lang="en")
