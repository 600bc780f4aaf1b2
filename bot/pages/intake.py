"""The intake form: three short steps, a look for doubles before anything is opened, then the same words as in a chat."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from bot import guard
from bot.intake import Told, keep
from bot.pages import saying
from bot.pages.frame import TAKES_IN, Desk, nonce, show
from storage import cases, persons
from storage.tx import Tx
from workflow.household import asked

STEPS: Final = 3
LONGEST: Final = 2000
URGENCIES: Final = (("normal", ""), ("high", "急ぎ"), ("emergency", "緊急"))
CONSENTS: Final = (
    ("full", "同意をいただいた", "あり"),
    ("pending", "これからうかがう", "未"),
    ("refused", "同意されなかった", "なし"),
)
#: Who told it, and the code of that (workflow/basis.py).
SOURCES: Final = {
    "ご本人": "person", "ご家族": "family", "近所の方": "resident", "民生委員・地域の方": "resident", "ほかの機関": "agency", "そのほか": "other",
}  # fmt: skip
CALLERS: Final = tuple(SOURCES)
ANYWHERE: Final = "anywhere"
#: What is written in a person's own words, and what its field is called.
WRITTEN: Final = {"name": "お名前", "birth": "生年月日", "contact": "連絡先", "story": "はじめに聞いたこと"}


@dataclass(frozen=True, slots=True)
class Draft:
    """What has been filled in so far; it travels in the form itself and is kept nowhere before the last press."""

    concerns: tuple[str, ...] = ()
    urgency: str = ""
    district: str = ""
    caller: str = ""
    consent: str = ""
    name: str = ""
    birth: str = ""
    contact: str = ""
    story: str = ""
    nonce: str = field(default_factory=nonce)

    def hidden(self, *left_out: str) -> list[tuple[str, str]]:
        """Everything that the next step has no field for."""
        found = [("concern", c) for c in self.concerns] if "concern" not in left_out else []
        plain = ("urgency", "district", "caller", "consent", *WRITTEN, "nonce")
        return found + [(n, str(getattr(self, n))) for n in plain if n not in left_out and getattr(self, n)]


@dataclass(frozen=True, slots=True)
class Double:
    """A household with the same name and birth date or contact."""

    number: str
    about: str


async def intake(found: Desk) -> Response:
    """Fill in, look again, open."""
    found.only(*TAKES_IN)
    if found.request.method != "POST":
        return _asked(found, 1, Draft())
    form = await found.request.form()
    draft = _read(found, form)
    if "back" in form:
        return _asked(found, 2 if form["back"] == "2" else 1, draft)
    step = int(str(form.get("step", "1"))) if str(form.get("step", "1")) in ("1", "2", "3") else 1
    errors = _errors(found, draft)
    if errors:
        return _asked(found, 1, draft, errors)
    if errors := _too_long(found, draft) or _barred(found, draft):
        return _asked(found, 2, draft, errors)
    if step == 1:
        return _asked(found, 2, draft)
    if step == 2:
        return await _look_again(found, draft)
    return await _open(found, draft)


def _read(found: Desk, form: FormData) -> Draft:
    """Take what was filled in; what the town does not know is left out."""
    town = found.town
    # A browser sends a line's end as two characters and counts it as one.
    plain = {
        n: str(form.get(n, "")).replace("\r\n", "\n").strip()
        for n in ("urgency", "district", "caller", "consent", *WRITTEN)
    }
    concerns = tuple(str(c) for c in form.getlist("concern") if c in town.concerns)
    draft = Draft(concerns, **plain, nonce=str(form.get("nonce", ""))[:40] or nonce())
    return replace(
        draft,
        urgency=draft.urgency if draft.urgency in dict(URGENCIES) else "",
        district=draft.district if draft.district in (*town.districts, ANYWHERE) else "",
        consent=draft.consent if draft.consent in {c[0] for c in CONSENTS} else "",
        caller=draft.caller if draft.caller in CALLERS else "",
    )


def _errors(found: Desk, draft: Draft) -> dict[str, str]:
    """Name each field that is missing, with what to do."""
    wanted = {
        "concern": (bool(draft.concerns), "困りごとを1つ以上選んでください"),
        "urgency": (bool(draft.urgency), "急ぎぐあいを選んでください"),
        "district": (bool(draft.district), "圏域を選んでください"),
        "consent": (bool(draft.consent), "同意のようすを選んでください"),
    }
    return {name: found.t(text) for name, (given, text) in wanted.items() if not given}


def _too_long(found: Desk, draft: Draft) -> dict[str, str]:
    """Name each field that holds more than is kept: nothing is cut unseen, and nothing of it is lost."""
    said = found.t("{label}は{most}字までです。いまは{n}字あります")
    written = {name: len(getattr(draft, name)) for name in WRITTEN}
    return {
        name: said.format(label=found.t(WRITTEN[name]), most=f"{LONGEST:,}", n=f"{n:,}")
        for name, n in written.items()
        if n > LONGEST
    }


def _barred(found: Desk, draft: Draft) -> dict[str, str]:
    """マイナンバー is not taken, not even into the sealed story (domain.md §4.1)."""
    said = found.t("マイナンバーは、ここには書けません。番号を消してください")
    return {name: said for name in WRITTEN if guard.my_numbers(getattr(draft, name))}


# -- the three steps


def _asked(found: Desk, step: int, draft: Draft, errors: Mapping[str, str] | None = None, **more: Any) -> Response:
    errors = errors or {}
    fields = _first(found, draft, errors) if step == 1 else _second(found, draft, errors) if step == 2 else []
    own = ("concern", "urgency", "district", "caller", "consent") if step == 1 else WRITTEN if step == 2 else ()
    labels = {1: "つぎへ お名前と連絡先", 2: "つぎへ 確かめる", 3: "受け付ける"}
    return show(
        found, "intake.html", found.t("相談の受付"), "", status=422 if errors else 200, focus=True, step=step, of=STEPS,
        fields=fields, hidden=[*draft.hidden(*own), ("step", str(step))], submit=found.t(more.pop("label", labels[step])),
        errors=[{"field": name, "text": text} for name, text in errors.items()], doubles=more.pop("doubles", []),
        errors_title=found.t("あと{n}つで進めます").replace("{n}", str(len(errors))), **more,
    )  # fmt: skip


def _first(found: Desk, draft: Draft, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    t, town = found.t, found.town
    concerns = [
        _option(c.code, found.voice.label("concern", c.code), c.code in draft.concerns) for c in town.concerns.values()
    ]
    urgencies = [_option(code, found.voice.label("urgency", code), code == draft.urgency) for code, _ in URGENCIES]
    districts = [_option("", t("選んでください"), not draft.district)]
    districts += [_option(d, d, d == draft.district) for d in town.districts]
    districts.append(_option(ANYWHERE, t("市内のどこか"), draft.district == ANYWHERE))
    consents = [_option(code, t(label), code == draft.consent) for code, label, _ in CONSENTS]
    callers = [_option("", t("選ばない"), not draft.caller), *(_option(c, t(c), c == draft.caller) for c in CALLERS)]
    made: list[dict[str, Any]] = [
        {"kind": "tiles", "f": {
            "id": "concern", "legend": t("どんな困りごとですか"), "need": "must", "kind": "checkbox", "options": concerns,
            "hint": t("あてはまるものをすべて。あとで直せます。")}},
        {"kind": "tiles", "f": {
            "id": "urgency", "legend": t("急ぎぐあい"), "need": "must", "kind": "radio", "columns": 3, "options": urgencies,
            "hint": t("命の危険があるときは、先に119・110へ。")}},
        {"kind": "select", "f": {
            "id": "district", "label": t("お住まいの圏域"), "need": "must", "options": districts,
            "hint": t("わからないときは「市内のどこか」でかまいません。")}},
        {"kind": "tiles", "f": {
            "id": "consent", "legend": t("同意"), "need": "must", "kind": "radio", "columns": 1, "options": consents,
            "hint": t("ほかの機関と相談のことを共有してよいか、ご本人のお気持ちです。")}},
        {"kind": "select", "f": {"id": "caller", "label": t("だれからの相談ですか"), "need": "may", "options": callers}},
    ]  # fmt: skip
    for one in made:
        one["f"]["error"] = errors.get(one["f"]["id"], "")
    return made


def _second(found: Desk, draft: Draft, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    t = found.t
    made: list[dict[str, Any]] = [
        {"kind": "text", "f": {
            "id": "name", "need": "may", "value": draft.name, "autocomplete": "off",
            "hint": t("ふりがなだけでも、わからなければ空のままでかまいません。")}},
        {"kind": "text", "f": {
            "id": "birth", "need": "may", "value": draft.birth, "autocomplete": "off",
            "placeholder": "1950-04-01"}},
        {"kind": "text", "f": {
            "id": "contact", "need": "may", "value": draft.contact, "autocomplete": "off",
            "hint": t("電話番号か、つながる方法を。")}},
        {"kind": "text", "f": {
            "id": "story", "need": "may", "value": draft.story, "rows": 5,
            "hint": t("封をして保管します。関わる方だけが読めます。2,000字まで。")}},
    ]  # fmt: skip
    for one in made:
        field_ = one["f"]
        field_ |= {"label": t(WRITTEN[field_["id"]]), "error": errors.get(field_["id"], "")}
        if "rows" not in field_:
            # Not on the story: of a longer text that is pasted the browser would keep the beginning and say nothing.
            field_["maxlength"] = LONGEST
    return made


def _option(value: str, label: str, chosen: bool) -> dict[str, Any]:
    return {"value": value, "label": label, "chosen": chosen}


async def _look_again(found: Desk, draft: Draft) -> Response:
    """The third step: all of it once more, and who else it might be."""
    doubles = await found.read(lambda tx: _doubles(tx, found, draft))
    found.looked(*(one.number for one in doubles if one.number), kind="search")
    label = "別の方として受け付ける" if doubles else "受け付ける"
    return _asked(found, 3, draft, None, doubles=doubles, summary=_summary(found, draft), label=label)


def _summary(found: Desk, draft: Draft) -> list[dict[str, str]]:
    t, voice = found.t, found.voice
    consent = next((t(label) for code, label, _ in CONSENTS if code == draft.consent), "")
    rows = (
        ("困りごと", voice.join([voice.label("concern", c) for c in draft.concerns])),
        ("急ぎぐあい", voice.label("urgency", draft.urgency)),
        ("お住まいの圏域", t("市内のどこか") if draft.district == ANYWHERE else draft.district),
        ("同意", consent), ("だれからの相談ですか", t(draft.caller) if draft.caller else ""),
        *((label, getattr(draft, name)) for name, label in WRITTEN.items()),
    )  # fmt: skip
    return [{"label": t(label), "value": value} for label, value in rows if value]


# -- doubles


def _doubles(tx: Tx, found: Desk, draft: Draft) -> list[Double]:
    """Earlier consultations of the same person: those that the reader may know by number, of others only that there are some."""
    doubles = []
    wanted = asked(draft.name, draft.birth, draft.contact) if draft.name else ()
    for household in persons.same(tx, wanted):
        episodes = cases.of_household(tx, found.sight, household)
        for row in episodes.known:
            about = f"{found.voice.day(row.opened_at, found.now)} {found.voice.label('stage', row.stage)}"
            doubles.append(Double(row.number, about))
        doubles += [Double("", "")] * episodes.others
    return doubles


# -- opening


async def _open(found: Desk, draft: Draft) -> Response:
    """Say 受付 and 同意 through the same door as everybody, then seal what was told."""
    urgency = dict(URGENCIES)[draft.urgency]
    district = "" if draft.district == ANYWHERE else draft.district
    words = " ".join(filter(None, ("受付", *draft.concerns, urgency, district)))
    answered = await saying.through(found, words, f"{draft.nonce}:open")
    if answered.inbox is None:
        return RedirectResponse(await found.read(lambda tx: _newest(tx, found)), 303)
    number = answered.number
    if answered.refused or not number:
        said = (
            answered.messages[0].text
            if answered.messages
            else found.t("受け付けられませんでした。もう一度お試しください。")
        )
        return _asked(found, 1, replace(draft, nonce=nonce()), {"concern": said})
    consent = next(word for code, _, word in CONSENTS if code == draft.consent)
    await saying.through(found, f"同意 {number} {consent}", f"{draft.nonce}:consent")
    await found.app.store.transact(lambda tx: _seal(tx, found, number, draft))
    return RedirectResponse(f"/cases/{number}", 303)


def _newest(tx: Tx, found: Desk) -> str:
    """The form was sent twice: the first time has opened it."""
    led = [s.case for s in cases.of_staff(tx, found.sight) if s.relation == "lead"]
    newest = max(led, key=lambda c: c.opened_at, default=None)
    return f"/cases/{newest.number}" if newest else "/cases"


def _seal(tx: Tx, found: Desk, number: str, draft: Draft) -> None:
    """Keep the person and what was told under the household's own key."""
    case = cases.load(tx, number, lock=True)
    if case is None:
        return
    caller = [f"{label} {draft.caller}" for label in ("だれからの相談ですか",) if draft.caller]
    story = "\n".join([*caller, *([draft.story] if draft.story else [])])
    told = Told(draft.name, "", draft.birth, draft.contact, story, SOURCES.get(draft.caller, "person"), draft.consent)
    keep(tx, case, told, found.act)
