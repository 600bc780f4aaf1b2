"""Words about the facts beside the stage: 受付, consent, basis, screening, issues, urgency, intervals. Most are said inside only."""

from bot.ask import Ask, Reply
from bot.commands.book import command
from bot.commands.everyone import answer_call
from bot.intake import new_case
from bot.words import find_span
from storage import texts
from workflow import checkin, facts, stage
from workflow import refusals as no
from workflow.ladder import Urgency
from workflow.outcome import Outcome
from workflow.path import moves
from workflow.people import Role

URGENT = {"急ぎ": Urgency.HIGH, "緊急": Urgency.EMERGENCY, "high": Urgency.HIGH, "通常": Urgency.NORMAL}


@command(
    "受付 困りごと[,困りごと…] 急ぎ 圏域",
    "staff",
    also="受け付け 受付ます うけつけ 新規 intake open",
    events="case.open",
)
def intake(ask: Ask) -> Outcome:
    """Take a consultation in; the speaker leads from the first instant."""
    if not ask.speaker.has(Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL):
        raise no.NotYours(actors=("staff",))
    urgency, district, rest = Urgency.NORMAL, None, []
    for token in ask.tokens:
        if token in URGENT:
            urgency = URGENT[token]
        elif token in ask.town.districts:
            district = token
        else:
            rest.append(token)
    if not ask.inside:
        return _number_only(ask, urgency, bool(rest))
    if not rest:
        choices = tuple((c.short or c.label, f"受付 {c.short or c.code}") for c in ask.town.concerns.values())
        raise no.WordsMissing(what="concerns", choices=choices)
    case = new_case(ask.tx, ask.now, ask.fresh, ask.speaker.code, ask.agency, urgency, district)
    return stage.open_case(case, ask.concerns(rest), ask.act())


def _number_only(ask: Ask, urgency: Urgency, told: bool) -> Outcome:
    """受付 said outside: a number and the lead at once; what it is about is written on the web (workflow.md §6)."""
    ask.dropped = told
    case = new_case(ask.tx, ask.now, ask.fresh, ask.speaker.code, ask.agency, urgency, None)
    return stage.open_case(case, (), ask.act()).note("case.form_awaited")


@command("再相談 番号", "staff", also="さいそうだん 再開相談 reopen", events="case.open")
def reconsult(ask: Ask) -> Outcome:
    """Open the next episode of a closed case, linked to the one before."""
    if not ask.inside:
        raise no.OnlyInside(link="/intake")
    previous = ask.case()
    if previous.open:
        raise no.NotFromHere(graph="case", state=previous.stage, event="open", number=previous.number)
    if texts.forgotten(ask.tx, previous.household, lock=True):
        raise no.OnlyFigures(number=previous.number)
    concerns = ask.concerns(ask.tokens) if ask.tokens else tuple(i.concern for i in previous.issues)
    case = new_case(
        ask.tx,
        ask.now,
        ask.fresh,
        ask.speaker.code,
        ask.agency,
        Urgency.NORMAL,
        previous.district,
        household=previous.household,
    )
    return stage.open_case(case, concerns, ask.act(), previous=previous)


SCREENINGS = {
    "続ける": "continue",
    "継続": "continue",
    "自機関": "continue",
    "他機関へ": "refer",
    "他機関": "refer",
    "情報提供": "inform",
}


@command("見立て 番号 続ける｜他機関へ｜情報提供", "lead", also="みたて 見たて screen", inside=True)
def screen(ask: Ask) -> Outcome:
    """Go on here, refer, or inform only: the first decision about a consultation."""
    case = ask.case()
    result = next((SCREENINGS[t] for t in ask.tokens if t in SCREENINGS), None)
    if result is None:
        words = ("続ける", "他機関へ", "情報提供")
        raise no.WordsMissing(
            what="screening", number=case.number, choices=tuple((w, f"見立て {case.number} {w}") for w in words)
        )
    return facts.screen(case, result, ask.act())


CONSENTS = {
    "あり": "full",
    "有": "full",
    "有り": "full",
    "なし": "refused",
    "無": "refused",
    "無し": "refused",
    "未": "pending",
    "未確認": "pending",
    "撤回": "withdrawn",
    "聞かない": "not_sought",
}


@command("同意 番号 あり｜なし｜未｜撤回 機関…", "lead", also="どうい consent", inside=True)
def consent(ask: Ask) -> Outcome:
    """Record whether the person agrees to sharing; あり alone covers every agency, with agencies only these."""
    case = ask.case()
    tokens = ask.tokens
    state = next((CONSENTS[t] for t in tokens if t in CONSENTS), None)
    if state is None:
        words = ("あり", "なし", "未", "撤回")
        raise no.WordsMissing(
            what="consent", number=case.number, choices=tuple((w, f"同意 {case.number} {w}") for w in words)
        )
    agencies = tuple(ask.find_agency(t).code for t in tokens if t not in CONSENTS)
    return facts.consent(case, state, agencies, ask.act())


BASES = {
    "同意": "consent",
    "106条の6": "art106_6",
    "106条": "art106_6",
    "支援会議": "art106_6",
    "法令": "law",
    "69条": "art69",
    "69条2項": "art69",
    "生命": "life",
}


@command("根拠 番号 機関 根拠", "lead", also="こんきょ basis", inside=True)
def basis(ask: Ask) -> Outcome:
    """Record why something may be shared with one agency."""
    case = ask.case()
    tokens = ask.tokens
    known = {**BASES, **{b: b for b in facts.BASES}}
    kind = next((known[t] for t in tokens if t in known), None)
    rest = [t for t in tokens if t not in known]
    agency = ask.find_agency(rest[0] if rest else "")
    if kind is None:
        words = ("同意", "106条の6", "法令", "69条", "生命")
        choices = tuple((w, f"根拠 {case.number} {agency.code} {w}") for w in words)
        raise no.WordsMissing(what="basis", number=case.number, choices=choices)
    return facts.basis(case, agency.code, kind, ask.act())


WISHES = {"望む": "wanted", "望んでいる": "wanted", "未確認": "unknown", "わからない": "unknown"}
ISSUE_BUTTONS = {"望まない": "not_wanted", "資源なし": "mark_gap", "解決": "settle", "もう一度": "raise"}
JUDGED = {
    "望まない": "not_wanted",
    "資源なし": "mark_gap",
    "資源無し": "mark_gap",
    "解決": "settle",
    "解決した": "settle",
    "もう一度": "raise",
}


@command(
    "困りごと 番号 困りごと 望む｜望まない｜未確認｜資源なし｜解決", "lead", also="困り事 こまりごと issue",
    events="issue.note issue.mark_gap issue.not_wanted issue.settle issue.raise", inside=True,
)  # fmt: skip
def issue(ask: Ask) -> Outcome:
    """Note one strand of the troubles with the person's own wish, or judge one that is there."""
    case = ask.case()
    words = {**WISHES, **JUDGED}
    said = next((t for t in ask.tokens if t in words), "未確認")
    urgent = "急ぎ" in ask.tokens
    named = [t for t in ask.tokens if t not in words and t != "急ぎ"]
    if not named:
        known = [ask.town.concerns[i.concern].label for i in case.issues if i.concern in ask.town.concerns]
        listed = known or [c.short or c.label for c in ask.town.concerns.values()]
        raise no.WordsMissing(
            what="concerns",
            number=case.number,
            choices=tuple((c, f"困りごと {case.number} {c}") for c in listed),
        )
    concern = ask.concern(named[0]).code
    standing = case.issue(concern)
    if standing and not urgent and not any(t in words for t in ask.tokens):
        # It is there already: what has become of it? Every move of the issue is a button (I29).
        choices = ("望む", *(w for w, event in ISSUE_BUTTONS.items() if event in moves("issue", standing.status)))
        raise no.WordsMissing(
            what="wish", number=case.number,
            choices=tuple((w, f"困りごと {case.number} {concern} {w}") for w in choices),
        )  # fmt: skip
    if said in JUDGED:
        return facts.judge_issue(case, concern, JUDGED[said], ask.act())
    return facts.note_issue(case, concern, WISHES[said], ask.act(), urgent=urgent)


@command("会議なし 番号", "lead", also="会議無し 会議は不要 かいぎなし no_conference", inside=True)
def no_conference(ask: Ask) -> Outcome:
    """Decide that no conference is needed."""
    return facts.no_conference(ask.case(), ask.act())


@command("間隔 番号 1か月 延ばす", "lead", also="かんかく interval", heard="感覚", inside=True)
def interval(ask: Ask) -> Outcome:
    """How often the watcher is asked; longer than a month only after three 会えた, by a human's yes."""
    case = ask.case()
    span = find_span(ask.rest)
    if span is None:
        words = ("2週間", "1か月")
        raise no.WordsMissing(
            what="interval", number=case.number, choices=tuple((w, f"間隔 {case.number} {w}") for w in words)
        )
    lengthen = "延ばす" in ask.rest or "のばす" in ask.rest
    proposed = next((h for h in case.held if h.lengthen), None)
    if lengthen and proposed and proposed.duty != "watch":
        return checkin.agree_cadence(case, proposed, span, ask.act())
    return facts.set_interval(case, span, ask.act(), lengthen=lengthen)


@command("サイン 番号 文", "lead", also="signs", inside=True, writes=True)
def signs(ask: Ask) -> Outcome:
    """What the watcher looks out for, in the words of the people who know the household; kept sealed."""
    case = ask.case()
    text = ask.text(case.household, " ".join(ask.tokens))
    if text is None:
        raise no.WordsMissing(what="signs", number=case.number)
    return facts.set_signs(case, text, ask.act())


@command("見直し 番号", "lead", also="みなおし 見直しました review", inside=True, listed=True)
def reviewed(ask: Ask) -> Outcome:
    """The plan was looked at; the next review counts from now."""
    return facts.reviewed(ask.case(), ask.act())


@command("話しました 番号", "team", also="話した 話しました。 はなしました 対応済 対応済み talked")
def talked(ask: Ask) -> Outcome | Reply:
    """A request (相談, 電話, 気がかり, 安否確認) has been answered by a human."""
    if ask.call is not None:
        return answer_call(ask, "did.talked", "talk", "phone")
    try:
        case = ask.only_case(lambda c: bool(c.requests))
    except no.NothingToAnswer:
        return answer_call(ask, "did.talked", "talk", "phone")
    return facts.talked(case, ask.act())


# -- urgency


@command("急ぎ 番号", "team", also="いそぎ 急ぐ 急いで urgent high", preview=False, undo="通常 {number} まちがい")
def high(ask: Ask) -> Outcome:
    """Raise the urgency: every open wait is re-armed at once."""
    return facts.set_urgency(ask.case(), Urgency.HIGH, ask.act(), code="lowered" if _lowers(ask) else "")


def _lowers(ask: Ask) -> bool:
    return any(t in LOWERING for t in ask.tokens)


LOWERING = {
    "落ち着いた": "calmer",
    "おちついた": "calmer",
    "まちがい": "mistake",
    "間違い": "mistake",
    "対応済み": "handled",
    "対応済": "handled",
}


@command("通常 番号 わけ", "lead", also="つうじょう 普通 normal", preview=True)
def normal(ask: Ask) -> Outcome:
    """Lower the urgency, with a code for why."""
    case = ask.case()
    code = next((LOWERING[t] for t in ask.tokens if t in LOWERING), "")
    if not code:
        words = ("落ち着いた", "対応済み", "まちがい")
        raise no.WordsMissing(
            what="lowering", number=case.number, choices=tuple((w, f"通常 {case.number} {w}") for w in words)
        )
    return facts.set_urgency(case, Urgency.NORMAL, ask.act(), code=code)
