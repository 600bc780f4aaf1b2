"""Words that everyone has: danger, talk, the day's questions, lists, help, absence."""

import re
from dataclasses import replace
from datetime import date, timedelta

from adapters.base import Choice, Message
from bot import sign
from bot.ask import DATED, LOOKED_THROUGH, Ask, Reply
from bot.commands.book import BOOK, command, shelves
from bot.commands.lists import MOST_ROWS, load_line, open_questions, wait_rows
from bot.words import at_local, find_day, strip_polite, whole_number
from storage import cases, journal, people, waits
from workflow import call, facts
from workflow import refusals as no
from workflow.case import TRACK, Wait
from workflow.ladder import Urgency
from workflow.outcome import Entry, Notice, Outcome, Reader
from workflow.people import Absence, Role, Staff


@command(
    "緊急 番号",
    "everyone",
    also="きんきゅう 至急 しきゅう 助けて たすけて 緊急です emergency",
    undo="通常 {number} まちがい",
)
def emergency(ask: Ask) -> Outcome | Reply:
    """Danger: the numbers at once. With a case number it also makes that case EMERGENCY."""
    named = ask.named_case()
    if named is not None and ask.speaker.code:
        return facts.set_urgency(ask.allowed(named), Urgency.EMERGENCY, ask.act())
    return danger_reply(ask)


def danger_reply(ask: Ask) -> Reply:
    """The numbers to dial; for linked people a roster wait too, that rings until a human has reached somebody.

    The bot never claims it has. An account nobody knows hears the numbers alone: nobody could be called back (workflow.md §3).
    """
    if not ask.speaker.code:
        return Reply(danger_message(ask, None), must=True)
    act = ask.act()
    wait, readers = call.raise_call("danger", act, ask.speaker.code)
    notice = Notice(
        "danger",
        tuple(Reader("staff", r) for r in readers),
        wait=wait.id,
        data={"person": ask.speaker.code},
        urgent=True,
        must=True,
    )
    return Reply(danger_message(ask, wait.id), notices=(notice,), calls=(wait,), must=True)


def danger_message(ask: Ask, wait: int | None) -> Message:
    voice, act = ask.voice, ask.act()
    shown = call.numbers(act, on_duty=not call.by_day(act))
    first = shown[0] if shown else ("", "")
    text = voice.say("danger.numbers", label=first[0], number=first[1])
    choices = (
        (
            Choice(voice.say("button.reached"), f"電話した {wait}", "primary"),
            Choice(voice.say("button.not_reached"), f"電話出ない {wait}"),
        )
        if wait
        else ()
    )
    return Message(text, voice.say("danger.title"), tuple(shown), choices)


@command("電話した", "everyone", also="電話した・つながった 電話しました reached", listed=False)
def reached(ask: Ask) -> Reply:
    """A human has reached somebody: the roster falls silent."""
    return answer_call(ask, "did.reached", "danger")


def answer_call(ask: Ask, key: str, *kinds: str) -> Reply:
    """End the one call that is meant; everybody who was told of it hears so."""
    wait = _call_meant(ask, *kinds)
    waits.change(ask.tx, wait, replace(wait, closed_at=ask.now, why="reached", next_at=None), ask.now)
    told = dict.fromkeys(p for p in (*wait.told, wait.subject) if p != ask.speaker.code and p in ask.town.staff)
    readers = tuple(Reader("staff", p) for p in told)
    notice = Notice("reached", readers, data={"person": ask.speaker.code}, urgent=wait.kind == "danger")
    return ask.told(key, notices=(notice,) if readers else ())


def _call_meant(ask: Ask, *kinds: str) -> Wait:
    """The open call whose card was pressed or whose number was said; else the speaker's only one. One press ends one call."""
    found = [w for w in waits.loose(ask.tx) if w.kind in kinds]
    meant = ask.call or next((n for t in ask.tokens if (n := whole_number(t)) is not None), None)
    if meant is not None:
        found = [w for w in found if w.id == meant]
    found = [w for w in found if ask.speaker.code in (*w.told, w.subject)] or found
    if not found:
        raise no.NothingToAnswer()
    if len(found) > 1:
        word = ask.words.rest.split(" ")[0]
        choices = tuple((ask.voice.person(w.subject or "-"), f"{word} {w.id}") for w in found)
        raise no.WhichPerson(text=word, choices=choices)
    return found[0]


@command("電話出ない", "everyone", also="電話した・出ない 出ない not_reached", listed=False)
def not_reached(ask: Ask) -> Reply:
    """Nobody answered: the next row of the roster at once."""
    wait = _call_meant(ask, "danger")
    rung, readers = call.ring_call(wait, ask.act())
    to = tuple(Reader("staff", p) for p in readers if p != ask.speaker.code)
    notice = Notice("danger", to, wait=wait.id, data={"person": wait.subject}, urgent=True, must=True)
    return Reply(danger_message(ask, wait.id), notices=(notice,) if to else (), calls=(rung,), must=True)


@command("相談 番号", "everyone", also="そうだん 相談したい 調整役に相談する talk")
def talk(ask: Ask) -> Outcome | Reply:
    """Please talk to me today."""
    return _wanted(ask, "talk")


@command("電話 番号", "everyone", also="でんわ 電話がほしい 電話ください phone call_me")
def phone(ask: Ask) -> Outcome | Reply:
    """Call me back."""
    return _wanted(ask, "phone")


def _wanted(ask: Ask, kind: str) -> Outcome | Reply:
    named = ask.named_case()
    if named is not None:
        case = ask.allowed(named)
        handoff = case.handoff(ask.words.ordinal) if ask.words.ordinal else None
        return facts.request(case, kind, ask.act(), handoff=handoff)
    wait, readers = call.raise_call(kind, ask.act(), ask.speaker.code)
    notice = Notice(
        f"{kind}_wanted", tuple(Reader("staff", r) for r in readers), wait=wait.id, data={"person": ask.speaker.code}
    )
    return ask.told(f"did.{kind}", notices=(notice,), calls=(wait,))


@command("ヘルプ", "everyone", also="へるぷ 使い方 つかいかた help ?")
def help_(ask: Ask) -> Reply:
    """The words this person may say."""
    voice = ask.voice
    mine = visible(ask)
    facts_ = []
    for shelf in shelves({n: c for n, c in BOOK.items() if n in mine}):
        facts_.append((voice.label("who", shelf.title), "・".join(c.word for c in shelf.commands)))
    choices = tuple(Choice(w, w) for w in ("今日", "つぎへ", "一覧"))
    return Reply(Message(voice.say("help.text"), voice.say("help.title"), tuple(facts_), choices))


def visible(ask: Ask) -> set[str]:
    """Which words this person sees: volunteers fewer, coordinators every word of lead and holder."""
    speaker = ask.speaker
    if speaker.volunteer:
        return {
            "help",
            "today",
            "next",
            "list",
            "emergency",
            "talk",
            "phone",
            "undo",
            "accept",
            "decline",
            "calm",
            "worry",
            "not_met",
            "seen",
            "rest",
            "attend",
            "cannot_attend",
        }
    who = {"everyone", "asked", "holder", "sender", "team", "lead", "staff"}
    if speaker.has(Role.HEAD):
        who.add("head")
    if speaker.has(Role.COORDINATOR):
        who |= {"coordinator", "head"}
    if speaker.has(Role.OFFICIAL):
        who.add("official")
    return {n for n, c in BOOK.items() if c.who in who}


@command("登録 合言葉", "everyone", also="とうろく register")
def register(ask: Ask) -> Reply:
    """Link this account with the one-time word of an invitation."""
    if sign.too_often(ask.tried, f"{ask.surface}:{ask.account}"):
        raise no.TooFast()
    found = sign.use(ask.tx, "".join(t for t in ask.tokens if t.isascii()), ask.now, "link", "code", "paper")
    if found is None or found.staff not in ask.town.staff:
        raise no.BadInvite()
    volunteer = ask.town.staff[found.staff].volunteer and not ask.inside
    holds = sign.link(ask.tx, found, volunteer, ask.surface, ask.account, ask.now)
    return ask.told("did.register" if holds else "did.register.waits", person=ask.voice.person(found.staff))


@command("今日", "everyone", also="きょう 本日 today")
def today(ask: Ask) -> Reply:
    """What is this person's turn today, and what they are waiting for."""
    questions = open_questions(ask)
    voice = ask.voice
    if not questions:
        coming = min((w.due_at for c in ask.mine() for w in c.waits if w.kind not in TRACK), default=None)
        text = voice.say("today.none_next", day=voice.day(coming)) if coming else voice.say("today.none")
        return Reply(Message(text))
    text = voice.say("today.text", count=len(questions))
    return Reply(
        Message(text, voice.title_day(ask.now), wait_rows(ask, questions), (Choice("つぎへ", "つぎへ", "primary"),))
    )


@command("つぎへ", "everyone", also="次へ 次 つぎ next")
def next_(ask: Ask) -> Reply:
    """The day's open questions, one after another."""
    questions = open_questions(ask)
    if not questions:
        return Reply(Message(ask.voice.say("today.none")))
    case, wait = questions[0]
    return Reply(ask.card_of(case, wait, left=len(questions) - 1), case.number)


@command("一覧", "everyone", also="いちらん 一覧から選ぶ list")
def list_(ask: Ask) -> Reply:
    """The cases of this person: led, held, sent or asked."""
    rows = ask.rows()
    voice = ask.voice
    if not rows:
        return Reply(Message(voice.say("list.none")))
    facts_ = tuple(
        (
            f"{r.number} {ask.mark(r.id)}".strip(),
            f"{voice.label('stage', r.stage)} {voice.label('urgency', r.urgency)}".strip(),
        )
        for r in rows[:MOST_ROWS]
    )
    choices = tuple(Choice(f"{r.number} {ask.mark(r.id)}".strip(), r.number) for r in rows[:5])
    text = voice.say("list.text", count=len(rows))
    return Reply(Message(text, voice.say("list.title"), facts_, choices))


@command("番号", "everyone", also="みる 見る show", listed=True)
def show(ask: Ask) -> Reply:
    """A case at a glance: who holds it, until when, and what happens otherwise."""
    case = ask.case()
    return Reply(ask.summary(case), case.number)


@command("要対応", "coordinator", also="滞留 ようたいおう たいりゅう stuck")
def stuck(ask: Ask) -> Reply:
    """What waits for the coordinator: unanswered, twice declined, past due."""
    if not ask.speaker.has(Role.COORDINATOR, Role.OFFICIAL):
        raise no.CoordinatorsOnly()
    voice = ask.voice
    found = cases.exceptions(ask.tx, ask.sight, ask.now, most=MOST_ROWS, tracks=True)
    rows = [row for group in found for row in group.rows]
    city, said = _citys_turn(ask) if ask.speaker.has(Role.OFFICIAL) else ((), "")
    if not rows and not city:
        return Reply(Message(voice.say("stuck.none")))
    facts_ = (*city, *((r.case.number, voice.label("wait", r.wait.kind)) for r in rows))[:MOST_ROWS]
    choices = tuple(Choice(n, n) for n in dict.fromkeys(number for number, _ in facts_))[:5]
    text = voice.say("stuck.text", count=sum(group.total for group in found)) if rows else ""
    return Reply(Message("\n".join(filter(None, (said, text))), voice.say("stuck.title"), facts_, choices))


def _citys_turn(ask: Ask) -> tuple[tuple[tuple[str, str], ...], str]:
    """招集, 支援決定 and 事後承認 with their clocks; how many of them are after the fact stands in the sentence (domain.md, rule 5)."""
    voice, waiting = (
        ask.voice,
        cases.open_waits(ask.tx, ask.sight, kinds=("conference", "decision"), limit=LOOKED_THROUGH),
    )
    whole = {c.id: c for c in cases.load_several(ask.tx, [r.case.id for r in waiting])}
    rows = []
    for row in waiting:
        decision = whole[row.case.id].decision
        what = voice.label("decision", decision) if row.wait.kind == "decision" else voice.label("wait", row.wait.kind)
        rows.append((row.case.number, f"{what} {voice.moment(row.wait.due_at, ask.now)}"))
    late = sum(1 for r in waiting if r.wait.kind == "decision" and whole[r.case.id].decision == "pending")
    return tuple(rows), voice.say("stuck.city", count=len(rows), after=late) if rows else ""


@command("持ち件数", "head", also="負荷 もちけんすう ふか load")
def load(ask: Ask) -> Reply:
    """Leads and roles by agency; a hint, never a ranking of people."""
    if not ask.speaker.has(Role.HEAD, Role.COORDINATOR, Role.OFFICIAL):
        raise no.HeadsOnly()
    voice = ask.voice
    everything = ask.speaker.has(Role.COORDINATOR, Role.OFFICIAL)
    loads = cases.loads(ask.tx, ask.sight, ask.now)
    shown = [a for a in ask.town.agencies.values() if everything or a.code in ask.speaker.agencies]
    facts_ = tuple((a.name, load_line(ask, loads, a.code)) for a in shown)
    return Reply(Message(voice.say("load.text"), voice.say("load.title"), facts_))


#: Not at the stroke of 6/12; 6/3-6/5 are two days, 2026-06-03 is one.
_BETWEEN_DAYS = re.compile(r"[\s,、・～~〜]+|から|まで|(?<=[\d日])[-–](?=\d{1,2}[/月])")
LONGEST_AWAY = timedelta(days=400)


@command("不在 誰 から まで 代理", "everyone", also="ふざい absent away")
def absence(ask: Ask) -> Reply:
    """Away from a day to a day; the deputy answers meanwhile. Others' absence: head or coordinator."""
    tokens = [t for t in _BETWEEN_DAYS.split(ask.rest) if strip_polite(t)]
    days = [(t, d) for t in tokens if (d := _possible_day(ask, t))]
    if not days:
        raise no.NoSuchDay(text=ask.rest)
    who, deputy_named = _who_and_deputy(ask, tokens, {t for t, _ in days})
    start, end = days[0][1], days[-1][1]
    if len(days) > 2 or end < start or end < ask.today:
        raise no.FirstThenLastDay()
    if end > ask.today + LONGEST_AWAY:
        raise no.DayOutOfRange(latest=ask.now + LONGEST_AWAY)
    deputy = deputy_named.code if deputy_named else who.deputy
    if who.has(Role.COORDINATOR) and not deputy:
        raise no.AbsentNeedsDeputy(person=who.code)
    midnight = (0, 0)
    away = Absence(
        who.code,
        at_local(start, midnight, ask.town.tz),
        at_local(end + timedelta(days=1), midnight, ask.town.tz),
        deputy,
    )
    data = _keep_absence(ask, away)
    notices = tuple(
        Notice("absence", (Reader("staff", c),), data=data, soft=True)
        for c in {deputy, who.code} - {None, ask.speaker.code}
        if c
    )
    return ask.told("did.absence", notices=notices, person=ask.voice.person(who.code), start=ask.voice.day(away.start),
                    end=ask.voice.day(away.end - timedelta(minutes=1)), deputy=ask.voice.person(deputy) if deputy else "－")  # fmt: skip


def _keep_absence(ask: Ask, away: Absence) -> dict[str, object]:
    """Keep it, and a line of the town's journal; answer what that line and the notices say."""
    people.add_absence(ask.tx, away, ask.speaker.code, ask.now)
    start, end = (at.astimezone(ask.town.tz).date() for at in (away.start, away.end - timedelta(minutes=1)))
    data: dict[str, object] = {
        "person": away.staff,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "deputy": away.deputy,
    }
    journal.append_town(ask.tx, Entry("town.absence", data=data), ask.speaker.code, ask.surface, ask.now)
    return data


def _possible_day(ask: Ask, text: str) -> date | None:
    """The day that a text means, if it means one. Raises NoSuchDay for one that no calendar has."""
    day = find_day(text, ask.today)
    if day is None and DATED.search(text):
        raise no.NoSuchDay(text=text)
    return day


def _who_and_deputy(ask: Ask, tokens: list[str], days: set[str]) -> tuple[Staff, Staff | None]:
    """Whose absence it is stands before the days, the deputy behind them or behind 代理. Another's: head or coordinator."""
    first = next((i for i, t in enumerate(tokens) if t in days), len(tokens))
    marked = next((i for i, t in enumerate(tokens) if t.startswith("代理")), len(tokens))
    before = [_member(ask, t) for t in tokens[: min(first, marked)]]
    behind = [_member(ask, t) for t in tokens[min(first, marked) :] if t not in days and t != "代理"]
    if len(before) > 1 or len(behind) > 1:
        raise no.NoSuchDay(text=ask.rest)
    who, deputy = before[0] if before else ask.speaker, behind[0] if behind else None
    mine = ask.speaker.has(Role.COORDINATOR) or any(ask.speaker.heads(a) for a in who.agencies)
    if who.code == ask.speaker.code or mine:
        return who, deputy
    if deputy:
        raise no.HeadsOnly()
    # 「不在 井上 明日」 of somebody who is no head: their own absence with a deputy, perhaps. Nothing is guessed.
    said = " ".join(t for t in ask.rest.split() if find_day(t, ask.today))
    label = ask.voice.say("button.own_absence", person=ask.voice.person(who.code))
    raise no.WhoseAbsence(person=who.code, choices=((label, f"不在 {said} 代理 {who.code}"),))


def _member(ask: Ask, text: str) -> Staff:
    return ask.person(text.removeprefix("代理").removesuffix("から"))


@command("休み", "everyone", also="お休み やすみ おやすみ 休みます rest", listed=True)
def rest(ask: Ask) -> Reply:
    """A volunteer rests, any time, without a reason; whoever leads is told."""
    start = _possible_day(ask, ask.rest) or ask.today
    end = start + timedelta(days=6)
    if end < ask.today:
        raise no.FirstThenLastDay()
    midnight = (0, 0)
    away = Absence(
        ask.speaker.code,
        at_local(start, midnight, ask.town.tz),
        at_local(end + timedelta(days=1), midnight, ask.town.tz),
        ask.speaker.deputy,
    )
    if ask.speaker.has(Role.COORDINATOR) and not away.deputy:
        raise no.AbsentNeedsDeputy(person=ask.speaker.code)
    data = _keep_absence(ask, away)
    leads = {c.lead for c in ask.mine() if c.lead and c.lead != ask.speaker.code}
    notices = (
        (Notice("absence", tuple(Reader("staff", p) for p in sorted(leads)), data=data, soft=True),) if leads else ()
    )
    return ask.told("did.rest", notices=notices, end=ask.voice.day(away.end - timedelta(minutes=1)))
