"""The pages: one ASGI application of plain forms, made quicker by a little script. Every asset is ours."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from asgi_csrf import asgi_csrf
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.app import App
from bot.pages import (
    board,
    breaches,
    case,
    cases,
    chat,
    conference,
    conferences,
    demo,
    disclosure,
    find,
    go,
    health,
    help,
    hooks,
    household,
    intake,
    links,
    live,
    looks,
    opening,
    paper,
    person,
    retention,
    saying,
    session,
    stuck,
    today,
    town,
    ways,
)
from bot.pages.frame import STATIC, Desk, bare, desk, missing, page, worded
from bot.pages.shield import Shield
from bot.towns import NoTown
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
GET_POST: Final = ["GET", "POST"]
UNAVAILABLE: Final = (
    "いま記録につながりません。すこしおいて、もう一度お試しください。命の危険があるときは、先に119・110へ。"
)
READ_ONLY: Final = "いまは記録を書きこめません。運用の担当におたずねください。命の危険があるときは、先に119・110へ。"
BROKEN: Final = (
    "うまく表示できませんでした。届いたことばは失われていません。もう一度ひらくか、調整役にお知らせください。"
)
STALE: Final = "この画面はひらいてから時間がたったようです。もう一度ひらいてから、お願いします。"


async def home(found: Desk) -> Response:
    """Volunteers to their one question, everybody else to the chat."""
    return RedirectResponse("/today" if found.reader.volunteer else "/chat", 303)


def addresses() -> list[BaseRoute]:
    """Every address; what is not here is answered in words."""
    return [
        Route("/", page(home)),
        Route("/chat", page(chat.chat)),
        Route("/chat/say", page(saying.say), methods=["POST"]),
        Route("/board", page(board.board)),
        Route("/cases", page(cases.cases)),
        Route("/cases/open", page(opening.opening), methods=GET_POST),
        Route("/cases/{number}", page(case.case)),
        Route("/conferences", page(conferences.page), methods=GET_POST),
        Route("/conferences/{id}", page(conference.page), methods=GET_POST),
        Route("/find", page(find.find), methods=GET_POST),
        Route("/households/{number}", page(household.household), methods=GET_POST),
        Route("/intake", page(intake.intake), methods=GET_POST),
        Route("/today", page(today.today)),
        Route("/today/print", page(paper.today_print)),
        Route("/handover", page(paper.handover)),
        Route("/town", page(town.town)),
        Route("/town/invite", page(town.invite), methods=["POST"]),
        Route("/town/back", page(town.come_back), methods=["POST"]),
        Route("/town/people/{code}", page(person.person), methods=GET_POST),
        Route("/ways", page(ways.ways), methods=GET_POST),
        Route("/ways/question", page(ways.question), methods=["POST"]),
        Route("/links", page(links.links), methods=GET_POST),
        Route("/links/line", page(links.line), methods=GET_POST),
        Route("/links/paper", page(links.paper), methods=["POST"]),
        Route("/looks", page(looks.page)),
        Route("/looks/export", page(looks.export)),
        Route("/breaches", page(breaches.page), methods=GET_POST),
        Route("/stuck", page(stuck.stuck), methods=GET_POST),
        Route("/disclosure", page(disclosure.find)),
        Route("/disclosure/{number}", page(disclosure.disclosure), methods=GET_POST),
        Route("/retention", page(retention.retention_), methods=GET_POST),
        Route("/retention/{id}", page(retention.one), methods=GET_POST),
        Route("/help", page(help.help_)),
        Route("/go/{token}", go.go, methods=GET_POST),
        Route("/sign-in", session.sign_in, methods=GET_POST),
        Route("/signin", session.sign_in, methods=GET_POST),
        Route("/sign-in/question", session.question, methods=["POST"]),
        Route("/sign-in/link", session.link),
        Route("/sign-in/oidc", session.from_provider),
        Route("/sign-out", session.sign_out, methods=["POST"]),
        Route("/theme", session.theme, methods=["POST"]),
        Route("/demo/clock", demo.clock, methods=GET_POST),
        Route("/events", live.events),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def routes(app: App, lifespan: Lifespan | None = None, *, more: tuple[BaseRoute, ...] = ()) -> ASGIApp:
    """Make the application: the pages (and whatever a platform adds), then what guards them."""
    handlers: dict[Any, Any] = {
        HTTPException: _http, DatabaseUnavailable: _unavailable, DatabaseReadOnly: _unavailable, NoTown: _no_town, Exception: _broken,
    }  # fmt: skip
    pages = Starlette(routes=[*addresses(), *more], lifespan=lifespan, exception_handlers=handlers)
    pages.state.tsunagi = app
    pages.state.turning = demo.Turning(app)
    pages.state.feed = live.Feed(app, pages.state.turning)
    secure = app.settings.base_url.startswith("https://")
    guarded = asgi_csrf(
        pages, signing_secret=app.settings.secret(), skip_if_scope=_not_a_form, send_csrf_failed=_stale, cookie_secure=secure,
        always_protect=_EVERYWHERE, cookie_name=f"{'__Host-' if secure else ''}csrftoken",
    )  # fmt: skip

    hooked = hooks.hooks(app)

    async def doors(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and str(scope["path"]).startswith(hooks.PLACE):
            await hooked(scope, receive, send)
        else:
            await guarded(_without_bearer(scope), receive, send)

    return Shield(doors, secure=secure)


def _without_bearer(scope: Scope) -> Scope:
    """Nobody comes in by it here, and to the guard of the forms it would be as good as a token."""
    if scope["type"] != "http":
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"authorization"]}


class _Everywhere:
    """Every path: a form without any cookie is somebody else's too, and would sign its reader in as whom it likes."""

    def __contains__(self, _path: object) -> bool:
        return True


_EVERYWHERE: Final = _Everywhere()


def _not_a_form(scope: Scope) -> bool:
    """JSON is nothing that a page of somebody else can post unasked."""
    types = [value.split(b";")[0] for name, value in scope["headers"] if name == b"content-type"]
    return scope["path"] == "/demo/clock" and types == [b"application/json"]


async def _stale(scope: Scope, send: Send, _why: object) -> None:
    async def nothing() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    receive: Receive = nothing
    await bare(Request(scope), "もう一度おねがいします", STALE, 403)(scope, receive, send)


async def _http(request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, HTTPException)
    try:
        found = await desk(request)
    except (DatabaseUnavailable, DatabaseReadOnly, NoTown) as worse:
        return await (_no_town if isinstance(worse, NoTown) else _unavailable)(request, worse)
    if wrong.status_code == 404:
        return missing(found)
    if wrong.status_code == 405:
        return worded(found, "この開き方はできません", "はじめの画面から、ボタンやリンクでお進みください。", 405)
    return worded(
        found,
        "うまく読みとれませんでした",
        "送られたものを読みとれませんでした。もう一度お願いします。",
        wrong.status_code,
    )


async def _unavailable(request: Request, wrong: Exception) -> Response:
    answer = bare(request, "いまつながりません", READ_ONLY if isinstance(wrong, DatabaseReadOnly) else UNAVAILABLE, 503)
    answer.headers["retry-after"] = "5"
    return answer


async def _no_town(request: Request, _wrong: Exception) -> Response:
    return bare(
        request,
        "町の設定がまだありません",
        "運用の担当が tsunagi town load で町の設定を読みこむと、使えるようになります。",
        503,
    )


async def _broken(request: Request, _wrong: Exception) -> Response:
    """The log has the traceback; the reader has a sentence."""
    return bare(request, "うまく表示できませんでした", BROKEN, 500)
