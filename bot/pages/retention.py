"""保存と消去: whose period is over, who has proposed what, what is held back, and every certificate; two people erase, never the calendar."""

from datetime import time, timedelta
from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from bot import erasing
from bot.pages.frame import Desk, NotFound, View, at, show
from bot.words import whole_number
from storage import erasures, texts
from storage.erasures import Erasure, Hold
from storage.tx import Tx
from workflow import calendar, retention
from workflow import number as numbers
from workflow import refusals as no
from workflow.outcome import Act
from workflow.retention import HOLDS, KEEPERS

LONGEST: Final = 500
#: What the address carries after an act, and what is said of it.
SAID: Final = {
    "proposed": "提案しました。別の方が確かめると、消去されます。",
    "back": "提案を取り下げました。",
    "held": "保全しました。解除されるまで消去しません。",
    "lifted": "保全を解除しました。",
    "erased": "消去しました。これがその証明です。",
}


async def retention_(found: Desk) -> Response:
    """GET: the lists. POST: hold back a household, or lift that."""
    found.only(*KEEPERS)
    if found.request.method == "POST":
        return await _act(found, await found.form())
    view = await found.read(lambda tx: _view(tx, found))
    found.looked(
        *(n for name in ("candidates", "proposed", "holds", "done") for row in view[name] for n in row["numbers"])
    )
    return show(found, "retention.html", found.t("保存と消去"), "town", notice_=_notice(found), **view)


async def one(found: Desk) -> Response:
    """GET: what would be destroyed, or the certificate. POST: propose, take back, confirm."""
    found.only(*KEEPERS)
    id_ = whole_number(str(found.request.path_params["id"]))
    if id_ is None:
        raise NotFound
    if found.request.method == "POST":
        return await _act(found, await found.form() | {"id": str(id_)})
    view = await found.read(lambda tx: _one(tx, found, id_))
    if view is None:
        raise NotFound
    found.looked(*view["numbers"])
    title = found.t("消去証明") if view["certificate"] else found.t("消去の候補")
    return show(found, "erasure.html", title, "town", notice_=_notice(found), still=True, **view)


async def _act(found: Desk, form: dict[str, str]) -> Response:
    """A refusal is an answer: it is said on the page from which it was asked."""
    do, id_ = form.get("do", ""), whole_number(form.get("id", ""))
    back = f"/retention/{id_}" if id_ is not None and do in ("propose", "back", "confirm") else "/retention"
    try:
        said = await found.write(lambda tx: _done(tx, found, do, id_, form))
    except no.Refusal as why:
        return _refused(found, back, why)
    return RedirectResponse(f"{'/retention' if said == 'back' else back}?said={said}", 303)


def _refused(found: Desk, back: str, why: no.Refusal) -> Response:
    name = type(why).__name__
    day = why.about.get("day")
    return RedirectResponse(f"{back}?said={name}{f'&day={day}' if day else ''}", 303)


def _done(tx: Tx, found: Desk, do: str, id_: int | None, form: dict[str, str]) -> str:
    me, now, town = found.reader, found.app.clock.now(tx), found.app.towns.of(tx)
    act = Act(me, now, town, "web", found.app.fresh, me.agency)
    if do == "hold":
        return _hold(tx, form, act)
    if id_ is None:
        raise no.NotProposed
    match do:
        case "propose":
            erasing.propose(tx, id_, me, town, now)
            return "proposed"
        case "back":
            erasing.take_back(tx, id_, me, now)
            return "back"
        case "confirm":
            if form.get("sure") != "yes":
                raise no.NotSure
            erasing.confirm(tx, id_, act)
            return "erased"
        case "lift":
            erasing.lift(tx, id_, me, now)
            return "lifted"
    raise no.NotProposed


def _hold(tx: Tx, form: dict[str, str], act: Act) -> str:
    typed = numbers.find(form.get("number", ""))
    if not typed:
        raise no.NoSuchCase(number=form.get("number", "")[:20])
    if form.get("reason") not in HOLDS:
        raise no.WhyHeld
    erasing.hold(tx, typed[0], form["reason"], form.get("words", "").strip()[:LONGEST], act)
    return "held"


def _notice(found: Desk) -> View | None:
    said = found.query("said")
    if said in SAID:
        return {"style": "ok", "text": found.t(SAID[said])}
    if said and found.voice.has(f"refusal.{said}"):
        return {
            "style": "late",
            "text": found.voice.say(f"refusal.{said}", day=found.query("day"), number=found.t("この番号")),
        }
    return None


# -- the lists


def _view(tx: Tx, found: Desk) -> View:
    rows = erasures.all_(tx)
    waiting = [row for row in rows if not row.done]
    return {
        "years": found.town.limits["retention_years"], "chat_days": found.town.limits["retention_chat_days"],
        "candidates": [_row(found, r) for r in waiting if r.proposed_by is None],
        "proposed": [_row(found, r) for r in waiting if r.proposed_by is not None],
        "done": [_row(found, r) for r in rows if r.done],
        "holds": [_held(tx, found, one) for one in erasures.holds(tx)],
        "reasons": [{"value": code, "label": found.t(REASONS[code])} for code in HOLDS],
    }  # fmt: skip


#: 保全 reasons as they are read.
REASONS: Final = {
    "dispute": "争いごと・訴え", "disclosure": "開示請求", "inquiry": "監査・調べ", "other_law": "ほかの法令の保存期間", "other": "その他",
}  # fmt: skip


def _row(found: Desk, one: Erasure) -> View:
    closed = one.closed_at.astimezone(found.town.tz).date()
    from_ = retention.erasable_from(closed, found.town.limits["retention_years"])
    last = calendar.instant(from_, time(0), found.town.tz) - timedelta(minutes=1)
    return {
        "id": one.id, "numbers": one.numbers, "closed": at(found, one.closed_at), "from": found.voice.day(last, found.now),
        "by": found.voice.person(one.proposed_by) if one.proposed_by else "", "at": at(found, one.proposed_at),
        "second": found.voice.person(one.confirmed_by) if one.confirmed_by else "", "done_at": at(found, one.done_at),
    }  # fmt: skip


def _held(tx: Tx, found: Desk, one: Hold) -> View:
    return {
        "id": one.id, "numbers": [number for _, number in erasures.numbers(tx, one.household)],
        "reason": found.t(REASONS.get(one.reason, "その他")), "words": texts.get(tx, one.text) if one.text else "",
        "by": found.voice.person(one.by), "at": at(found, one.at),
    }  # fmt: skip


def _one(tx: Tx, found: Desk, id_: int) -> View | None:
    one = erasures.get(tx, id_)
    if one is None:
        return None
    whole = erasures.episodes(tx, one.household)
    gone = one.gone if one.gone is not None else erasures.counts(tx, one.household, [row.id for row in whole])
    return _row(found, one) | {
        "certificate": one.done, "town": found.town.name, "household": one.household, "digest": one.digest, "line": one.line,
        "gone": [{"what": found.t(WHAT[name]), "count": count} for name, count in gone.items() if name in WHAT],
        "cases": [_episode(found, row) for row in whole], "mine": one.proposed_by == found.reader.code, "open": one.proposed_by is None,
    }  # fmt: skip


#: What is destroyed, as it is read.
WHAT: Final = {
    "keys": "世帯の鍵", "texts": "書きとめた文", "letters": "お知らせ", "waits": "約束の時計",
    "marks": "目印", "disclosures": "開示の判断",
}  # fmt: skip


def _episode(found: Desk, row: erasures.Episode) -> dict[str, Any]:
    return {"number": row.number, "opened": at(found, row.opened_at), "stage": found.voice.label("stage", row.stage)}
