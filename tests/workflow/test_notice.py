"""The notice of a closing: five business days from when everybody has had it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.properties.values import NOW, act, settled, the_case
from workflow.case import Case, Proposal
from workflow.refusals import DayOutOfRange
from workflow.ring import ring
from workflow.stage import approve, notice_ends

#: A Monday a week on, five business days.
OVER = NOW + timedelta(days=7)
LATER = OVER + timedelta(days=7)


def noticed() -> Case:
    return settled(
        replace(the_case("support"), proposal=Proposal("close", "sato", NOW, "goal_reached", notice_until=OVER))
    )


@pytest.mark.parametrize(
    ("letters", "ends"),
    [
        ([], OVER),
        ([("sent", NOW)], OVER),
        ([("sent", NOW), ("sent", NOW + timedelta(days=1))], OVER + timedelta(days=1)),
        ([("unknown", NOW)], LATER),
        ([("failed", NOW)], LATER),
        ([("pending", NOW)], OVER + timedelta(days=7)),
        ([("leased", NOW - timedelta(hours=1))], OVER + timedelta(days=7)),
    ],
)
def test_counted_from_delivery(letters: list[tuple[str, datetime]], ends: datetime) -> None:
    assert notice_ends(OVER, letters, act("clock", at=OVER)) == ends


def test_the_notice_goes_on_and_the_proposer_hears_why() -> None:
    case = noticed()
    wait = case.wait("closing_notice")
    assert wait is not None and wait.due_at == OVER
    out = ring(case, wait, act("clock", at=OVER), notice_ends=LATER)
    again = out.case.wait("closing_notice")
    assert again is not None and (again.due_at, again.next_at, again.id == wait.id) == (LATER, LATER, False)
    assert [n.kind for n in out.notices] == ["notice_prolonged"] and not out.case.proposal.asked  # type: ignore[union-attr]
    with pytest.raises(DayOutOfRange):
        approve(out.case, act("approver", at=OVER + timedelta(days=1)))


def test_everybody_has_had_it_and_the_approver_is_asked() -> None:
    case = noticed()
    out = ring(case, case.wait("closing_notice"), act("clock", at=OVER), notice_ends=OVER)  # type: ignore[arg-type]
    assert [n.kind for n in out.notices] == ["approve_please"]
    with pytest.raises(DayOutOfRange):
        approve(out.case, act("approver", at=OVER), notice_ends=LATER)
    assert not approve(out.case, act("approver", at=OVER), notice_ends=OVER).case.open
