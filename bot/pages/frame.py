"""What every page shares: who asks, in which language, the words of the frame, and the answer in words when something is wrong."""

import hashlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bot import looks, sign
from bot.app import App
from bot.voice import Voice, voice_for
from storage import conversation, figures, findings, inbox, journal, people
from storage.looks import Kind
from storage.people import Session
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from workflow.confidence import may_open
from workflow.outcome import Act
from workflow.people import Role, Staff, Town
from workflow.sight import Sight

log = logging.getLogger(__name__)

T = TypeVar("T")
View = dict[str, Any]

COOKIE: Final = "tsunagi"
STATIC: Final = Path(__file__).parent.parent / "static"
TEMPLATES: Final = Path(__file__).parent / "templates"
#: A session in use lives on; its use is written down this many times before it would end, no oftener.
TOUCHES: Final = 15
#: What a form (or, as X-As, a page renewing itself) says of itself: for whom its page was made.
AS: Final = "as"
#: Who may take in a consultation.
TAKES_IN: Final = (Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL)
NOT_KEPT: Final = (
    "いまお見せできません",
    "どなたが何をご覧になったかを、いま書きとめられません。書きとめられるまで、相談のことはお見せしていません。"
    "すこしおいて、もう一度お試しください。命の危険があるときは、先に119・110へ。",
)
ANOTHER: Final = "この画面は{then}のままです。いまは{now}になっています。読みなおしてください。"


#: A word of ours in an address: with a letter in it, a case's number, a small number, a row's id; no telephone number, no day.
_CODE: Final = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[\w.:-]+|\d{3}-\d{3}-\d{2}|\d{1,6}|\d{14,19}", re.ASCII)


class NotForYou(Exception):
    """This page is not this person's."""


class NotFound(Exception):
    """There is nothing here for this person."""


@dataclass(frozen=True)
class Desk:
    """One request: the town, its moment, and who asks (nobody at the door)."""

    app: App
    request: Request
    town: Town
    now: datetime
    me: Staff | None
    demo: bool
    session: Session | None = None
    left: int = 0  #: seconds until this session ends
    pulse: str = ""  #: what is another whenever a page may look another
    shown: dict[Kind, list[str]] = field(default_factory=dict)  #: what kind of look, of which cases: `looked`

    @cached_property
    def voice(self) -> Voice:
        asked = self.request.query_params.get("lang") or self.request.cookies.get("lang") or ""
        known = asked if asked in ("ja", "en") else ""
        return voice_for(self.town, known or (self.me.language if self.me else "") or self.town.language)

    @property
    def reader(self) -> Staff:
        assert self.me is not None  # `page` lets nobody in without a session
        return self.me

    @property
    def sight(self) -> Sight:
        """Whose eyes every list is for."""
        return Sight(self.reader, self.town, self.now)

    @property
    def query(self) -> Callable[[str], str]:
        """A part of the address, without what no address means (NUL and its like)."""
        return lambda name: "".join(c for c in self.request.query_params.get(name, "") if c.isprintable())[:200]

    @property
    def live(self) -> bool:
        """Say whether this is an open page renewing itself, not somebody opening it."""
        return self.request.headers.get("x-live") == "1"

    def looked(self, *numbers: str, kind: Kind = "view") -> None:
        """Note that this answer shows something of these cases: kind view, search, export or override. `kept` writes it down."""
        self.shown.setdefault(kind, []).extend(numbers)

    @property
    def act(self) -> Act:
        """Whatever the reader decides on a page, now and for their first agency."""
        me = self.reader
        return Act(me, self.now, self.town, "web", self.app.fresh, me.agency)

    def may(self, *roles: Role) -> bool:
        return self.me is not None and self.me.has(*roles)

    def only(self, *roles: Role) -> None:
        """Refuse the page to everybody else."""
        if not self.may(*roles):
            raise NotForYou

    def t(self, words: str, **places: object) -> str:
        """A word of the pages, its places filled in."""
        said = self.voice.t(words)
        for name, value in places.items():
            said = said.replace(f"{{{name}}}", str(value))
        return said

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self.app.store.read(work)

    async def write(self, work: Callable[[Tx], T]) -> T:
        return await self.app.store.transact(work)

    async def form(self) -> dict[str, str]:
        """The fields of a posted form, the last of each; control characters are nobody's words."""
        found = await self.request.form()
        return {name: value.replace("\0", "") for name, value in found.items() if isinstance(value, str)}


async def desk(request: Request) -> Desk:
    """Find out who asks, in one short read. Sessions live by the real clock, not a demonstration's."""
    app: App = request.app.state.tsunagi
    token, at = request.cookies.get(cookie(request), ""), app.clock.machine()

    def look(tx: Tx) -> tuple[Town, datetime, Session | None, bool, str]:
        town, now = app.towns.of(tx), app.clock.now(tx)
        session = people.session(tx, sign.hashed(token), at) if token else None
        return town, now, session, people.demo_clock(tx) is not None, pulse(tx)

    town, now, session, demo, beat = await app.store.read(look)
    me = town.staff.get(session.staff) if session else None
    if me is not None and not me.serves(now.astimezone(town.tz).date()):
        me = None
    found = Desk(app, request, town, now, me, demo, session if me else None, _left(session, at), beat)
    if session and me and not found.live and _long_unused(session, at):
        await app.store.transact(lambda tx: people.touch_session(tx, session.hash, at))
    return found


def _long_unused(session: Session, at: datetime) -> bool:
    return (at - session.seen_at).total_seconds() > (session.idle or 9_000) / TOUCHES


def secure(request: Request) -> bool:
    """Say whether browsers reach us by https alone."""
    app: App = request.app.state.tsunagi
    return request.url.scheme == "https" or app.settings.base_url.startswith("https://")


def cookie(request: Request, name: str = COOKIE) -> str:
    """A cookie's name: by https one that no other host under the same domain can put there (RFC 6265bis §4.1.3.2)."""
    return f"__Host-{name}" if secure(request) else name


def put_cookie(found: "Desk", answer: Response, name: str, value: str, lives: timedelta | None) -> None:
    """Give the browser a cookie that no script reads; without `lives` it ends when the browser is closed."""
    seconds = None if lives is None else int(lives.total_seconds())
    answer.set_cookie(
        cookie(found.request, name), value, max_age=seconds, path="/", httponly=True, samesite="lax", secure=secure(found.request)
    )  # fmt: skip


def drop_cookie(found: "Desk", answer: Response, name: str) -> None:
    answer.delete_cookie(
        cookie(found.request, name), path="/", httponly=True, samesite="lax", secure=secure(found.request)
    )


def pulse(tx: Tx) -> str:
    """What is another whenever a page may look another: journal, letters, posts, town, a turned clock, what is stuck."""
    seen = (
        journal.newest(tx), *conversation.pulse(tx), people.town_version(tx), people.demo_clock(tx), figures.stuck(tx),
        inbox.count_parked(tx), findings.count(tx),
    )  # fmt: skip
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:12]


def _left(session: Session | None, at: datetime) -> int:
    return int((session.until - at).total_seconds()) if session else 0


def from_here(request: Request) -> bool:
    """Say whether the browser is on this machine: only there may a demonstration's people be chosen freely.

    The host it named counts too, so that neither a proxy beside us nor a rebound name opens the door.
    """
    forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    client = request.client.host if request.client else ""
    return not forwarded and loopback(client) and loopback(request.url.hostname or "")


def loopback(host: str) -> bool:
    """Say whether a host is this machine itself and nothing that another one could reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# -- rendering

_desk: ContextVar[Desk | None] = ContextVar("desk", default=None)


def _t(words: str) -> str:
    found = _desk.get()
    return words if found is None else found.voice.t(words)


def _as_whom() -> str:
    """The code of whoever this page is made for; empty at the door."""
    found = _desk.get()
    return found.me.code if found is not None and found.me is not None else ""


@cache
def build() -> str:
    """A short name for this very set of assets: browsers keep them for ever, and a new one is asked for at once."""
    whole = b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file())
    return hashlib.sha256(whole).hexdigest()[:10]


ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True, auto_reload=False
)
ENVIRONMENT.globals["t"] = _t
ENVIRONMENT.globals["build"] = build
ENVIRONMENT.globals["as_whom"] = _as_whom


def show(found: Desk, template: str, title: str, section: str = "", /, *, status: int = 200, **view: Any) -> Response:
    """Render a page in the reader's language."""
    page = _frame(found, title, section) | {k: view.pop(k) for k in ("focus", "plain", "still") if k in view}
    token = _desk.set(found)
    try:
        html = ENVIRONMENT.get_template(template).render(page=page, csrf=page["csrf"](), **view)
    finally:
        _desk.reset(token)
    return HTMLResponse(html, status, {"content-language": found.voice.lang})


def _frame(found: Desk, title: str, section: str) -> View:
    voice, me, request = found.voice, found.me, found.request
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return {
        "title": title,
        "lang": voice.lang,
        "theme": _theme(request),
        "section": section,
        "me": None if me is None else _me(found, me),
        "demo": _demo(found) if found.demo else None,
        "csrf": request.scope.get("csrftoken") or (lambda: ""),
        "now_label": voice.clock(found.now),
        "path": path,
        "session_left": found.left,
        "pulse": found.pulse,
        "phones": phones(found),
    }


def phones(found: Desk) -> list[View]:
    """緊急の電話: 119 and 110, who is on duty, the town's own numbers, and inside those for a suspicion of abuse."""
    town = found.town
    rows = [(found.t("救急・消防"), "119"), (found.t("警察"), "110")]
    rows += [(row.name, row.phone) for row in town.on_duty(found.now)[:1]] + [(p.label, p.number) for p in town.phones]
    rows += [(line.label, line.number) for line in town.reports] if found.me else []
    return [{"label": label, "number": number} for label, number in dict.fromkeys(rows)]


def _theme(request: Request) -> str:
    theme = request.cookies.get("theme", "auto")
    return theme if theme in ("light", "dark") else "auto"


def _me(found: Desk, me: Staff) -> View:
    return {
        "name": found.voice.name(me.code),
        "initial": found.voice.name(me.code)[:1],
        "post_label": found.voice.post(me.code),
        "agency_name": found.voice.agency(me.agency),
        "code": me.code,
        "volunteer": me.volunteer,
        "takes_in": me.has(*TAKES_IN),
        "answerable": me.has(Role.PRIVACY, Role.OFFICIAL),
    }


def _demo(found: Desk) -> View:
    voice = found.voice
    turning = getattr(found.request.app.state, "turning", None)
    shown: View = {"clock_label": f"{voice.title_day(found.now)} {voice.clock(found.now)}", "town": found.town.name}
    if turning is not None and turning.words:
        shown["turning"] = found.t("時計を進めています {at}", at=turning.words)
    return shown


def bare(request: Request, title: str, text: str, status: int) -> Response:
    """A page in words for when not even the town can be read."""
    page = {
        "title": title, "lang": "ja", "theme": _theme(request), "section": "", "me": None, "demo": None, "csrf": lambda: "",
        "now_label": "", "plain": True,
    }  # fmt: skip
    html = ENVIRONMENT.get_template("worded.html").render(page=page, title=title, text=text, csrf="")
    return HTMLResponse(html, status)


def worded(found: Desk, title: str, text: str, status: int, **more: Any) -> Response:
    """A page that says what is so, why, and what can be done."""
    heading = found.t(title)
    return show(found, "worded.html", heading, "", status=status, heading=heading, text=found.t(text), **more)


# -- pages and posts


Handler = Callable[[Desk], Awaitable[Response]]


def page(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A page for somebody signed in; everybody else is sent to the door and back.

    Windows of one browser share a session: a page made for somebody else is answered 409, and nothing is done.
    """

    async def asked(request: Request) -> Response:
        found = await desk(request)
        if found.me is None:
            return RedirectResponse(_door_of(request), 303)
        if await made_for_another(found):
            return await another(found)
        try:
            return await kept(found, await handler(found))
        except NotForYou:
            return worded(
                found,
                "ご覧になれないページです",
                "このページは、いまのお立場ではご覧になれません。ご用のときは調整役へどうぞ。",
                403,
            )
        except NotFound:
            return missing(found)

    return asked


async def kept(found: Desk, answer: Response) -> Response:
    """Write down what an answer shows of cases, then hand it out: what cannot be written down is not shown (domain.md §4.5).

    An open page that renews itself is the same look until something new is on it, or the day ends.
    """
    if not found.shown:
        return answer
    request, day = found.request, found.now.astimezone(found.town.tz).date()
    opening = (found.session.hash if found.session else "", request.url.path)
    opened = found.app.openings if found.live and found.session else None
    page = getattr(request.scope.get("route"), "path", request.url.path)
    rows = looks.of_request(found.shown, page, found.reader.code, found.now, opened, opening, day)
    try:
        if rows:
            await looks.keep(found.app.store, day, rows)
    except Exception as trouble:
        if not isinstance(trouble, DatabaseUnavailable | DatabaseReadOnly):  # of these the loop tells
            log.exception("a page was not shown: its look could not be kept")
        refused = bare(request, *NOT_KEPT, 503)
        refused.headers["retry-after"] = "5"
        return refused
    found.app.openings.seen(opening, day, [number for row in rows for number in row.numbers])
    return answer


def _door_of(request: Request) -> str:
    """The door with the way back; whoever was sending something is told there that it was not sent."""
    posted = request.method == "POST"
    query = f"?{request.url.query}" if request.url.query else ""
    back = _codes(_came_from(request) if posted else request.url.path + query)
    asked = ({"next": back} if back not in ("", "/") else {}) | ({"unsent": "1"} if posted else {})
    return f"/sign-in?{urlencode(asked)}" if asked else "/sign-in"


def _codes(address: str) -> str:
    """An address as it may be written once more: what somebody wrote into it, a name or a telephone number, does not go along."""
    parts = urlsplit(address)
    if not all(_CODE.fullmatch(one) for one in parts.path.split("/") if one):
        return ""
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if _CODE.fullmatch(value)], safe=":")
    return parts._replace(query=query, fragment="").geturl()


def _came_from(request: Request) -> str:
    """The page of ours that a form was sent from; empty when the browser does not say."""
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    return local(parts.path + (f"?{parts.query}" if parts.query else "")) if parts.netloc == request.url.netloc else ""


async def _made_for(request: Request) -> str:
    said = (await request.form()).get(AS, "") if request.method == "POST" else request.headers.get("x-as", "")
    return said if isinstance(said, str) else ""


async def made_for_another(found: Desk) -> bool:
    """Say whether the page that asks was made for another person than who is signed in now."""
    return await _made_for(found.request) not in ("", found.reader.code)


async def another(found: Desk) -> Response:
    """Say whose page that was and who is here now, with the way to read it again."""
    then, request = await _made_for(found.request), found.request
    was = found.voice.person(then) if then in found.town.staff else found.t("ほかの方")
    text = found.t(ANOTHER, then=was, now=found.voice.person(found.reader.code))
    again = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method == "POST":
        again = _came_from(request) or "/"
    links = [{"label": found.t("読みなおす"), "href": again}]
    return worded(found, "いまは、ほかの方です", text, 409, links=links, still=True)


def missing(found: Desk) -> Response:
    """Whatever is not there, or not for this reader. The way to 緊急閲覧 stands there always, so that it tells nothing."""
    opens = found.me is not None and may_open(found.me, found.town)
    links = [{"label": found.t("番号と理由を書いて開く"), "href": "/cases/open"}] if opens else []
    return worded(
        found,
        "見つかりませんでした",
        "このページはないか、いまのお立場ではご覧になれません。番号をもう一度お確かめください。",
        404,
        links=links,
    )


def back_to(asked: str, otherwise: str) -> Response:
    """Return to a place of ours after a post; any other address is nobody's business."""
    return RedirectResponse(local(asked) or otherwise, 303)


def local(address: str) -> str:
    """An address within this site, or nothing."""
    parts = urlsplit(address)
    fine = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return address if fine and address.isprintable() and len(address) < 500 else ""


def nonce() -> str:
    """A name for one rendering of a form: posted twice, it is one event."""
    return secrets.token_hex(8)


# -- small views


def iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def at(found: Desk, moment: datetime | None, *, short: bool = False) -> View:
    """A moment as `moment()` draws it; `short` leaves the day out when it is today."""
    if moment is None:
        return {"text": ""}
    voice, town = found.voice, found.town
    today = moment.astimezone(town.tz).date() == found.now.astimezone(town.tz).date()
    text = voice.clock(moment) if short and today else voice.moment(moment, found.now)
    return {"text": text, "iso": moment.isoformat()}


def clock(found: Desk, moment: datetime) -> View:
    """A moment of a day that stands above it."""
    return {"text": found.voice.clock(moment), "iso": moment.isoformat()}


def urgency(found: Desk, level: str) -> View:
    return {"level": level, "label": found.voice.label("urgency", level)}


def guards(found: Desk, restricted: bool, flags: tuple[str, ...]) -> list[View]:
    """What protects a case, as chips: its protection flags, and that it is restricted."""
    shown: list[View] = [{"glyph": "shield", "label": found.voice.label("flag", flag)} for flag in flags]
    return [*shown, {"glyph": "lock", "label": found.voice.label("done", "restricted")}] if restricted else shown


def due(found: Desk, moment: datetime, label: str = "", opened: datetime | None = None) -> View:
    """A wait chip for a light row: the label of the wait and how long is left."""
    left = found.voice.left(moment, found.now, None, opened=opened)
    return {
        "kind": left.kind,
        "share": round(left.share, 1),
        "text": f"{label} {left.text}".strip(),
        "iso": moment.isoformat(),
    }
