"""The pages: one Starlette application of plain forms, made quicker by a little script. Every asset is ours."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from asgi_csrf import asgi_csrf
from bot.app import App
from bot.site import board, case, cases, chat, demo, door, health, help, intake, live, paper, stuck, today, town
from bot.site.frame import desk, page, worded
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from storage.store import DatabaseReadOnly, DatabaseUnavailable

STATIC: Final = Path(__file__).parent.parent / "static"
MOST_BYTES: Final = 1_000_000
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
Lifespan = Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]


async def home(request: Request) -> Response:
    """Volunteers to their one question, everybody else to the chat."""
    found = await desk(request)
    if found.me is None:
        return RedirectResponse("/sign-in", 303)
    return RedirectResponse("/today" if found.me.volunteer else "/chat", 303)


def routes() -> list[Route | Mount]:
    """Every address; what is not here is answered in words."""
    return [
        Route("/", home),
        Route("/chat", page(chat.chat)),
        Route("/chat/say", page(chat.say), methods=["POST"]),
        Route("/board", page(board.board)),
        Route("/cases", page(cases.cases)),
        Route("/cases/{number}", page(case.case)),
        Route("/intake", page(intake.intake), methods=["GET", "POST"]),
        Route("/today", page(today.today)),
        Route("/today/print", page(paper.today_print)),
        Route("/handover", page(paper.handover)),
        Route("/town", page(town.town)),
        Route("/town/invite", page(town.invite), methods=["POST"]),
        Route("/stuck", page(stuck.stuck), methods=["GET", "POST"]),
        Route("/help", page(help.help_)),
        Route("/sign-in", door.door, methods=["GET", "POST"]),
        Route("/signin", door.door, methods=["GET", "POST"]),
        Route("/sign-out", door.leave, methods=["POST"]),
        Route("/theme", door.theme, methods=["POST"]),
        Route("/demo/clock", demo.clock, methods=["GET", "POST"]),
        Route("/events", live.events),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def site(app: App, lifespan: Lifespan | None = None) -> ASGIApp:
    """Make the application: pages, then what guards them."""

    @contextlib.asynccontextmanager
    async def nothing(_: Starlette) -> AsyncIterator[None]:
        yield

    handlers: dict[Any, Any] = {
        HTTPException: _http, DatabaseUnavailable: _unavailable, DatabaseReadOnly: _unavailable, Exception: _broken,
    }  # fmt: skip
    pages = Starlette(routes=routes(), lifespan=lifespan or nothing, exception_handlers=handlers)
    pages.state.tsunagi = app
    secret = app.settings.secret()
    guarded = asgi_csrf(pages, signing_secret=secret, always_protect=set(), skip_if_scope=_is_json, always_set_cookie=True)
    return _Shield(guarded)


def _is_json(scope: Scope) -> bool:
    """The demonstration's clock may be turned by a program; a browser never sends JSON across sites unasked."""
    types = [v for k, v in scope.get("headers", []) if k == b"content-type"]
    return scope.get("path") == "/demo/clock" and types == [b"application/json"]


async def _http(request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, HTTPException)
    found = await desk(request)
    if wrong.status_code == 404:
        return worded(found, "見つかりませんでした", "このページはありません。番号や住所をもう一度お確かめください。", 404)
    return worded(found, "できませんでした", "この開き方はできません。はじめの画面からお試しください。", wrong.status_code)


async def _unavailable(_request: Request, _wrong: Exception) -> Response:
    text = "いま記録の場所につながりません。すこしおいて、もう一度お試しください。命の危険があるときは119・110へ。"
    return PlainTextResponse(text, 503, headers={"retry-after": "5"})


async def _broken(_request: Request, _wrong: Exception) -> Response:
    """The log has the traceback; the reader has a sentence."""
    text = "うまく表示できませんでした。記録は変わっていません。もう一度お試しいただくか、調整役にお知らせください。"
    return PlainTextResponse(text, 500)


class _Shield:
    """Headers on every answer, and no body larger than a form."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _length(scope) > MOST_BYTES:
            await PlainTextResponse("大きすぎて受け取れませんでした。", 413)(scope, receive, send)
            return
        heard = 0

        async def bounded() -> Message:
            nonlocal heard
            message = await receive()
            heard += len(message.get("body", b""))
            if heard > MOST_BYTES:
                return {"type": "http.disconnect"}
            return message

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                headers += [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                static = scope["path"].startswith("/static/")
                headers.append((b"cache-control", b"public, max-age=3600" if static else b"no-store"))
            await send(message)

        await self.app(scope, bounded, headed)


def _length(scope: Scope) -> int:
    value = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0
