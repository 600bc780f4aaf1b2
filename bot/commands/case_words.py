"""Words that move a case along its path, close it, or are the coordinator's alone."""

from bot.ask import Ask, Reply
from bot.commands.book import command
from bot.commands.lists import candidates_reply
from bot.commands.offers import agency_and_person
from bot.notice import notice_ends
from bot.words import add_months, at_local, find_clock, find_day
from storage import conferences, waits
from workflow import call, facts, stage
from workflow import conference as decide
from workflow import handoff as decisions
from workflow import refusals as no
from workflow.case import Case, Wait
from workflow.outcome import Outcome
from workflow.people import LEAD

STAGES = {
    "受付": "intake", "ほぐし": "untangling", "ほぐす": "untangling", "役割分担": "role_division", "分担": "role_division",
    "支援": "support", "見守り": "watching", "みまもり": "watching",
}  # fmt: skip
FORWARD = {"intake": "untangling", "untangling": "role_division", "role_division": "support", "support": "watching"}
MOVES = "case.reintake case.untangle case.divide case.support case.watch case.resume"


@command(
    "移す 番号 段階", "lead", also="移る 移します うつす move", heard="写す",
    events=MOVES, preview=True,
)  # fmt: skip
def move(ask: Ask) -> Outcome:
    """Take the case to another stage; a fact that is missing is named, with the words that supply it."""
    case = ask.case()
    return _to(ask, case, _stage_named(ask))


@command("進む 番号", "lead", also="進める 進めます すすむ すすめる 次の段階へ forward", events=MOVES, preview=True)
def forward(ask: Ask) -> Outcome:
    """Take the case to its next stage; a fact that is missing is named, with the words that supply it."""
    case = ask.case()
    return _to(ask, case, _stage_named(ask) or FORWARD.get(case.stage))


def _stage_named(ask: Ask) -> str | None:
    labels = {v: k for k, v in ask.town.stages.items()}
    return next(
        (s for t in ask.tokens if (s := STAGES.get(t.removesuffix("へ").removesuffix("に")) or labels.get(t))), None
    )


def _to(ask: Ask, case: Case, named: str | None) -> Outcome:
    """Move there; without a stage every stage is a choice."""
    if named is None:
        reachable = [s for s in dict.fromkeys(STAGES.values()) if s != case.stage]
        label = {s: next(w for w, code in STAGES.items() if code == s) for s in reachable}
        raise no.NoSuchStage(
            number=case.number, choices=tuple((label[s], f"移す {case.number} {label[s]}") for s in reachable)
        )
    reason = next((t for t in ask.tokens if t.removesuffix("へ").removesuffix("に") not in STAGES), "")
    return stage.move(case, named, ask.act(), reason=_coded(reason))


#: Why a case goes back to 受付: a code, because a journal holds no sentences.
BACK = {"別世帯": "other_household", "受け直し": "retake", "窓口ちがい": "wrong_desk", "その他": "other"}


def _coded(text: str) -> str:
    return BACK.get(text, "other" if text else "")


@command(
    "中断 番号 日",
    "lead",
    also="ちゅうだん 休止 suspend",
    events="case.suspend",
    preview=True,
    undo="提案取下げ {number}",
)
def suspend(ask: Ask) -> Outcome:
    """Propose to suspend, with a day to look again (a month, at most three); a second person approves."""
    case = ask.case()
    recheck = ask.day(required=False) or at_local(add_months(ask.today, 1), (9, 0), ask.town.tz)
    return stage.propose_suspension(case, recheck, ask.act())


@command("再開 番号", "holder", also="さいかい 再開します resume", heard="再会", events="case.resume handoff.resume")
def resume(ask: Ask) -> Outcome:
    """Go on: a suspended case with its roles, or one role that was resting."""
    named = ask.named_case()
    if named is not None and named.stage == "suspended" and ask.words.ordinal is None:
        return stage.move(ask.allowed(named), named.left or "intake", ask.act())
    case, handoff = ask.pick("resume")
    return decisions.resume(case, handoff, ask.act())


@command(
    "逝去 番号",
    "lead",
    also="ご逝去 せいきょ 亡くなった 亡くなりました なくなりました record_death",
    inside=True,
    preview=True,
)
def death(ask: Ask) -> Outcome:
    """Every wait and unsent letter ends at once; only the closing's approval remains."""
    return stage.record_death(ask.case(), ask.act())


@command(
    "終結 番号 理由", "lead", also="しゅうけつ いったん区切り close", heard="集結 終決", events="case.propose_closing case.close_at_once",
    preview=True, undo="提案取下げ {number}",
)  # fmt: skip
def close(ask: Ask) -> Outcome:
    """Propose the closing; after the notice a second person approves. Information only, mistake and duplicate close at once."""
    case = ask.case()
    if not ask.tokens:
        raise no.WordsMissing(
            what="closings", number=case.number,
            choices=tuple((c.label, f"終結 {case.number} {c.label}") for c in ask.town.closings.values() if c.code != "deceased"),
        )  # fmt: skip
    reason = ask.code(ask.tokens[0], ask.town.closings).code
    procedure = any(w in ask.rest for w in ("手順済", "手順済み", "手順を終えた"))
    made = stage.propose_closing(case, reason, ask.act(), procedure=procedure)
    if not made.case.open and not any(w.kind == call.CLOSINGS for w in waits.loose(ask.tx)):
        waits.stand(ask.tx, call.weekly_list(ask.act()))
    return made


@command("提案取下げ 番号", "lead", also="提案取り下げ 終結取下げ withdraw_proposal", listed=False)
def withdraw_proposal(ask: Ask) -> Outcome:
    """Take back a closing or a suspension that waits for its second person."""
    return stage.withdraw_proposal(ask.case(), ask.act())


@command(
    "承認 番号",
    "coordinator",
    also="しょうにん 承認します approve",
    heard="証人 商人",
    events="case.suspend case.close",
    preview=True,
)
def approve(ask: Ask) -> Outcome:
    """The second person's yes to a closing or a suspension."""
    case = ask.only_case(lambda c: c.proposal is not None, ask.waiting_for("approval"))
    return stage.approve(case, ask.act(), notice_ends=notice_ends(ask.tx, case, ask.act()))


@command("気がかり 番号", "team", also="きがかり 気掛かり concern")
def concern(ask: Ask) -> Outcome:
    """Something does not feel right: stops a closing during its notice; otherwise the lead looks today."""
    case = ask.case()
    if case.proposal and case.proposal.kind == "close" and not case.deceased:
        return stage.object_(case, ask.act())
    return facts.request(case, "concern", ask.act())


# -- the coordinator


@command(
    "担当替え 番号 機関/担当 理由",
    "coordinator",
    also="担当変え 担当がえ 担当換え 担当替 たんとうがえ reassign",
    events="handoff.offer",
    preview=True,
    undo="取下げ {number}#{n}",
    writes=True,
)
def reassign(ask: Ask) -> Outcome | Reply:
    """Offer a case's lead to another agency; the present lead keeps it until acceptance."""
    case = ask.case()
    duty = ask.town.duties[LEAD]
    if not ask.tokens:
        return candidates_reply(ask, case, duty)
    agency, person = agency_and_person(ask, ask.tokens[0])
    named = {person, ask.town.staff[person].name if person else None}
    said = [t for t in ask.tokens[1:] if t.removesuffix("さん") not in named]
    why = next((REASSIGNING[t] for t in said if t in REASSIGNING), "other" if said else "")
    text = ask.text(case.household, " ".join(said)) if why == "other" else None
    return decisions.offer(case, duty, [agency], ask.act(), to_staff=person, why=why, text=text)


#: Why a lead is to change: a code; other words are sealed, and outside they are dropped.
REASSIGNING = {
    "異動": "transfer", "退職": "transfer", "業務量": "load", "圏域": "district", "専門": "expertise", "専門性": "expertise",
    "本人の希望": "wish", "ご本人の希望": "wish", "その他": "other",
}  # fmt: skip


@command("仮担当 番号", "coordinator", also="かりたんとう interim", preview=True)
def interim(ask: Ask) -> Outcome:
    """The coordinating body takes the lead at once, visibly, for at most ten business days."""
    return facts.interim(ask.case(), ask.act())


@command("期限延長 番号 日", "coordinator", also="延長 きげんえんちょう extend", undo="期限もどし {number}")
def extend(ask: Ask) -> Outcome:
    """Give a wait a later day, at most twice: the one that is named, else the nearest; of several alike it asks which."""
    case = ask.case()
    ask.day()  # a day that is none is said so before anybody is asked which wait
    wait = _wait_meant(ask, case)
    until = ask.day(hours=facts.hours_of(wait, case, ask.town, ask.now)) if wait else None
    if wait is None or until is None:
        raise no.NothingToAnswer()
    return facts.extend(case, until, ask.act(), wait_id=wait.id)


def _wait_meant(ask: Ask, case: Case) -> Wait | None:
    """The wait that ordinal and words name: its kind, or what it is about (a duty, a request)."""
    found = facts.extendable(case, ask.act())
    handoff = case.handoff(ask.words.ordinal) if ask.words.ordinal else None
    if handoff is not None:
        found = [w for w in found if w.handoff == handoff.id]
    named = [w for w in found if {w.kind, w.subject, _about(ask, case, w)} & set(ask.tokens)]
    alike = [w for w in named or found if w.kind == (named or found)[0].kind]
    if len(alike) > 1:
        said = f"期限延長 {case.number}"
        days = " ".join(t for t in ask.rest.split() if find_day(t, ask.today) or find_clock(t))
        choices = tuple(
            (_about(ask, case, w), f"{said}{_ordinal(case, w)} {days} {w.subject or w.kind}") for w in alike
        )
        raise no.WhichWait(number=case.number, choices=choices)
    return alike[0] if alike else None


def _ordinal(case: Case, wait: Wait) -> str:
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    return f"#{handoff.no}" if handoff else ""


def _about(ask: Ask, case: Case, wait: Wait) -> str:
    """What tells a wait from another of its kind: duty and agency, or who asked."""
    voice, handoff = ask.voice, case.handoff(wait.handoff) if wait.handoff else None
    if handoff is not None:
        return f"{voice.label('duty', handoff.duty)} {voice.agency(handoff.to_agency)}"
    if wait.subject in ask.town.duties:
        return voice.label("duty", wait.subject)
    made = next((r for r in case.requests if wait.subject == f"{r.kind}:{r.no}"), None)
    return f"{voice.label('request', made.kind)} {voice.person(made.by)}" if made else voice.label("wait", wait.kind)


@command("期限もどし 番号", "coordinator", also="extend_back", listed=False)
def extend_back(ask: Ask) -> Outcome:
    """Take back the last 期限延長: the former day again."""
    return facts.extend_back(ask.case(), ask.act())


@command("区切り 番号", "coordinator", also="くぎり end_coordination", preview=True)
def end_coordination(ask: Ask) -> Outcome:
    """多機関協働 ends its part; case, lead and roles go on."""
    return facts.end_coordination(ask.case(), ask.act())


@command("会議 番号 支援｜重層 日時", "coordinator", also="かいぎ conference", preview=True)
def conference(ask: Ask) -> Outcome:
    """Call a 重層的支援会議, or give it another time; 支援 asks the city to convene one."""
    case = ask.case()
    when, act = ask.day(required=False), ask.act()
    live = [c for c in conferences.of_case(ask.tx, case.id) if c.state == "planned"]
    if "支援" in ask.rest:
        if any(c.support for c in live):
            raise no.AlreadyDone(event="conference", state="convened")
        return facts.conference(case, "support", when, act)
    standing = next((c for c in live if not c.support), None)
    if standing and when:
        # A sitting about several cases is moved on its page, where they are all in sight.
        if len(standing.cases) > 1:
            raise no.OnlyInside(link=f"/conferences/{standing.id}")
        moved = decide.move(standing, [case], when, act)
        conferences.save(ask.tx, standing, moved.conference)
        return moved.outcomes[0]
    called = decide.call(decide.COORDINATION, [case], decide.usual_members(case, ask.town), when, act)
    conferences.insert_one(ask.tx, called.conference)
    return called.outcomes[0]
