"""緊急閲覧: a restricted case is opened with its number and a reason; whatever cannot be opened is answered in the same words."""

from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from bot.pages.frame import Desk, NotForYou, show
from bot.record import record
from storage import cases, texts
from storage.tx import Tx
from workflow import number as numbers
from workflow import refusals as no
from workflow.confidence import NEEDED, may_open, open_for_need

LONGEST: Final = 500
NONE: Final = "この番号では開けませんでした。番号をもう一度お確かめください。"


async def opening(found: Desk) -> Response:
    """GET: the form. POST: open, or say that nothing can be opened by this number."""
    if not may_open(found.reader, found.town):
        raise NotForYou
    if found.request.method != "POST":
        return _asked(found, {}, {})
    form = {name: value.strip() for name, value in (await found.form()).items()}
    errors = _missing(found, form)
    typed = numbers.find(form.get("number", ""))
    if not errors and typed and await found.write(lambda tx: _open(tx, found, typed[0], form)):
        found.looked(typed[0])
        return RedirectResponse(f"/cases/{typed[0]}", 303)
    return _asked(found, form, errors or {"number": found.t(NONE)})


def _missing(found: Desk, form: dict[str, str]) -> dict[str, str]:
    given = {
        "number": ("番号を書いてください", bool(form.get("number"))),
        "reason": ("理由を選んでください", form.get("reason") in NEEDED),
        "words": ("くわしいわけを書いてください(500字まで)", 0 < len(form.get("words", "")) <= LONGEST),
    }
    return {name: found.t(text) for name, (text, there) in given.items() if not there}


def _open(tx: Tx, found: Desk, number: str, form: dict[str, str]) -> bool:
    case = cases.load(tx, number, lock=True)
    if case is None:
        return False
    me = found.reader
    act = found.act
    try:
        with tx.savepoint():
            text, digest = texts.put(tx, case.household, form["words"], me.code, found.now)
            made = open_for_need(case, form["reason"], text, digest, act)
    except no.NoSuchCase:
        return False
    record(tx, made)
    return True


def _asked(found: Desk, form: dict[str, str], errors: dict[str, str]) -> Response:
    t = found.t
    reasons = [
        {"value": code, "label": found.voice.label("opened", code), "chosen": code == form.get("reason")} for code in NEEDED
    ]  # fmt: skip
    number: dict[str, Any] = {
        "id": "number", "label": t("相談の番号"), "need": "must", "value": form.get("number", ""), "autocomplete": "off",
        "inputmode": "numeric", "placeholder": "385-267-52", "error": errors.get("number", ""), "maxlength": 20,
    }  # fmt: skip
    why: dict[str, Any] = {
        "id": "reason", "legend": t("開く理由"), "need": "must", "kind": "radio", "columns": 2, "options": reasons,
        "error": errors.get("reason", ""),
    }  # fmt: skip
    words: dict[str, Any] = {
        "id": "words", "label": t("くわしいわけ"), "need": "must", "rows": 3, "value": form.get("words", ""),
        "hint": t("封をして保管します。500字まで。"), "error": errors.get("words", ""),
    }  # fmt: skip
    return show(
        found, "opening.html", t("番号と理由を書いて開く"), "cases", status=422 if errors else 200, number=number, why=why, words=words,
        errors=[{"field": name, "text": text} for name, text in errors.items()],
    )  # fmt: skip
