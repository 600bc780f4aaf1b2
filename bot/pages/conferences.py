"""Conferences: one's own, the city's queue with its clocks, and calling one. What is said there is bot/pages/conference.py's."""

import re
from datetime import datetime, timedelta
from typing import Final

from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from bot.pages import saying
from bot.pages.frame import Desk, View, at, due, show
from bot.record import record_all
from bot.voice.refusals import word
from bot.words import at_local, clean, find_clock, find_day
from storage import cases, conferences, marks
from storage.cases import OpenWait
from storage.tx import Tx
from workflow import conference as decisions
from workflow import number as numbers
from workflow import refusals as no
from workflow.case import Case
from workflow.conference import COORDINATION, SUPPORT, Conference
from workflow.facts import consented
from workflow.people import Role

PLACE: Final = "conferences"
NUMBER: Final = re.compile(r"\d{3}-?\d{3}-?\d{2}")
#: A conference without a clock time begins when desks open.
MORNING: Final = (9, 0)
FARTHEST: Final = timedelta(days=731)
MOST: Final = 20


async def page(found: Desk) -> Response:
    """GET: the lists, with `case` the form that calls one about it. POST: call it."""
    if found.request.method != "POST":
        return await _page(found)
    form = await found.request.form()
    try:
        id_ = await found.write(lambda tx: _call(tx, found, form))
    except no.Refusal as refusal:
        return await _page(found, form, refused(found, refusal))
    return RedirectResponse(f"/conferences/{id_}", 303)


def refused(found: Desk, refusal: no.Refusal, case: Case | None = None) -> View:
    """A no in words, with what helps as buttons."""
    message = word(refusal, found.voice, found.now, case=case)
    choices = [{"label": c.label, "token": c.says, "style": c.style} for c in message.choices]
    return {"text": message.text, "choices": choices, "hidden": saying.fields(found, PLACE, "/conferences")}


# -- calling


def _call(tx: Tx, found: Desk, form: FormData) -> int:
    act = found.act
    meant = [case_named(tx, found, typed) for typed in NUMBER.findall(_given(form, "cases"))[:MOST]]
    if not meant:
        raise no.NoSuchCase(number="")
    whole = [one for i in sorted({c.id for c in meant}) if (one := cases.load(tx, i, lock=True)) is not None]
    kind = SUPPORT if _given(form, "kind") == SUPPORT else COORDINATION
    ids = tuple(one.id for one in whole)
    same = (c for c in conferences.of_case(tx, ids[0]) if (c.state, c.kind, c.cases) == ("planned", kind, ids))
    if (there := next(same, None)) is not None:
        return there.id  # the form was sent twice
    members = [str(m) for m in form.getlist("member")][:MOST] + _also(found, _given(form, "also"))
    place = _given(form, "place") if _given(form, "place") in decisions.PLACES else ""
    called = decisions.call(
        kind, whole, members, when(found, _given(form, "day"), _given(form, "time")), act, place=place
    )
    conferences.insert_one(tx, called.conference)
    record_all(tx, called.outcomes)
    return called.conference.id


def case_named(tx: Tx, found: Desk, typed: str) -> Case:
    """The case of a number, if its reader may know it. Raises NoSuchCase."""
    found_number = numbers.find(typed)
    one = cases.load(tx, found_number[0], lock=False) if found_number else None
    if one is None or not found.sight.knows(one):
        raise no.NoSuchCase(number=typed)
    return one


def when(found: Desk, day: str, time: str) -> datetime | None:
    """A day and a clock time of a form; None without a day. Raises NoSuchDay, DayOutOfRange."""
    if not day.strip():
        return None
    today = found.now.astimezone(found.town.tz).date()
    local = find_day(day, today)
    if local is None:
        raise no.NoSuchDay(text=day)
    if not timedelta(0) <= local - today <= FARTHEST:
        latest = found.now + FARTHEST
        raise no.DayOutOfRange(latest=latest, past=local < today)
    return at_local(local, find_clock(time) or MORNING, found.town.tz)


def _also(found: Desk, typed: str) -> list[str]:
    """Others by code or name. Raises NoSuchPerson."""
    known = {name: s.code for s in found.town.staff.values() for name in (s.code, s.name)}
    asked = [t.removesuffix("さん") for t in re.split(r"[\s,、・]+", typed) if t][:MOST]
    for one in asked:
        if one not in known:
            raise no.NoSuchPerson(text=one)
    return [known[one] for one in asked]


def _given(form: FormData, name: str) -> str:
    return clean(str(form.get(name, "")))[:200]


# -- the page


async def _page(found: Desk, form: FormData | None = None, wrong: View | None = None) -> Response:
    view = await found.read(lambda tx: _view(tx, found, form))
    return show(
        found, "conferences.html", found.t("会議"), "", status=422 if wrong else 200, wrong=wrong, still=wrong is not None, **view
    )  # fmt: skip


def _view(tx: Tx, found: Desk, form: FormData | None) -> View:
    me = found.reader
    mine = [c for c in conferences.of_staff(tx, me.code) if c.state != "cancelled"][:MOST]
    kinds = [k for k, role in ((SUPPORT, Role.OFFICIAL), (COORDINATION, Role.COORDINATOR)) if me.has(role)]
    known = {c.id for c in mine}
    planned = [c for c in conferences.planned(tx, kinds) if c.id not in known] if kinds else []
    seen = {row.id for row in cases.refs(tx, found.sight, ids={i for c in planned for i in c.cases})}
    planned = [c for c in planned if seen >= set(c.cases)]  # of a case that is hidden from them, so is the conference
    named = conferences.numbers(tx, [*mine, *planned])
    shown: View = {
        "mine": [_row(tx, found, c, named) for c in mine], "planned": [_row(tx, found, c, named) for c in planned],
        "plans": bool(kinds), "hidden": saying.fields(found, PLACE, "/conferences"), "queue": None, "form": None,
        "said": saying.said_here(tx, found, PLACE, "/conferences"),
    }  # fmt: skip
    if me.has(Role.OFFICIAL):
        shown["queue"] = _queue(tx, found)
    if kinds:
        shown["form"] = _form(tx, found, kinds, form)
    found.looked(*(n for c in (*mine, *planned) for i in c.cases if (n := named.get(i))))
    return shown


def _row(tx: Tx, found: Desk, one: Conference, named: dict[int, str]) -> View:
    voice, me = found.voice, one.member(found.reader.code)
    words = marks.words_of(tx, found.reader.code)
    asked = me is not None and me.answer is None and one.state == "planned"
    return {
        "id": f"conference-{one.id}", "href": f"/conferences/{one.id}", "kind": voice.label("conference_kind", one.kind),
        "when": at(found, one.at) if one.at else {"text": found.t("日時はこれから")},
        "state": voice.label("conference_state", one.state), "asked": asked,
        "reply": voice.label("reply", me.answer) if me and me.answer and one.convened_by != me.staff else "",
        "pledge": me is not None and one.support and me.pledged_at is None and one.state != "cancelled",
        "cases": [f"{named[i]} {words.get(i, '')}".strip() for i in one.cases if i in named],
        "says": [(found.t("行けます"), f"出席 {named[one.cases[0]]} {one.id}"), (found.t("行けません"), f"欠席 {named[one.cases[0]]} {one.id}")]
        if asked and one.cases and one.cases[0] in named else [],
    }  # fmt: skip


def _queue(tx: Tx, found: Desk) -> View:
    """招集の依頼, 支援決定 and 事後承認 with their clocks; and how often support began before its decision this year."""
    rows = cases.open_waits(tx, found.sight, kinds=("conference", "decision"), limit=200)
    whole = {c.id: c for c in cases.load_several(tx, [r.case.id for r in rows])}
    local = found.now.astimezone(found.town.tz)
    april = at_local(local.date().replace(year=local.year - (local.month < 4), month=4, day=1), (0, 0), found.town.tz)
    counted = conferences.approvals(tx, april)
    found.looked(*(r.case.number for r in rows))
    return {
        "rows": [_waiting(tx, found, r, whole[r.case.id]) for r in rows],
        "count": found.t("今年度の事後承認 {after}件・支援のまえの決定 {before}件", after=counted.after, before=counted.before),
    }  # fmt: skip


def queue_label(case: Case, kind: str) -> str:
    """What the city is asked for."""
    return "招集のお願い" if kind == "conference" else "支援決定" if case.decision == "asked" else "事後承認"


def _waiting(tx: Tx, found: Desk, row: OpenWait, case: Case) -> View:
    label, number = queue_label(case, row.wait.kind), row.case.number
    act = (
        {"label": found.t("出席者をえらんで招集する"), "href": f"/conferences?case={number}#call"}
        if row.wait.kind == "conference"
        else {"label": found.t("決定する"), "token": f"決定 {number}"}
    )
    return {
        "id": f"queue-{row.wait.id}", "number": number, "label": found.t(label),
        "chip": due(found, row.wait.due_at, opened=row.wait.opened_at), "act": act,
    }  # fmt: skip


def _form(tx: Tx, found: Desk, kinds: list[str], form: FormData | None) -> View:
    """The form that calls one: about the cases named in the address, with those at work on them chosen already."""
    typed = _given(form, "cases") if form is not None else found.query("case")
    meant: list[Case] = []
    for one in NUMBER.findall(typed)[:MOST]:
        try:
            meant.append(case_named(tx, found, one))
        except no.NoSuchCase:
            continue
    asked = [r.by for c in meant for r in c.requests if r.kind == "conference"]
    usual = dict.fromkeys(
        m for c in meant for m in decisions.usual_members(c, found.town, *asked) if m != found.reader.code
    )
    chosen = [str(m) for m in form.getlist("member")] if form is not None else list(usual)
    wished = next((c.conference_at for c in meant if c.conference_at and c.conference_at > found.now), None)
    local = wished.astimezone(found.town.tz) if wished else None
    voice, t = found.voice, found.t
    members = [
        {"value": m, "label": voice.person(m), "note": voice.agency(found.town.staff[m].agency), "chosen": m in chosen}
        for m in dict.fromkeys([*usual, *(c for c in chosen if c in found.town.staff)])
    ]
    places = [{"value": "", "label": t("あとで決める")}]
    places += [{"value": p, "label": voice.label("conference_place", p)} for p in decisions.PLACES]
    coordinates = COORDINATION in kinds
    return {
        "open": bool(typed), "kinds": [{"value": k, "label": voice.label("conference_kind", k), "chosen": i == 0} for i, k in enumerate(kinds)],
        "cases": typed, "members": members, "places": places,
        "day": _given(form, "day") if form is not None else local.date().isoformat() if local else "",
        "time": _given(form, "time") if form is not None else f"{local:%H:%M}" if local else "",
        "also": _given(form, "also") if form is not None else "",
        "without": [c.number for c in meant if coordinates and not consented(c)],
    }  # fmt: skip
