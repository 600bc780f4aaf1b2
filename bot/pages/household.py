"""世帯: its persons, consent of each, what is known with its basis, and other households found to be the same. For those at work on the case."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from starlette.datastructures import FormData
from starlette.responses import Response

from bot.pages import agree, known, saying
from bot.pages import persons as people
from bot.pages.case import whole
from bot.pages.forms import Form, one_of, several, text_of
from bot.pages.frame import Desk, NotFound, View, at, back_to, guards, show
from bot.record import record
from bot.voice.refusals import word
from bot.words import whole_number
from storage import cases, households, persons
from storage.cases import CaseRow
from storage.tx import Tx
from workflow import number as numbers
from workflow import refusals as no
from workflow.case import Case
from workflow.household import KIN, LANGUAGES, SEXES, UNDOABLE, Merge, Person, may_split
from workflow.outcome import Outcome
from workflow.who import stands


@dataclass(frozen=True)
class Filled:
    """What a form brought, what is wrong with it, and a no in words."""

    do: str = ""
    given: dict[str, Any] | None = None
    errors: dict[str, str] | None = None
    refused: str = ""


class Done(NamedTuple):
    """A form that was right: where to go on, and what is to be said of the case through the door."""

    place: str
    says: str = ""


async def household(found: Desk) -> Response:
    """GET: the page, with the form that was asked for. POST: a form; what is wrong with it is said there and changes nothing."""
    typed = numbers.find(str(found.request.path_params["number"]))
    if not typed:
        raise NotFound
    if found.request.method != "POST":
        return await _page(found, typed[0], Filled(do=found.query("do")))
    form = await found.request.form()
    do = text_of(form, "do")
    try:
        done = await found.write(lambda tx: _do(tx, found, typed[0], do, form))
    except no.Refusal as refusal:
        said = word(refusal, found.voice, found.now, number=typed[0]).text
        return await _page(found, typed[0], Filled(refused=said))
    if isinstance(done, Filled):
        return await _page(found, typed[0], done)
    if done.says:
        answered = await saying.through(found, f"同意 {typed[0]} {done.says}", f"{text_of(form, 'nonce')[:40]}:consent")
        if answered.refused and answered.messages:
            return await _page(found, typed[0], Filled(refused=answered.messages[0].text))
    return back_to(f"/households/{typed[0]}#{done.place}", "/cases")


def _case(tx: Tx, found: Desk, number: str, *, lock: bool) -> Case:
    """The case, for whoever is at work on it; to everybody else there is none."""
    one = cases.load(tx, number, lock=lock)
    if one is None or not found.sight.knows(one) or not whole(found, one):
        raise NotFound
    return one


# -- acting


def _do(tx: Tx, found: Desk, number: str, do: str, form: FormData) -> Done | Filled:
    """One form, in one transaction. Raises NotFound, a Refusal."""
    if do == "merge":
        return _merge(tx, found, number, text_of(form, "other"))
    one = _case(tx, found, number, lock=True)
    if do not in _ACTS:
        raise no.UnknownWords()
    if not one.open and do != "split":
        raise no.CaseClosed(number=one.number)
    return _ACTS[do](tx, found, one, form)


def leads(found: Desk, one: Case) -> bool:
    return stands("lead", found.reader, one, found.town, found.now)


def _must_lead(found: Desk, one: Case) -> None:
    if not leads(found, one):
        raise no.LeadOnly(lead=one.lead)


def _note(tx: Tx, found: Desk, one: Case, kind: str, **data: object) -> None:
    record(tx, Outcome(one, found.act).note(kind, None, None, **data).done())


def of_household(tx: Tx, one: Case, id_: str) -> Person:
    """A person of the case's own household. Raises NotFound."""
    theirs = persons.of_households(tx, (one.household,))
    person = next((p for p in theirs if str(p.id) == id_ and p.removed_at is None), None)
    if person is None:
        raise NotFound
    return person


def _keep_person(tx: Tx, found: Desk, one: Case, form: FormData) -> Done | Filled:
    given = {name: text_of(form, name) for name in people.WRITTEN}
    given |= {
        "sex": one_of(form, "sex", SEXES),
        "relation": one_of(form, "relation", KIN),
        "language": one_of(form, "language", LANGUAGES),
    }
    id_ = text_of(form, "person")
    labels = people.labels(found)
    errors = {
        name: several(found, labels[name], most, len(given[name]))
        for name, most in people.WRITTEN.items()
        if len(given[name]) > most
    }
    if not any(given.values()):
        errors["name"] = found.t("わかっていることを1つ以上書いてください")
    if errors:
        return Filled("edit" if id_ else "add", given | {"person": id_}, errors)
    facts = given | {"contacts": tuple(line.strip() for line in given["contacts"].split("\n") if line.strip())}
    if id_:
        person = of_household(tx, one, id_).become(**facts)
        persons.change(tx, person)
        _note(tx, found, one, "household.person_changed", no=person.ordinal)
    else:
        new = Person(found.app.fresh(), one.household, 0, added_by=found.reader.code, added_at=found.now)
        person = persons.add(tx, new.become(**facts))
        _note(tx, found, one, "household.person_added", no=person.ordinal)
    return Done(f"person-{person.id}")


def _remove(tx: Tx, found: Desk, one: Case, form: FormData) -> Done:
    person = of_household(tx, one, text_of(form, "person"))
    if persons.remove(tx, person.id, found.now):
        _note(tx, found, one, "household.person_removed", no=person.ordinal)
    return Done("persons")


def _give(tx: Tx, found: Desk, one: Case, form: FormData) -> Done | Filled:
    _must_lead(found, one)
    person, given = of_household(tx, one, text_of(form, "person")), agree.read(found, form)
    if errors := agree.wrong(found, given):
        return Filled("consent", given | {"person": str(person.id)}, errors)
    new, says = agree.give(tx, found, one, person, given)
    if new:
        _note(tx, found, one, "household.consent_given", no=person.ordinal)
    return Done(f"person-{person.id}", says)


def _withdraw(tx: Tx, found: Desk, one: Case, form: FormData) -> Done:
    _must_lead(found, one)
    agency = one_of(form, "agency", found.town.agencies)
    person, stood, says = agree.withdraw(tx, found, one, text_of(form, "consent"), agency)
    if stood:
        ordinal = next((p.ordinal for p in persons.of_households(tx, (one.household,)) if p.id == person), 0)
        _note(tx, found, one, "household.consent_withdrawn", no=ordinal, **({"agency": agency} if agency else {}))
    return Done(f"person-{person}", says)


def _missing(tx: Tx, found: Desk, one: Case, form: FormData) -> Done | Filled:
    _must_lead(found, one)
    person, given = of_household(tx, one, text_of(form, "person")), agree.read_missing(form)
    if not given["why"]:
        return Filled("missing", given | {"person": str(person.id)}, {"why": found.t("同意がない理由を選んでください")})
    says = agree.miss(tx, found, one, person, given)
    _note(tx, found, one, "household.consent_missing", no=person.ordinal)
    return Done(f"person-{person.id}", says)


def _write(tx: Tx, found: Desk, one: Case, form: FormData) -> Done | Filled:
    given = known.read_blank(found, form)
    if errors := known.wrong(found, given):
        return Filled("item", given, errors)
    known.write(tx, found, one, given)
    return Done("known")


def _share(tx: Tx, found: Desk, one: Case, form: FormData) -> Done:
    known.share(tx, found, one, text_of(form, "item"), known.read_blank(found, form))
    return Done("known")


# -- 統合・分離


def _merge(tx: Tx, found: Desk, number: str, other: str) -> Done:
    """統合: only of households found to be the same, by who leads or coordinates here and is at work on both."""
    pair = sorted((row for row in cases.find_numbers(tx, found.sight, [number, other])), key=lambda row: row.id)
    both = {row.number: _case(tx, found, row.number, lock=True) for row in pair}  # in ascending id, as everybody locks
    if number not in both:
        raise NotFound
    one, second = both[number], both.get(other)
    _must_lead(found, one)
    if not one.open:
        raise no.CaseClosed(number=number)
    if second is None or second.household not in persons.same_as(tx, one.household):
        raise no.CannotMerge()
    if households.merge(tx, one.household, second.household, found.reader.code, found.now) is None:
        raise no.CannotMerge()
    for here, there in ((one, second), (second, one)):
        _note(tx, found, here, "household.merged", other=there.number)
    return Done("same")


def _split(tx: Tx, found: Desk, one: Case, form: FormData) -> Done:
    _must_lead(found, one)
    id_ = whole_number(text_of(form, "merge")[:18]) or 0
    ours = households.together(tx, one.household)
    merge = next((m for m in households.merges(tx, ours) if m.id == id_), None) or households.one_merge(tx, id_)
    if merge is None or not {merge.kept, merge.gone} & set(ours):
        raise NotFound
    may_split(merge, found.app.clock.now(tx))
    if not households.split(tx, merge.id, found.reader.code, found.now):
        raise no.SplitAlready()
    _note(tx, found, one, "household.split")
    return Done("same")


_ACTS: Final[dict[str, Callable[[Tx, Desk, Case, FormData], Done | Filled]]] = {
    "person": _keep_person, "remove": _remove, "consent": _give, "withdraw": _withdraw, "missing": _missing, "item": _write,
    "basis": _share, "split": _split,
}  # fmt: skip


# -- the page


async def _page(found: Desk, number: str, filled: Filled) -> Response:
    view = await found.read(lambda tx: _view(tx, found, number, filled))
    found.looked(number)
    wrong = 422 if filled.refused or filled.errors else 200
    return show(
        found, "household.html", found.t("{number} 世帯", number=number), "cases", status=wrong, still=True, **view
    )


def _view(tx: Tx, found: Desk, number: str, filled: Filled) -> View:
    one = _case(tx, found, number, lock=False)
    acts = leads(found, one) and one.open
    consents = agree.of_case(tx, found, one)
    mine = persons.of_households(tx, (one.household,))
    form = _form(tx, found, one, filled) if one.open else None
    return {
        "number": number, "guards": guards(found, one.restricted, one.flags), "flagged": bool(one.flags), "open": one.open, "leads": acts, "may_split": leads(found, one), "refused": filled.refused, "form": form.view() if form else None,
        "persons": [people.view(found, p, consents.get(p.id)) for p in mine if p.removed_at is None],
        "removed": [people.view(found, p, None) for p in mine if p.removed_at is not None],
        "known": known.view(tx, found, one, known.shelf(tx, found, one)), "same": _same(tx, found, one),
    }  # fmt: skip


def _same(tx: Tx, found: Desk, one: Case) -> View:
    """Households that are one with this, and those that might be: by number only what the reader is at work on."""
    ours = households.together(tx, one.household)
    others = [h for h in ours if h != one.household]
    joined = [(h, _open_to(tx, found, h)) for h in others]
    alike = persons.same_as(tx, one.household)
    maybe = [rows for h in alike if (rows := _open_to(tx, found, h))]
    # Of a case that is hidden from the reader not even this much is said (I10).
    unknown = [h for h in alike if not _open_to(tx, found, h) and not cases.of_household(tx, found.sight, h).hidden]
    return {
        "joined": [
            {"cases": [_number(found, r) for r in rows],
             "persons": [people.view(found, p, None) for p in (persons.of_households(tx, (h,)) if rows else []) if p.removed_at is None]}
            for h, rows in joined
        ],
        "merges": [_standing(found, m) for m in households.merges(tx, ours)],
        "maybe": [_number(found, rows[0]) for rows in maybe], "unknown": len(unknown),
        "days": UNDOABLE.days,
    }  # fmt: skip


def _open_to(tx: Tx, found: Desk, other: int) -> list[CaseRow]:
    """A household's cases that the reader is at work on."""
    rows = cases.of_household(tx, found.sight, other).known
    loaded = {case.id: case for case in cases.load_several(tx, [row.id for row in rows])}
    return [r for r in rows if whole(found, loaded[r.id])]


def _number(found: Desk, row: CaseRow) -> View:
    return {"number": row.number, "stage": found.voice.label("stage", row.stage), "href": f"/cases/{row.number}"}


def _standing(found: Desk, merge: Merge) -> View:
    undoable = found.now < merge.at + UNDOABLE
    return {
        "id": merge.id, "at": at(found, merge.at), "by": found.voice.person(merge.by), "undoable": undoable,
        "until": found.voice.day(merge.at + UNDOABLE, found.now),
    }  # fmt: skip


# -- the form that is open


def _form(tx: Tx, found: Desk, one: Case, filled: Filled) -> Form | None:
    given = filled.given or {}
    id_ = str(given.get("person") or found.query("person"))
    errors = filled.errors or {}
    match filled.do:
        case "add":
            return people.blank(found, given, "").wrong(errors)
        case "edit":
            person = of_household(tx, one, id_)
            whole_ = {name: getattr(person, name) for name in (*people.WRITTEN, "sex", "relation", "language")}
            return people.blank(found, given or whole_ | {"contacts": "\n".join(person.contacts)}, id_).wrong(errors)
        case "item":
            return known.blank(tx, found, one, given).wrong(errors)
        case "basis":
            return known.basis_form(tx, found, one, found.query("item"), given)
        case "consent" if leads(found, one):
            return agree.blank(found, of_household(tx, one, id_), given).wrong(errors)
        case "missing" if leads(found, one):
            return agree.blank_missing(found, of_household(tx, one, id_), given).wrong(errors)
    return None
