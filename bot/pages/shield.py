"""What stands before every page: headers, no body larger than a form, nothing that cannot be read as text."""

from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.pages.frame import bare
from bot.words import whole_number

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
#: Where browsers reach us by https they never try http again (two years; the town's other hosts are its own affair).
HTTPS_ONLY: Final = {"strict-transport-security": "max-age=63072000"}
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class TooLarge(Exception):
    """A body of more than a million bytes."""


class Gone(Exception):
    """Whoever was sending has gone away."""


class Shield:
    """The outermost ring: what it lets through can be read by everything inside it."""

    def __init__(self, app: ASGIApp, *, secure: bool = False) -> None:
        self._app = app
        self._headers = _written(HEADERS | (HTTPS_ONLY if secure else {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "headers": _readable(scope["headers"])}
        send = _headed(scope, send, self._headers)
        if scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        try:
            body = await _body(scope, receive)
        except TooLarge:
            await _say(
                scope,
                send,
                "大きすぎて受け取れませんでした",
                "1回に送れるのは1MBまでです。短く分けてお願いします。",
                413,
            )
            return
        except Gone:
            return
        if wrong := _unreadable(scope, body):
            await _say(scope, send, "うまく読みとれませんでした", wrong, 400)
            return
        await self._app(scope, _again(body, receive), send)


def _readable(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out a cookie or token header that is no text: it can be nobody's."""
    kept = []
    for name, value in headers:
        if name == b"cookie" and not _cookie(value):
            continue
        if name == b"x-csrftoken" and not value.isascii():
            continue
        kept.append((name, value))
    return kept


def _cookie(value: bytes) -> bool:
    try:
        SimpleCookie().load(value.decode("utf-8"))
        return value.isascii()
    except (UnicodeDecodeError, CookieError):
        return False


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Read the whole body, as far as a form may be long."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if (whole_number(length.decode("latin-1")) or 0) > MOST_BYTES:
        raise TooLarge
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BYTES:
            raise TooLarge
        if not message.get("more_body", False):
            return body


def _unreadable(scope: Scope, body: bytes) -> str:
    """Why a form cannot be read, in words; a page of another site may not post here at all."""
    crossing = any(name == b"sec-fetch-site" and value == b"cross-site" for name, value in scope["headers"])
    if crossing and not str(scope["path"]).startswith("/hooks/"):
        return "ほかのサイトからの操作は受け取っていません。はじめの画面からお願いします。"
    kind = next((value.split(b";")[0] for name, value in scope["headers"] if name == b"content-type"), b"")
    if kind.strip().lower() == b"multipart/form-data" and not str(scope["path"]).startswith("/hooks/"):
        return "ファイルは受け取っていません。はじめの画面からお願いします。"
    if kind != b"application/x-www-form-urlencoded":
        return ""
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=500, errors="strict")
    except ValueError:
        return "文字として読みとれないものが入っていました。もう一度お願いします。"
    if any(name == "csrftoken" and not value.isascii() for name, value in fields):
        return "この画面は古いようです。もう一度ひらいてからお願いします。"
    return ""


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand the body on once, then whatever comes next (that the reader has gone)."""
    handed = False

    async def replay() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _written(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _headed(scope: Scope, send: Send, always: list[tuple[bytes, bytes]]) -> Callable[[Message], Awaitable[None]]:
    """Security on every answer; assets are kept by browsers, pages never."""
    static = str(scope["path"]).startswith("/static/")
    named = static and bool(scope.get("query_string"))
    keep = b"public, max-age=31536000, immutable" if named else b"public, max-age=300" if static else b"no-store"

    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message.get("headers", []) if name.lower() != b"cache-control"]
            message = {**message, "headers": [*headers, *always, (b"cache-control", keep)]}
        await send(message)

    return headed


async def _say(scope: Scope, send: Send, title: str, text: str, status: int) -> None:
    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    await bare(Request(scope), title, text, status)(scope, nothing, send)
