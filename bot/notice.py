"""When the notice of a closing is over: counted from its delivery, which the decision itself cannot know."""

from datetime import datetime

from storage import closings
from storage.tx import Tx
from workflow import stage
from workflow.case import Case
from workflow.outcome import Act


def notice_ends(tx: Tx, case: Case, act: Act) -> datetime | None:
    """When the notice of a closing is over for everybody it was sent to; None where there is none."""
    proposal = case.proposal
    if proposal is None or proposal.notice_until is None:
        return None
    sent = [(letter.state, letter.at) for letter in closings.notice(tx, case.id, proposal.at)]
    return stage.notice_ends(proposal.notice_until, sent, act)
