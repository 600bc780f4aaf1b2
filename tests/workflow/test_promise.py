"""The waits that follow from a case's state: whatever is missing is opened, whatever is over is closed, and never without one (I25)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.values import NOW, Ids, act, handoff, proposed, settled, the_case, the_town
from workflow import checkin, facts
from workflow import handoff as decisions
from workflow.case import Consent, Need, Request
from workflow.facts import set_urgency
from workflow.ladder import Urgency
from workflow.outcome import Outcome
from workflow.path import ACTIVE_STAGES, HANDOFF_STATES, OPEN_STAGES
from workflow.promise import advance, standing
from workflow.refusals import DeceasedQuiet
from workflow.ring import ring


def kinds(case) -> set[str]:  # type: ignore[no-untyped-def]
    return {w.kind for w in case.waits}


#: a handoff's state → what is waited for because of it
OF_STATE = {
    "offered": {"react"}, "considering": {"decide"}, "info_requested": {"react", "answer_question"}, "waitlisted": {"waitlist"},
    "conditional": {"react", "condition"}, "accepted": {"first_contact"}, "active": {"checkin", "result"}, "on_hold": {"on_hold"},
    "declined": set(), "withdrawn": set(), "expired": set(), "released": set(), "completed": set(), "failed": set(), "mistake": set(),
}  # fmt: skip


@pytest.mark.parametrize("state", HANDOFF_STATES)
def test_what_is_waited_for_in_each_state_of_a_handoff(state: str) -> None:
    case = the_case("support", handoff(state))
    assert {w.kind for w in case.waits if w.handoff == 501} == OF_STATE[state]


@pytest.mark.parametrize("stage", OPEN_STAGES)
def test_every_open_stage_waits_for_something_even_when_nothing_else_is_there(stage: str) -> None:
    """I25."""
    bare = settled(
        replace(the_case(stage), handoffs=(), needs=(), requests=(), waits=(), consent=None, screening="continue")
    )
    assert bare.waits and all(w.next_at for w in bare.waits)
    assert not settled(replace(bare, stage="closed", lead="sato")).waits


OF_FACTS = {
    "consent": {"consent": Consent("pending", (), NOW)}, "interim": {"lead": None, "interim": "suishin"}, "decision": {"decision": "pending"},
    "next_step": {"needs": (Need("work", stuck=True),)}, "talk": {"requests": (Request(1, "concern", "mori", NOW),)},
    "safety": {"requests": (Request(1, "safety", "mori", NOW),)}, "conference": {"requests": (Request(1, "conference", "takahashi", NOW),)},
}  # fmt: skip


@pytest.mark.parametrize("kind", list(OF_FACTS))
@pytest.mark.parametrize("stage", ACTIVE_STAGES)
def test_what_is_waited_for_because_of_a_fact(stage: str, kind: str) -> None:
    assert kind in kinds(settled(replace(the_case(stage), **OF_FACTS[kind])))


@pytest.mark.parametrize("stage", OPEN_STAGES)
def test_after_a_death_only_the_approval_is_waited_for(stage: str) -> None:
    """I27."""
    case = settled(replace(proposed(the_case(stage, handoff("active")), "close"), deceased=True))
    assert kinds(case) == {"approval"}


@pytest.mark.parametrize("state", ["info_requested", "conditional"])
def test_the_receivers_clock_stands_still_meanwhile(state: str) -> None:
    case = the_case("support", handoff(state))
    wait = next(w for w in case.waits if w.kind == "react")
    assert wait.paused_left is None or wait.next_at is None


@given(st.integers(1, 3_000), st.integers(1, 6_000))
def test_afterwards_they_have_what_was_left_at_least_a_business_day(asked_after: int, answered_after: int) -> None:
    town = the_town()
    hours = town.agencies["hibari"].hours
    case = settled(replace(the_case("support", handoff("offered")), waits=()))
    opened = case.wait("react", 501)
    assert opened is not None
    at = opened.opened_at + timedelta(minutes=asked_after)
    asked = decisions.ask(case, case.handoff(1), "wish", act("receiver", at=at)).case
    assert asked.wait("react", 501).next_at is None  # type: ignore[union-attr]
    later = at + timedelta(minutes=answered_after)
    answered = decisions.answer(asked, asked.handoff(1), act("sender", at=later)).case.wait("react", 501)
    assert answered is not None and answered.next_at is not None and answered.next_at > later
    left = hours.open_minutes(at, opened.due_at)
    assert answered.due_at == max(hours.add_minutes(later, left), hours.add_days(later, 1))


@given(st.sampled_from([Urgency.HIGH, Urgency.EMERGENCY]), st.integers(0, 10_000))
def test_raising_urgency_makes_nothing_later_and_marks_every_wait(urgency: Urgency, minutes: int) -> None:
    case = the_case("untangling", handoff("offered"))
    raised = set_urgency(case, urgency, act("lead", at=NOW + timedelta(minutes=minutes))).case
    before = {w.key: w for w in case.waits}
    for wait in raised.waits:
        assert wait.urgency is urgency
        if wait.key in before and wait.due_at > NOW + timedelta(minutes=minutes):
            assert wait.due_at <= before[wait.key].due_at, wait.kind


def test_lowering_urgency_touches_only_new_waits() -> None:
    high = set_urgency(the_case("untangling", handoff("offered")), Urgency.HIGH, act("lead")).case
    lowered = set_urgency(high, Urgency.NORMAL, act("lead", fresh=Ids(90_000)), code="calmer").case
    react = [(w.due_at, w.urgency) for w in high.waits if w.kind == "react"]
    assert [(w.due_at, w.urgency) for w in lowered.waits if w.kind == "react"] == react


@given(st.integers(0, 40))
def test_a_ladder_goes_on_and_after_its_last_rung_the_same_humans_hear_again(rings: int) -> None:
    """I4: nobody's silence ends it, and it never rings twice at one instant."""
    case = the_case("intake", screening="")
    at = NOW
    for _ in range(rings):
        wait = min((w for w in case.waits if w.next_at), key=lambda w: (w.next_at, w.id))
        assert wait.next_at is not None
        at = max(at, wait.next_at)
        out = ring(case, wait, act("clock", at=at, fresh=Ids(50_000 + wait.rung * 100)))
        after = next(w for w in out.case.waits if w.id == wait.id)
        assert after.next_at is not None and after.next_at > at
        case = out.case
    assert case.waits and case.stage == "intake"


def test_a_queue_item_ends_with_the_wait_that_it_was_climbed_from() -> None:
    case, at = the_case("intake", screening=""), NOW
    while not case.wait("queue"):
        wait = min((w for w in case.waits if w.next_at), key=lambda w: w.next_at)  # type: ignore[arg-type,return-value]
        at = max(at, wait.next_at)  # type: ignore[type-var]
        case = ring(case, wait, act("clock", at=at)).case
    screened = Outcome(case, act("lead", at=at)).become(screening="continue").note("case.screened").done()
    assert not screened.case.wait("queue") and not screened.case.wait("screening")
    assert {w.kind for w in screened.closed} >= {"queue", "screening"}
    assert screened.case.wait("movement_intake")


def test_standing_waits_are_asked_for_once_each() -> None:
    for stage in OPEN_STAGES:
        for state in HANDOFF_STATES:
            keys = [w.key for w in standing(the_case(stage, handoff(state)), the_town(), NOW)]
            assert len(keys) == len(set(keys)), (stage, state, keys)


def test_advance_passes_over_what_came_due_while_nobody_looked() -> None:
    case = the_case("support", handoff("offered"))
    wait = next(w for w in case.waits if w.kind == "react")
    hours = the_town().agencies["hibari"].hours
    moved = advance(wait, hours, wait.due_at + timedelta(hours=1))
    assert moved.rung == 2 and moved.next_at is not None and moved.next_at > wait.due_at


def test_after_downtime_each_reader_hears_the_newest_rung_alone() -> None:
    """Half the time, the due time and the head's rung all passed in one night: one card each, and what it says is true now."""
    case = the_case("support", handoff("offered"))
    wait = next(w for w in case.waits if w.kind == "react")
    out = ring(case, wait, act("clock", at=wait.due_at + timedelta(days=20)))
    assert out.case.handoff(1).state == "expired"  # type: ignore[union-attr]
    for reader in {r for n in out.notices for r in n.to}:
        assert (
            len([n for n in out.notices if reader in n.to and n.kind in ("ring", "expired", "expired_receiver")]) <= 1
        ), reader


def test_after_a_death_nobody_is_asked_whatever_button_is_still_there() -> None:
    """I27."""
    held = settled(replace(proposed(the_case("support", handoff("active", proxy=None)), "close"), deceased=True))
    h = held.handoff(1)
    for words in (
        lambda: checkin.report(held, h, "worry", act("holder")), lambda: checkin.cannot(held, h, act("holder")),
        lambda: facts.request(held, "talk", act("team")), lambda: facts.conference(held, "support", None, act("coordinator")),
        lambda: decisions.assign(held, h, "yoshida", act("head")), lambda: decisions.withdraw(held, h, act("sender")),
        lambda: decisions.hold(held, h, NOW + timedelta(days=3), act("holder")), lambda: facts.screen(held, "refer", act("lead")),
    ):  # fmt: skip
        with pytest.raises(DeceasedQuiet):
            words()
    laid_down = decisions.complete(held, h, act("holder"))
    assert laid_down.case.waits == held.waits, "what is held may still be laid down"
