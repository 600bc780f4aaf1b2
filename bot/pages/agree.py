"""同意 of each person, on the household's page: given, withdrawn, or why there is none; and what the case's own word says of it."""

from datetime import datetime, time, timedelta
from typing import Any, Final

from starlette.datastructures import FormData

from bot.pages.forms import Form, one_of, option, options, text_of, ticked
from bot.pages.frame import Desk, NotFound, View, at
from bot.words import find_day
from storage import agreements
from storage.tx import Tx
from workflow import consent as decisions
from workflow.case import Case
from workflow.consent import FORMS, GIVERS, KINDS, KNOWN, MISSING, PURPOSES, Agreement, Missing
from workflow.household import LANGUAGES, Person

#: Nobody agrees for longer at once.
LONGEST: Final = timedelta(days=366 * 5)


# -- given


def blank(found: Desk, person: Person, given: dict[str, Any]) -> Form:
    """The form 同意あり."""
    t, voice = found.t, found.voice
    form = Form(
        "consent",
        t("{name}の同意を記録する", name=person.name or t("この方")),
        t("記録する"),
        [("person", str(person.id))],
    )
    form.radio("who", t("どなたの同意ですか"), options(voice, "consent_giver", GIVERS, given.get("who", "person")))
    scope = given.get("scope", KINDS)
    form.check("scope", t("共有してよいこと"), [option(k, voice.label("item_kind", k), k in scope) for k in KINDS])
    chosen = given.get("agencies", ())
    listed = [option(a, voice.agency(a), a in chosen) for a in found.town.agencies]
    form.check("agencies", t("共有してよい機関"), listed, hint=t("選ばなければ、町のすべての機関です。"))
    form.select(
        "purpose", t("何のために"), options(voice, "consent_purpose", PURPOSES, given.get("purpose", "support"))
    )
    form.line(
        "until",
        t("いつまで"),
        given.get("until", ""),
        kind="date",
        hint=t("その日もふくみます。空なら、取り下げるまでです。"),
    )
    form.radio("form", t("いただき方"), options(voice, "consent_form", FORMS, given.get("form", "oral")))
    staff = [option(s.code, voice.person(s.code), s.code == given.get("explainer", found.reader.code))
             for s in found.town.staff.values() if not s.volunteer]  # fmt: skip
    form.select("explainer", t("説明した人"), staff)
    form.select("language", t("説明したことば"), options(voice, "tongue", LANGUAGES, given.get("language", "ja")))
    return form


def read(found: Desk, form: FormData) -> dict[str, Any]:
    return {
        "who": one_of(form, "who", GIVERS), "scope": ticked(form, "scope", KINDS), "agencies": ticked(form, "agencies", found.town.agencies),
        "purpose": one_of(form, "purpose", PURPOSES), "until": text_of(form, "until")[:40], "form": one_of(form, "form", FORMS),
        "explainer": one_of(form, "explainer", found.town.staff), "language": one_of(form, "language", LANGUAGES),
    }  # fmt: skip


def wrong(found: Desk, given: dict[str, Any]) -> dict[str, str]:
    errors = {}
    if not given["who"]:
        errors["who"] = found.t("どなたの同意かを選んでください")
    if not given["scope"]:
        errors["scope"] = found.t("共有してよいことを1つ以上選んでください")
    if not given["form"]:
        errors["form"] = found.t("いただき方を選んでください")
    if given["until"] and (_end(found, given["until"]) or found.now) <= found.now:
        errors["until"] = found.t("きょうから5年までの日を選んでください")
    return errors


def _end(found: Desk, text: str) -> datetime | None:
    """The end of a local day; None when it is none, or too far away."""
    today = found.now.astimezone(found.town.tz).date()
    day = find_day(text, today)
    if day is None or day > today + LONGEST:
        return None
    return datetime.combine(day + timedelta(days=1), time(), found.town.tz)


def give(tx: Tx, found: Desk, one: Case, person: Person, given: dict[str, Any]) -> tuple[bool, str]:
    """Keep a consent; whether it is new (a form sent twice is one consent), and what the case's word says of it."""
    me = found.reader.code
    new = Agreement(
        0, person.id, one.id, given["who"], given["scope"], given["agencies"] or None, given["purpose"] or "support", found.now,
        _end(found, given["until"]) if given["until"] else None, given["form"], given["explainer"] or me, given["language"], me, found.now,
    )  # fmt: skip
    standing = [
        a.become(id=0, start=new.start, at=new.at, by=me) for a in agreements.of_case(tx, one.id) if a.holds(found.now)
    ]
    if new not in standing:
        agreements.give(tx, new)
    return new not in standing, decisions.said_by_giving(one, new)


# -- withdrawn


def withdraw(tx: Tx, found: Desk, one: Case, id_: str, agency: str) -> tuple[int, bool, str]:
    """Withdraw a consent, or take one agency out of it: whose it was, whether it stood till now, and what the case's word says.

    Whoever reads after the commit sees nothing of what rested on it; the word follows, also when it was cut off before. Raises NotFound.
    """
    every, me, now = agreements.of_case(tx, one.id), found.reader.code, found.now
    was = next((a for a in every if str(a.id) == id_), None)
    if was is None:
        raise NotFound
    stood = agreements.withdraw(tx, was.id, me, now)
    others = [a for a in every if a is not was]
    if stood and agency and (rest := decisions.without(was, agency, found.town.agencies)):
        narrower = was.become(agencies=rest)
        agreements.give(tx, narrower)
        others.append(narrower)
    said = decisions.said_by_withdrawing(one, was, others, found.town.agencies, now, only=agency)
    return was.person, stood, said


# -- missing


def blank_missing(found: Desk, person: Person, given: dict[str, Any]) -> Form:
    """The form 同意なし."""
    t, voice = found.t, found.voice
    title = t("{name}の同意がない理由を記録する", name=person.name or t("この方"))
    form = Form("missing", title, t("記録する"), [("person", str(person.id))])
    form.radio("why", t("同意がない理由"), options(voice, "consent_missing", MISSING, given.get("why", "")))
    form.select("known", t("どのように知りましたか"), options(voice, "known", KNOWN, given.get("known", "")))
    asked = [
        option("yes", t("お願いした"), given.get("conference") == "yes"),
        option("no", t("まだ"), given.get("conference") != "yes"),
    ]
    form.radio(
        "conference",
        t("支援会議(社会福祉法106条の6)"),
        asked,
        hint=t("同意がなくても、会議の中でなら情報を分かち合えます。"),
    )
    return form


def read_missing(form: FormData) -> dict[str, Any]:
    return {
        "why": one_of(form, "why", MISSING), "known": one_of(form, "known", KNOWN) or "other",
        "conference": one_of(form, "conference", ("yes", "no")),
    }  # fmt: skip


def miss(tx: Tx, found: Desk, one: Case, person: Person, given: dict[str, Any]) -> str:
    """Write down why somebody has not agreed; answer what the case's word says of it."""
    asked = given["conference"] == "yes"
    agreements.miss(
        tx, Missing(0, person.id, one.id, given["why"], given["known"], asked, found.reader.code, found.now)
    )
    return decisions.said_by_missing(one, given["why"])


# -- shown


def of_case(tx: Tx, found: Desk, one: Case) -> dict[int, View]:
    """How each person consents: every consent with what became of it, and why one is missing."""
    now = found.app.clock.now(tx)
    shown: dict[int, View] = {}
    for given in agreements.of_case(tx, one.id):
        mine = shown.setdefault(given.person, {"given": [], "holds": False, "missing": None})
        mine["given"].insert(0, _given(found, given, now))
        mine["holds"] = mine["holds"] or given.holds(now)
    for why in agreements.missing(tx, one.id):
        mine = shown.setdefault(why.person, {"given": [], "holds": False, "missing": None})
        mine["missing"] = _missed(found, why)
    for mine in shown.values():
        mine["label"] = (
            found.t("同意あり")
            if mine["holds"]
            else mine["missing"]["label"]
            if mine["missing"]
            else found.t("いまは同意なし")
        )
    return shown


def _given(found: Desk, one: Agreement, now: datetime) -> View:
    voice, t = found.voice, found.t
    named = list(found.town.agencies if one.agencies is None else one.agencies)
    state = t("取下げ") if one.withdrawn_at else t("期間が終わりました") if not one.holds(now) else ""
    rows = (
        ("どなたから", f"{voice.label('consent_giver', one.who_gave)} {voice.label('consent_form', one.form)}"),
        ("共有してよいこと", t("すべて") if set(one.scope) == set(KINDS) else voice.join([voice.label("item_kind", k) for k in one.scope])),
        ("共有してよい機関", t("町のすべての機関") if one.agencies is None else voice.join([voice.agency(a) for a in named])),
        ("何のために", voice.label("consent_purpose", one.purpose)),
        ("いつまで", voice.day(one.until - timedelta(minutes=1), found.now) if one.until else t("取り下げるまで")),
        ("説明した人", f"{voice.person(one.explainer)} {voice.label('tongue', one.language)}"),
    )  # fmt: skip
    return {
        "id": one.id, "at": at(found, one.start), "state": state, "facts": [{"label": t(label), "value": value} for label, value in rows],
        "withdrawn": at(found, one.withdrawn_at) if one.withdrawn_at else None,
        "agencies": [option("", t("すべての機関"), True), *(option(a, voice.agency(a), False) for a in named)],
    }  # fmt: skip


def _missed(found: Desk, one: Missing) -> View:
    voice = found.voice
    asked = found.t("支援会議をお願いした") if one.conference else found.t("支援会議はまだ")
    return {
        "label": voice.label("consent_missing", one.why), "at": at(found, one.at),
        "text": voice.join([found.t("知ったきっかけ {how}", how=voice.label("known", one.known)), asked]),
    }  # fmt: skip
