"""One conference: its members and their pledge, the agenda made from its cases, what was said and decided, which becomes real."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.responses import RedirectResponse, Response

from bot.pages import naming
from bot.pages.beside import chip, owners, wait_label
from bot.pages.conferences import refused, when
from bot.pages.frame import Desk, NotFound, View, at, show
from bot.record import record, record_all
from bot.words import LONGEST, whole_number
from storage import cases, conferences, items, marks, plans, texts
from storage.conferences import Decision, Record
from storage.tx import Tx
from workflow import conference as decisions
from workflow import handoff, plan, stage
from workflow import refusals as no
from workflow.case import Case, Proxy
from workflow.conference import SUPPORT, Called, Conference
from workflow.facts import consented
from workflow.outcome import Act, Outcome
from workflow.people import LEAD, WATCH, Role

ITEM_KINDS: Final = ("fact", "opinion", "hearsay")
STAGES: Final = ("untangling", "role_division", "support", "watching")


async def page(found: Desk) -> Response:
    """GET: as much of it as this reader may see. POST: one act on it."""
    id_ = whole_number(str(found.request.path_params["id"]))
    if id_ is None:
        raise NotFound
    wrong = None
    if found.request.method == "POST":
        form = await found.form()
        try:
            await found.write(lambda tx: _do(tx, found, id_, form))
            return RedirectResponse(f"/conferences/{id_}", 303)
        except no.Refusal as refusal:
            wrong = refused(found, refusal)
    await naming.give(found)
    view = await found.read(lambda tx: _view(tx, found, id_))
    if view is None:
        raise NotFound
    return show(
        found, "conference.html", view["kind"], "", status=422 if wrong else 200, wrong=wrong, still=wrong is not None, **view
    )  # fmt: skip


def knows_kind(one: Conference, found: Desk) -> bool:
    """Its members, and whoever's kind of conference it is: they plan it, and see nothing of what is said there."""
    return one.member(found.reader.code) is not None or one.chaired_by(found.reader)


def may_see(one: Conference, found: Desk) -> bool:
    """The heads of those who are called too, while somebody else may be sent; of what kind it is they do not see."""
    called = (found.town.staff[m.staff] for m in one.members if m.staff in found.town.staff)
    heads = one.state == "planned" and any(found.reader.heads(a) for person in called for a in person.agencies)
    return heads or knows_kind(one, found)


# -- acts


@dataclass
class _Deed:
    """One act on a conference, in one transaction; the rows of its cases are locked."""

    tx: Tx
    found: Desk
    one: Conference
    cases: list[Case]
    form: Mapping[str, str]
    act: Act

    def keep(self, called: Called) -> None:
        conferences.save(self.tx, self.one, called.conference)
        record_all(self.tx, called.outcomes)

    def case(self) -> Case:
        meant = next((c for c in self.cases if c.number == self.form.get("case")), None)
        if meant is None:
            raise no.NoSuchCase(number=self.form.get("case", ""))
        return meant

    def given(self, name: str) -> str:
        return self.form.get(name, "").replace("\r\n", "\n").strip()

    def moment(self, day: str = "day", time: str = "time") -> datetime | None:
        return when(self.found, self.given(day)[:40], self.given(time)[:20])

    def sealed(self, case: Case, name: str = "text") -> int | None:
        """The id of what was written, sealed; None when nothing was. Raises TooManyWords."""
        words = self.given(name)
        if len(words) > LONGEST:
            raise no.TooManyWords(most=LONGEST)
        return texts.put(self.tx, case.household, words, self.act.who, self.act.at)[0] if words else None


def _do(tx: Tx, found: Desk, id_: int, form: Mapping[str, str]) -> None:
    """Lock its cases, look at it as it is then, and act. Raises NotFound, or a Refusal."""
    seen = conferences.load(tx, id_)
    if seen is None or not may_see(seen, found):
        raise NotFound
    whole = [c for i in seen.cases if (c := cases.load(tx, i, lock=True)) is not None]
    one, do = conferences.load(tx, id_), DEEDS.get(form.get("do", ""))
    if one is None or do is None:
        raise NotFound
    do(_Deed(tx, found, one, whole, form, found.act))


def _answer(said: str) -> Callable[[_Deed], None]:
    return lambda d: d.keep(decisions.answer(d.one, d.cases, said, d.act))


def _substitute(d: _Deed) -> None:
    d.keep(decisions.substitute(d.one, d.cases, d.given("instead"), d.given("person"), d.act))


def _move(d: _Deed) -> None:
    later = d.moment()
    if later is None:
        raise no.NoSuchDay(text="")
    d.keep(decisions.move(d.one, d.cases, later, d.act))


def _said(d: _Deed) -> None:
    """What was said about one 相談者: an item with this conference's basis, which its members alone read."""
    case, kind = d.case(), d.given("kind")
    decisions.may_write(d.one, d.act)
    text = d.sealed(case)
    if text is None:
        raise no.WordsMissing(what="said", number=case.number)
    kind = kind if kind in ITEM_KINDS else ITEM_KINDS[0]
    items.add(
        d.tx,
        case.household,
        case.id,
        kind,
        text,
        d.one.basis,
        d.act.who,
        d.act.at,
        conference=d.one.id,
        source="agency",
    )
    record(d.tx, decisions.learned(d.one, case, text, d.act))


def _record(d: _Deed) -> None:
    case, direction = d.case(), d.given("direction")
    decisions.may_write(d.one, d.act)
    kept = Record(case.id, d.sealed(case), direction if direction in decisions.DIRECTIONS else "", d.moment())
    conferences.keep_record(d.tx, d.one.id, kept)
    record(d.tx, decisions.learned(d.one, case, kept.note, d.act))


def _decide(d: _Deed) -> None:
    """A decision becomes real in the same transaction, or it is refused in words and nothing is written."""
    case, kind = d.case(), d.given("kind")
    made = MATTERS.get(kind)
    decisions.may_write(d.one, d.act)
    if made is None:
        raise no.NoSuchCode(text="")
    text = d.sealed(case)
    out, doc = made(d, case, text)
    record(d.tx, decisions.decided(out, d.one, kind))
    conferences.decide(d.tx, Decision(d.act.fresh(), d.one.id, case.id, kind, doc, text, d.act.at, d.act.who))


Made = tuple[Outcome, dict[str, object]]


def _role(d: _Deed, case: Case, _text: int | None) -> Made:
    """Who · what · until when. Whoever sits there has accepted with it; anybody else is asked in the ordinary way."""
    town, duty = d.found.town, WATCH if d.given("kind") == "watch" else d.given("duty")
    agency, _, person = d.given("who").partition("/")
    if duty not in town.duties:
        raise no.NoSuchDuty(text=duty)
    if agency not in town.agencies or (person and person not in {s.code for s in town.members[agency]}):
        raise no.NoSuchAgency(text=agency)
    until = d.moment("until", "")
    if (first := decisions.basis_by_it(d.one, case, agency, d.act)) is not None:
        case = record(d.tx, first).case
        d.tx.settle()
    if person and decisions.present(d.one, person):
        proxy = None if person == d.act.who else Proxy(d.act.who, person, "meeting", d.act.at)
        out = handoff.offer_accepted(case, town.duties[duty], town.agencies[agency], person, d.act, proxy=proxy)
    else:
        out = handoff.offer(case, town.duties[duty], [town.agencies[agency]], d.act, to_staff=person or None)
    return out, {
        "duty": duty,
        "agency": agency,
        "person": person or None,
        "until": until.isoformat() if until else None,
    }


def _stage(d: _Deed, case: Case, _text: int | None) -> Made:
    wanted = d.given("stage")
    return stage.move(case, wanted if wanted in STAGES else "", d.act), {"stage": wanted}


def _close(d: _Deed, case: Case, _text: int | None) -> Made:
    reason = d.given("reason")
    if reason not in d.found.town.closings:
        raise no.NoSuchCode(text=reason)
    return stage.propose_closing(case, reason, d.act), {"reason": reason}


def _plan(d: _Deed, case: Case, text: int | None) -> Made:
    standing = plans.of_case(d.tx, case.id)
    made, out = plan.following(
        case, d.given("plan"), standing, d.act, until=d.moment("until", ""), text=text, conference=d.one
    )  # fmt: skip
    plans.keep(d.tx, made)
    return out, {"plan": made.kind, "version": made.version}


def _gather(d: _Deed, case: Case, _text: int | None) -> Made:
    until, (agency, _, person) = d.moment("until", ""), d.given("who").partition("/")
    if person not in d.found.town.staff:
        raise no.NoSuchPerson(text=person)
    doc: dict[str, object] = {"agency": agency, "person": person, "until": until.isoformat() if until else None}
    return Outcome(case, d.act).done(), doc


MATTERS: Final[Mapping[str, Callable[[_Deed, Case, int | None], Made]]] = {
    "plan": _plan, "role": _role, "move": _stage, "close": _close, "watch": _role, "gather": _gather,
}  # fmt: skip
DEEDS: Final[Mapping[str, Callable[[_Deed], None]]] = {
    "come": _answer("come"), "cannot": _answer("cannot"), "substitute": _substitute, "move": _move, "said": _said, "record": _record,
    "decide": _decide,
    "pledge": lambda d: d.keep(decisions.pledge(d.one, d.cases, d.act)),
    "cancel": lambda d: d.keep(decisions.cancel(d.one, d.cases, d.act)),
    "hold": lambda d: d.keep(decisions.hold(d.one, d.cases, d.act)),
    "close": lambda d: d.keep(decisions.close(d.one, d.cases, d.act)),
}  # fmt: skip


# -- the page


def _view(tx: Tx, found: Desk, id_: int) -> View | None:
    one = conferences.load(tx, id_)
    if one is None or not may_see(one, found):
        return None
    voice, me = found.voice, one.member(found.reader.code)
    whole = cases.load_several(tx, one.cases)
    words = marks.words_of(tx, found.reader.code)
    found.looked(*(c.number for c in whole))
    opens = one.opens_to(found.reader.code)
    chairs = one.chaired_by(found.reader)
    local = one.at.astimezone(found.town.tz) if one.at else None
    return {
        "id": one.id, "kind": voice.label("conference_kind", one.kind) if knows_kind(one, found) else found.t("会議"), "state": one.state,
        "state_label": voice.label("conference_state", one.state), "basis": voice.label("basis", one.basis) if knows_kind(one, found) else "",
        "when": at(found, one.at) if one.at else {"text": found.t("日時はこれから")},
        "place": voice.label("conference_place", one.place), "by": voice.person(one.convened_by),
        "support": one.support and knows_kind(one, found), "opens": opens, "chairs": chairs, "writes": opens and one.state == "held",
        "asked": me is not None and one.state == "planned" and one.convened_by != me.staff,
        "reply": me.answer if me else None, "reply_label": voice.label("reply", me.answer) if me and me.answer else "",
        "pledge": me is not None and one.support and me.pledged_at is None and one.state != "cancelled",
        "members": [_member(found, one, m.staff) for m in one.members],
        "parts": [_part(tx, found, one, c, words.get(c.id, "")) for c in whole] if opens else [],
        "numbers": [f"{c.number} {words.get(c.id, '')}".strip() for c in whole],
        "prints": opens and (not one.support or _of_the_city(found)),
        "day": local.date().isoformat() if local else "", "time": f"{local:%H:%M}" if local else "",
        "forms": _forms(found, one) if opens and one.state == "held" else None,
    }  # fmt: skip


def _of_the_city(found: Desk) -> bool:
    """Documents of a 支援会議 are printed by the city alone (domain.md §4.2)."""
    return found.reader.has(Role.OFFICIAL)


def _member(found: Desk, one: Conference, staff: str) -> View:
    voice, town, member = found.voice, found.town, one.member(staff)
    assert member is not None
    mine = town.staff[staff].agencies if staff in town.staff else ()
    heads = [a for a in mine if found.reader.heads(a)]
    others = [s for a in heads for s in town.members[a] if one.member(s.code) is None and decisions.selectable(s, town)]
    replace = one.state == "planned" and staff != one.convened_by and staff != found.reader.code
    return {
        "id": f"member-{staff}", "code": staff, "name": voice.person(staff), "agency": voice.agency(mine[0]) if mine else "",
        "reply": voice.label("reply", member.answer) if member.answer else found.t("お返事待ち"),
        "pledged": at(found, member.pledged_at) if member.pledged_at else None,
        "others": [{"value": s.code, "label": voice.person(s.code)} for s in others] if replace else [],
    }  # fmt: skip


def _part(tx: Tx, found: Desk, one: Conference, case: Case, mark: str) -> View:
    """One 相談者. What rests on consent is shown while it is there, or to whoever is at work on the case."""
    known = found.sight.knows(case)
    shown: View = {"number": case.number, "mark": mark, "href": f"/cases/{case.number}" if known else "", "shut": False}
    if not one.support and not (consented(case) or known):
        return shown | {"shut": True}
    voice, seen = found.voice, decisions.agenda(case)
    said = [i for i in items.of_conference(tx, one.id) if i.case == case.id]
    decided = [x for x in conferences.decisions(tx, one.id) if x.case_id == case.id]
    kept = conferences.records(tx, one.id).get(case.id)
    wanted = [
        *(i.text for i in said),
        *(x.text for x in decided if x.text),
        *([kept.note] if kept and kept.note else []),
    ]
    words = texts.get_several(tx, wanted)
    return shown | {
        "stage": {"id": case.stage, "label": voice.label("stage", case.stage)},
        "issues": [
            {"label": voice.label("concern", i.concern), "wish": voice.label("wish", i.wish), "status": voice.label("issue_status", i.status),
             "gap": i in seen.gaps} for i in seen.issues
        ],
        "roles": [
            {"duty": voice.label("duty", h.duty), "agency": voice.agency(h.to_agency), "holder": voice.person(h.holder) if h.holder else "",
             "state": voice.label("handoff_state", h.state)} for h in seen.roles
        ],
        "waits": [{"label": wait_label(found, case, w), "who": owners(found, case, w), "chip": chip(found, case, w)} for w in seen.waits[:6]],
        "said": [
            {"id": f"item-{i.id}", "kind": voice.label("item_kind", i.kind), "by": voice.person(i.by), "at": at(found, i.at), "words": words[i.text]}
            for i in said if i.text in words
        ],
        "direction": voice.label("direction", kept.direction) if kept else "", "note": words.get(kept.note or 0, "") if kept else "",
        "next": at(found, kept.next_at) if kept and kept.next_at else None,
        "decisions": [_decision(found, x, words.get(x.text or 0, "")) for x in decided],
    }  # fmt: skip


def _decision(found: Desk, one: Decision, words: str) -> View:
    """Who · what · until when, in words made from codes."""
    voice, doc = found.voice, one.doc
    parts = [
        voice.label("duty", doc.get("duty")), voice.agency(doc["agency"]) if doc.get("agency") else "",
        voice.person(doc["person"]) if doc.get("person") else "", voice.label("stage", doc.get("stage")),
        voice.label("closing", doc.get("reason")), voice.label("plan_kind", doc.get("plan")),
        found.t("第{n}版", n=doc["version"]) if doc.get("version") else "",
    ]  # fmt: skip
    until = voice.day(datetime.fromisoformat(doc["until"]), found.now) if doc.get("until") else ""
    return {
        "id": f"decision-{one.id}", "matter": voice.label("matter", one.kind), "text": " ".join(p for p in parts if p),
        "until": found.t("{day}まで", day=until) if until else "", "by": voice.person(one.by), "words": words,
    }  # fmt: skip


def _forms(found: Desk, one: Conference) -> View:
    """The choices of the forms: codes and people, so that nobody types what the town knows already."""
    voice, town, t = found.voice, found.town, found.t

    def options(kind: str, codes: tuple[str, ...]) -> list[View]:
        return [{"value": c, "label": voice.label(kind, c)} for c in codes]

    seats = [
        {"value": f"{a}/{m.staff}", "label": f"{voice.agency(a)} {voice.person(m.staff)}"}
        for m in one.members if m.staff in town.staff and decisions.present(one, m.staff) for a in town.staff[m.staff].agencies
    ]  # fmt: skip
    rooms = [
        {"value": a.code, "label": t("{agency}(あとでお願いする)", agency=a.name)}
        for a in town.agencies.values()
        if a.kind != "municipality"
    ]
    watchers = [{"value": a.code, "label": a.name} for a in town.agencies.values() if a.kind == "watcher"]
    duties = tuple(d for d in town.duties if d not in (LEAD, WATCH))
    kinds = plan.KINDS if one.kind != SUPPORT else ("outreach", "coordination", "participation")
    return {
        "items": options("item_kind", ITEM_KINDS), "directions": [{"value": "", "label": t("選んでください")}, *options("direction", decisions.DIRECTIONS)],
        "duties": options("duty", duties), "who": seats + rooms, "watchers": seats + watchers, "seats": seats,
        "plans": options("plan_kind", kinds), "stages": options("stage", STAGES),
        "reasons": [{"value": c.code, "label": voice.label("closing", c.code)} for c in town.closings.values() if c.code != "deceased"],
    }  # fmt: skip
