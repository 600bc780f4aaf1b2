"""Answers that are lists: candidates, 今日, 一覧, 要対応, 持ち件数."""

from collections.abc import Sequence

from adapters.base import Choice, Message
from bot.ask import Ask, Reply
from storage import cases
from storage.cases import Loads
from workflow.case import Case, Wait
from workflow.handoff import basis_for, next_candidates, own_agencies
from workflow.people import Duty
from workflow.sight import countable
from workflow.who import reach

MOST_ROWS = 10


def candidates_reply(ask: Ask, case: Case, duty: Duty) -> Reply:
    """Agencies that could be asked, in fair order, each a button; those without a basis only for 打診."""
    act = ask.act()
    found = next_candidates(case, duty.code, act)
    allowed = [a for a in found if any(basis_for(case, a.code, own) for own in own_agencies(case, act))]
    loads = cases.loads(ask.tx, ask.sight, ask.now)
    facts = []
    for agency in allowed[:5]:
        facts.append((agency.name, load_line(ask, loads, agency.code)))
    says = f"担当替え {case.number}" if ask.command == "reassign" else f"依頼 {case.number} {duty.code}"
    choices = [Choice(a.name, f"{says} {a.code}") for a in allowed[:5]]
    choices.append(Choice(ask.voice.say("button.probe"), f"打診 {case.number} {duty.code}", "quiet"))
    key = "did.candidates" if allowed else "did.no_candidates"
    text = ask.voice.say(key, number=case.number, duty=duty.label)
    return Reply(Message(text, facts=tuple(facts), choices=tuple(choices)), case.number)


def load_line(ask: Ask, loads: Loads, agency: str) -> str:
    """What one agency carries, as far as it may be counted before this reader."""

    def shown(count: int) -> str:
        found = countable(count, ask.sight)
        return ask.voice.say("count.few") if found is None else str(found)

    leads, roles = loads.leads.get(agency, 0), loads.roles.get(agency, 0)
    return ask.voice.say("load.line", leads=shown(leads), roles=shown(roles))


def open_questions(ask: Ask) -> list[tuple[Case, Wait]]:
    """Waits that are this speaker's turn, the most pressing first."""
    mine: list[tuple[Case, Wait]] = []
    for case in ask.mine():
        for wait in case.waits:
            handoff = case.handoff(wait.handoff) if wait.handoff else None
            owners = reach(wait.owner, case, ask.town, ask.now, handoff=handoff, owner=wait.owner)
            if ask.speaker.code in owners and wait.paused_left is None and _asks_now(wait, ask):
                mine.append((case, wait))
    return sorted(mine, key=lambda cw: (-cw[1].urgency.rank, cw[1].due_at))


def _asks_now(wait: Wait, ask: Ask) -> bool:
    """A check-in asks on its day; "no movement" and reviews only when they are due."""
    sleeping = wait.kind in (
        "checkin",
        "result",
        "plan_review",
        "recheck",
        "on_hold",
        "waitlist",
    ) or wait.kind.startswith("movement_")
    return not sleeping or wait.due_at <= ask.now or wait.rung > 0


def wait_rows(ask: Ask, rows: Sequence[tuple[Case, Wait]]) -> tuple[tuple[str, str], ...]:
    voice = ask.voice
    return tuple(
        (ask.named(case), f"{voice.label('wait', wait.kind)} {voice.moment(wait.due_at, ask.now)}")
        for case, wait in rows[:MOST_ROWS]
    )
