"""A household's persons as the pages show them, and the form of one."""

from typing import Any, Final

from bot.pages import agree
from bot.pages.forms import Form, options
from bot.pages.frame import Desk, View, at
from storage import persons
from storage.tx import Tx
from workflow.case import Case
from workflow.household import KIN, LANGUAGES, SEXES, Person

#: What is written of a person → how many letters of it are kept.
WRITTEN: Final = {"name": 100, "kana": 100, "birth": 100, "address": 300, "contacts": 500}


def view(found: Desk, one: Person, consent: View | None) -> View:
    voice = found.voice
    rows = (
        ("ふりがな", one.kana), ("生年月日", one.birth), ("性別", voice.label("sex", one.sex)), ("住所", one.address),
        ("連絡先", "\n".join(one.contacts)), ("使うことば", voice.label("tongue", one.language)),
    )  # fmt: skip
    return {
        "id": one.id, "name": one.name or one.kana or found.t("お名前はまだわかりません"), "kin": voice.label("kin", one.relation),
        "facts": [{"label": found.t(label), "value": value} for label, value in rows if value],
        "by": voice.person(one.added_by), "at": at(found, one.added_at), "gone": at(found, one.removed_at), "consent": consent,
    }  # fmt: skip


def summary(tx: Tx, found: Desk, one: Case) -> list[View]:
    """The household on the case's own page: who belongs to it, and how each consents."""
    consents = agree.of_case(tx, found, one)
    theirs = [p for p in persons.of_households(tx, (one.household,)) if p.removed_at is None]
    return [view(found, p, consents.get(p.id)) for p in theirs]


def labels(found: Desk) -> dict[str, str]:
    words = ("お名前", "ふりがな", "生年月日", "住所", "連絡先")
    return {name: found.t(label) for name, label in zip(WRITTEN, words, strict=True)}


def blank(found: Desk, given: dict[str, Any], id_: str) -> Form:
    t, voice, label = found.t, found.voice, labels(found)
    title = t("世帯の方を直す") if id_ else t("世帯の方を書きとめる")
    form = Form("person", title, t("保存する"), [("person", id_)] if id_ else [])
    form.line("name", label["name"], given.get("name", ""), hint=t("わからなければ空のままでかまいません。"))
    form.line("kana", label["kana"], given.get("kana", ""))
    form.select("relation", t("続柄"), options(voice, "kin", KIN, given.get("relation", ""), none=t("わからない")))
    form.line("birth", label["birth"], given.get("birth", ""), hint=t("例: 1950-04-01、昭和25年4月1日"))
    form.select("sex", t("性別"), options(voice, "sex", SEXES, given.get("sex", ""), none=t("書かない")))
    form.area("contacts", label["contacts"], given.get("contacts", ""), hint=t("1行に1つずつ。"), rows=2)
    form.line("address", label["address"], given.get("address", ""), most=300)
    form.select(
        "language",
        t("使うことば"),
        options(voice, "tongue", LANGUAGES, given.get("language", ""), none=t("わからない")),
    )
    return form
