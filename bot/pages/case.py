"""One case: its path, who leads and who watches, what is waited for, issues and roles, what happened, and what can be done."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from bot.looks import named
from bot.pages import fates, known, naming, path, persons, saying
from bot.pages.beside import chip, holders, owners, wait_label
from bot.pages.conference import knows_kind
from bot.pages.frame import Desk, NotFound, View, at, guards, show, urgency
from bot.pages.looks import may_see
from bot.pages.turns import asks_now, card_view
from bot.voice.cards import card
from bot.voice.timeline import sentence
from bot.voice.why import worded
from bot.words import whole_number
from storage import cases, conferences, conversation, journal, marks, plans, texts
from storage.cases import CaseRow
from storage.journal import Line
from storage.tx import Tx
from workflow import number as numbers
from workflow.case import TRACK, Case, Handoff, Issue, Wait
from workflow.conference import Conference
from workflow.ladder import Urgency
from workflow.people import LEAD, Role
from workflow.promise import climbs_to
from workflow.report import aware, seen_by
from workflow.who import reach, stands, team

LINES: Final = 20
#: Agencies that stand as columns of issues × roles.
COLUMNS: Final = 5


async def case(found: Desk) -> Response:
    """Whoever may not know a case is told the same as of one that is not there."""
    typed = numbers.find(str(found.request.path_params["number"]))
    await naming.give(found)
    view = await found.read(lambda tx: _view(tx, found, typed[0])) if typed else None
    if view is None:
        raise NotFound
    found.looked(view["number"], *(one["number"] for one in view.get("episodes", ())), *named(view["said"]))
    title = f"{view['number']} {view['stage']['label']}"
    return show(found, "case.html", title, "cases", **view)


def _view(tx: Tx, found: Desk, number: str) -> View | None:
    one = cases.load(tx, number, lock=False)
    why = None if one is None else found.sight.why(one)
    if one is None or why is None:
        return None
    knows_all = aware(found.reader, one, found.town, found.now)
    one = seen_by(found.reader, one, found.town, found.now)
    back = f"/cases/{one.number}"
    place = f"case:{one.number}"
    hidden = saying.fields(found, place, back)
    mark = marks.words_of(tx, found.reader.code).get(one.id, "")
    shown = _head(found, one, mark, erased=texts.forgotten(tx, one.household)) | {
        "why": found.t("ご覧になれるわけ: {why}", why=worded(why, found.voice, found.now)),
        "mine": _mine(found, one, mark, hidden), "said": saying.said_here(tx, found, place, back),
        "undo": saying.undo(tx, found, place, back), "hidden": hidden, "whole": whole(found, one), "moves": _moves(found, one),
        "lead_acts": _onward(found, one, mark, hidden),
    }  # fmt: skip
    if not shown["whole"]:
        heed = texts.get(tx, one.signs) if one.signs and _watches(found, one) else None
        return shown | {"heed": heed}
    sat = conferences.of_case(tx, one.id)
    there = known.shelf(tx, found, one)
    lines = [
        line for line in journal.read(tx, one.id) if _told(found, line, sat) and (knows_all or not _of_track(line))
    ]
    lines = [line for line in lines if line.data.get("item") not in there.unknown]
    household = cases.of_household(tx, found.sight, one.household)
    # What was written is of the household: with a case of it that is hidden from the reader, so may be the words.
    written = [] if household.hidden else _written(tx, found, one, lines, household.known)
    return shown | {
        "episodes": _episodes(found, one, household.known),
        "conferences": [_conference(found, c) for c in sat if c.state != "cancelled"], "plans": _plans(tx, found, one, sat),
        "call": f"/conferences?case={one.number}#call" if found.may(Role.COORDINATOR, Role.OFFICIAL) and one.open else "",
        "path": path.view(found, one, lines), "holders": holders(found, one), "waits": _waits(found, one),
        "issues": _issues(found, one, hidden), "timeline": _timeline(found, one, lines), "written": written,
        "persons": persons.summary(tx, found, one), "known": known.view(tx, found, one, there),
        "letters": fates.of_case(tx, found, one.id, one.number, _most(found, "letters"), LINES, whole=knows_all),
    }  # fmt: skip


def _of_track(line: Line) -> bool:
    """Say whether a line tells of a suspicion: those who need not act on it do not see it."""
    return line.kind.startswith("report.") or line.kind == "case.abuse_suspected" or line.data.get("wait") in TRACK


def whole(found: Desk, one: Case) -> bool:
    """Say whether the reader may see more than number, role and district: those at work on it, not those only asked."""
    me = found.reader
    if me.volunteer:
        return False
    without = replace(one, handoffs=tuple(h for h in one.handoffs if not h.asked))
    return me.code in team(one, found.town) or found.sight.knows(without)


def _watches(found: Desk, one: Case) -> bool:
    return any(h.holder == found.reader.code for h in one.held)


def _head(found: Desk, one: Case, mark: str, *, erased: bool) -> View:
    voice = found.voice
    known = one.district and (whole(found, one) or not one.flags)
    place = found.t("圏域 {district}", district=one.district) if known else ""
    leads = stands("lead", found.reader, one, found.town, found.now)
    barred = [found.t("除く {agency}", agency=voice.agency(a)) for a in one.barred] if leads else []
    tags: list[str] = []
    if erased:
        tags.append(found.t("消去済み(統計だけ)"))
    if whole(found, one):
        state = one.consent.state if one.consent else "not_sought"
        tags.append(found.t("同意 {state}", state=voice.label("consent", state)))
    days = ((one.closed_at or found.now) - one.opened_at).days + 1
    since = found.t("{day}から{n}日め", day=voice.title_day(one.opened_at, found.now), n=days)
    return {
        "number": one.number, "mark": mark, "urgency": urgency(found, one.urgency.value), "tags": tags, "since": since,
        "guards": guards(found, one.restricted, one.flags), "flagged": bool(one.flags), "place": place, "barred": barred,
        "stage": {"id": one.stage, "label": voice.label("stage", one.stage)}, "open": one.open,
        "looks": f"/looks?number={one.number}" if may_see(found) else "",
        "phones": _phones(found, one),
    }  # fmt: skip


def _phones(found: Desk, one: Case) -> list[View]:
    """まず電話を: in an emergency, and while a suspicion of abuse is open, for those who know of it."""
    suspected = {r.kind for r in one.reports if r.open}
    if not one.open or not (suspected or one.urgency is Urgency.EMERGENCY):
        return []
    rows = [(line.label, line.number) for line in found.town.reports if line.kind in suspected]
    rows += [(row.name, row.phone) for row in found.town.on_duty(found.now)[:1]]
    rows += [(p.label, p.number) for p in found.town.phones]
    return [{"label": label, "number": number} for label, number in dict.fromkeys(rows)]


# -- whose turn, and what can be done


def _mine(found: Desk, one: Case, mark: str, hidden: list[tuple[str, str]]) -> list[View]:
    """The reader's own open questions as the cards that answer them."""
    me = found.reader.code
    shown = []
    for wait in sorted(one.waits, key=lambda w: (-w.urgency.rank, w.due_at)):
        handoff = one.handoff(wait.handoff) if wait.handoff else None
        people = reach(wait.owner, one, found.town, found.now, handoff=handoff, owner=wait.owner)
        offers_me = wait.kind in ("react", "decide") or asks_now(wait, found.now)
        if me in people and wait.paused_left is None and offers_me:
            shown.append(card_view(found, one, wait, mark, hidden))
    return shown[:4]


def _onward(found: Desk, one: Case, mark: str, hidden: list[tuple[str, str]]) -> View | None:
    """The summary's buttons: what the lead may do next."""
    made = card(
        "summary",
        {},
        one,
        None,
        None,
        reader=found.reader,
        room=None,
        town=found.town,
        at=found.now,
        voice=found.voice,
        mark=mark,
    )
    choices = [{"label": c.label, "token": c.says, "style": c.style} for c in made.choices]
    return {"choices": choices, "hidden": hidden} if choices else None


def _moves(found: Desk, one: Case) -> list[View]:
    """Every other word about this case, as buttons by what they are about; the domain decides, kindly."""
    me, town, now = found.reader, found.town, found.now
    if not one.open:
        may = me.has(Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL)
        return [_group(found, "つづき", one.number, ("再相談",))] if may else []
    leads = stands("lead", me, one, town, now)
    groups = []
    if leads:
        groups.append(_group(found, "つなぐ", one.number, ("依頼", "一斉依頼", "打診", "担当替え")))
        groups.append(
            _group(found, "書きとめる", one.number, ("見立て", "同意", "困りごと", "会議なし", "間隔", "見直し"))
        )
        groups.append(_group(found, "段階", one.number, ("移す", "中断", "再開", "終結", "提案取下げ", "逝去")))
    for handoff in one.handoffs:
        if words := _of_handoff(found, one, handoff):
            name = f"{found.voice.label('duty', handoff.duty)} {found.voice.agency(handoff.to_agency)}"
            groups.append(_group(found, name, f"{one.number}#{handoff.no}", words))
    if me.has(Role.COORDINATOR):
        groups.append(_group(found, "調整役", one.number, ("仮担当", "区切り", "会議", "承認")))
    elif me.has(Role.OFFICIAL):
        groups.append(_group(found, "市担当課", one.number, ("決定", "招集", "承認")))
    if not me.volunteer:
        tracked = ("通報済", "安全確認", *(("虐待終了",) if me.has(Role.OFFICIAL) else ()))
        words = ("虐待", *(tracked if any(r.open for r in one.reports) else ()))
        groups.append(_group(found, "虐待かもしれないとき", one.number, words))
    if leads or me.has(Role.OFFICIAL):
        groups.append(_group(found, "守る", one.number, ("限定", "除く", "保護") if leads else ("保護",)))
    words = ("急ぎ", "緊急", "通常") if leads else ("急ぎ", "緊急")
    return [*groups, _group(found, "急ぎぐあいと相談", one.number, (*words, "気がかり", "相談", "電話", "話しました"))]


def _group(found: Desk, title: str, number: str, words: Sequence[str]) -> View:
    return {"title": found.t(title), "words": [{"label": found.t(word), "token": f"{word} {number}"} for word in words]}


def _of_handoff(found: Desk, one: Case, handoff: Handoff) -> tuple[str, ...]:
    def stand(*relations: str) -> bool:
        return any(stands(r, found.reader, one, found.town, found.now, handoff=handoff) for r in relations)

    if handoff.asked:
        asked = ("引受", "条件引受", "検討", "質問", "空き待ち", "辞退") if stand("receiver", "head") else ()
        return asked or (("取下げ", "誤登録", "代理") if stand("sender") else ())
    if handoff.held:
        held = (
            ("つながった", "会えず", "変わりなし", "気になる", "戻す", "役割終了", "つながらず")
            if stand("holder")
            else ()
        )
        return held or (("取下げ",) if stand("sender") else ())
    return ()


# -- waits


def _waits(found: Desk, one: Case) -> View:
    rows = [
        {"label": wait_label(found, one, w), "text": _next(found, one, w), "wait": chip(found, one, w)}
        for w in sorted(one.waits, key=lambda w: w.due_at)
        if w.kind != "conference" or found.may(Role.COORDINATOR, Role.OFFICIAL)
    ]
    count = found.t("{n}件", n=len(rows))
    return {"title": found.t("待っていること"), "count": count, "rows": rows, "calm": found.t("終結しています。")}


def _next(found: Desk, one: Case, wait: Wait) -> str:
    """Whose turn it is, and whom silence reaches next."""
    now = owners(found, one, wait)
    due = found.voice.moment(wait.due_at, found.now)
    steps = [relation for relation, people in climbs_to(wait, one, found.town, found.now) if people]
    later = [r for r in dict.fromkeys(steps) if r not in ("owner", wait.owner)]
    named = found.voice.join([found.voice.label("relation", r) for r in later[:3]])
    whose = found.t("{who} {due} まで", who=now, due=due)
    return found.t("{whose} → 過ぎたら {people}へ", whose=whose, people=named) if named else whose


# -- issues × roles


def _issues(found: Desk, one: Case, hidden: list[tuple[str, str]]) -> View:
    live = [h for h in one.handoffs if (h.held or h.asked) and h.duty != LEAD]
    agencies = list(dict.fromkeys(h.to_agency for h in live))[:COLUMNS]
    rows = [_issue(found, one, issue, live, agencies, hidden) for issue in one.issues]
    gaps = sum(1 for row in rows if row.get("gap"))
    if not rows:
        summary = found.t("まだ書きとめられていません")
    elif not one.open:
        summary = found.t("終結したときのようすです")
    elif gaps:
        summary = found.t("{all}つのうち{n}つに担い手がいません", all=len(rows), n=gaps)
    else:
        summary = found.t("{all}つとも担い手がいるか、決めごとがあります", all=len(rows))
    return {
        "id": "issues", "title": found.t("困りごとと役割"), "summary": summary, "head": [found.t("困りごと"), found.t("ご本人の意向")],
        "agencies": [found.voice.agency(a) for a in agencies] or [found.t("担い手")], "rows": rows,
    }  # fmt: skip


def _issue(
    found: Desk, one: Case, issue: Issue, live: Sequence[Handoff], agencies: Sequence[str], hidden: list[tuple[str, str]]
) -> View:  # fmt: skip
    voice = found.voice
    mine = [h for h in live if issue.no in h.issues]
    row: View = {"issue": voice.label("concern", issue.concern)}
    if issue.wish == "unknown":
        row["unknown"] = found.t("未確認")
    else:
        row["wish"] = voice.label("wish", issue.wish)
    if issue.status in ("settled", "not_wanted"):
        cells: list[View] = [{"kind": "plain", "text": voice.label("issue_status", issue.status)}]
        return row | {"cells": cells + [{"kind": "none"}] * (max(1, len(agencies)) - 1)}
    if not mine and not one.open:
        return row | {
            "cells": [{"kind": "plain", "text": _left(found, one, issue)}] + [{"kind": "none"}] * (len(agencies) - 1)
        }
    if not mine:
        text = found.t("資源がありません" if issue.status == "gap" else "担い手がいません")
        leads = one.open and stands("lead", found.reader, one, found.town, found.now)
        act = {
            "label": found.t("候補を見る"),
            "token": f"依頼 {one.number} {_duty_for(found, issue)}".strip(),
            "hidden": hidden,
        }
        return row | {"gap": {"text": text, "act": act} if leads else {"text": text}}
    return row | {"cells": [_cell(found, [h for h in mine if h.to_agency == a]) for a in agencies]}


def _left(found: Desk, one: Case, issue: Issue) -> str:
    """What a closed case says of an issue that nobody holds any more."""
    if issue.status == "gap":
        return found.t("終結時: 資源なし")
    held = any(issue.no in h.issues and h.accepted_at for h in one.handoffs)
    return found.t("役割を終えました" if held else "終結時: 担い手なし")


def _duty_for(found: Desk, issue: Issue) -> str:
    fields = set(found.town.concerns[issue.concern].fields) if issue.concern in found.town.concerns else set()
    return next((d.code for d in found.town.duties.values() if fields & set(d.fields)), "")


def _cell(found: Desk, here: Sequence[Handoff]) -> View:
    if not here:
        return {"kind": "none"}
    handoff = next((h for h in here if h.held), here[0])
    label = found.voice.label("handoff_state", handoff.state)
    kinds = {
        "active": "done",
        "accepted": "done",
        "on_hold": "paused",
        "info_requested": "paused",
        "waitlisted": "paused",
    }
    return {"kind": kinds.get(handoff.state, "soon"), "text": label, "share": 0.5}


# -- conferences and plans


def _conference(found: Desk, one: Conference) -> View:
    """「会議」 and its date for the team; kind and page for those who may know."""
    knows_it, voice = knows_kind(one, found), found.voice
    return {
        "id": f"conference-{one.id}", "label": voice.label("conference_kind", one.kind) if knows_it else found.t("会議"),
        "href": f"/conferences/{one.id}" if knows_it else "", "state": voice.label("conference_state", one.state),
        "when": at(found, one.at) if one.at else {"text": found.t("日時はこれから")},
    }  # fmt: skip


def _told(found: Desk, line: Line, sat: Sequence[Conference]) -> bool:
    """Say whether a line of the journal is for this reader: who was called, answered or asked the city stays with a conference."""
    if line.kind in ("request.conference", "case.convened"):
        return found.may(Role.COORDINATOR, Role.OFFICIAL) or any(c.support and knows_kind(c, found) for c in sat)
    if not line.kind.startswith("conference."):
        return True
    return any(c.id == line.data.get("conference") and knows_kind(c, found) for c in sat)


def _plans(tx: Tx, found: Desk, one: Case, sat: Sequence[Conference]) -> list[View]:
    """Every version, the current one of each kind first. Words written in a 支援会議 stay on its own page, which no agency prints."""
    voice, shut = found.voice, {c.id for c in sat if c.support}
    kept = sorted(plans.of_case(tx, one.id), key=lambda p: (p.to_at is not None, p.kind, -p.version))
    words = texts.get_several(tx, [p.text for p in kept if p.text and p.conference not in shut])
    rows = []
    for p in kept:
        issues, roles = p.doc.get("issues") or (), p.doc.get("roles") or ()
        assert isinstance(issues, list | tuple) and isinstance(roles, list | tuple)
        since, until = voice.day(p.from_at, found.now), voice.day(p.to_at, found.now) if p.to_at else ""
        rows.append({
            "id": f"plan-{p.id}", "kind": voice.label("plan_kind", p.kind), "version": found.t("第{n}版", n=p.version),
            "current": p.to_at is None, "words": words.get(p.text or 0, ""),
            "span": found.t("{from}から{to}", **{"from": since, "to": until}) if until else found.t("{from}から", **{"from": since}),
            "issues": voice.join([voice.label("concern", str(i[0])) for i in issues]),
            "roles": [f"{voice.label('duty', str(r[0]))} {voice.agency(str(r[1]))} {voice.person(str(r[2] or ''))}".strip() for r in roles],
        })  # fmt: skip
    return rows


# -- what happened

GLYPHS: Final = {
    "handoff.offer": ("offer", "ai"), "handoff.accept": ("done", "ok"), "handoff.agree": ("done", "ok"), "handoff.connect": ("done", "ok"),
    "handoff.decline": ("declined", ""), "handoff.expire": ("late", "late"), "handoff.attempt": ("door", "soon"),
    "handoff.withdraw": ("return", ""), "handoff.release": ("return", "soon"), "handoff.hold": ("paused", ""),
    "checkin.calm": ("same", "ok"), "checkin.worry": ("waves", "soon"), "checkin.seen": ("lamp", "ok"), "checkin.missed": ("door", "soon"),
    "wait.rung": ("bell", "soon"), "wait.extended": ("clock", ""), "wait.moved": ("clock", ""), "case.urgency": ("high", "soon"), "case.lead": ("meet", "ai"),
    "case.interim": ("meet", "soon"), "case.abuse_suspected": ("danger", "late"),
}  # fmt: skip
MOVES: Final = frozenset({
    "case.open", "case.untangle", "case.reintake", "case.divide", "case.support", "case.watch", "case.suspend", "case.resume", "case.close",
    "case.close_at_once",
})  # fmt: skip


def _most(found: Desk, name: str) -> int:
    return max(LINES, min(whole_number(found.query(name)) or 0, 2_000))


def _timeline(found: Desk, one: Case, lines: Sequence[Line]) -> View:
    most = _most(found, "lines")
    newest = list(reversed(lines))
    shown: View = {
        "id": "timeline", "calm": found.t("まだ何もありません。"), "rows": [_row(found, one, line) for line in newest[:most]],
    }  # fmt: skip
    if len(newest) > most:
        href = f"/cases/{one.number}?lines={most + LINES}#timeline"
        shown["more"] = {"label": found.t("ほか{n}件を見る", n=len(newest) - most), "href": href}
    return shown


def _row(found: Desk, one: Case, line: Line) -> View:
    glyph, tone = GLYPHS.get(line.kind, ("clock", ""))
    if line.kind in MOVES and line.dest:
        glyph = tone = line.dest
    text = sentence(line.kind, line.actor, line.dest, line.data, one, found.voice, found.now)
    where = found.voice.label("surface", "auto" if line.actor in (None, "clock") else line.surface)
    return {
        "id": f"line-{line.seq}",
        "at": at(found, line.at),
        "glyph": glyph,
        "tone": tone,
        "text": text,
        "where": where,
    }


def _written(tx: Tx, found: Desk, one: Case, lines: Sequence[Line], episodes: Sequence[CaseRow]) -> list[View]:
    """What was written beside the items, for those at work on the case; of the household's earlier episodes too."""
    others = [row.id for row in episodes if row.id != one.id]
    told = [*lines, *(line for id_ in others for line in journal.read(tx, id_))]
    return [
        {"id": w.id, "at": at(found, w.at), "by": found.voice.person(w.by), "words": w.words}
        for w in conversation.written(tx, known.told_before(one, told))
    ]


def _episodes(found: Desk, one: Case, known: Sequence[CaseRow]) -> list[View]:
    """The same household's other episodes."""
    others = [row for row in known if row.id != one.id]
    return [
        {"number": r.number, "href": f"/cases/{r.number}", "label": found.voice.label("stage", r.stage)} for r in others
    ]
