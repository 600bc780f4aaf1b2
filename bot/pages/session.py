"""Coming in and going out, each way of it; in a demonstration choosing whom to be. Acts on POST alone."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from bot import sign
from bot.enter import AWAY, NOISE, PAUSED, UNKNOWN, WRONG, NotIn, devices, letter, oidc, passkeys, totp, tries
from bot.enter.devices import Device
from bot.enter.tries import Lane
from bot.pages.browser import in_a_chat, place
from bot.pages.frame import (
    COOKIE,
    Desk,
    View,
    another,
    back_to,
    cookie,
    desk,
    drop_cookie,
    from_here,
    local,
    made_for_another,
    put_cookie,
    secure,
    show,
    worded,
)  # fmt: skip
from storage import ways
from storage.tx import Tx
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
#: What was brought is not right: by way. Nobody learns from it who is known here.
WRONGS: Final = {
    "code": "合言葉が合いませんでした。期限が過ぎたか、もう使われたのかもしれません。新しい合言葉を機関長か調整役にお願いしてください。",
    "app": "お名前か数字が合いませんでした。アプリの新しい数字で、もう一度お願いします。ほかの入り方もお使いになれます。",
    "passkey": "この端末の鍵では入れませんでした。ほかの入り方をお使いください。",
    "oidc": "町の共通の入口では確かめられましたが、つなぎへのご登録が見つかりませんでした。機関長か調整役にお知らせください。",
    "away": "町の共通の入口に、いまつながりません。ほかの入り方をお使いください。",
    "oidc.wrong": "町の共通の入口から、うまくもどれませんでした。もう一度お願いします。",
}
WAITING: Final = (
    "招待状を受けとりました",
    "機関長か調整役が確かめると、この電話かパソコンで使えるようになります。確かめがすんだら、下のボタンからお入りください。",
)
OFTEN: Final = "つづけてのお試しが多いようです。{n}分ほどおいてから、もう一度お願いします。お急ぎのときは、ほかの入り方か、機関長・調整役の合言葉で入れます。"
LINK_OVER: Final = (
    "このリンクは使えません",
    "10分がすぎたか、もう使われています。入口から、もう一度数字をうけとってください。",
)
#: The cookies beside the session's: a known device, and what the identity provider has to bring back.
DEVICE: Final = "device"
STATE: Final = "oidc"
LONGEST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Came:
    """Somebody is let in."""

    token: str
    staff: str
    holds: bool = True  #: False: a volunteer's paper that waits for somebody to confirm it


@dataclass(frozen=True, slots=True)
class Shut:
    """Too many tries: nothing was looked at."""

    minutes: int


Judged = Came | Shut | NotIn


async def sign_in(request: Request) -> Response:
    """GET: the door. POST: one of the ways in."""
    found = await desk(request)
    if request.method != "POST":
        return _door(found)
    form = await found.form()
    if _chosen(found, form):
        return await _be(found, form)
    return await WAYS.get(form.get("do", ""), _by_code)(found, form)


# -- the door


def _door(
    found: Desk, error: str = "", status: int = 200, *, form: dict[str, str] | None = None, field: str = "code"
) -> Response:
    form = form or {}
    choosing = found.demo and from_here(found.request)
    people = [_person(found, one) for one in _in_order(found)] if choosing else []
    code = form.get("code", "") if form else found.query("code")
    chat = in_a_chat(found.request)
    return show(
        found, "door.html", found.t("見本の入口" if choosing else "入口"), plain=True, people=people[: len(FIRST)],
        others=people[len(FIRST) :], town=found.town.name, code=code[:100], to=local(form.get("next", "") or found.query("next")),
        error=found.t(error) if error and status != 429 else error, field=field, status=status, unsent=bool(found.query("unsent")),
        passkeys=site(found) is not None and not chat, chat=chat, letters=bool(found.town.outside), oidc=found.app.provider.known,
        named=form.get("name", "")[:200], open=form.get("do", ""),
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


def _chosen(found: Desk, form: dict[str, str]) -> bool:
    return found.demo and from_here(found.request) and form.get("who", "") in found.town.staff


async def _be(found: Desk, form: dict[str, str]) -> Response:
    """In a demonstration anybody is anybody."""
    came = await found.write(lambda tx: _let_in(tx, found, form["who"], "demo", shared=False))
    return await _with_session(found, came, form)


# -- letting in


def _device(found: Desk) -> Device | None:
    kept = found.request.cookies.get(cookie(found.request, DEVICE), "")
    return devices.read(found.app.settings.secret(), kept, found.app.clock.machine()) if kept else None


def _address(found: Desk) -> str:
    return found.request.client.host if found.request.client else ""


def _let_in(tx: Tx, found: Desk, staff: str, way: str, *, shared: bool) -> Came:
    """Open a session, and end the one that this browser had: a token never lives through a sign-in."""
    at = found.app.clock.machine()
    if before := found.request.cookies.get(cookie(found.request), ""):
        sign.end(tx, before, at)
    token = sign.begin(tx, staff, at, sign.lives(found.town, shared=shared), way, place(found.request))
    sign.came_in(tx, staff, way, found.now)
    return Came(token, staff)


async def _judge(
    found: Desk,
    form: dict[str, str],
    way: str,
    lanes: Callable[[Tx], Sequence[Lane]],
    judge: Callable[[Tx], str | Came],
) -> Judged:
    """Let somebody in or not, in one transaction with the count of it."""
    at = found.app.clock.machine()

    def work(tx: Tx) -> Judged:
        some = lanes(tx)
        if until := tries.closed_until(tx, some, at):
            return Shut(_minutes(until, at))
        try:
            whom = judge(tx)
            staff = found.town.staff.get(whom.staff if isinstance(whom, Came) else whom)
            if staff is None or not staff.serves(found.now.astimezone(found.town.tz).date()):
                raise NotIn(UNKNOWN)
        except NotIn as no:
            closed = tries.count(tx, some, at)
            if no.why != NOISE:
                sign.refused(tx, no.staff, way, PAUSED if closed else no.why, found.now)
            return no
        tries.right(tx, some, at)
        return whom if isinstance(whom, Came) else _let_in(tx, found, whom, way, shared=_shared(form))

    return await found.write(work)


def _minutes(until: datetime, at: datetime) -> int:
    return max(1, -(-int((until - at).total_seconds()) // 60))


def _shared(form: dict[str, str]) -> bool:
    return bool(form.get("shared"))


async def _answered(found: Desk, judged: Judged, form: dict[str, str], way: str, field: str) -> Response:
    """In, or at the door with a sentence."""
    if isinstance(judged, Came):
        return await _with_session(found, judged, form)
    if isinstance(judged, Shut):
        return _door(found, found.t(OFTEN, n=judged.minutes), 429, form=form, field=field)
    return _door(found, WRONGS[way], 422, form=form, field=field)


async def _with_session(found: Desk, came: Came, form: dict[str, str]) -> Response:
    to = form.get("next", "")
    answer = back_to(to, "/") if came.holds else worded(found, *WAITING, 202, plain=True)
    shared = _shared(form)
    put_cookie(found, answer, COOKIE, came.token, None if shared else sign.lives(found.town, shared=False).whole)
    if came.holds and not shared:
        known = devices.written(found.app.settings.secret(), _device(found), came.staff, found.app.clock.machine())
        put_cookie(found, answer, DEVICE, known, devices.LIVES)
    return answer


# -- by a code that somebody gave


async def _by_code(found: Desk, form: dict[str, str]) -> Response:
    code = form.get("code", "")[:100]

    def redeem(tx: Tx) -> str | Came:
        """By a volunteer's paper the session opens when somebody has confirmed it."""
        invited = sign.use(tx, code, found.app.clock.now(tx), "code", "paper")
        if invited is None or invited.staff not in found.town.staff:
            raise NotIn(WRONG)
        if invited.kind == "paper" and found.town.staff[invited.staff].volunteer:
            return Came(sign.wait(tx, invited, found.now), invited.staff, holds=False)
        return invited.staff

    judged = await _judge(found, form, "code", lambda tx: tries.lanes(tx.keys, _address(found), _device(found)), redeem)
    return await _answered(found, judged, form, "code", "code")


# -- by six digits


async def _ask_letter(found: Desk, form: dict[str, str]) -> Response:
    """Send the digits, if there is somebody to send them to. The page that follows is the same either way."""
    named, at = form.get("name", "")[:200].strip(), found.app.clock.machine()
    if not named:
        text = "お名前のコードか、メールアドレスを書いてください。"
        return _door(found, text, 422, form=form, field="name")
    person = letter.whom(found.town, named)
    there = f"{_base(found)}/sign-in/link"

    def ask(tx: Tx) -> str | Shut:
        whose = person.code if person else None
        some = tries.letter_lanes(tx.keys, _address(found), _device(found), named, whose)
        if until := tries.closed_until(tx, some, at):
            return Shut(_minutes(until, at))
        tries.count(tx, some, at)
        return letter.ask(tx, found.town, named, there, found.app.fresh, at, found.now)

    asked = await found.write(ask)
    if isinstance(asked, Shut):
        return _door(found, found.t(OFTEN, n=asked.minutes), 429, form=form, field="name")
    return _digits(found, asked, form)


def _digits(found: Desk, handle: str, form: dict[str, str], error: str = "", status: int = 200) -> Response:
    return show(
        found, "door_digits.html", found.t("6けたの数字"), plain=True, handle=handle, to=local(form.get("next", "")), error=error,
        shared=_shared(form), status=status,
    )  # fmt: skip


async def _by_digits(found: Desk, form: dict[str, str]) -> Response:
    handle, at = form.get("handle", "")[:100], found.app.clock.machine()
    judged = await _judge(
        found, form, "letter", lambda tx: tries.lanes(tx.keys, _address(found), _device(found)),
        lambda tx: letter.come_in(tx, handle, form.get("digits", "")[:40], at),
    )  # fmt: skip
    if not isinstance(judged, NotIn):
        return await _answered(found, judged, form, "letter", "name")
    left = await found.read(lambda tx: letter.left(tx, handle, at))
    if left:
        return _digits(found, handle, form, found.t("数字が合いませんでした。あと{n}回お試しになれます。", n=left), 422)
    over = "この数字は、もう使えません。もう一度、数字をうけとってください。"
    return _door(found, over, 422, form={"next": form.get("next", "")}, field="name")


async def link(request: Request) -> Response:
    """A letter's link: opened it shows one button, so that nothing acts for whoever merely looks at it."""
    found = await desk(request)
    code, at = found.query("code"), found.app.clock.machine()
    peeked = await found.read(lambda tx: ways.peek(tx, sign.hashed(sign.plain(code)), "link", at))
    if peeked is None or peeked.staff not in found.town.staff:
        return worded(found, *LINK_OVER, 404, plain=True, links=[{"label": found.t("入口へ"), "href": "/sign-in"}])
    who = found.voice.person(peeked.staff)
    return show(found, "door_link.html", found.t("つなぎに入る"), plain=True, code=code, who=who)


async def _by_link(found: Desk, form: dict[str, str]) -> Response:
    code, at = form.get("code", "")[:100], found.app.clock.machine()
    judged = await _judge(
        found, form, "letter", lambda tx: tries.lanes(tx.keys, _address(found), _device(found)), lambda tx: letter.follow(tx, code, at)
    )  # fmt: skip
    if isinstance(judged, NotIn):
        return worded(found, *LINK_OVER, 404, plain=True, links=[{"label": found.t("入口へ"), "href": "/sign-in"}])
    return await _answered(found, judged, form | {"code": ""}, "letter", "name")


def _base(found: Desk) -> str:
    return (found.app.settings.base_url or found.app.settings.address).rstrip("/")


# -- by an authenticator app, or a recovery code


async def _by_app(found: Desk, form: dict[str, str]) -> Response:
    named, typed, at = form.get("name", "")[:200].strip(), form.get("digits", "")[:40], found.app.clock.machine()
    person = letter.whom(found.town, named)
    whose = person.code if person else None
    by_paper = totp.is_code(typed)
    judged = await _judge(
        found, form, "recovery" if by_paper else "app",
        lambda tx: tries.lanes(tx.keys, _address(found), _device(found), named or "?", whose),
        lambda tx: (totp.recover if by_paper else totp.come_in)(tx, whose, typed, at),
    )  # fmt: skip
    return await _answered(found, judged, form, "app", "app-name")


# -- by a passkey


def site(found: Desk) -> passkeys.Site | None:
    return passkeys.site(found.app.settings.base_url, str(found.request.base_url))


async def question(request: Request) -> Response:
    """A passkey's question, as JSON for the script of the door."""
    found = await desk(request)
    where, at = site(found), found.app.clock.machine()
    if where is None:
        return JSONResponse({}, 404)

    def ask(tx: Tx) -> str | None:
        some = tries.question_lanes(tx.keys, _address(found), _device(found))
        if tries.closed_until(tx, some, at):
            return None
        tries.count(tx, some, at)
        return passkeys.ask(tx, where, at)

    asked = await found.write(ask)
    return JSONResponse({}, 429) if asked is None else Response(asked, media_type="application/json")


async def _by_passkey(found: Desk, form: dict[str, str]) -> Response:
    """Nobody guesses a passkey: no lane is closed to it, and it closes none."""
    where, brought = site(found), form.get("credential", "")[:LONGEST]

    def judge(tx: Tx) -> str | Came:
        if where is None:
            raise NotIn(NOISE)
        return passkeys.come_in(tx, where, brought, found.app.clock.machine())

    return await _answered(found, await _judge(found, form, "passkey", lambda _: (), judge), form, "passkey", "passkey")


# -- by the town's identity provider


async def _ask_provider(found: Desk, form: dict[str, str]) -> Response:
    """A page with the way there, and not a redirect: our policy lets no form lead to another host."""
    at, provider = found.app.clock.machine(), found.app.provider
    if not provider.known:
        return _door(found)
    try:
        asked = await provider.ask(f"{_here(found)}/sign-in/oidc")
    except NotIn as no:
        return _door(found, WRONGS["away" if no.why == AWAY else "oidc.wrong"], 503, form=form, field="oidc")

    def keep(tx: Tx) -> Shut | None:
        some = tries.question_lanes(tx.keys, _address(found), _device(found))
        if until := tries.closed_until(tx, some, at):
            return Shut(_minutes(until, at))
        tries.count(tx, some, at)
        oidc.keep(tx, asked, {"next": local(form.get("next", "")), "shared": _shared(form)}, at)
        return None

    if shut := await found.write(keep):
        return _door(found, found.t(OFTEN, n=shut.minutes), 429, form=form, field="oidc")
    answer = show(found, "door_provider.html", found.t("町の共通の入口"), plain=True, to=asked.url)
    put_cookie(found, answer, STATE, asked.state, oidc.LIVES)
    return answer


def _here(found: Desk) -> str:
    return (found.app.settings.base_url or str(found.request.base_url)).rstrip("/")


async def from_provider(request: Request) -> Response:
    """Back from the identity provider, in the browser that was sent there."""
    found = await desk(request)
    came = parse_qs(request.url.query)
    state, code = (came.get(name, [""])[0][:2_000] for name in ("state", "code"))
    ours, at = request.cookies.get(cookie(request, STATE), ""), found.app.clock.machine()
    form: dict[str, str] = {}
    said: dict[str, Any] = {}
    wrong: NotIn | None = None
    try:
        if not state or state != ours:
            raise NotIn(NOISE)
        asked, kept = await found.write(lambda tx: oidc.back(tx, state, at))
        form = {"next": kept["next"], **({"shared": "1"} if kept["shared"] else {})}
        if not code:
            raise NotIn(WRONG)
        said = await found.app.provider.claims(code, asked, f"{_here(found)}/sign-in/oidc")
    except NotIn as no:
        wrong = no

    def judge(tx: Tx) -> str | Came:
        if wrong is not None:
            raise wrong
        return oidc.whom(found.town, found.app.settings.oidc_claim, said).code

    judged = await _judge(found, form, "oidc", lambda _: (), judge)
    way = "away" if wrong and wrong.why == AWAY else "oidc.wrong" if wrong else "oidc"
    answer = await _answered(found, judged, form, way, "oidc")
    drop_cookie(found, answer, STATE)
    return answer


Way = Callable[[Desk, dict[str, str]], Awaitable[Response]]
WAYS: Final[dict[str, Way]] = {
    "letter": _ask_letter, "digits": _by_digits, "link": _by_link, "app": _by_app, "passkey": _by_passkey, "oidc": _ask_provider,
}  # fmt: skip


# -- going out


async def sign_out(request: Request) -> Response:
    found = await desk(request)
    if found.me is not None and await made_for_another(found):
        return await another(found)
    token = request.cookies.get(cookie(request), "")
    await found.write(lambda tx: sign.end(tx, token, found.app.clock.machine()))
    answer = RedirectResponse("/sign-in", 303)
    drop_cookie(found, answer, COOKIE)
    return answer


def door_for(found: Desk, to: str) -> str:
    """The door, and the way back from it."""
    return f"/sign-in?{urlencode({'next': to})}"


async def theme(request: Request) -> Response:
    """Remember 自動・明・暗 and the language."""
    form = await request.form()
    answer = back_to(str(form.get("back", "")), "/")
    for name, known in (("theme", ("auto", "light", "dark")), ("lang", ("ja", "en"))):
        if (value := form.get(name)) in known:
            answer.set_cookie(name, str(value), max_age=400 * 86_400, samesite="lax", secure=secure(request))
    return answer
