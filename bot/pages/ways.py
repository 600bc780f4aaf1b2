"""入り方: one's own passkeys, authenticator app, recovery codes and sessions. Acts on POST alone, and changes nothing long after sign-in."""

from datetime import timedelta
from typing import Final

import segno
from starlette.responses import JSONResponse, Response

from bot import sign
from bot.enter import NotIn, passkeys, totp
from bot.pages.browser import in_a_chat, machine
from bot.pages.frame import COOKIE, Desk, View, at, back_to, drop_cookie, show, worded
from bot.pages.session import LONGEST, door_for, site
from storage import journal, people
from storage import ways as kept
from storage.people import Session
from storage.tx import Tx
from storage.ways import App, Passkey
from workflow.outcome import Entry

#: A way in is added or taken away only so soon after coming in: an open page of somebody else's is not enough.
FRESH: Final = timedelta(minutes=15)
#: What one may do at any time: end sessions.
ENDS: Final = frozenset({"out", "out-all"})
AGAIN: Final = (
    "もう一度、お入りください",
    "入り方を変えるのは、入ってから15分のうちだけです。ほかの方に変えられないようにするためです。入りなおすと、ここにもどります。",
)
NOT_KEPT: Final = "この端末の鍵は登録できませんでした。もう一度お試しになるか、ほかの入り方をお使いください。"
NOT_RIGHT: Final = "数字が合いませんでした。アプリの新しい数字で、もう一度お願いします。"


async def ways(found: Desk) -> Response:
    """GET: the list. POST: add or remove a passkey, an app, recovery codes; end one session or all."""
    if found.request.method != "POST":
        return await _page(found)
    form = await found.form()
    do = form.get("do", "")
    if do == "out-all":
        return await _out_everywhere(found)
    if do == "out":
        await found.write(lambda tx: _out(tx, found, form.get("session", "")))
        return back_to("/ways#sessions", "/ways")
    if not _fresh(found):
        return _again(found)
    return await _change(found, do, form)


async def _change(found: Desk, do: str, form: dict[str, str]) -> Response:
    me, moment = found.reader, found.app.clock.machine()
    if do == "passkey":
        return await _keep_passkey(found, form)
    if do == "passkey-remove":
        await found.write(lambda tx: _remove_passkey(tx, found, form.get("key", "")))
    elif do == "app":
        await found.write(lambda tx: totp.begin(tx, me.code, moment))
        return back_to("/ways#app", "/ways")
    elif do == "app-confirm":
        return await _confirm_app(found, form.get("digits", "")[:40])
    elif do == "app-remove":
        await found.write(lambda tx: _remove_app(tx, found))
    elif do == "recovery":
        return await _recovery(found)
    return back_to("/ways", "/ways")


def _fresh(found: Desk) -> bool:
    return found.session is not None and found.app.clock.machine() - found.session.made_at < FRESH


def _again(found: Desk) -> Response:
    links = [{"label": found.t("入りなおす"), "href": door_for(found, "/ways")}]
    return worded(found, *AGAIN, 403, links=links, still=True)


def _line(tx: Tx, found: Desk, kind: str, **data: object) -> None:
    me = found.reader.code
    journal.append_town(tx, Entry(f"town.{kind}", data={"person": me, **data}), me, "web", found.now)


# -- passkeys


async def question(found: Desk) -> Response:
    """The question to one's own device, as JSON for the page's script."""
    where = site(found)
    if where is None or not _fresh(found):
        return JSONResponse({}, 403)
    me, moment = found.reader, found.app.clock.machine()
    asked = await found.write(lambda tx: passkeys.ask_new(tx, where, found.town, me, moment))
    return Response(asked, media_type="application/json")


async def _keep_passkey(found: Desk, form: dict[str, str]) -> Response:
    where, moment = site(found), found.app.clock.machine()
    name = form.get("name", "").strip() or machine(found.request)

    def keep(tx: Tx) -> bool:
        if where is None:
            return False
        try:
            passkeys.keep(tx, where, found.reader, form.get("credential", "")[:LONGEST], name, moment)
        except NotIn:
            return False
        _line(tx, found, "passkey", added=True)
        return True

    if not await found.write(keep):
        return await _page(found, {"passkey-name": found.t(NOT_KEPT)})
    return back_to("/ways#passkeys", "/ways")


def _remove_passkey(tx: Tx, found: Desk, key: str) -> None:
    if kept.remove_passkey(tx, key, found.reader.code, found.app.clock.machine()):
        _line(tx, found, "passkey", added=False)


# -- the app and the recovery codes


async def _confirm_app(found: Desk, typed: str) -> Response:
    def confirm(tx: Tx) -> bool:
        try:
            totp.confirm(tx, found.reader.code, typed, found.app.clock.machine())
        except NotIn:
            return False
        _line(tx, found, "app", added=True)
        return True

    if not await found.write(confirm):
        return await _page(found, {"digits": found.t(NOT_RIGHT)})
    return back_to("/ways#app", "/ways")


def _remove_app(tx: Tx, found: Desk) -> None:
    if kept.remove_app(tx, found.reader.code):
        _line(tx, found, "app", added=False)


async def _recovery(found: Desk) -> Response:
    """Ten new codes, shown on this one answer."""
    me, moment = found.reader, found.app.clock.machine()

    def make(tx: Tx) -> list[str]:
        _line(tx, found, "recovery")
        return totp.make_codes(tx, me.code, moment)

    made = await found.write(make)
    today = found.voice.title_day(found.now)
    return show(found, "recovery.html", found.t("予備のことば"), "", codes=made, today=today, me=me.code, still=True)


# -- sessions


def _out(tx: Tx, found: Desk, name: str) -> None:
    moment, me = found.app.clock.machine(), found.reader.code
    for one in people.sessions_of(tx, me, moment):
        if one.hash[:16] == name and people.end_session(tx, one.hash, moment):
            _line(tx, found, "sign_out")


async def _out_everywhere(found: Desk) -> Response:
    def out(tx: Tx) -> None:
        everywhere(tx, found, found.reader.code)

    await found.write(out)
    answer = back_to("/sign-in", "/sign-in")
    drop_cookie(found, answer, COOKIE)
    return answer


def everywhere(tx: Tx, found: Desk, staff: str) -> int:
    """Sign somebody out everywhere; say how many sessions ended."""
    ended = people.end_sessions(tx, staff, found.app.clock.machine())
    data = {"person": staff, "everywhere": True, "sessions": ended}
    journal.append_town(tx, Entry("town.sign_out", data=data), found.reader.code, "web", found.now)
    return ended


# -- the page


def _look(tx: Tx, found: Desk) -> tuple[list[Passkey], App | None, str, int, list[Session]]:
    me = found.reader.code
    return (
        kept.passkeys_of(tx, me), kept.app(tx, me), totp.address(tx, me), kept.recovery_left(tx, me),
        people.sessions_of(tx, me, found.app.clock.machine()),
    )  # fmt: skip


async def _page(found: Desk, wrong: dict[str, str] | None = None) -> Response:
    keys, app, address, codes, sessions = await found.read(lambda tx: _look(tx, found))
    wrong = wrong or {}
    here = found.session.hash if found.session else ""
    return show(
        found, "ways.html", found.t("入り方"), "", still=True, status=422 if wrong else 200, wrong=wrong, fresh=_fresh(found),
        again=door_for(found, "/ways"), can=site(found) is not None and not in_a_chat(found.request), device=machine(found.request),
        keys=[_key(found, one) for one in keys], app=_app(found, app, address), codes=codes,
        sessions=[_session(found, one, here) for one in reversed(sessions)],
        shared=found.session is not None and found.session.idle == int(sign.lives(found.town, shared=True).idle.total_seconds()),
    )  # fmt: skip


def _key(found: Desk, one: Passkey) -> View:
    return {
        "id": f"key-{sign.hashed(one.id)[:8]}", "value": one.id, "name": one.name, "made": at(found, one.made_at),
        "used": at(found, one.used_at) if one.used_at else None,
    }  # fmt: skip


def _app(found: Desk, app: App | None, address: str) -> View | None:
    if app is None:
        return None
    if not address:
        return {"made": at(found, app.confirmed_at)}
    secret = address.partition("secret=")[2].partition("&")[0]
    spaced = " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))
    image = segno.make(address, micro=False, error="m").svg_data_uri(dark="#000", light="#fff", scale=5, border=4)
    return {"image": image, "secret": spaced, "address": address}


def _session(found: Desk, one: Session, here: str) -> View:
    return {
        "id": f"session-{one.hash[:8]}", "value": one.hash[:16], "place": one.place or found.t("ブラウザ"), "here": one.hash == here,
        "made": at(found, one.made_at), "seen": at(found, one.seen_at), "way": found.voice.label("way_in", one.way) if one.way else "",
    }  # fmt: skip
