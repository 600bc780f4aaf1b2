"""A case's page: its path with the ways back, who carries what, what is waited for, what happened; and its side panel in the chat."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from starlette.responses import Response

from bot.reading import as_written
from bot.site.frame import Desk, iso, nonce, show, worded
from bot.site.intake import TOLD
from bot.voice import Voice
from bot.voice.cards import AFTER, card
from bot.voice.scene import Scene
from storage import cases, journal, letters, marks, texts, turns
from storage.journal import Line
from storage.store import Tx
from workflow.case import Case, Handoff, Issue, Wait
from workflow.path import ACTIVE_STAGES, STAGES, moves
from workflow.people import LEAD, WATCH, Role
from workflow.promise import climbs_to
from workflow.stage import TOWARDS, missing
from workflow.who import knows, reach

SHOWN: Final = 30  #: lines of the story before 「もっと見る」
BACKS: Final = 3  #: ways back that are drawn; the story has them all
ANSWERED: Final = timedelta(minutes=10)  #: as long an answer stands above the page it was asked on
NARROWEST: Final = 12.0  #: percent of the lane that a name needs


async def case(found: Desk) -> Response:
    """One case for those who may know it; everybody else hears why not."""
    found.only(Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL)
    number = str(found.request.path_params["number"])
    view = await found.read(lambda tx: _view(tx, found, number))
    if view is None:
        return worded(
            found, "見つかりませんでした", "この番号の相談はありません。数字をもう一度お確かめください。", 404
        )
    if not view:
        text = "この相談に関わる方だけがご覧になれます。ご用のときは調整役へどうぞ。"
        return worded(found, "ご覧になれません", text, 403)
    return show(found, "case.html", f"{number} {view['stage']['label']}", "cases", **view)


def _view(tx: Tx, found: Desk, number: str) -> dict[str, Any] | None:
    case = cases.load(tx, number, lock=False)
    if case is None:
        return None
    if not knows(found.reader, case, found.town, found.now):
        return {}
    mark = marks.words_of(tx, found.reader.code).get(case.id, "")
    at = Look(found, case, mark)
    lines = journal.read(tx, case.id)
    own = {
        "hidden": _back(number),
        "path": _path(at, lines) | {"lanes": _lanes(at, lines)},
        "issues": _issues(at), "story": _story(at, lines), "waits": _waits(at), "holders": _holders(at),
        "answer": _answer(tx, found, number) if "said" in found.request.query_params else None,
        "undo": _undo(tx, found, case), "told": _told(tx, at, lines), "episodes": _episodes(tx, at),
    }  # fmt: skip
    return own | _head(at, lines) | _acts(at)


@dataclass(frozen=True)
class Look:
    """One case under one reader's eyes."""

    desk: Desk
    case: Case
    mark: str

    @property
    def voice(self) -> Voice:
        return self.desk.voice

    @property
    def now(self) -> datetime:
        return self.desk.now

    def t(self, words: str, **places: object) -> str:
        text = self.desk.t(words)
        for name, value in places.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def md(self, at: datetime) -> str:
        """6/12, without its weekday."""
        day = self.voice.day(at)
        return day.split("(")[0] if self.voice.lang == "ja" else day.partition(" ")[2]

    def stage(self, code: str) -> str:
        return self.voice.label("stage", code)

    @property
    def scene(self) -> Scene:
        return Scene(
            "summary", {}, self.case, None, None, self.desk.reader, None, self.desk.town, self.now, self.voice, self.mark
        )  # fmt: skip

    @property
    def leads(self) -> bool:
        return self.scene.stands("lead")

    @property
    def in_team(self) -> bool:
        return self.scene.stands("team")

    def people(self, codes: Iterable[str], most: int = 2) -> str:
        """The first few by name; more of them are 「ほか2人」."""
        known = list(dict.fromkeys(codes))
        more = self.t("ほか{n}人", n=len(known) - most) if len(known) > most else ""
        return f"{self.voice.people(tuple(known[:most]))} {more}".strip()


def beside(found: Desk, case: Case, mark: str) -> dict[str, Any]:
    """The case beside the conversation: nothing that the case itself does not say."""
    at = Look(found, case, mark)
    return {
        "number": case.number, "mark": mark, "path": _small_path(at), "facts": _facts(at), "waits": _waits(at)["rows"],
        "urgency": {"level": case.urgency.value, "label": found.voice.label("urgency", case.urgency.value)},
        "roles": [{"label": _role(at, h), "wait": _role_chip(at, h)} for h in (*case.held, *case.asked)],
    }  # fmt: skip


def _small_path(at: Look) -> dict[str, Any]:
    case = at.case
    order = (*ACTIVE_STAGES, *((case.stage,) if case.stage not in ACTIVE_STAGES else ()))
    here = order.index(case.stage)
    states = ["now" if i == here else "visited" if i < here else "todo" for i in range(len(order))]
    stations = [{"stage": s, "label": at.stage(s), "state": state} for s, state in zip(order, states, strict=True)]
    return {"sentence": at.t("いまは{stage}です。", stage=at.stage(case.stage)), "stations": stations}


def _facts(at: Look) -> list[dict[str, Any]]:
    case, voice = at.case, at.voice
    found = [{"label": at.t("主担当"), "value": _lead(at), "strong": True}]
    if case.district:
        found.append({"label": at.t("圏域"), "value": case.district})
    found.append(
        {"label": at.t("同意"), "value": voice.label("consent", case.consent.state) if case.consent else at.t("まだ")}
    )
    if case.issues:
        concerns = voice.join([voice.label("short", i.concern) for i in case.issues])
        found.append({"label": at.t("困りごと"), "value": concerns})
    return found


def _lead(at: Look) -> str:
    case, voice = at.case, at.voice
    if case.lead:
        return f"{_agency_of(at, case.lead)} {voice.person(case.lead)}".strip()
    return at.t("仮担当 {body}", body=voice.agency(case.interim or at.desk.town.body.code))


def _agency_of(at: Look, staff: str) -> str:
    known = at.desk.town.staff.get(staff)
    return at.voice.agency(known.agency) if known else ""


def _role(at: Look, h: Handoff) -> str:
    return f"{at.voice.label('duty', h.duty)} {at.voice.agency(h.to_agency)}"


def _role_chip(at: Look, h: Handoff) -> dict[str, Any]:
    """A role's state as a chip: what is answered is done, what is asked has its clock."""
    text = at.voice.label("handoff_state", h.state)
    if h.state in ("accepted", "active"):
        return {"kind": "done", "text": text}
    wait = next((w for w in at.case.waits_of(h.id) if w.kind in ("react", "decide")), None)
    if h.state == "on_hold" or wait is None or wait.paused_left is not None:
        return {"kind": "paused", "text": text}
    chip = at.scene.chip(wait)
    kind = "soon" if chip["kind"] == "late" else chip["kind"]
    return {"kind": kind, "share": chip["share"], "text": text}


# -- the head of the page


def _head(at: Look, lines: list[Line]) -> dict[str, Any]:
    case, voice = at.case, at.voice
    days = (
        (case.closed_at or at.now).astimezone(at.desk.town.tz).date()
        - case.opened_at.astimezone(at.desk.town.tz).date()
    ).days
    tags = [at.t("圏域 {district}", district=case.district)] if case.district else []
    tags.append(_consent(at))
    if case.decision == "pending":
        tags.append(at.t("支援決定 {state}", state=voice.label("decision", case.decision)))
    return {
        "number": case.number, "mark": at.mark, "stage": {"id": case.stage, "label": at.stage(case.stage)},
        "urgency": {"level": case.urgency.value, "label": voice.label("urgency", case.urgency.value)}, "tags": tags,
        "since": at.t("{day}から{n}日め", day=voice.title_day(case.opened_at, at.now).split("(")[0], n=days + 1),
        "count": len(lines),
    }  # fmt: skip


def _consent(at: Look) -> str:
    """「同意あり」, or the word with what is known of it."""
    state = at.voice.label("consent", at.case.consent.state) if at.case.consent else at.t("まだ")
    return state if state.startswith("同意") else at.t("同意 {state}", state=state)


# -- the path


@dataclass(slots=True)
class Visit:
    """One stay in one stage."""

    stage: str
    start: datetime
    end: datetime | None = None
    source: str | None = None
    reason: str = ""

    @property
    def back(self) -> bool:
        """Say whether the way here led back to an earlier stage."""
        order = ACTIVE_STAGES
        return self.source in order and self.stage in order and order.index(self.source) > order.index(self.stage)


def visits(lines: Iterable[Line]) -> list[Visit]:
    """Read a case's stays off its journal; new troubles of the same day are why it went back."""
    found: list[Visit] = []
    raised: datetime | None = None
    for line in lines:
        if line.kind in ("issue.note", "issue.raise"):
            raised = line.at
        if not line.kind.startswith("case.") or line.dest not in STAGES or line.source == line.dest:
            continue
        if line.source is not None and line.source not in STAGES:
            continue
        reason = str(line.data.get("reason") or "")
        if not reason and raised and found and raised > found[-1].start and line.at - raised < timedelta(days=1):
            reason = "new_issue"
        if found:
            found[-1].end = line.at
        found.append(Visit(line.dest, line.at, None, line.source, reason))
    return found


def _path(at: Look, lines: list[Line]) -> dict[str, Any]:
    stays = visits(lines) or [Visit(at.case.stage, at.case.opened_at)]
    beyond = [s for s in ("suspended", "closed") if any(v.stage == s for v in stays)]
    order = [*ACTIVE_STAGES, *beyond]
    began = max((i for i, v in enumerate(stays) if v.back), default=0)
    rounds = sum(v.back for v in stays)
    stations = [_station(at, s, [v for v in stays if v.stage == s], _way(s, order, stays, began)) for s in order]
    return {
        "sentence": _sentence(at, stays), "here": at.t("いまここ"), "stations": stations,
        "round": at.t("{n}回めの道のり", n=rounds + 1) if rounds else "",
        "backs": _backs(at, stays, order),
    }  # fmt: skip


def _way(stage: str, order: list[str], stays: list[Visit], began: int) -> str:
    """How the thread into a station looks: gone in this round, in an earlier one, or still to go."""
    here = order.index(stage)
    if here == 0:
        return "none"
    gone = ""
    for i, visit in enumerate(stays):
        if visit.source in order and order.index(visit.source) < here <= order.index(visit.stage):
            gone = "current" if i >= began else gone or "earlier"
    if stage in ("suspended", "closed"):
        beside_it = any(v.stage == stage and v.source == order[here - 1] for v in stays)
        return gone if beside_it else "none"
    return gone or "todo"


def _station(at: Look, stage: str, stays: list[Visit], way: str) -> dict[str, Any]:
    now = at.case.stage == stage
    state = "now" if now else "visited" if stays else "todo"
    return {"stage": stage, "label": at.stage(stage), "state": state, "dates": _dates(at, stays, now), "way": way}


def _dates(at: Look, stays: list[Visit], now: bool) -> str:
    if not stays:
        return at.t("これから") if at.case.open else ""
    last = stays[-1]
    newest = at.t("{day}から", day=at.md(last.start)) if now and at.case.open else at.md(last.start)
    if len(stays) > 1:
        return f"{at.md(stays[0].start)}　{at.t('{n}回め', n=len(stays))} {newest}"
    if last.end is not None and at.md(last.end) != at.md(last.start) and not now:
        return f"{newest}–{at.md(last.end)}"
    return newest


def _backs(at: Look, stays: list[Visit], order: list[str]) -> list[dict[str, Any]]:
    back = [v for v in stays if v.back][-BACKS:]
    return [
        {
            "from": order.index(str(v.source)), "to": order.index(v.stage), "current": v is back[-1],
            "label": at.t("{day} 戻る", day=at.md(v.start)), "reason": _why_back(at, v.reason),
            "line": f"{at.t('{day} {stage}に戻る', day=at.md(v.start), stage=at.stage(v.stage))} {_why_back(at, v.reason)}".strip(),
        }
        for v in back
    ]  # fmt: skip


def _why_back(at: Look, reason: str) -> str:
    if reason == "new_issue":
        return at.t("新しい困りごと")
    return at.voice.label("reintake", reason) if reason and reason != "other" else ""


def _sentence(at: Look, stays: list[Visit]) -> str:
    first = stays[0]
    parts = [at.t("{day}に{stage}", day=at.md(first.start), stage=at.stage(first.stage))]
    for v in [v for v in stays if v.back][-BACKS:]:
        ways = {"from": at.stage(str(v.source)), "to": at.stage(v.stage)}
        parts.append(at.t("{day}に{from}から{to}へ戻り", day=at.md(v.start), **ways))
    return at.voice.join([*parts, at.t("いまは{stage}です。", stage=at.stage(at.case.stage))])


# -- the lanes under it


@dataclass(frozen=True, slots=True)
class Stretch:
    """Somebody carries something for a time."""

    text: str
    style: str
    start: datetime
    end: datetime


def _lanes(at: Look, lines: list[Line]) -> dict[str, Any]:
    end = at.case.closed_at or at.now
    leads = _leads(at, lines, end)
    place = _scale(leads, at.case.opened_at, end)
    watched = _watched(at, lines, end)
    rows = [{"label": at.t("主担当"), "bars": _bars(leads, place)}]
    if watched:
        rows.append({"label": at.t("見届け役"), "bars": _bars(watched, place)})
    now = at.t("いま {day}", day=at.md(at.now)) if at.case.open else ""
    return {"rows": rows, "now": now, "stage": at.case.stage}


def _leads(at: Look, lines: list[Line], end: datetime) -> list[Stretch]:
    """Who led when: the opener, whoever accepted the lead, the body in between."""
    turns_: list[tuple[datetime, str, str]] = []
    for line in lines:
        if line.kind == "case.open":
            turns_.append((line.at, "holder", at.voice.agency(str(line.data.get("agency") or at.case.opened_agency))))
        elif line.kind == "case.lead" and line.dest:
            turns_.append((line.at, "holder", _agency_of(at, line.dest) or at.voice.person(line.dest)))
        elif line.kind == "case.interim":
            turns_.append((line.at, "interim", at.t("仮 {body}", body=at.voice.agency(line.dest))))
    ends = [*(t[0] for t in turns_[1:]), end]
    return [
        Stretch(f"{name} {at.md(start)}" if style == "holder" else name, style, start, stop)
        for (start, style, name), stop in zip(turns_, ends, strict=True)
        if stop > start
    ]  # fmt: skip


def _watched(at: Look, lines: list[Line], end: datetime) -> list[Stretch]:
    """見届け役: from the offer until the result has come back or the handoff has ended; what overlaps is one bar."""
    spans = []
    for h in at.case.handoffs:
        if h.from_agency != h.to_agency:
            over = min(filter(None, (h.result_at, h.ended_at, end)))
            if over > h.offered_at:
                spans.append((h.offered_at, over, h.from_agency))
    merged: list[tuple[datetime, datetime, list[str]]] = []
    for start, stop, agency in sorted(spans):
        if merged and start <= merged[-1][1]:
            before = merged.pop()
            merged.append((before[0], max(before[1], stop), [*before[2], agency]))
        else:
            merged.append((start, stop, [agency]))
    return [Stretch(at.voice.join([at.voice.agency(a) for a in names]), "sender", s, e) for s, e, names in merged]


def _scale(stretches: list[Stretch], begin: datetime, end: datetime) -> Callable[[datetime], float]:
    """Percent of the lane by time, but no stretch of a lead narrower than its name."""
    whole = max((end - begin).total_seconds(), 1.0)
    least = min(NARROWEST, 100 / max(len(stretches), 1))
    widths = [max((s.end - s.start).total_seconds() / whole * 100, least) for s in stretches] or [100.0]
    total = sum(widths)
    marks_ = [(begin, 0.0)]
    for i, s in enumerate(stretches):
        marks_.append((s.end, sum(widths[: i + 1]) / total * 100))

    def place(at: datetime) -> float:
        for (t0, p0), (t1, p1) in pairwise(marks_):
            if at <= t1:
                span = (t1 - t0).total_seconds()
                return p0 + (p1 - p0) * max(0.0, (at - t0).total_seconds()) / span if span > 0 else p1
        return 100.0

    return place


def _bars(stretches: list[Stretch], place: Callable[[datetime], float]) -> list[dict[str, Any]]:
    """Bars in order, none thinner than two percent, none over the next."""
    bars: list[dict[str, Any]] = []
    for s in stretches:
        start = max(round(place(s.start)), bars[-1]["end"] if bars else 0)
        end = min(100, max(round(place(s.end)), start + 2))
        if end > start:
            bars.append({"text": s.text, "style": s.style, "start": start, "end": end})
    return bars


# -- troubles and roles


def _issues(at: Look) -> dict[str, Any] | None:
    case = at.case
    if not case.issues:
        return None
    columns = _columns(at)
    rows = [_issue(at, i, columns) for i in case.issues]
    gaps = sum(1 for i in case.issues if i.status == "open" and not _carrying(case, i))
    key = "{n}つのうち{gaps}つに担い手がいません" if gaps else "{n}つ"
    return {
        "id": "issues", "title": at.t("困りごとと役割"), "summary": at.t(key, n=len(rows), gaps=gaps),
        "head": [at.t("困りごと"), at.t("ご本人の意向")], "agencies": [at.voice.agency(c) for c in columns], "rows": rows,
    }  # fmt: skip


def _carrying(case: Case, issue: Issue) -> list[Handoff]:
    return [h for h in (*case.held, *case.asked) if issue.no in h.issues]


def _columns(at: Look, most: int = 4) -> list[str]:
    """Agencies that carry or are asked something about a trouble, those that hold most first."""
    counted: dict[str, int] = {}
    for issue in at.case.issues:
        for h in _carrying(at.case, issue):
            counted[h.to_agency] = counted.get(h.to_agency, 0) + (2 if h.held else 1)
    return sorted(counted, key=lambda a: -counted[a])[:most]


def _issue(at: Look, issue: Issue, columns: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"issue": at.voice.label("concern", issue.concern), "cells": []}
    if issue.wish == "unknown":
        row["unknown"] = at.voice.label("wish", issue.wish)
    else:
        row["wish"] = at.voice.label("wish", issue.wish)
    carrying = _carrying(at.case, issue)
    if issue.status == "open" and not carrying:
        return row | {"gap": {"text": at.t("担い手がいません"), "act": _see_candidates(at, issue)}}
    if issue.status in ("gap", "not_wanted", "settled") and not carrying:
        cell = {"kind": "plain", "text": at.voice.label("issue_status", issue.status)}
        return row | {"cells": [cell, *({"kind": "none"} for _ in columns[1:])]}
    return row | {"cells": [_cell(at, [h for h in carrying if h.to_agency == c]) for c in columns]}


def _cell(at: Look, handoffs: list[Handoff]) -> dict[str, Any]:
    return _role_chip(at, handoffs[0]) if handoffs else {"kind": "none"}


def _see_candidates(at: Look, issue: Issue) -> dict[str, Any] | None:
    """「候補を見る」 for the duty whose field this trouble is; only for whoever may ask."""
    town = at.desk.town
    concern = town.concerns.get(issue.concern)
    fields = set(concern.fields if concern else (issue.concern,)) | {issue.concern}
    duty = next((d.code for d in town.duties.values() if d.code not in (LEAD, WATCH) and fields & set(d.fields)), None)
    if duty is None or not at.leads or not at.case.open or at.case.deceased:
        return None
    return {"label": at.t("候補を見る"), "token": f"|依頼 {at.case.number} {duty}", "hidden": _back(at.case.number)}


def _back(number: str) -> list[tuple[str, str]]:
    """Come back to this page, where the answer stands."""
    return [("back", f"/cases/{number}?said=1#answer"), ("nonce", nonce())]


# -- who, and what is waited for


def _holders(at: Look) -> list[dict[str, str]]:
    case, voice = at.case, at.voice
    lead = {
        "label": at.t("主担当"),
        "name": voice.agency(case.interim or at.desk.town.body.code),
        "detail": at.t("仮担当"),
    }
    if case.lead:
        lead |= {"name": voice.person(case.lead), "detail": _agency_of(at, case.lead)}
    watching = [h for h in case.handoffs if h.asked or h.state == "accepted" or h.awaits_result]
    if not watching:
        return [lead]
    key = "{agency}がつながるまで" if len(watching) == 1 else "{n}つの役割がつながるまで"
    detail = at.t(key, agency=voice.agency(watching[0].to_agency), n=len(watching))
    return [lead, {"label": at.t("見届け役"), "name": at.people(h.sender for h in watching), "detail": detail}]


def _waits(at: Look) -> dict[str, Any]:
    open_ = sorted(at.case.waits, key=lambda w: (w.paused_left is not None, w.due_at))
    rows = [{"label": _wait_label(at, w), "text": _whose(at, w), "wait": at.scene.chip(w)} for w in open_]
    calm = at.t("いま待っていることはありません。")
    return {"title": at.t("待っていること"), "count": str(len(rows)), "rows": rows, "calm": calm}


def _wait_label(at: Look, wait: Wait) -> str:
    handoff = at.case.handoff(wait.handoff) if wait.handoff else None
    label = at.voice.label("wait", wait.kind)
    if handoff:
        return f"{at.voice.label('duty', handoff.duty)} {label}"
    if wait.subject in at.desk.town.duties:
        return f"{at.voice.label('duty', wait.subject)} {label}"
    return f"{label} {at.voice.label('wait', wait.subject)}" if wait.kind == "queue" else label


def _whose(at: Look, wait: Wait) -> str:
    """Whose turn it is, and whom its silence reaches."""
    case, town, voice = at.case, at.desk.town, at.voice
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    owners = reach(wait.owner, case, town, at.now, handoff=handoff, owner=wait.owner)
    who = at.people(owners) or voice.label("relation", wait.owner)
    if handoff and wait.owner == "receiver" and not handoff.to_staff:
        who = voice.agency(handoff.to_agency)
    elif handoff and wait.owner in ("receiver", "holder"):
        who = f"{voice.agency(handoff.to_agency)} {who}"
    known = {wait.owner, "owner", "deputy"}
    onward = [r for r, people in climbs_to(wait, case, town, at.now) if people and r not in known]
    if not onward or wait.paused_left is not None:
        return who
    return at.t("{who} → 過ぎたら{next}", who=who, next=voice.join([voice.label("relation", r) for r in onward][:2]))


# -- the story


SIGNS: Final = {
    "case.lead": "offer", "case.interim": "offer", "case.urgency": "high", "case.abuse_suspected": "danger",
    "handoff.offer": "offer", "handoff.accept": "done", "handoff.agree": "done", "handoff.connect": "meet", "handoff.result": "done",
    "handoff.decline": "declined", "handoff.expire": "silent", "handoff.withdraw": "undo", "handoff.hold": "paused",
    "checkin.calm": "same", "checkin.worry": "waves", "checkin.seen": "lamp", "checkin.missed": "door", "request.phone": "phone",
    "request.talk": "chat", "request.concern": "waves", "wait.rung": "bell", "issue.mark_gap": "gap",
}  # fmt: skip
TONES: Final = {
    "done": "ok", "meet": "ok", "same": "ok", "bell": "soon", "door": "soon", "waves": "soon", "silent": "late", "danger": "late",
    "offer": "ai",
}  # fmt: skip


def _story(at: Look, lines: list[Line]) -> dict[str, Any]:
    everything = "all" in at.desk.request.query_params
    told = [line for line in lines if line.kind not in ("issue.hold", "issue.drop")]
    shown = told if everything else told[-SHOWN:]
    more = None
    if len(shown) < len(told):
        more = {
            "label": at.t("前のものも見る(ほか{n}件)", n=len(told) - len(shown)),
            "href": f"/cases/{at.case.number}?all=1#story",
        }
    rows = [_told_row(at, line) for line in reversed(shown)]
    return {"id": "story", "rows": rows, "more": more, "calm": at.t("まだ何も起きていません。")}


def _told_row(at: Look, line: Line) -> dict[str, Any]:
    moved = line.kind.startswith("case.") and line.dest in STAGES and line.source != line.dest
    sign = str(line.dest) if moved else SIGNS.get(line.kind, "list")
    tone = str(line.dest) if moved else TONES.get(sign, "")
    where = "auto" if line.actor in (None, "clock") else line.surface
    return {
        "id": f"j-{line.seq}", "at": {"text": f"{at.md(line.at)} {at.voice.clock(line.at)}", "iso": iso(line.at)}, "glyph": sign,
        "tone": tone, "text": said(at, line), "where": at.voice.label("surface", where),
    }  # fmt: skip


def said(at: Look, line: Line) -> str:
    """A line of the journal in words: its codes, people and days are worded here."""
    voice = at.voice
    key = f"line.{line.kind}"
    if line.kind == TOLD and not voice.has(key):
        return at.t("{actor}がはじめに聞いたことを書きとめました", actor=voice.person(line.actor))
    handoff = at.case.handoff(int(str(line.data["handoff"]))) if line.data.get("handoff") else None
    words = _about(at, handoff) | _data(at, line.data, handoff)
    words["actor"] = voice.person(line.actor) if line.actor not in (None, "clock") else voice.say("line.clock")
    words["dest"] = _dest(at, line)
    if "wait" in words and "duty" in words:
        words["wait"] = f"{words['duty']} {words['wait']}"
    text = voice.say(key if voice.has(key) else "line.unknown", **words)
    for empty in ("(まで)", "()", "( )", " (until )"):
        text = text.replace(empty, "")
    return text


def _about(at: Look, handoff: Handoff | None) -> dict[str, str]:
    if handoff is None:
        return {}
    voice = at.voice
    return {
        "duty": voice.label("duty", handoff.duty), "agency": voice.agency(handoff.to_agency), "holder": voice.person(handoff.holder),
        "reason": voice.label("decline", handoff.reason),
    }  # fmt: skip


def _data(at: Look, data: Mapping[str, object], handoff: Handoff | None) -> dict[str, str]:
    """The data of a line by what they are; handoff and duty are known already."""
    labels = {
        "result": "screening", "basis": "basis", "missing": "missing", "condition": "condition", "concern": "concern", "wish": "wish",
        "wait": "wait", "duty": "duty", "decision": "conference",
    }  # fmt: skip
    found: dict[str, str] = {}
    for name, value in data.items():
        if value is None or isinstance(value, list | tuple | dict):
            continue
        key, text = str(name), str(value)
        match name:
            case "holder" | "person" | "lead":
                found[key] = at.voice.person(text)
            case "agency":
                found[key] = at.voice.agency(text)
            case "code" if handoff is not None:
                found["reason"] = at.voice.label("decline", text)
            case "reason":
                found[key] = at.voice.label("closing", text)
            case "until":
                found[key] = _day(at, text)
            case "attempts" | "missed" | "calm":
                found[key] = text
            case _ if key in labels:
                found[key] = at.voice.label(labels[key], text)
    return found


def _day(at: Look, text: str) -> str:
    try:
        return at.voice.day(datetime.fromisoformat(text), at.now)
    except ValueError:
        return text


def _dest(at: Look, line: Line) -> str:
    dest = line.dest or ""
    match line.kind:
        case "case.lead":
            return f"{_agency_of(at, dest)} {at.voice.person(dest)}".strip()
        case "case.interim":
            return at.voice.agency(dest)
        case "case.consent" | "case.urgency" | "case.decision":
            return at.voice.label(line.kind.removeprefix("case."), dest)
        case "case.interval" | "checkin.lengthened":
            return at.voice.span(dest)
    return dest


# -- what one may do here


def _acts(at: Look) -> dict[str, Any]:
    case = at.case
    made = card(
        "summary", {}, case, None, None, reader=at.desk.reader, room=None, town=at.desk.town, at=at.now, voice=at.voice, mark=at.mark
    )  # fmt: skip
    chosen = [{"label": c.label, "token": f"|{c.says}", "style": c.style} for c in made.choices]
    if chosen and not any(c["style"] == "primary" for c in chosen):
        chosen[0]["style"] = "primary"
    return {"choices": chosen, "more": [*_more(at)], "onward": _onward(at)}


def _more(at: Look) -> Iterator[dict[str, Any]]:
    """「ほかの操作」: groups of words, each worded as whoever says them would."""
    case, n = at.case, at.case.number
    if not case.open:
        if at.desk.reader.has(Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL):
            yield _group(at, "つぎのご相談", [("再相談として受け付ける", f"再相談 {n}")])
        return
    if at.leads and not case.deceased:
        yield _group(
            at, "同意", [("あり", f"同意 {n} あり"), ("なし", f"同意 {n} なし"), ("これからうかがう", f"同意 {n} 未")]
        )
        yield from _wishes(at)
        if not case.conference and case.stage in ("untangling", "support"):
            yield _group(at, "会議", [("会議なしで進める", f"会議なし {n}")])
        onward = [(at.stage(s), f"移す {n} {_spoken(at, s)}") for s in _reachable(case)]
        if onward:
            yield _group(at, "段階を移す", onward)
        yield _group(
            at, "区切る", [("見直しました", f"見直し {n}"), ("中断を提案", f"中断 {n}"), ("終結を提案", f"終結 {n}")]
        )
    if not case.deceased:
        wanted = (("相談したい", f"相談 {n}"), ("電話がほしい", f"電話 {n}"), ("気がかり", f"気がかり {n}"))
        yield _group(at, "頼む", [*_urgent(at), *wanted])


def _urgent(at: Look) -> Iterator[tuple[str, str]]:
    n, level = at.case.number, at.case.urgency.value
    if level == "normal":
        yield "急ぎにする", f"急ぎ {n}"
    elif at.leads:
        yield "通常に戻す", f"通常 {n}"
    if level != "emergency":
        yield "緊急にする", f"緊急 {n}"


def _wishes(at: Look) -> Iterator[dict[str, Any]]:
    """The person's own wish, where nobody has asked yet."""
    for issue in at.case.issues:
        if issue.wish == "unknown" and issue.status in ("open", "held"):
            head = f"困りごと {at.case.number} {issue.concern}"
            title = at.t("{concern} ご本人の意向", concern=at.voice.label("concern", issue.concern))
            yield _group(at, title, [("望んでいる", f"{head} 望む"), ("望んでいない", f"{head} 望まない")])


def _reachable(case: Case) -> list[str]:
    """Stages that the path leads to from here, besides the one that the first button names."""
    events = moves("case", case.stage)
    return [s for s, event in TOWARDS.items() if event in events and s != AFTER.get(case.stage) and s != "intake"]


def _spoken(at: Look, stage: str) -> str:
    return {"untangling": "ほぐし", "role_division": "役割分担", "support": "支援", "watching": "見守り"}.get(
        stage, stage
    )


def _group(at: Look, title: str, words: Iterable[tuple[str, str]]) -> dict[str, Any]:
    return {"title": at.t(title), "choices": [{"label": at.t(label), "token": f"|{says}"} for label, says in words]}


def _onward(at: Look) -> dict[str, Any] | None:
    """What the next stage still needs, before anybody presses in vain."""
    target = AFTER.get(at.case.stage, "")
    event = TOWARDS.get(target, "")
    if not at.leads or at.case.deceased or event not in moves("case", at.case.stage):
        return None
    facts = [at.voice.say(f"fact.{g}") for g in missing(at.case, event)]
    return (
        {"text": at.t("「{stage}」へ進むには、つぎがいります。", stage=at.stage(target)), "facts": facts}
        if facts
        else None
    )


# -- the answer to one's own words, and taking back


def _answer(tx: Tx, found: Desk, number: str) -> dict[str, Any] | None:
    """The newest answer, on the page where it was asked for: a preview to send, a refusal with its way out."""
    mine = letters.for_person(tx, found.reader.code, (), 0, 20, surface="web", latest=True)
    row = next((r for r in reversed(mine) if r.kind == "answer" and r.to_room is None), None)
    if row is None or found.now - row.created_at > ANSWERED:
        return None
    made = as_written(row)
    lines = [made.text, *(f"{label}: {value}" for label, value, _ in made.facts)]
    return {
        "id": f"m-{row.id}", "who": {"name": "つなぎ", "bot": True}, "private": False,
        "at": {"text": found.voice.clock(row.created_at), "iso": iso(row.created_at)},
        "text": "\n".join(filter(None, [made.title, *lines])),
        "choices": [{"label": c.label, "token": f"{row.token}|{c.says}"} for c in made.choices],
        "hidden": _back(number),
    }  # fmt: skip


def _undo(tx: Tx, found: Desk, case: Case) -> dict[str, Any] | None:
    """取消, for as long as it would work: nobody else has acted and the minutes are not over."""
    turn = turns.of(tx, found.reader.code)
    undo = turn.undo if turn else None
    if not undo or not undo.get("says") or undo["case"] != case.id or undo["version"] != case.version:
        return None
    left = int((datetime.fromisoformat(undo["until"]) - found.now).total_seconds())
    if left <= 0:
        return None
    return {
        "text": found.t("いまの操作は取り消せます。"), "left": left, "token": "|取消", "label": found.t("取り消す"),
        "left_label": found.t("あと{n}分").replace("{n}", str(max(1, left // 60))),
        "hidden": _back(case.number),
    }  # fmt: skip


# -- sealed words, other episodes


def _told(tx: Tx, at: Look, lines: list[Line]) -> list[dict[str, str]]:
    """Sealed words, opened for the team alone: what was heard at first, and the signs to watch for."""
    if not at.in_team:
        return []
    ids = [int(str(line.data["text"])) for line in lines if line.kind == TOLD and line.data.get("text")]
    wanted = [
        *((i, at.t("はじめに聞いたこと")) for i in ids),
        *(((at.case.signs, at.t("気をつけること")),) if at.case.signs else ()),
    ]
    opened = texts.get_several(tx, [i for i, _ in wanted]) if wanted else {}
    return [{"title": title, "text": opened[i]} for i, title in wanted if i in opened]


def _episodes(tx: Tx, at: Look) -> list[dict[str, str]]:
    """The household's other consultations, those that this reader may know."""
    found = []
    for row in cases.of_household(tx, at.case.household):
        other = cases.load(tx, row.id, lock=False) if row.id != at.case.id else None
        if other is not None and knows(at.desk.reader, other, at.desk.town, at.now):
            when = f"{at.voice.day(row.opened_at, at.now)} {at.stage(row.stage)}"
            found.append({"number": row.number, "href": f"/cases/{row.number}", "when": when})
    return found
