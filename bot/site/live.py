"""Server-sent events: one look a second for all open pages of a process, at once after its own commits."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bot.app import App
from bot.site.frame import desk
from storage import figures
from storage.store import DatabaseReadOnly, DatabaseUnavailable, Flags

log = logging.getLogger(__name__)

EVERY: Final = 1.0  #: seconds between looks: other processes write too
APART: Final = 0.25  #: seconds at least between two events: a burst of commits is one change
PING: Final = 15
RETRY: Final = 2_000  #: milliseconds until a browser that was cut off comes back
#: A page that was read this many seconds before its stream opened may have missed a change.
GAP: Final = 2.0


class Pulse:
    """Tells every open page that something has changed; looks only while somebody listens."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.mark = ""
        self._listeners: set[asyncio.Event] = set()
        self._woken = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._told_at = float("-inf")
        self._closing = False
        app.store.on_commit(self._committed)

    async def follow(self, seen: str) -> AsyncIterator[ServerSentEvent]:
        """Yield an event for each change, until the process stops; `seen` is the last mark a returning page has had."""
        news = asyncio.Event()
        self._listeners.add(news)
        try:
            await self._begin()
            yield ServerSentEvent(id=self.mark, retry=RETRY, comment="つなぎ")
            lately = asyncio.get_running_loop().time() - self._told_at < GAP
            if lately or (seen and seen != self.mark):
                yield self._changed()
            while not self._closing:
                await news.wait()
                news.clear()
                if not self._closing:
                    yield self._changed()
        finally:
            self._listeners.discard(news)
            if not self._listeners and self._looking:
                self._looking.cancel()
                self._looking = None

    def stop(self) -> None:
        """Let every stream end by itself."""
        self._closing = True
        self._tell()

    def _changed(self) -> ServerSentEvent:
        return ServerSentEvent(data="1", event="changed", id=self.mark)

    def _committed(self, flags: Flags) -> None:
        if self._listeners and flags & {"journal", "letters"}:
            self._woken.set()

    def _tell(self) -> None:
        for news in self._listeners:
            news.set()

    async def _begin(self) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_for_ever())
            with suppress(DatabaseUnavailable, DatabaseReadOnly):
                self.mark = await self.app.store.read(figures.mark)

    async def _look_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), EVERY)
            ours = self._woken.is_set()
            self._woken.clear()
            try:
                await self._look(ours)
            except (DatabaseUnavailable, DatabaseReadOnly):
                continue
            except Exception:
                log.exception("a look for changes went wrong; the next one looks again")

    async def _look(self, ours: bool) -> None:
        mark = await self.app.store.read(figures.mark)
        before, self.mark = self.mark, mark
        if ours or (before and mark != before):
            self._told_at = asyncio.get_running_loop().time()
            self._tell()
            await asyncio.sleep(APART)


def pulse_of(pages: Starlette) -> Pulse:
    """The one pulse of these pages."""
    if not hasattr(pages.state, "pulse"):
        pages.state.pulse = Pulse(pages.state.tsunagi)
    found: Pulse = pages.state.pulse
    return found


async def events(request: Request) -> Response:
    """The stream of one open page: it says that something is new, never what."""
    found = await desk(request)
    if found.me is None:
        return PlainTextResponse(found.t("入りなおしてください。"), 401)
    stream = pulse_of(request.app).follow(request.headers.get("last-event-id", ""))
    return EventSourceResponse(stream, ping=PING, shutdown_grace_period=1.0)
