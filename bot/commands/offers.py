"""Words about an offer: asking, answering, agreeing, taking back."""

from bot.ask import Ask, Reply
from bot.commands.book import command
from bot.commands.lists import candidates_reply
from bot.record import record
from bot.words import whole_number
from storage import capacity
from storage.capacity import CapacityAsk
from workflow import handoff as decisions
from workflow import refusals as no
from workflow.case import Case, Handoff
from workflow.checkin import cannot
from workflow.facts import must_lead
from workflow.outcome import Notice, Outcome, Reader
from workflow.people import LEAD, Agency, Duty, Role
from workflow.who import receivers

# -- asking


@command(
    "依頼 番号 役割 機関",
    "lead",
    also="いらい つなぐ offer refer",
    heard="以来",
    events="handoff.offer",
    preview=True,
    undo="取下げ {number}#{n}",
)
def offer(ask: Ask) -> Outcome | Reply:
    """Ask one agency (or one person of it) for a duty."""
    case = ask.case()
    duty, rest = _duty(ask)
    if not rest:
        return candidates_reply(ask, case, duty)
    agency, person = agency_and_person(ask, rest[0])
    issues = _issues(ask, case, rest[1:])
    if agency.code in ask.speaker.agencies and person in (None, ask.speaker.code) and duty.code != LEAD:
        # A role that the speaker's own agency takes: offer and acceptance in one transaction.
        return decisions.offer_accepted(case, duty, agency, ask.speaker.code, ask.act(), issues=issues)
    again = "再度" in ask.rest or "もう一度" in ask.rest
    return decisions.offer(case, duty, [agency], ask.act(), to_staff=person, issues=issues, again=again)


def _duty(ask: Ask) -> tuple[Duty, list[str]]:
    tokens = ask.tokens
    return ask.duty(tokens[0] if tokens else ""), tokens[1:]


def agency_and_person(ask: Ask, text: str) -> tuple[Agency, str | None]:
    """「ひばり」, 「ひばり/森」, or the name of a person."""
    try:
        return ask.find_agency(text), _person_beside(ask, text)
    except no.NoSuchAgency as unknown:
        named = [s for s in ask.town.staff.values() if text.removesuffix("さん") in (s.name, s.code)]
        if len(named) == 1:
            return ask.town.agencies[named[0].agency], named[0].code
        raise unknown from None


def _person_beside(ask: Ask, text: str) -> str | None:
    _, slash, person = ask.words.text.partition(f"{text}/")
    if not slash:
        return None
    return ask.person(person.split()[0], ask.find_agency(text).code).code


def _issues(ask: Ask, case: Case, tokens: list[str]) -> tuple[int, ...] | None:
    """Concerns named behind the agency are what the offer answers; none named: the preselected ones."""
    known = {i.concern: i.no for i in case.issues}
    named = [c for t in tokens if (c := _concern_or_none(ask, t)) in known]
    return tuple(known[c] for c in named if c) or None


def _concern_or_none(ask: Ask, text: str) -> str | None:
    try:
        return ask.concern(text).code
    except no.NoSuchConcern:
        return None


@command(
    "一斉依頼 番号 役割 機関 機関…",
    "lead",
    also="いっせいいらい offer_all",
    events="handoff.offer",
    preview=True,
    undo="取下げ {number}#{n}",
)
def offer_all(ask: Ask) -> Outcome | Reply:
    """Ask several agencies at once; the first acceptance wins, the others are stood down kindly."""
    case = ask.case()
    duty, rest = _duty(ask)
    if not rest:
        return candidates_reply(ask, case, duty)
    return decisions.offer(case, duty, [ask.find_agency(t) for t in rest], ask.act())


@command("打診 番号 役割 圏域", "lead", also="だしん probe ask_room", preview=True)
def probe(ask: Ask) -> Outcome | Reply:
    """Ask anonymously whether there would be room: role, district, urgency; binds nobody."""
    case = ask.case()
    must_lead(case, ask.act())
    duty, rest = _duty(ask)
    district = next((d for d in ask.town.districts if d in rest), case.district)
    left_out = {*ask.speaker.agencies, *case.barred}
    agencies = [a for a in ask.town.candidates(duty.code, district) if a.code not in left_out]
    asks, notices = [], []
    for agency in agencies:
        asked = CapacityAsk(
            ask.fresh(), case.id, duty.code, district, case.urgency.value, agency.code, ask.now, ask.speaker.code
        )
        asks.append(asked)
        data = {"ask": asked.id, "duty": duty.code, "district": district or "", "urgency": case.urgency.value}
        notices.append(Notice("capacity_ask", (Reader("room", agency.code),), data=data, soft=True))
    capacity.ask(ask.tx, asks)
    return ask.told("did.probe", number=case.number, notices=tuple(notices), duty=duty.label, count=len(agencies))


ROOM = {"可": "yes", "満": "full", "空き待ち": "waitlist", "要相談": "consult"}


@command("空き 可｜満｜空き待ち｜要相談", "asked", also="あき capacity", listed=False)
def room(ask: Ask) -> Reply:
    """Answer a 打診; the answer stands on the capacity board with its age."""
    tokens = ask.words.rest.split()[1:]
    said = next((ROOM[t] for t in tokens if t in ROOM), None)
    which = next((n for t in tokens if (n := whole_number(t)) is not None), None)
    asked = capacity.unanswered(ask.tx, ask.speaker.agencies)
    found = next((a for a in asked if which in (None, a.id)), None)
    if found is None:
        raise no.NothingToAnswer()
    if said is None:
        raise no.WordsMissing(what="capacity", choices=tuple((a, f"空き {found.id} {a}") for a in ROOM))
    capacity.answer(ask.tx, found.id, said, ask.speaker.code, ask.now)
    data = {"duty": found.duty, "answer": said, "agency": found.to_agency}
    notice = Notice("capacity_answer", (Reader("staff", found.asked_by),), data=data, soft=True)
    return ask.told("did.room", notices=(notice,), answer=said)


# -- the asked agency answers


@command(
    "引受 番号", "asked",
    also="引き受け 引受け 引き受けます 引き受ける 引受ます ひきうけ ひきうけます 引きうけ 受諾 受けます うけます 承ります お引き受け accept take",
    events="handoff.accept", undo="戻す {number}#{n}",
)  # fmt: skip
def accept(ask: Ask) -> Outcome:
    """Take it, in one's own name; the first acceptance wins."""
    case, handoff = ask.pick("accept")
    if handoff.held and handoff.held_by_head and handoff.holder != ask.speaker.code:
        return decisions.take_over(case, handoff, ask.act())
    if handoff.state in ("expired", "withdrawn") and handoff.reason != "stood_down":
        return decisions.late_accept(case, handoff, ask.act())
    return decisions.accept(case, handoff, ask.act())


@command(
    "まとめて引受",
    "asked",
    also="まとめて引き受け まとめて引き受けます まとめてひきうけ accept_all",
    events="handoff.accept",
)
def accept_all(ask: Ask) -> Reply:
    """Take every offer that waits for the speaker personally or in their agency's room."""
    found = [
        (c.id, h.id) for c in ask.mine() if c.open for h in c.handoffs
        if h.state in ("offered", "considering") and ask.speaker.code in receivers(h, ask.town, ask.now)
    ]  # fmt: skip
    if not found:
        raise no.NoOfferWaiting()
    if not ask.confirmed and len(found) > 1 and "はい" not in ask.tokens:
        raise no.WordsMissing(
            what="accept_all",
            count=len(found),
            choices=(("まとめて引き受けます", "まとめて引受 はい"), ("ひとつずつ", "つぎへ")),
        )
    for case_id, handoff_id in found:
        case = ask.load(case_id)
        handoff = case.handoff(handoff_id)
        if handoff is not None:
            record(ask.tx, decisions.accept(case, handoff, ask.act()))
    return ask.told("did.accept_all", count=len(found))


@command("候補 番号 役割", "lead", also="こうほ candidates", listed=False)
def candidates(ask: Ask) -> Reply:
    """Agencies that could be asked for a duty, in fair order."""
    case = ask.case()
    return candidates_reply(ask, case, _duty(ask)[0])


@command("やはり 番号", "asked", also="やっぱり take_back_decline", listed=False)
def take_back_decline(ask: Ask) -> Outcome:
    """A 辞退 pressed by mistake: whoever asked is told and may ask again."""
    case, handoff = ask.pick(where=lambda h: h.state == "declined" and h.to_agency in ask.speaker.agencies)
    return decisions.take_back_decline(case, handoff, ask.act())


@command(
    "条件引受 番号 条件",
    "asked",
    also="条件付き 条件つき 条件付引受 じょうけんひきうけ accept_if conditional",
    events="handoff.accept_if",
)
def conditional(ask: Ask) -> Outcome:
    """Accept on a condition (a code) that the sender agrees to or not."""
    case, handoff = ask.pick("accept_if")
    decisions.settled(case, handoff, "accept_if", ask.act())
    return decisions.accept_if(
        case, handoff, _listed(ask, handoff.no, case.number, "conditions", "条件引受"), ask.act()
    )


def _listed(ask: Ask, n: int, number: str, list_: str, word: str) -> str:
    """A code of a town's list; without one, the whole list as buttons."""
    codes = getattr(ask.town, list_)
    tokens = ask.tokens
    if not tokens:
        raise no.WordsMissing(
            what=list_,
            number=number,
            choices=tuple((c.label, f"{word} {number}#{n} {c.label}") for c in codes.values()),
        )
    return ask.code(tokens[0], codes).code


@command(
    "検討 番号 日",
    "asked",
    also="検討します 検討中 けんとう 考えます consider",
    heard="健闘 見当 拳闘",
    events="handoff.consider",
)
def consider(ask: Ask) -> Outcome:
    """Ask for time until a date, once; without a date, as long as the town allows."""
    case, handoff = ask.pick("consider")
    until = ask.day(required=False, hours=ask.town.hours_at(handoff.to_agency))
    return decisions.consider(case, handoff, until, ask.act())


@command("質問 番号 知りたいこと", "asked", also="しつもん 質問します ask question", events="handoff.ask", writes=True)
def question(ask: Ask) -> Outcome:
    """Ask the sender one thing at a time; the clock stands still meanwhile."""
    case, handoff = ask.pick("ask")
    decisions.settled(case, handoff, "ask", ask.act())
    code = _listed(ask, handoff.no, case.number, "missing", "質問")
    text = ask.text(case.household, " ".join(ask.tokens[1:]))
    return decisions.ask(case, handoff, code, ask.act(), text=text)


@command(
    "辞退 番号 理由", "asked",
    also="辞退します じたい むり 無理 無理です 難しい 難しいです むずかしい むずかしいです お受けできない お受けできません おうけできない 受けられない decline",
    heard="事態",
    events="handoff.decline", undo="やはり {number}#{n}", writes=True,
)  # fmt: skip
def decline(ask: Ask) -> Outcome:
    """Say no with a code; the next step follows by itself. Volunteers need no code."""
    if ask.speaker.volunteer:
        return _too_hard(ask)
    case, handoff = ask.pick("decline")
    if handoff.state == "active" and handoff.holder == ask.speaker.code:
        return cannot(case, handoff, ask.act())
    decisions.settled(case, handoff, "decline", ask.act())
    code = _listed(ask, handoff.no, case.number, "declines", "辞退")
    text = ask.text(case.household, " ".join(ask.tokens[1:]))
    return decisions.decline(case, handoff, code, ask.act(), text=text)


def _too_hard(ask: Ask) -> Outcome:
    """A volunteer's 「難しいです」: no reason asked, for an offer as for a check-in."""
    case, handoff = ask.pick("decline", where=lambda h: h.asked or h.state == "active")
    if handoff.state == "active":
        return cannot(case, handoff, ask.act())
    return decisions.decline(case, handoff, "other", ask.act())


@command("空き待ち 番号 日", "asked", also="空待ち 空きまち あきまち waitlist", events="handoff.waitlist")
def waitlist(ask: Ask) -> Outcome:
    """Not now, but later: a date to look again."""
    case, handoff = ask.pick("waitlist")
    until = ask.day(required=False, hours=ask.town.hours_at(handoff.to_agency))
    return decisions.waitlist(case, handoff, until, ask.act())


@command("空きました 番号", "asked", also="空いた 空きました。 あきました place_free free", events="handoff.place_free")
def place_free(ask: Ask) -> Outcome:
    """A place has become free: the offer waits for its answer again."""
    case, handoff = ask.pick("place_free")
    return decisions.place_free(case, handoff, ask.act())


# -- the sender


@command("回答 番号", "sender", also="かいとう answer", heard="解答 解凍", events="handoff.answer", writes=True)
def answer(ask: Ask) -> Outcome:
    """Answer the receiver's question."""
    case, handoff = ask.pick("answer")
    return decisions.answer(case, handoff, ask.act(), text=ask.text(case.household, " ".join(ask.tokens)))


@command(
    "条件了承 番号",
    "sender",
    also="条件を了承 条件OK じょうけんりょうしょう agree",
    events="handoff.agree",
    preview=True,
)
def agree(ask: Ask) -> Outcome:
    """Agree to the condition."""
    case, handoff = ask.pick("agree")
    return decisions.agree(case, handoff, ask.act())


@command(
    "条件なしで 番号",
    "sender",
    also="条件無しで 条件なし じょうけんなしで without",
    events="handoff.without",
    preview=True,
)
def without(ask: Ask) -> Outcome:
    """Ask for the same without the condition."""
    case, handoff = ask.pick("without")
    return decisions.without(case, handoff, ask.act())


@command(
    "取下げ 番号",
    "sender",
    also="取り下げ 取下 とりさげ 取り下げます withdraw",
    events="handoff.withdraw",
    preview=True,
)
def withdraw(ask: Ask) -> Outcome:
    """Take an offer back; once it is accepted the coordinator decides."""
    case, handoff = ask.pick("withdraw", where=lambda h: (h.asked or h.held) and _is_sender(ask, h))
    return decisions.withdraw(case, handoff, ask.act())


def _is_sender(ask: Ask, handoff: Handoff) -> bool:
    return ask.speaker.has(Role.COORDINATOR) or handoff.sender == ask.speaker.code


@command("そのまま 番号", "coordinator", also="そのままで keep", listed=False, preview=True)
def keep(ask: Ask) -> Outcome:
    """Let an accepted duty stand although its sender wished it back."""
    case, handoff = ask.pick("withdraw", where=lambda h: h.withdraw_asked)
    return decisions.keep(case, handoff, ask.act())


@command("誤登録 番号", "sender", also="ごとうろく mistake", events="handoff.mistake", preview=True)
def mistake(ask: Ask) -> Outcome:
    """It should not have been."""
    case, handoff = ask.pick("mistake")
    return decisions.mistake(case, handoff, ask.act())


@command(
    "このままお願いする 番号",
    "coordinator",
    also="このままお願い take_late",
    events="handoff.offer handoff.accept",
    preview=True,
)
def take_late(ask: Ask) -> Outcome:
    """A late acceptance is welcome after all: a new offer, already accepted."""
    case, handoff = ask.pick("accept", where=lambda h: h.late_accept is not None and h.ended)
    return decisions.take_late(case, handoff, ask.act())


@command(
    "代理 番号 機関/担当 引受｜辞退｜検討",
    "sender",
    also="代理の記録 だいり proxy",
    events="handoff.accept handoff.decline handoff.consider",
    preview=True,
)
def proxy(ask: Ask) -> Outcome:
    """Write down an answer given by phone, FAX or at a meeting; the person is told and may object for two business days."""
    case = ask.case()
    tokens = [t for t in ask.tokens if t]
    if not tokens:
        raise no.WordsMissing(what="proxy", number=case.number)
    agency, person = agency_and_person(ask, tokens[0])
    who = person or next(
        (
            s.code
            for t in tokens[1:]
            for s in ask.town.members[agency.code]
            if t.removesuffix("さん") in (s.name, s.code)
        ),
        None,
    )
    who = who or (ask.town.heads(agency.code) or ask.town.members[agency.code])[0].code
    handoff = next((h for h in case.handoffs if h.to_agency == agency.code and h.asked), None)
    if handoff is None:
        raise no.NoOfferWaiting(number=case.number)
    said = next(
        (
            a
            for w, a in (("引受", "accept"), ("引き受", "accept"), ("辞退", "decline"), ("検討", "consider"))
            if w in ask.rest
        ),
        "",
    )
    means = next(
        (
            m
            for w, m in (("FAX", "fax"), ("ファックス", "fax"), ("会議", "meeting"), ("対面", "meeting"))
            if w in ask.rest
        ),
        "phone",
    )
    code = ""
    if said == "decline":
        last = [t for t in tokens if not any(w in t for w in ("辞退", "電話", "FAX", "会議", "対面"))][-1:]
        listed = [c for c in ask.town.declines.values() if last and last[0] in (c.code, c.label)]
        if not listed:
            raise no.WordsMissing(
                what="declines", number=case.number,
                choices=tuple((c.label, f"代理 {case.number} {agency.code}/{who} 辞退 {c.label}") for c in ask.town.declines.values()),
            )  # fmt: skip
        code = listed[0].code
    until = ask.day(required=False, hours=agency.hours) if said == "consider" else None
    return decisions.record_proxy(case, handoff, said, who, means, ask.act(), code=code, until=until)


@command("ちがいます 番号", "asked", also="違います ちがう 違う object_proxy", listed=False)
def object_proxy(ask: Ask) -> Outcome:
    """What was written down for me is not what I said."""
    case, handoff = ask.pick(
        "accept",
        where=lambda h: h.proxy is not None and (h.proxy.person == ask.speaker.code or h.holder == ask.speaker.code),
    )
    return decisions.object_to_proxy(case, handoff, ask.act())
