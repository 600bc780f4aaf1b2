"""Business time: tables of real dates, and properties in zones where the clocks change."""

import pickle
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workflow.calendar import (
    VOLUNTEER_WEEK,
    WEEKDAYS,
    Hours,
    Span,
    expand_closed,
    fiscal_year,
    hours_from,
    instant,
    local,
)

NEW_YEAR = expand_closed(["12-29..01-03"], range(2020, 2033))
HOLIDAYS = frozenset({date(2026, 5, 4), date(2026, 5, 5), date(2026, 5, 6), date(2026, 7, 20), date(2026, 8, 11)})
KITA = hours_from("Asia/Tokyo", closed=NEW_YEAR | HOLIDAYS)
WAKABA = hours_from(
    "Asia/Tokyo",
    open_by_day={
        "mon": "09:00-12:00,13:00-17:00",
        "wed": "09:00-12:00, 13:00-17:00",
        "fri": "13:00-19:00",
        "sat": "09:00-11:00",
    },
    closed=NEW_YEAR,
)
ODA = Hours("Asia/Tokyo", VOLUNTEER_WEEK, frozenset())
ROUND_THE_CLOCK = hours_from("Asia/Tokyo", open_by_day=dict.fromkeys(WEEKDAYS, "00:00-24:00"))
TOWNS = {"kita": KITA, "wakaba": WAKABA, "oda": ODA, "night": ROUND_THE_CLOCK}
CHANGING = [
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Cairo",
    "Europe/Dublin",
    "America/Havana",
    "Europe/Berlin",
]


def jst(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Tokyo"))


def shown(at: datetime, zone: str = "Asia/Tokyo") -> str:
    assert at.tzinfo is UTC
    return f"{local(at, zone):%Y-%m-%d %H:%M}"


def on_the_wall(hours: Hours, at: datetime) -> bool:
    """An oracle that knows no intervals: the local clock and the week's table, closing time included."""
    here = at.astimezone(ZoneInfo(hours.zone))
    minute = here.hour * 60 + here.minute + here.second / 60 + here.microsecond / 60e6
    today = any(a <= minute <= b for a, b in hours.week[here.weekday()]) and here.date() not in hours.closed
    before = here.date() - timedelta(days=1)
    return today or (
        minute == 0 and before not in hours.closed and any(b == 1440 for _, b in hours.week[before.weekday()])
    )


# --- is it open --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "is_open", "admits", "next_open", "prev_close", "end_of_day"),
    [
        ("2026-06-12 08:29", False, False, "2026-06-12 08:30", "2026-06-11 17:15", "2026-06-12 17:15"),
        ("2026-06-12 08:30", True, True, "2026-06-12 08:30", "2026-06-11 17:15", "2026-06-12 17:15"),
        ("2026-06-12 17:14", True, True, "2026-06-12 17:14", "2026-06-11 17:15", "2026-06-12 17:15"),
        ("2026-06-12 17:15", False, True, "2026-06-15 08:30", "2026-06-12 17:15", "2026-06-12 17:15"),
        ("2026-06-12 17:16", False, False, "2026-06-15 08:30", "2026-06-12 17:15", "2026-06-15 17:15"),
        ("2026-06-13 12:00", False, False, "2026-06-15 08:30", "2026-06-12 17:15", "2026-06-15 17:15"),
        ("2026-05-01 18:00", False, False, "2026-05-07 08:30", "2026-05-01 17:15", "2026-05-07 17:15"),
        ("2026-12-28 17:30", False, False, "2027-01-04 08:30", "2026-12-28 17:15", "2027-01-04 17:15"),
        ("2027-01-04 08:00", False, False, "2027-01-04 08:30", "2026-12-28 17:15", "2027-01-04 17:15"),
    ],
)
def test_an_office_is_open_from_its_opening_until_its_closing(at, is_open, admits, next_open, prev_close, end_of_day):
    at = jst(at)
    assert KITA.is_open(at) is is_open
    assert KITA.admits(at) is admits
    assert shown(KITA.next_open(at)) == next_open
    assert shown(KITA.prev_close(at)) == prev_close
    assert shown(KITA.end_of_day(at)) == end_of_day


def test_an_office_with_a_lunch_break_closes_at_the_end_of_its_last_interval():
    lunch = jst("2026-06-15 12:30")
    assert not WAKABA.is_open(lunch)
    assert shown(WAKABA.next_open(lunch)) == "2026-06-15 13:00"
    assert shown(WAKABA.prev_close(lunch)) == "2026-06-15 12:00"
    assert shown(WAKABA.end_of_day(lunch)) == "2026-06-15 17:00"


def test_a_house_that_never_closes_is_open_at_midnight():
    midnight = jst("2026-06-15 00:00")
    assert ROUND_THE_CLOCK.is_open(midnight)
    assert shown(ROUND_THE_CLOCK.end_of_day(midnight)) == "2026-06-15 00:00"
    assert shown(ROUND_THE_CLOCK.prev_close(midnight)) == "2026-06-15 00:00"
    assert ROUND_THE_CLOCK.open_minutes(midnight, midnight + timedelta(days=400)) == 400 * 1440


def test_an_evening_that_ends_at_midnight_admits_midnight_although_the_next_day_is_closed():
    evening = hours_from("Asia/Tokyo", open_by_day={"fri": "18:00-24:00"})
    midnight = jst("2026-06-13 00:00")
    assert evening.admits(midnight) and not evening.is_open(midnight)
    assert evening.add_minutes(midnight, 0) == evening.end_of_day(midnight) == midnight
    assert shown(evening.next_open(midnight)) == "2026-06-19 18:00"


# --- business days and hours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "at", "n", "due"),
    [
        ("kita", "2026-06-10 10:20", 1, "2026-06-11 10:20"),
        ("kita", "2026-06-12 10:20", 2, "2026-06-16 10:20"),
        ("kita", "2026-06-12 16:59", 2, "2026-06-16 16:59"),
        ("kita", "2026-06-12 18:00", 2, "2026-06-16 17:15"),  # Friday evening: the whole of Tuesday
        ("kita", "2026-06-12 07:00", 2, "2026-06-16 08:30"),
        ("kita", "2026-06-13 12:00", 1, "2026-06-15 12:00"),  # Saturday
        ("kita", "2026-06-13 12:00", 2, "2026-06-16 12:00"),
        ("kita", "2026-05-01 10:00", 2, "2026-05-08 10:00"),  # Golden Week
        ("kita", "2026-12-28 10:00", 1, "2027-01-04 10:00"),
        ("kita", "2026-12-25 15:00", 2, "2027-01-04 15:00"),
        ("kita", "2026-12-30 10:00", 2, "2027-01-05 10:00"),
        ("kita", "2027-03-30 10:00", 2, "2027-04-01 10:00"),  # over the end of the fiscal year
        ("kita", "2028-02-28 10:00", 1, "2028-02-29 10:00"),
        ("kita", "2027-02-26 10:00", 1, "2027-03-01 10:00"),
        ("kita", "2026-06-12 10:20", 0, "2026-06-12 10:20"),
        ("kita", "2026-06-12 20:00", 0, "2026-06-15 08:30"),
        ("kita", "2026-06-12 17:15", 0, "2026-06-12 17:15"),
        ("wakaba", "2026-06-12 12:00", 1, "2026-06-13 11:00"),  # Saturday closes at eleven
        ("wakaba", "2026-06-12 12:30", 2, "2026-06-15 13:00"),  # lunch
        ("wakaba", "2026-06-12 12:00", 2, "2026-06-15 12:00"),
        ("wakaba", "2026-06-15 09:30", 2, "2026-06-19 13:00"),
        ("oda", "2026-06-12 21:00", 1, "2026-06-13 17:00"),
        ("oda", "2026-12-31 11:00", 1, "2027-01-01 11:00"),
        ("night", "2026-06-12 23:59", 1, "2026-06-13 23:59"),
    ],
)
def test_a_business_day_is_the_same_clock_time_moved_into_hours(hours, at, n, due):
    """(fault 27)"""
    assert shown(TOWNS[hours].add_days(jst(at), n)) == due
    assert shown(Span("bd", n).after(jst(at), TOWNS[hours])) == due


@pytest.mark.parametrize(
    ("hours", "at", "minutes", "due"),
    [
        ("kita", "2026-06-12 10:00", 240, "2026-06-12 14:00"),
        ("kita", "2026-06-12 13:15", 240, "2026-06-12 17:15"),  # due at closing time, not next week
        ("kita", "2026-06-12 16:15", 240, "2026-06-15 11:30"),
        ("kita", "2026-06-12 19:00", 240, "2026-06-15 12:30"),
        ("kita", "2026-06-12 17:15", 120, "2026-06-15 10:30"),
        ("kita", "2026-06-12 17:15", 0, "2026-06-12 17:15"),
        ("kita", "2026-06-13 03:00", 0, "2026-06-15 08:30"),
        ("kita", "2026-12-28 17:00", 120, "2027-01-04 10:15"),
        ("wakaba", "2026-06-15 11:00", 120, "2026-06-15 14:00"),
        ("wakaba", "2026-06-15 16:00", 120, "2026-06-17 10:00"),
        ("wakaba", "2026-06-19 13:00", 6 * 60 + 2 * 60 + 1, "2026-06-22 09:01"),
        ("oda", "2026-06-13 16:30", 60, "2026-06-14 10:30"),
        ("night", "2026-06-13 23:30", 60, "2026-06-14 00:30"),
        ("kita", "2026-06-12 08:30", 525 * 100, "2026-11-02 17:15"),
    ],
)
def test_business_hours_run_only_while_open(hours, at, minutes, due):
    got = TOWNS[hours].add_minutes(jst(at), minutes)
    assert shown(got) == due
    assert TOWNS[hours].open_minutes(jst(at), got) == minutes


@pytest.mark.parametrize(
    ("due", "now", "days"),
    [
        ("2026-06-12 17:15", "2026-06-12 17:14", 0),
        ("2026-06-12 17:15", "2026-06-15 17:14", 0),
        ("2026-06-12 17:15", "2026-06-15 17:15", 1),
        ("2026-06-12 10:00", "2026-06-14 23:00", 0),
        ("2026-06-12 10:00", "2026-06-15 10:00", 1),
        ("2026-06-12 10:00", "2026-06-16 09:59", 1),
        ("2026-06-12 10:00", "2026-06-20 00:00", 5),
        ("2026-12-28 10:00", "2027-01-03 12:00", 0),
        ("2026-12-28 10:00", "2027-01-04 12:00", 1),
        ("2026-06-16 10:00", "2026-06-12 10:00", 0),
    ],
)
def test_lateness_is_counted_in_whole_business_days(due, now, days):
    assert KITA.days_between(jst(due), jst(now)) == days


@pytest.mark.parametrize(
    ("hours", "at", "due"),
    [
        ("kita", "2026-06-12 09:00", "2026-06-12 17:15"),
        ("kita", "2026-06-12 05:00", "2026-06-12 17:15"),
        ("kita", "2026-06-12 15:15", "2026-06-12 17:15"),
        ("kita", "2026-06-12 15:16", "2026-06-15 12:00"),
        ("kita", "2026-06-12 22:00", "2026-06-15 12:00"),
        ("kita", "2026-06-13 09:00", "2026-06-15 12:00"),
        ("kita", "2026-12-28 16:00", "2027-01-04 12:00"),
        ("wakaba", "2026-06-15 11:00", "2026-06-15 17:00"),
        ("wakaba", "2026-06-17 16:00", "2026-06-19 13:00"),  # Friday opens at one
        ("wakaba", "2026-06-19 18:00", "2026-06-20 11:00"),  # Saturday closes at eleven
        ("oda", "2026-06-13 15:30", "2026-06-14 12:00"),
    ],
)
def test_the_same_day_leaves_two_open_hours_or_becomes_the_next_noon(hours, at, due):
    assert shown(Span.parse("same_day").after(jst(at), TOWNS[hours])) == due


# --- spans -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at", "due", "emergency"),
    [
        ("2bd", "2026-06-12 18:00", "2026-06-16 17:15", "2026-06-14 18:00"),
        ("4bh", "2026-06-12 16:15", "2026-06-15 11:30", "2026-06-12 20:15"),
        ("30d", "2026-06-12 10:00", "2026-07-13 08:30", "2026-07-12 10:00"),  # a Sunday
        ("2d", "2026-06-09 10:00", "2026-06-11 10:00", "2026-06-11 10:00"),
        ("2d", "2026-06-09 17:15", "2026-06-12 08:30", "2026-06-11 17:15"),  # a question waits for the doors to open
        ("0d", "2026-06-12 20:00", "2026-06-15 08:30", "2026-06-12 20:00"),
        ("1mo", "2026-06-12 10:00", "2026-07-13 08:30", "2026-07-12 10:00"),
        ("1mo", "2026-01-31 10:00", "2026-03-02 08:30", "2026-02-28 10:00"),
        ("1mo", "2028-01-31 10:00", "2028-02-29 10:00", "2028-02-29 10:00"),
        ("12mo", "2028-02-29 10:00", "2029-02-28 10:00", "2029-02-28 10:00"),
        ("3mo", "2026-10-01 10:00", "2027-01-04 08:30", "2027-01-01 10:00"),
        ("3mo", "2026-12-31 10:00", "2027-03-31 10:00", "2027-03-31 10:00"),
        ("15min", "2026-06-12 20:00", "2026-06-12 20:15", "2026-06-12 20:15"),
        ("6h", "2026-06-12 20:00", "2026-06-13 02:00", "2026-06-13 02:00"),
        ("0min", "2026-06-12 20:00", "2026-06-12 20:00", "2026-06-12 20:00"),
        ("0", "2026-06-12 20:00", "2026-06-12 20:00", "2026-06-12 20:00"),
        ("same_day", "2026-06-12 09:00", "2026-06-12 17:15", "2026-06-12 15:00"),
        ("at_once", "2026-06-12 20:00", "2026-06-12 20:15", "2026-06-12 20:15"),
    ],
)
def test_a_span_ends_in_business_time_and_an_emergency_on_the_wall_clock(text, at, due, emergency):
    span = Span.parse(text)
    assert shown(span.after(jst(at), KITA)) == due
    assert shown(span.after(jst(at), KITA, emergency=True)) == emergency


@pytest.mark.parametrize(
    ("text", "opened", "due", "rung", "emergency"),
    [
        ("0%", "2026-06-12 10:00", "2026-06-16 10:00", "2026-06-12 10:00", "2026-06-12 10:00"),
        ("50%", "2026-06-12 10:00", "2026-06-16 10:00", "2026-06-15 10:00", "2026-06-14 10:00"),
        ("100%", "2026-06-12 10:00", "2026-06-15 08:30", "2026-06-15 08:30", "2026-06-15 08:30"),
        ("50%", "2026-06-12 20:00", "2026-06-15 12:30", "2026-06-15 10:30", "2026-06-14 04:15"),
        ("50%", "2026-06-12 20:00", "2026-06-12 20:30", "2026-06-12 20:30", "2026-06-12 20:15"),  # all at night
        ("50%", "2026-06-16 10:00", "2026-06-12 10:00", "2026-06-12 10:00", "2026-06-12 10:00"),
    ],
)
def test_a_share_is_of_the_waits_open_minutes(text, opened, due, rung, emergency):
    span, wait = Span.parse(text), {"opened": jst(opened), "due": jst(due)}
    assert shown(span.after(jst(opened), KITA, **wait)) == rung
    assert shown(span.after(jst(opened), KITA, **wait, emergency=True)) == emergency


def test_a_share_needs_both_ends_of_its_wait():
    with pytest.raises(ValueError, match="opening and its due time"):
        Span.parse("50%").after(jst("2026-06-12 10:00"), KITA, due=jst("2026-06-15 10:00"))


@pytest.mark.parametrize(
    "text",
    [
        "2bd",
        "4bh",
        "30d",
        "1mo",
        "3mo",
        "13mo",
        "400d",
        "15min",
        "6h",
        "0",
        "same_day",
        "at_once",
        "50%",
        "0min",
        "0bd",
    ],
)
def test_a_span_is_written_as_it_was_read(text):
    assert str(Span.parse(text)) == text
    assert Span.parse(str(Span.parse(f" {text} "))) == Span.parse(text)


def test_only_nothing_at_all_counts_nothing():
    assert [Span.parse(t).n for t in ("0", "0min", "same_day", "at_once", "2bd")] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "bd",
        "2 weeks",
        "-1bd",
        "-3d",
        "1.5bh",
        "401d",
        "401bd",
        "14mo",
        "9601h",
        "999999999min",
        "101%",
        "９９bd",
        "1e3d",
        "2bd3h",
        "same day",
        "nan",
        "9" * 5000 + "d",
        "2bd\x00",
    ],
)
def test_nonsense_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match=r"^\S.* .*\.$"):
        Span.parse(text)


@pytest.mark.parametrize(("unit", "n"), [("same_day", 2), ("now", 1), ("fortnight", 1), ("bd", -1)])
def test_a_span_made_by_hand_obeys_too(unit, n):
    with pytest.raises(ValueError, match=r"\.$"):
        Span(unit, n)


# --- the clocks change -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "wall", "moment"),
    [
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:00"),  # skipped: the first instant after the gap
        ("America/New_York", "2026-03-08 02:00", "2026-03-08 07:00"),
        ("America/New_York", "2026-03-08 01:59", "2026-03-08 06:59"),
        ("America/New_York", "2026-03-08 03:00", "2026-03-08 07:00"),
        ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30"),  # repeated: its first occurrence
        ("America/New_York", "2026-11-01 02:00", "2026-11-01 07:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:30"),  # half an hour
        ("Australia/Lord_Howe", "2026-10-04 02:30", "2026-10-03 15:30"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45"),
        ("America/Santiago", "2026-09-06 00:00", "2026-09-06 04:00"),  # midnight itself is skipped
        ("America/Santiago", "2026-09-06 00:30", "2026-09-06 04:00"),
        ("America/Santiago", "2026-04-04 23:30", "2026-04-05 02:30"),
        ("Africa/Cairo", "2026-04-24 00:30", "2026-04-23 22:00"),
        ("Africa/Cairo", "2026-10-29 23:30", "2026-10-29 20:30"),
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:00"),
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00"),  # a day that never was
        ("Asia/Tokyo", "2026-06-12 02:30", "2026-06-11 17:30"),
    ],
)
def test_a_skipped_wall_time_moves_on_and_a_repeated_one_is_its_first(zone, wall, moment):
    """(fault 21)"""
    there = datetime.fromisoformat(wall)
    assert f"{instant(there.date(), there.time(), zone):%Y-%m-%d %H:%M}" == moment


def test_the_gap_ends_at_its_instant_for_a_wall_time_of_any_fraction():
    assert instant(date(2026, 3, 8), time(2, 17, 3, 123456), "America/New_York") == datetime(2026, 3, 8, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "text", "minutes"),
    [
        ("America/New_York", "2026-03-08", "01:00-04:00", 120),
        ("America/New_York", "2026-03-08", "02:15-02:45", 0),
        ("America/New_York", "2026-11-01", "00:00-24:00", 1500),
        ("America/New_York", "2026-11-01", "01:30-02:00", 90),
        ("Australia/Lord_Howe", "2026-10-04", "00:00-24:00", 1410),
        ("Australia/Lord_Howe", "2026-04-05", "00:00-24:00", 1470),
        ("America/Santiago", "2026-09-06", "00:00-24:00", 1380),
        ("America/Santiago", "2026-04-04", "00:00-24:00", 1500),
        ("Africa/Cairo", "2026-04-24", "00:00-24:00", 1380),
        ("Africa/Cairo", "2026-10-29", "00:00-24:00", 1500),
        ("America/New_York", "2026-03-08", "08:30-17:15", 525),
    ],
)
def test_a_day_on_which_the_clocks_change_has_its_real_length(zone, day, text, minutes):
    that_day = date.fromisoformat(day)
    hours = hours_from(zone, open_by_day=dict.fromkeys(WEEKDAYS, text))
    start, end = (instant(that_day + timedelta(days=n), time(), zone) for n in (0, 1))
    assert hours.open_minutes(start, end) == minutes


@pytest.mark.parametrize("zone", [*CHANGING, "Asia/Tokyo"])
def test_nine_in_the_morning_stays_nine_all_year(zone):
    """(fault 23)"""
    hours = Hours(zone, VOLUNTEER_WEEK, frozenset())
    start = instant(date(2026, 1, 1), time(10, 30), zone)
    for n in range(1, 400):
        for due in (hours.add_days(start, n), Span("d", n).after(start, hours)):
            assert f"{due.astimezone(ZoneInfo(zone)):%H:%M}" == "10:30"
            assert due.astimezone(ZoneInfo(zone)).date() == date(2026, 1, 1) + timedelta(days=n)


def test_no_days_on_from_the_second_of_two_hours_is_not_the_first():
    hours = hours_from("America/New_York", open_by_day={"sun": "00:00-24:00"})
    second = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert shown(second, "America/New_York") == "2026-11-01 01:30"
    assert Span.parse("0d").after(second, hours) == second


@pytest.mark.parametrize(
    ("at", "text", "due"),
    [
        ("2027-03-30 10:00", "2bd", "2027-04-01 10:00"),  # over the end of the fiscal year
        ("2027-02-28 10:00", "1mo", "2027-03-29 08:30"),  # 28 March is a Sunday
        ("2028-01-31 10:00", "1mo", "2028-02-29 10:00"),
        ("2028-02-29 10:00", "3mo", "2028-05-29 10:00"),
        ("2027-11-30 10:00", "3mo", "2028-02-29 10:00"),
        ("2027-12-28 17:15", "1bd", "2028-01-04 17:15"),  # 12/29–1/3
        ("2027-12-28 15:15", "4bh", "2028-01-04 10:30"),
        ("2027-12-28 16:00", "same_day", "2028-01-04 12:00"),
        ("2027-11-29 10:00", "1mo", "2028-01-04 08:30"),
        ("2027-12-30 10:00", "7d", "2028-01-06 10:00"),
        ("2028-03-31 15:00", "4bh", "2028-04-03 10:15"),
    ],
)
def test_the_days_on_which_calendars_go_wrong(at, text, due):
    """Leap days, the end of the fiscal year, 12/29–1/3 (fault 27)."""
    assert shown(Span.parse(text).after(jst(at), KITA)) == due


def test_an_emergency_counts_real_hours_over_a_change_of_clocks():
    hours = hours_from("America/New_York")
    saturday = instant(date(2026, 3, 7), time(12), "America/New_York")
    assert shown(Span.parse("1d").after(saturday, hours, emergency=True), "America/New_York") == "2026-03-08 13:00"


# --- properties --------------------------------------------------------------------------------------------------------


def changes(zone: str) -> list[datetime]:
    """The days on which a zone changes its clocks."""
    noons = [datetime(2020, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(4383)]
    offsets = [noon.astimezone(ZoneInfo(zone)).utcoffset() for noon in noons]
    return [noon for noon, one, other in zip(noons, offsets, offsets[1:], strict=False) if one != other]


moments = st.one_of(
    st.datetimes(datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2032-01-01"), timezones=st.just(UTC)),
    st.builds(
        datetime.__add__,
        st.sampled_from([change for zone in CHANGING for change in changes(zone)]),
        st.integers(-24 * 12, 36 * 12).map(lambda n: n * timedelta(minutes=5)),
    ),
)
daytime = st.sampled_from(["08:30-17:15", "09:00-12:00,13:00-17:00", "13:00-19:30", "10:00-11:00", "05:00-24:00"])


@st.composite
def offices(draw: st.DrawFn) -> Hours:
    """Offices that sleep while the clocks change, so that the local clock is an oracle."""
    days = draw(st.dictionaries(st.sampled_from(WEEKDAYS), daytime, min_size=1))
    zone = draw(st.sampled_from(["Asia/Tokyo", "Australia/Lord_Howe", "America/New_York", "Europe/Dublin"]))
    return hours_from(zone, open_by_day=days, closed=draw(st.sampled_from([frozenset(), NEW_YEAR])))


@st.composite
def any_hours(draw: st.DrawFn) -> Hours:
    """Hours of any shape, also across the minute in which the clocks change."""
    edges = st.lists(st.integers(0, 1440), max_size=6, unique=True).map(sorted)
    week = tuple(tuple(zip(e[::2], e[1::2], strict=False)) for e in draw(st.lists(edges, min_size=7, max_size=7)))
    assume(any(b - a > 120 for day in week for a, b in day))
    return Hours(draw(st.sampled_from(["Asia/Tokyo", *CHANGING])), week, draw(st.sampled_from([frozenset(), NEW_YEAR])))


@given(
    offices(),
    moments,
    st.sampled_from(
        ["0bd", "1bd", "2bd", "5bd", "20bd", "0bh", "2bh", "4bh", "40bh", "0d", "7d", "30d", "1mo", "3mo", "same_day"]
    ),
)
def test_no_wait_falls_due_on_closed_time(hours, at, text):
    due = Span.parse(text).after(at, hours)
    assert due >= at
    assert on_the_wall(hours, due)
    assert hours.admits(due)


@given(any_hours(), moments, st.sampled_from(["0bd", "1bd", "9bd", "0bh", "3bh", "0d", "1d", "7d", "1mo", "same_day"]))
def test_no_wait_falls_due_on_closed_time_when_the_clocks_change(hours, at, text):
    due = Span.parse(text).after(at, hours)
    assert due >= at and hours.admits(due)


@given(any_hours(), moments, st.integers(0, 20_000) | st.floats(0, 20_000))
def test_adding_and_counting_open_minutes_are_inverse(hours, at, minutes):
    due = hours.add_minutes(at, minutes)
    assert hours.admits(due)
    assert abs(hours.open_minutes(at, due) - minutes) <= 1e-7


@given(
    any_hours(),
    moments,
    st.timedeltas(timedelta(0), timedelta(days=200)),
    st.timedeltas(timedelta(0), timedelta(days=20)),
)
def test_open_minutes_add_up(hours, start, first, second):
    middle, end = start + first, start + first + second
    both = hours.open_minutes(start, middle) + hours.open_minutes(middle, end)
    assert hours.open_minutes(start, end) == pytest.approx(both)
    assert 0 <= hours.open_minutes(start, end) <= (end - start) / timedelta(minutes=1) + 1e-7
    assert hours.open_minutes(end, start) == 0


@given(offices(), moments, st.integers(1, 3000))
def test_open_minutes_are_those_that_a_watchman_counts(hours, at, minutes):
    start = at.replace(second=0, microsecond=0)
    half = timedelta(seconds=30)
    seen = sum(on_the_wall(hours, start + timedelta(minutes=m) + half) for m in range(minutes))
    assert hours.open_minutes(start, start + timedelta(minutes=minutes)) == seen


@given(any_hours(), moments, moments, st.integers(0, 5_000))
def test_who_asks_later_is_never_due_earlier(hours, one, other, minutes):
    early, late = sorted([one, other])
    assert hours.next_open(early) <= hours.next_open(late)
    assert hours.prev_close(early) <= hours.prev_close(late)
    assert hours.end_of_day(early) <= hours.end_of_day(late)
    assert hours.add_minutes(early, minutes) <= hours.add_minutes(late, minutes)


@given(offices(), moments, st.timedeltas(timedelta(0), timedelta(days=9)), st.integers(1, 10))
def test_business_days_from_open_time_keep_their_order(hours, at, later, n):
    early, late = hours.next_open(at), hours.next_open(at + later)
    assert hours.add_days(early, n) <= hours.add_days(late, n)


@given(any_hours(), moments, st.integers(0, 12))
def test_more_days_or_minutes_are_never_earlier(hours, at, n):
    assert hours.add_days(at, n) <= hours.add_days(at, n + 1)
    assert hours.add_minutes(at, n * 60) < hours.add_minutes(at, n * 60 + 60)


@given(offices(), moments, st.integers(1, 30))
def test_lateness_undoes_business_days(hours, at, n):
    due = hours.add_days(at, n)
    assert hours.days_between(at, due) == n
    assert hours.days_between(at, due - timedelta(seconds=1)) == n - 1


@given(any_hours(), moments)
def test_the_next_opening_is_open_and_the_last_closing_is_past(hours, at):
    opening, closing = hours.next_open(at), hours.prev_close(at)
    assert closing <= at <= opening and hours.is_open(opening) and hours.admits(closing)
    assert hours.open_minutes(at, opening) == 0
    assert hours.is_open(at) is (opening == at)


@given(
    offices(), moments, st.integers(0, 100), st.integers(0, 100), st.sampled_from(["2bd", "4bh", "3mo"]), st.booleans()
)
def test_shares_rise_from_the_opening_to_the_due_time(hours, opened, one, other, text, emergency):
    due = Span.parse(text).after(opened, hours, emergency=emergency)
    small, large = (
        Span("%", n).after(opened, hours, opened=opened, due=due, emergency=emergency) for n in sorted([one, other])
    )
    assert opened <= small <= large <= due


@given(
    st.datetimes(datetime.fromisoformat("2019-01-01"), datetime.fromisoformat("2031-01-01")), st.sampled_from(CHANGING)
)
def test_a_wall_time_that_exists_is_kept_and_one_that_does_not_moves_on(wall, zone):
    at = instant(wall.date(), wall.time(), zone)
    back = at.astimezone(ZoneInfo(zone))
    assert back.fold == 0
    assert back.replace(tzinfo=None) >= wall
    if back.replace(tzinfo=None) != wall:  # the first instant after a gap: one microsecond before, it is still before
        assert (at - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None) < wall


# --- what is handed in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["is_open", "admits", "next_open", "prev_close", "end_of_day", "same_day", "later"])
def test_a_moment_without_a_zone_is_refused(ask):
    with pytest.raises(ValueError, match="no time zone"):
        getattr(KITA, ask)(datetime.fromisoformat("2026-06-12 10:00"))


def test_a_moment_without_a_zone_is_refused_wherever_it_stands():
    naive, aware = datetime.fromisoformat("2026-06-12 10:00"), jst("2026-06-12 10:00")
    for wrong in (
        lambda: KITA.add_days(naive, 1),
        lambda: KITA.add_minutes(naive, 1),
        lambda: KITA.open_minutes(aware, naive),
        lambda: KITA.days_between(naive, aware),
        lambda: Span.parse("15min").after(naive, KITA),
        lambda: Span.parse("50%").after(aware, KITA, opened=naive, due=aware),
        lambda: local(naive, "Asia/Tokyo"),
    ):
        with pytest.raises(ValueError, match="no time zone"):
            wrong()


@pytest.mark.parametrize("minutes", [-1, -0.001, float("nan"), float("inf")])
def test_open_minutes_are_counted_forward(minutes):
    with pytest.raises(ValueError, match="counted forward"):
        KITA.add_minutes(jst("2026-06-12 10:00"), minutes)


def test_business_days_are_counted_forward():
    with pytest.raises(ValueError, match="counted forward"):
        KITA.add_days(jst("2026-06-12 10:00"), -1)


@pytest.mark.parametrize("zone", ["Asia/Nagareshi", "", "Asia", "../etc/passwd", "東京"])
def test_an_unknown_zone_is_refused_in_a_sentence(zone):
    with pytest.raises(ValueError, match="There is no time zone called"):
        hours_from(zone)


@pytest.mark.parametrize("zone", ["PST8PDT", "Europe/Kyiv", "Europe/Kiev"])
def test_old_names_of_zones_are_still_known(zone):
    """(fault 25)"""
    assert hours_from(zone).zone == zone


@pytest.mark.parametrize(
    "week",
    [
        ((),) * 7,
        (((540, 1020),),) * 6,
        (((540, 540),),) * 7,
        (((540, 1500),),) * 7,
        (((-1, 60),),) * 7,
        (((540, 720), (700, 800)),) * 7,
        (((800, 900), (540, 720)),) * 7,
    ],
)
def test_an_impossible_week_is_refused(week):
    with pytest.raises(ValueError, match=r"\.$"):
        Hours("Asia/Tokyo", week, frozenset())


@pytest.mark.parametrize(
    "text", ["", "nine to five", "17:15-08:30", "08:30", "08:30-24:01", "08:60-09:00", "08:30-08:30", "8-17"]
)
def test_an_impossible_opening_is_refused(text):
    with pytest.raises(ValueError, match=r"\.$"):
        hours_from("Asia/Tokyo", text)


def test_a_day_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'monday' is not a day of the week"):
        hours_from("Asia/Tokyo", open_by_day={"monday": "08:30-17:15"})
    with pytest.raises(ValueError, match="at least one opening"):
        hours_from("Asia/Tokyo", open_by_day={})


def test_an_office_closed_for_years_says_so_instead_of_searching_for_ever():
    shut = frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(1500))
    with pytest.raises(ValueError, match="no open day within three years"):
        hours_from("Asia/Tokyo", closed=shut).next_open(jst("2026-06-12 10:00"))


def test_hours_are_values():
    again = hours_from("Asia/Tokyo", closed=NEW_YEAR | HOLIDAYS)
    KITA.open_minutes(jst("2026-01-01 00:00"), jst("2027-01-01 00:00"))
    assert again == KITA and hash(again) == hash(KITA) and again != WAKABA
    assert pickle.loads(pickle.dumps(KITA)) == KITA


# --- closed days -------------------------------------------------------------------------------------------------------


def days(*texts: str) -> frozenset[date]:
    return frozenset(date.fromisoformat(text) for text in texts)


@pytest.mark.parametrize(
    ("entries", "years", "closed"),
    [
        (["08-15"], range(2026, 2028), days("2026-08-15", "2027-08-15")),
        (["2026-08-13..2026-08-15"], range(2026, 2028), days("2026-08-13", "2026-08-14", "2026-08-15")),
        (["2026-08-13"], range(2030, 2031), days("2026-08-13")),
        (["02-29"], range(2026, 2029), days("2028-02-29")),
        (["02-28..03-01"], range(2027, 2028), days("2027-02-28", "2027-03-01")),
        (["02-28..02-29"], range(2027, 2029), days("2027-02-28", "2028-02-28", "2028-02-29")),
        (["12-30..12-31"], range(2026, 2027), days("2026-12-30", "2026-12-31")),
        (["08-15", " 2026-08-15 "], range(2026, 2027), days("2026-08-15")),
        (["08-15"], range(2026, 2026), days()),
        ([], range(2026, 2028), days()),
    ],
)
def test_closed_days_are_written_as_people_write_them(entries, years, closed):
    assert expand_closed(entries, years) == closed


def test_new_year_closes_both_ends_of_every_year():
    first = {f"2026-01-0{n}" for n in (1, 2, 3)}
    turns = {"2026-12-29", "2026-12-30", "2026-12-31", "2027-01-01", "2027-01-02", "2027-01-03"}
    assert expand_closed(["12-29..01-03"], range(2026, 2027)) == days(*first, *turns)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "new year",
        "13-01",
        "02-30",
        "2026-02-29",
        "2026-08-15..2026-08-13",
        "2026-08-13..08-15",
        "2026-01-01..2029-01-01",
        "01-01..12-31",
        "06-02..06-01",
        "8-15",
        "08-15..",
        "０８-15",
    ],
)
def test_an_impossible_closure_is_refused_in_a_sentence(entry):
    with pytest.raises(ValueError, match=r"^\S.* .*\.$"):
        expand_closed([entry], range(2026, 2028))


@pytest.mark.parametrize(
    ("day", "year"),
    [("2026-03-31", 2025), ("2026-04-01", 2026), ("2026-12-31", 2026), ("2027-01-01", 2026), ("2028-02-29", 2027)],
)
def test_the_fiscal_year_begins_in_april(day, year):
    assert fiscal_year(date.fromisoformat(day)) == year
