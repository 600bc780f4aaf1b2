"""Open pages hear that something has changed: one look a second for the whole process, woken sooner by our own commits.

A turning clock commits many times a second; pages then hear of it every few seconds and once at its end.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from bot.app import App
from bot.pages.demo import Turning
from bot.pages.frame import desk, pulse

log = logging.getLogger(__name__)

EVERY: Final = 1.0
TURNING: Final = 3.0  #: seconds between looks while the clock is turning
HEARTBEAT: Final = 15


class Feed:
    """Looks at the database once a second while anybody listens, and tells all who do."""

    def __init__(self, app: App, turning: Turning) -> None:
        self._app = app
        self._turning = turning
        self._open: set[asyncio.Event] = set()
        self._soon = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._stopped = False
        app.store.on_commit(lambda _flags: self._soon.set())

    async def listen(self, *, missed: bool) -> AsyncIterator[ServerSentEvent]:
        """Yield "changed" whenever there is something new; at once when something was `missed` since the page was made."""
        mine = asyncio.Event()
        self._open.add(mine)
        if missed or self._stopped:
            mine.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            while True:
                await mine.wait()
                mine.clear()
                if self._stopped:
                    return
                yield ServerSentEvent(event="changed", data="{}")
        finally:
            self._open.discard(mine)

    async def _look(self) -> None:
        """Until nobody listens any more."""
        last: str | None = None
        turned = False  #: the pages may still say that the clock is turning
        while self._open:
            turning = self._turning.busy
            try:
                now: str | None = await self._app.store.read(pulse)
            except Exception:
                log.warning("open pages cannot be told: the database does not answer")
                now = last
            if last is not None and (turned or now != last):
                self.tell()
            last, turned = now, turning
            if turning:
                await self._turning.ended(TURNING)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._soon.wait(), EVERY)
            self._soon.clear()

    def stop(self) -> None:
        """End every line: the process is going."""
        self._stopped = True
        self.tell()

    def tell(self) -> None:
        for one in self._open:
            one.set()


async def events(request: Request) -> Response:
    """The line to an open page. Without a session there is nothing to hear, and the browser stops asking."""
    found = await desk(request)
    if found.me is None:
        return Response(status_code=204)
    feed: Feed = request.app.state.feed
    since = request.query_params.get("since", "")
    listening = feed.listen(missed=bool(since) and since != found.pulse)
    return EventSourceResponse(
        listening, ping=HEARTBEAT, ping_message_factory=_beat, headers={"cache-control": "no-store"}
    )


def _beat() -> ServerSentEvent:
    return ServerSentEvent(comment="beat")
