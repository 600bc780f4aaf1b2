"""Coming in and going out: one-time codes, and in a demonstration choosing whom to be."""

from collections import deque
from datetime import timedelta
from typing import Any, Final

from bot import sign
from bot.clock import real
from bot.site.frame import COOKIE, Desk, desk, from_here, show, signed_in
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from storage.store import Tx
from workflow.people import Role, Staff

#: Tries of a code a minute and address; a code has nine digits and lives ten minutes.
TRIES: Final = 5
#: Whom a newcomer should try first, and why; then everybody else.
FIRST: Final = ("mori", "suzuki", "takahashi", "ishii", "yamamoto", "ogawa")
_tried: dict[str, deque[Any]] = {}


async def door(request: Request) -> Response:
    found = await desk(request)
    if request.method == "POST":
        return await _enter(found)
    return _door(found)


def _door(found: Desk, error: str = "", status: int = 200) -> Response:
    choosing = found.demo and from_here(found.request)
    people = [_person(found, s) for s in _in_order(found)] if choosing else []
    code = found.request.query_params.get("code", "")
    to = found.request.query_params.get("next", "/")
    return show(
        found, "door.html", "入口", plain=True, people=people, code=code, next=to, error=found.t(error) if error else "",
        town=found.town.name, status=status,
    )  # fmt: skip


def _in_order(found: Desk) -> list[Staff]:
    staff = found.town.staff
    first = [staff[c] for c in FIRST if c in staff]
    return [*first, *(s for s in staff.values() if s not in first)]


def _person(found: Desk, one: Staff) -> dict[str, str]:
    about = next(r for r in (Role.COORDINATOR, Role.OFFICIAL, Role.WATCHER, Role.HOST, Role.HEAD, Role.STAFF, *Role) if one.has(r))
    return {
        "name": one.name,
        "post": f"{found.voice.agency(one.agency)} {found.voice.post(one.code)}",
        "about": found.t(ABOUT.get(about.value, "ようすを見る")),
        "initial": one.name[:1],
        "token": one.code,
    }


ABOUT: Final = {
    "staff": "依頼に答える、受け付けてつなぐ", "head": "担当を決める", "coordinator": "滞りを見つけて、動かす", "official": "全体を見る、決定する",
    "watcher": "ようすを一度で答える", "host": "受け入れ先として答える", "admin": "設定を見る", "privacy": "記録を確かめる",
}  # fmt: skip


async def _enter(found: Desk) -> Response:
    form = await found.request.form()
    who, code = str(form.get("who", "")), str(form.get("code", ""))
    to = str(form.get("next", "/"))
    if who and found.demo and from_here(found.request) and who in found.town.staff:
        token = await found.app.store.transact(lambda tx: sign.begin(tx, who, found.now))
        return signed_in(found, token, to)
    if _too_often(found.request):
        return _door(found, "つづけてのお試しが多いようです。1分ほどおいてから、もう一度お願いします。", 429)

    def redeem(tx: Tx) -> str | None:
        staff = sign.redeem(tx, code, found.now)
        return sign.begin(tx, staff, found.now) if staff else None

    entered = await found.app.store.transact(redeem) if code else None
    if entered is None:
        return _door(found, "合言葉が合いませんでした。期限が切れたか、もう使われたのかもしれません。新しい合言葉を機関長か調整役にお願いしてください。", 422)
    return signed_in(found, entered, to)


def _too_often(request: Request) -> bool:
    address = request.client.host if request.client else ""
    tries = _tried.setdefault(address, deque(maxlen=TRIES + 1))
    tries.append(real())
    return len(tries) > TRIES and tries[-1] - tries[0] < timedelta(minutes=1)


async def leave(request: Request) -> Response:
    found = await desk(request)
    token = request.cookies.get(COOKIE, "")
    await found.app.store.transact(lambda tx: sign.end(tx, token, found.now))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


async def theme(request: Request) -> Response:
    """Remember 自動・明・暗 and the language."""
    form = await request.form()
    back = str(form.get("back", "/"))
    answer = RedirectResponse(back if back.startswith("/") and not back.startswith("//") else "/", 303)
    for name, known in (("theme", ("auto", "light", "dark")), ("lang", ("ja", "en"))):
        if (value := form.get(name)) in known:
            answer.set_cookie(name, str(value), max_age=400 * 86_400, samesite="lax")
    return answer
