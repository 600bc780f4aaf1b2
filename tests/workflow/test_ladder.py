"""The figures of workflow.md §3, written down by hand once more: how long each wait lasts, who is told when, and that it ends at a human."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.values import NOW, handoff, proposed, the_case, the_town
from workflow.calendar import Span
from workflow.ladder import DEFAULTS, Urgency
from workflow.promise import open_wait
from workflow.who import reach

TOKYO = ZoneInfo("Asia/Tokyo")

#: wait → NORMAL, HIGH
FIGURES = {
    "screening": ("1bd", "same_day"), "react": ("2bd", "4bh"), "decide": ("5bd", "1bd"), "decide_weekly": ("10bd", "1bd"),
    "answer_question": ("1bd", "2bh"), "next_step": ("2bd", "2bh"), "movement_intake": ("3bd", "1bd"),
    "movement_untangling": ("20bd", "5bd"), "movement_role_division": ("10bd", "3bd"), "movement_support": ("5bd", "2bd"),
    "movement_watching": ("5bd", "2bd"), "queue": ("1bd", "2bh"), "first_contact": ("5bd", "2bd"), "first_contact_again": ("5bd", "1bd"),
    "checkin": ("1mo", "14d"), "checkin_missed": ("7d", "2d"), "checkin_missed_harsh": ("3d", "2d"), "safety": ("same_day", "same_day"),
    "condition": ("1bd", "4bh"), "withdrawal": ("1bd", "4bh"), "on_hold": ("3mo", "3mo"), "talk": ("same_day", "2bh"),
    "conference": ("2bd", "1bd"), "head_holds": ("10bd", "5bd"), "closing_notice": ("5bd", "5bd"), "approval": ("2bd", "2bd"),
    "plan_review": ("3mo", "3mo"), "decision": ("30d", "30d"), "consent": ("10bd", "10bd"), "interim": ("10bd", "10bd"),
    "recheck": ("1mo", "1mo"), "waitlist": ("1mo", "1mo"), "result": ("1mo", "14d"), "danger": ("15min", "15min"),
    "report": ("15min", "15min"), "child_safety": ("48h", "48h"), "report_follow": ("1mo", "1mo"),
}  # fmt: skip

#: wait → whom its rungs reach, in order
RUNGS = {
    "screening": "lead > head > coordinator", "react": "receiver > receiver deputy > head > coordinator",
    "decide": "receiver > receiver deputy > head > coordinator", "decide_weekly": "receiver > receiver deputy > head > coordinator",
    "answer_question": "sender > deputy > coordinator", "next_step": "owner > deputy > coordinator",
    "queue": "coordinator2 > body_head > official final", "first_contact": "holder > head sender > coordinator",
    "checkin": "owner > owner > deputy > lead > coordinator", "condition": "sender > deputy > coordinator",
    "withdrawal": "coordinator > coordinator2 > official final", "on_hold": "holder > lead > coordinator",
    "talk": "lead > coordinator > official final", "conference": "official > final", "head_holds": "head > coordinator",
    "approval": "approver > next_approver > official final", "plan_review": "lead > lead > coordinator > official final",
    "report": "owner coordinator official > coordinator official final" + " > owner coordinator official final" * 4,
    "child_safety": "owner > owner coordinator" + " > owner coordinator official final" * 3,
    "report_follow": "official > coordinator > official final",
    "decision": "lead > coordinator > official final", "consent": "lead > coordinator > official final",
}  # fmt: skip

#: A react ladder opened on Monday 2026-06-01 09:00 at an agency open 08:30 to 17:15: urgency → (due, its rungs), local.
REACT = {
    Urgency.NORMAL: ("06-03 09:00", ["06-02 09:00", "06-03 09:00", "06-03 13:00", "06-04 09:00"]),
    Urgency.HIGH: ("06-01 13:00", ["06-01 11:00", "06-01 13:00", "06-01 15:00", "06-01 17:00"]),
    Urgency.EMERGENCY: ("06-01 09:30", ["06-01 09:30", "06-01 10:00", "06-01 11:00"]),
}


def test_every_wait_is_in_the_table() -> None:
    assert set(FIGURES) == set(DEFAULTS) == set(the_town().policies)


@pytest.mark.parametrize("kind", list(FIGURES))
def test_a_wait_lasts_as_specified(kind: str) -> None:
    assert (DEFAULTS[kind].normal, DEFAULTS[kind].high) == FIGURES[kind]


@pytest.mark.parametrize("kind", list(RUNGS))
def test_a_ladder_reaches_whom_it_should_in_order(kind: str) -> None:
    assert " > ".join(" ".join(r.to) for r in DEFAULTS[kind].rungs) == RUNGS[kind]


@pytest.mark.parametrize("kind", list(DEFAULTS))
@pytest.mark.parametrize("urgency", list(Urgency))
def test_every_ladder_ends_at_a_human_and_never_rings_backwards(kind: str, urgency: Urgency) -> None:
    """I4: the last rung reaches somebody, whoever owns the wait; its moments only grow."""
    policy, town = DEFAULTS[kind], the_town()
    steps = policy.steps(urgency)
    asked = handoff("active" if kind in ("checkin", "result", "first_contact", "on_hold", "head_holds") else "offered")
    case = proposed(the_case("support", asked), "close")
    last = [p for r in steps[-1].to for p in reach(r, case, town, NOW, handoff=case.handoff(1))]
    assert last and all(p in town.staff for p in last)
    hours = town.agencies["hibari"].hours
    due = policy.due(NOW, hours, urgency)
    assert due > NOW or kind == "danger"
    moments = [policy.ring_at(i, NOW, due, hours, urgency) for i in range(len(steps))]
    assert moments == sorted(m for m in moments if m)
    assert policy.ring_at(len(steps), NOW, due, hours, urgency) is None


@pytest.mark.parametrize("urgency", list(REACT))
def test_the_moments_of_an_offer(urgency: Urgency) -> None:
    hours = the_town().agencies["houkatsu-kita"].hours
    start = datetime(2026, 6, 1, 9, 0, tzinfo=TOKYO)
    policy = DEFAULTS["react"]
    due = policy.due(start, hours, urgency)
    moments = [policy.ring_at(i, start, due, hours, urgency) for i in range(len(policy.steps(urgency)))]
    shown = [f"{m.astimezone(TOKYO):%m-%d %H:%M}" for m in (due, *moments) if m]
    assert (shown[0], shown[1:]) == REACT[urgency]


@given(st.sampled_from(sorted(DEFAULTS)), st.sampled_from(list(Urgency)), st.integers(0, 400 * 24 * 60))
def test_more_urgent_is_never_later(kind: str, urgency: Urgency, minutes: int) -> None:
    opened = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    hours = the_town().agencies["hibari"].hours
    policy = DEFAULTS[kind]
    due = {u: policy.due(opened, hours, u) for u in Urgency}
    # On a closed day 1bd is the next opening itself, 2bh two hours after it: the table's own words.
    if hours.is_open(opened) and kind in (
        "react",
        "first_contact",
        "queue",
        "answer_question",
        "movement_support",
        "checkin",
    ):
        assert due[Urgency.HIGH] <= due[Urgency.NORMAL]
    if urgency is not Urgency.EMERGENCY:
        assert kind in ("danger", "report", "child_safety") or hours.admits(due[urgency]), (
            "I16: due while the agency is open"
        )
    elif kind == "react":
        assert due[urgency] - opened == timedelta(minutes=30), "I16: the wall clock"


@pytest.mark.parametrize(
    ("span", "wall"),
    [
        ("1bd", timedelta(hours=24)),
        ("1bh", timedelta(hours=1)),
        ("same_day", timedelta(hours=6)),
        ("at_once", timedelta(minutes=15)),
    ],
)
def test_emergency_spans_run_by_the_wall(span: str, wall: timedelta) -> None:
    friday_night = datetime(2026, 6, 5, 22, 0, tzinfo=TOKYO)
    hours = the_town().agencies["hibari"].hours
    assert Span.parse(span).after(friday_night, hours, emergency=True) - friday_night == wall


def test_a_wait_copies_its_policy_so_that_editing_the_town_changes_only_new_waits() -> None:
    case = the_case("untangling")
    wait = case.wait("movement_untangling")
    assert wait is not None and wait.policy == DEFAULTS["movement_untangling"]
    edited = replace(
        the_town(), policies={**the_town().policies, "movement_untangling": replace(wait.policy, normal="1bd")}
    )
    assert case.wait("movement_untangling").policy.normal == "20bd"  # type: ignore[union-attr]
    assert edited.policies["movement_untangling"].normal == "1bd"
    assert open_wait.__doc__ and "copy its policy" in open_wait.__doc__
