"""What an outcome does by itself: lead, issues, needs and the sender's result follow from a handoff's moves alone."""

from dataclasses import replace

import pytest

from tests.properties.values import NOW, act, handoff, proposed, the_case
from workflow import facts, stage
from workflow import handoff as decisions
from workflow.case import Case
from workflow.ladder import Urgency
from workflow.outcome import Outcome, Reader
from workflow.path import HELD
from workflow.people import LEAD
from workflow.refusals import NotFromHere


def leading(state: str = "active") -> Case:
    """森 (ひばり) leads because they accepted the lead."""
    given = handoff(state, duty=LEAD, issues=())
    return the_case("support", given, lead="mori")


@pytest.mark.parametrize("state", HELD)
@pytest.mark.parametrize("how", [decisions.complete, decisions.fail, decisions.release])
def test_whatever_takes_the_lead_away_makes_the_body_hold_it(state: str, how) -> None:  # type: ignore[no-untyped-def]
    """I1: in the same decision."""
    if how is decisions.complete and state == "accepted":
        return  # no such edge
    case = leading(state)
    out = how(case, case.handoff(1), act("holder"))
    assert (out.case.lead, out.case.interim) == (None, "suishin")
    assert out.case.wait("interim") is not None
    assert {"takahashi", "shimizu", "nakajima"} <= {r.code for n in out.notices if n.kind == "interim" for r in n.to}


def test_the_lead_passes_on_by_acceptance_alone_and_the_old_one_is_completed() -> None:
    """I2."""
    case = leading()
    offered = decisions.offer(
        case, act("lead").town.duties[LEAD], [act("lead").town.agencies["wakaba"]], act("coordinator")
    ).case
    assert offered.lead == "mori"
    taken = decisions.accept(offered, offered.handoffs[-1], act("ono"))
    assert (taken.case.lead, taken.case.interim) == ("ono", None)
    assert taken.case.handoff(1).state == "completed"  # type: ignore[union-attr]
    told = {r.code for n in taken.notices if n.kind == "completed_told" for r in n.to}
    assert told == {"suzuki"}, "I23: whoever had sent it hears that it has ended"


def test_a_speaker_is_never_told_what_they_did() -> None:
    case = the_case("support", handoff("offered", sender="suzuki"))
    out = Outcome(case, act("sender")).tell("offer", "suzuki", Reader("room", "hibari"), "mori", "mori")
    assert out.notices[0].to == (Reader("room", "hibari"), Reader("staff", "mori"))


@pytest.mark.parametrize(
    ("urgency", "urgent"), [(Urgency.NORMAL, False), (Urgency.HIGH, True), (Urgency.EMERGENCY, True)]
)
def test_what_is_told_of_an_urgent_case_is_urgent(urgency: Urgency, urgent: bool) -> None:
    out = Outcome(replace(the_case(), urgency=urgency), act("lead")).tell("moved", "mori")
    assert out.notices[0].urgent is urgent


def test_nothing_moves_where_the_path_has_no_edge() -> None:
    case = the_case("intake")
    out = Outcome(case, act("lead"))
    with pytest.raises(NotFromHere):
        out.move_case("watch")
    assert out.case is case and not out.entries


def test_an_issue_that_two_hold_stays_held_when_one_lets_go() -> None:
    first, second = handoff("active"), replace(handoff("active"), id=509, no=9, to_agency="wakaba", holder="tamura")
    case = the_case("support", first)
    case = replace(
        case, handoffs=(*case.handoffs, second), issues=(replace(case.issues[0], status="held"), case.issues[1])
    )
    once = decisions.release(case, case.handoff(1), act("holder")).case
    assert once.issues[0].status == "held"
    twice = decisions.release(once, once.handoff(9), act("tamura")).case
    assert twice.issues[0].status == "open"


def test_a_decision_leaves_its_case_as_it_was() -> None:
    case = the_case("support", handoff("offered"))
    before = repr(case)
    decisions.accept(case, case.handoff(1), act("receiver"))
    decisions.decline(case, case.handoff(1), "at_capacity", act("receiver"))
    assert repr(case) == before and case.waits[0].opened_at < NOW


def test_a_coordinator_who_takes_the_lead_tells_the_holder_and_whoever_had_sent_it() -> None:
    """仮担当, I23."""
    out = facts.interim(leading(), act("coordinator"))
    assert (out.case.lead, out.case.interim) == (None, "suishin")
    assert {"suzuki", "mori"} <= {r.code for n in out.notices for r in n.to}


def test_who_sent_what_ends_with_a_consent_a_suspension_or_a_closing_hears_of_it() -> None:
    """I23: whoever moves the case, the sender of an open offer is told that it is over."""
    case = the_case("support", handoff("offered"))
    told = [
        facts.consent(case, "withdrawn", (), act("lead")),
        stage.approve(proposed(case, "suspend"), act("approver")),
        stage.approve(proposed(the_case("support", handoff("active", result_at=NOW)), "close"), act("approver")),
    ]
    for out in told:
        assert "suzuki" in {r.code for n in out.notices for r in n.to}, [n.kind for n in out.notices]
