"""What every page shares: who is signed in, the words of the frame, rendering, and the answer in words when something is wrong."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from bot import sign
from bot.app import App
from bot.voice import Voice, voice_for
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from storage import people
from storage.store import Tx
from workflow.people import Role, Staff, Town

T = TypeVar("T")
COOKIE: Final = "tsunagi"
TEMPLATES: Final = (Path(__file__).parent.parent / "pages" / "templates", Path(__file__).parent / "templates")


class SignInFirst(Exception):
    """Nobody is signed in."""


class NotForYou(Exception):
    """This page is not this person's."""


@dataclass(frozen=True)
class Desk:
    """One request of somebody signed in: the town, the moment, the reader."""

    app: App
    request: Request
    town: Town
    now: datetime
    me: Staff | None
    demo: bool

    @cached_property
    def voice(self) -> Voice:
        asked = self.request.query_params.get("lang") or self.request.cookies.get("lang") or ""
        known = asked if asked in ("ja", "en") else ""
        return voice_for(self.town, known or (self.me.language if self.me else "") or self.town.language)

    @property
    def reader(self) -> Staff:
        if self.me is None:
            raise SignInFirst
        return self.me

    def only(self, *roles: Role) -> None:
        """Refuse the page to everybody else."""
        if not self.reader.has(*roles):
            raise NotForYou

    def t(self, words: str) -> str:
        return self.voice.t(words)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self.app.store.read(work)


async def desk(request: Request) -> Desk:
    """Find out who asks, in one short read."""
    app: App = request.app.state.tsunagi
    token = request.cookies.get(COOKIE, "")

    def look(tx: Tx) -> tuple[Town, datetime, str | None, bool]:
        town, now = app.towns.of(tx), app.clock.now(tx)
        return town, now, sign.who(tx, token, now), people.demo_clock(tx) is not None

    town, now, who, demo = await app.store.read(look)
    return Desk(app, request, town, now, town.staff.get(who) if who else None, demo)


def from_here(request: Request) -> bool:
    """Say whether the browser is on this machine: only there may a demonstration's people be chosen freely."""
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return request.client is not None and request.client.host in ("localhost", "testclient")


ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(["html"]), trim_blocks=True, lstrip_blocks=True
)


def show(found: Desk, template: str, title: str, section: str = "", *, status: int = 200, **view: Any) -> Response:
    """Render a page in the reader's language."""
    page = frame(found, title, section, **{k: view.pop(k) for k in ("focus", "plain") if k in view})
    html = ENVIRONMENT.get_template(template).render(page=page, t=found.t, voice=found.voice, csrf=page["csrf"](), **view)
    return HTMLResponse(html, status)


def frame(found: Desk, title: str, section: str, **more: Any) -> dict[str, Any]:
    voice, me = found.voice, found.me
    token = found.request.scope.get("csrftoken")
    return {
        "title": title,
        "lang": voice.lang,
        "theme": found.request.cookies.get("theme", "auto"),
        "section": section,
        "me": None if me is None else _me(found, me),
        "demo": {"clock_label": voice.moment(found.now, found.now), "town": found.town.name} if found.demo else None,
        "csrf": token if callable(token) else (lambda: ""),
        "now_label": voice.clock(found.now),
        "path": found.request.url.path,
        **more,
    }


def _me(found: Desk, me: Staff) -> dict[str, Any]:
    return {
        "name": me.name,
        "initial": me.name[:1],
        "post_label": found.voice.post(me.code),
        "agency_name": found.town.agencies[me.agency].name,
        "code": me.code,
        "volunteer": me.volunteer,
    }


Page = Callable[[Desk], Awaitable[Response]]


def page(handler: Page) -> Callable[[Request], Awaitable[Response]]:
    """A page for somebody signed in; everybody else is sent to the door and back."""

    async def asked(request: Request) -> Response:
        found = await desk(request)
        if found.me is None:
            back = request.url.path if request.method == "GET" else "/"
            return RedirectResponse(f"/sign-in?next={back}" if back != "/" else "/sign-in", 303)
        try:
            return await handler(found)
        except NotForYou:
            return worded(found, "ご覧になれません", "このページは、いまのお立場ではご覧になれません。ご用のときは調整役へどうぞ。", 403)

    return asked


def worded(found: Desk, title: str, text: str, status: int, **more: Any) -> Response:
    """A page that says what is so, why, and what can be done."""
    return show(found, "worded.html", found.t(title), "", status=status, text=found.t(text), **more)


def signed_in(found: Desk, token: str, to: str = "/") -> Response:
    """Give the browser its session."""
    answer = RedirectResponse(to if to.startswith("/") and not to.startswith("//") else "/", 303)
    secure = found.request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, max_age=int(sign.SESSION_LIVES.total_seconds()), httponly=True, samesite="lax", secure=secure)
    return answer


def nonce() -> str:
    """A name for one rendering of a form: posted twice, it is one event."""
    return secrets.token_hex(8)


def iso(at: datetime | None) -> str:
    return at.isoformat() if at else ""



View = Mapping[str, Any]
