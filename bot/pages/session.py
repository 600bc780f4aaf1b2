"""Coming in and going out: one-time codes, and in a demonstration choosing whom to be. Acts on POST alone."""

from collections import deque
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bot import sign
from bot.clock import real
from bot.pages.frame import (
    COOKIE,
    Desk,
    View,
    another,
    back_to,
    desk,
    from_here,
    local,
    made_for_another,
    show,
    worded,
)  # fmt: skip
from storage.store import Tx
from workflow.people import Role, Staff

#: Whom a newcomer should try first; then everybody else.
FIRST: Final = ("mori", "suzuki", "takahashi", "ishii", "yamamoto", "ogawa")
ABOUT: Final = {
    Role.COORDINATOR: "滞りを見つけて、動かす",
    Role.OFFICIAL: "全体を見る、決定する",
    Role.WATCHER: "ようすを一度で答える",
    Role.HOST: "受け入れ先として答える",
    Role.HEAD: "担当を決める",
    Role.STAFF: "依頼に答える、受け付けてつなぐ",
    Role.ADMIN: "設定を見る",
    Role.PRIVACY: "記録を確かめる",
}
WRONG: Final = "合言葉が合いませんでした。期限が過ぎたか、もう使われたのかもしれません。新しい合言葉を機関長か調整役にお願いしてください。"
WAITING: Final = (
    "招待状を受けとりました",
    "機関長か調整役が確かめると、この電話かパソコンで使えるようになります。確かめがすんだら、下のボタンからお入りください。",
)
OFTEN: Final = "つづけてのお試しが多いようです。1分ほどおいてから、もう一度お願いします。"

_tried: dict[str, deque[float]] = {}


async def sign_in(request: Request) -> Response:
    found = await desk(request)
    return await _enter(found) if request.method == "POST" else _door(found)


def _door(found: Desk, error: str = "", status: int = 200, code: str = "", to: str = "") -> Response:
    choosing = found.demo and from_here(found.request)
    people = [_person(found, one) for one in _in_order(found)] if choosing else []
    title = "見本の入口" if choosing else "入口"
    return show(
        found, "door.html", found.t(title), plain=True, people=people[: len(FIRST)], others=people[len(FIRST) :], town=found.town.name,
        code=code or found.query("code"), to=local(to or found.query("next")), error=found.t(error) if error else "", status=status,
        unsent=bool(found.query("unsent")),
    )  # fmt: skip


def _in_order(found: Desk) -> list[Staff]:
    staff = found.town.staff
    first = [staff[code] for code in FIRST if code in staff]
    return [*first, *(one for one in staff.values() if one not in first)]


def _person(found: Desk, one: Staff) -> View:
    role = next(role for role in ABOUT if one.has(role))
    return {
        "name": found.voice.name(one.code), "post": f"{found.voice.agency(one.agency)} {found.voice.post(one.code)}",
        "about": found.t(ABOUT[role]), "initial": found.voice.name(one.code)[:1], "token": one.code,
    }  # fmt: skip


async def _enter(found: Desk) -> Response:
    form = await found.form()
    who, code, to = form.get("who", ""), form.get("code", "")[:100], form.get("next", "")
    if who and found.demo and from_here(found.request) and who in found.town.staff:
        return _with_session(found, await found.write(lambda tx: sign.begin(tx, who, real())), to)
    if sign.too_often(_tried, found.request.client.host if found.request.client else ""):
        return _door(found, OFTEN, 429, code, to)

    def redeem(tx: Tx) -> tuple[str, bool] | None:
        """The token of a session; by a volunteer's paper it opens when somebody has confirmed it."""
        invited = sign.use(tx, code, found.app.clock.now(tx), "code", "paper")
        if invited is None or invited.staff not in found.town.staff:
            return None
        if invited.kind == "paper" and found.town.staff[invited.staff].volunteer:
            return sign.wait(tx, invited, found.now), False
        return sign.begin(tx, invited.staff, real()), True

    made = await found.write(redeem) if code else None
    if made is None:
        return _door(found, WRONG, 422, code, to)
    token, holds = made
    return _with_session(found, token, to, None if holds else worded(found, *WAITING, 202, plain=True))


def _with_session(found: Desk, token: str, to: str, waiting: Response | None = None) -> Response:
    answer = waiting or back_to(to, "/")
    lives = int(sign.SESSION_LIVES.total_seconds())
    secure = found.request.url.scheme == "https" or found.app.settings.base_url.startswith("https://")
    answer.set_cookie(COOKIE, token, max_age=lives, httponly=True, samesite="lax", secure=secure)
    return answer


async def sign_out(request: Request) -> Response:
    found = await desk(request)
    if found.me is not None and await made_for_another(found):
        return await another(found)
    token = request.cookies.get(COOKIE, "")
    await found.write(lambda tx: sign.end(tx, token, real()))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


async def theme(request: Request) -> Response:
    """Remember 自動・明・暗 and the language."""
    form = await request.form()
    answer = back_to(str(form.get("back", "")), "/")
    for name, known in (("theme", ("auto", "light", "dark")), ("lang", ("ja", "en"))):
        if (value := form.get(name)) in known:
            answer.set_cookie(name, str(value), max_age=400 * 86_400, samesite="lax")
    return answer
