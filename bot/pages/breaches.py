"""漏えい等の記録: what got out, the two reports to the Commission and their last days, and who had seen what. For those answerable."""

from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from bot.pages.frame import Desk, View, at, back_to, show
from bot.pages.looks import ALL
from bot.words import whole_number
from storage import breaches, cases, journal
from storage.breaches import STEPS, Breach
from storage.tx import Tx
from workflow import breach as law
from workflow import calendar
from workflow import number as numbers
from workflow.outcome import Entry

LONGEST: Final = 2_000
MOST_PERSONS: Final = 10_000_000
LOOKED_BACK: Final = timedelta(days=60)  #: of the looks at what got out
DO: Final = {
    "reported_first_at": "はじめの報告をした", "reported_final_at": "くわしい報告をした", "told_at": "ご本人にお知らせした", "closed_at": "この記録を閉じる",
}  # fmt: skip


async def page(found: Desk) -> Response:
    """GET: the form and the register. POST: one entry, or one step of one."""
    found.only(*ALL)
    if found.request.method != "POST":
        return await _page(found, {}, {})
    form = await found.form()
    if form.get("do") in STEPS:
        id_ = whole_number(form.get("id", ""))
        if id_ is not None:
            await found.write(lambda tx: _step(tx, found, id_, form["do"]))
        return back_to("/breaches", "/breaches")
    wrong = await found.read(lambda tx: _wrong(tx, found, form))
    if wrong:
        return await _page(found, form, wrong)
    await found.write(lambda tx: _add(tx, found, form))
    return back_to("/breaches", "/breaches")


# -- writing


def _numbers(form: dict[str, str]) -> list[str]:
    """The numbers as they were typed, those with the shape of one in their usual form."""
    parts = form.get("numbers", "").replace("、", " ").replace(",", " ").split()
    return list(dict.fromkeys(seen[0] if (seen := numbers.find(part)) else part for part in parts))


def _wrong(tx: Tx, found: Desk, form: dict[str, str]) -> dict[str, str]:
    """Name each field that cannot be kept as it is."""
    today = found.now.astimezone(found.town.tz).date()
    known, wrong = _date(form.get("found", "")), {}
    if known is None or known > today:
        wrong["found"] = found.t("知った日を、きょうまでの日で選んでください。")
    what = form.get("what", "").strip()
    if not what or len(what) > LONGEST:
        wrong["what"] = found.t("何がおきたかを、2,000字までで書いてください。")
    unknown = [one for one in _numbers(form) if cases.load(tx, one, lock=False) is None]
    if unknown:
        wrong["numbers"] = found.t("見つからない番号があります: {numbers}", numbers=" ".join(unknown)[:80])
    persons = whole_number(form.get("persons", ""))
    if persons is None or persons > MOST_PERSONS:
        wrong["persons"] = found.t("何人分かを、数字で書いてください。わからなければ、思い当たる多いほうの数で。")
    return wrong


def _add(tx: Tx, found: Desk, form: dict[str, str]) -> None:
    """The journal of the town has the entry's id alone; what happened is sealed."""
    known = _date(form["found"])
    assert known is not None
    id_ = breaches.add(
        tx, found_at=calendar.instant(known, datetime.min.time(), found.town.tz), by=found.reader.code, what=form["what"].strip(),
        numbers=_numbers(form), persons=whole_number(form["persons"]) or 0, sensitive=form.get("sensitive") == "yes",
        malicious=form.get("malicious") == "yes", at=found.now,
    )  # fmt: skip
    _line(tx, found, "breach", id_)


def _step(tx: Tx, found: Desk, id_: int, step: str) -> None:
    if breaches.note(tx, id_, step, found.now):
        _line(tx, found, "breach_step", id_, step=step)


def _line(tx: Tx, found: Desk, kind: str, id_: int, **data: object) -> None:
    journal.append_town(tx, Entry(f"town.{kind}", data={"breach": id_, **data}), found.reader.code, "web", found.now)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


# -- the page


async def _page(found: Desk, form: dict[str, str], wrong: dict[str, str]) -> Response:
    entries = await found.read(breaches.every)
    found.looked(*dict.fromkeys(number for one in entries for number in one.numbers))
    return show(
        found, "breaches.html", found.t("漏えい等の記録"), "town", status=422 if wrong else 200, form=_form(found, form, wrong),
        errors=[{"field": field, "text": text} for field, text in wrong.items()], rows=[_entry(found, one) for one in entries],
    )  # fmt: skip


def _form(found: Desk, form: dict[str, str], wrong: dict[str, str]) -> dict[str, Any]:
    t = found.t
    today = found.now.astimezone(found.town.tz).date().isoformat()

    def yes_no(name: str, legend: str, hint: str) -> View:
        options = [
            {"value": value, "label": t(label), "chosen": form.get(name, "no") == value} for value, label in (("no", "いいえ"), ("yes", "はい"))
        ]  # fmt: skip
        return {"id": name, "legend": t(legend), "hint": t(hint), "kind": "radio", "columns": 2, "options": options}

    fields: list[View] = [
        {"id": "found", "label": t("知った日"), "type": "date", "value": form.get("found", today), "need": "must"},
        {
            "id": "what", "label": t("何がおきたか"), "value": form.get("what", ""), "rows": 4, "need": "must",
            "hint": t("封をして保管します。個人情報保護責任者と市担当課だけが読めます。"),
        },
        {
            "id": "numbers", "label": t("かかわる相談の番号"), "value": form.get("numbers", ""), "need": "may", "autocomplete": "off",
            "hint": t("いくつもあるときは、あいだを空けてください。"),
        },
        {"id": "persons", "label": t("何人分か"), "value": form.get("persons", ""), "inputmode": "numeric", "need": "must"},
    ]  # fmt: skip
    for field in fields:
        field["error"] = wrong.get(field["id"], "")
    asked = [
        yes_no(
            "sensitive",
            "障害・病気・被害など、とくに気をつける情報がありますか",
            "1人分でも、個人情報保護委員会への報告がいります。",
        ),
        yes_no("malicious", "だれかが悪意でしたことのおそれがありますか", "くわしい報告の期限が60日になります。"),
    ]
    return {"fields": fields, "asked": asked}


def _entry(found: Desk, one: Breach) -> View:
    known = one.found_at.astimezone(found.town.tz).date()
    ends = law.clocks(known, malicious=one.malicious)
    must = law.must_report(one.persons, sensitive=one.sensitive, malicious=one.malicious)
    steps = [
        _clock(found, "はじめの報告", one.reported_first_at, ends.first, must, soon=ends.soon),
        _clock(found, "くわしい報告", one.reported_final_at, ends.final, must),
        _clock(found, "ご本人へのお知らせ", one.told_at, None, must),
    ]
    open_ = [step for step in STEPS if getattr(one, step) is None] if one.closed_at is None else []
    signs = [found.t("とくに気をつける情報")] * one.sensitive + [found.t("悪意のおそれ")] * one.malicious
    looked = {"from": (known - LOOKED_BACK).isoformat(), "to": found.now.astimezone(found.town.tz).date().isoformat()}
    return {
        "id": f"breach-{one.id}", "value": one.id, "known": found.voice.title_day(one.found_at, found.now), "by": found.voice.person(one.by),
        "what": one.what or found.t("読みとれません。"), "persons": found.t("{n}人分", n=f"{one.persons:,}"), "signs": signs, "must": must,
        "steps": steps, "closed": at(found, one.closed_at) if one.closed_at else None,
        "looks": [{"number": n, "href": f"/looks?{urlencode({'number': n, **looked})}"} for n in one.numbers],
        "do": [{"value": step, "label": found.t(DO[step])} for step in open_],
    }  # fmt: skip


def _clock(
    found: Desk, label: str, done: datetime | None, last: date | None, must: bool, soon: date | None = None
) -> View:  # fmt: skip
    """A report as a chip: done, or until when; red when its last day is over."""
    shown: View = {"label": found.t(label)}
    if done is not None:
        return shown | {"wait": {"kind": "done", "text": found.voice.moment(done, found.now), "iso": done.isoformat()}}
    if not must:
        return shown | {"wait": {"kind": "paused", "text": found.t("いまのところ、報告はいりません")}}
    if last is None:
        return shown | {"wait": {"kind": "calm", "share": 0.2, "text": found.t("できるだけ早く")}}
    end = calendar.instant(last + timedelta(days=1), datetime.min.time(), found.town.tz) - timedelta(minutes=1)
    today = found.now.astimezone(found.town.tz).date()
    kind = "late" if today > last else "soon" if soon is not None or (last - today).days < 7 else "calm"
    if soon is not None and today <= soon:
        aim = calendar.instant(soon, datetime.min.time(), found.town.tz)
        shown["hint"] = found.t("できれば{day}まで", day=found.voice.title_day(aim, found.now))
    text = found.t("{day}まで", day=found.voice.title_day(end, found.now))
    return shown | {"wait": {"kind": kind, "share": 0.7, "text": text, "iso": end.isoformat()}}
