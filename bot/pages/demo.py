"""A demonstration's clock on the page: read it, turn it, and see how far the turning has come."""

import asyncio
import json
import logging
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from bot.app import App
from bot.pages.frame import Desk, desk, from_here, local, missing, worded
from bot.turn import NoSuchSpan, until

log = logging.getLogger(__name__)

#: A turn that is done by then is answered with its result; a longer one goes on behind the page.
PATIENCE: Final = 4.0


class Turning:
    """The one turn that is under way in this process."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._task: asyncio.Task[int] | None = None
        self.words = ""  #: how far it has come; empty: nothing is turning

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self, found: Desk, moment: datetime) -> int | None:
        """Begin to turn; the number of rung timers when it was quick, None when it goes on."""
        voice = found.voice

        async def told(at: datetime, _rung: int) -> None:
            self.words = voice.moment(at, at)
            await asyncio.sleep(0)

        self._task = asyncio.create_task(self._app.turner.to(moment, told))
        self._task.add_done_callback(self._ended)
        await self.ended(PATIENCE)
        return None if self.busy else self._task.result()

    async def ended(self, patience: float) -> None:
        """Wait until the turn is over, or so many seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=patience)

    def _ended(self, task: "asyncio.Task[int]") -> None:
        self.words = ""
        if not task.cancelled() and (error := task.exception()):
            log.error("the clock stopped turning", exc_info=error)


async def clock(request: Request) -> Response:
    found = await desk(request)
    if not found.demo or (found.me is None and not from_here(request)):
        return missing(found)
    if request.method == "GET":
        return JSONResponse({"now": _iso(found, found.now), "turning": request.app.state.turning.busy})
    as_json = request.headers.get("content-type", "").startswith("application/json")
    span, back = await _asked(found, as_json)
    turning: Turning = request.app.state.turning
    try:
        moment = until(span, found.now, found.town)
    except NoSuchSpan as wrong:
        if as_json:
            return JSONResponse({"error": str(wrong)}, 422)
        return worded(
            found,
            "時計を進められませんでした",
            "進める長さは 1h、2d3h、2bd、next-morning のように、400日までです。",
            422,
        )
    if turning.busy:
        if as_json:
            return JSONResponse({"error": "The clock is being turned already."}, 409)
        return RedirectResponse(back, 303)
    rung = await turning.start(found, moment)
    if not as_json:
        return RedirectResponse(back, 303)
    return _shown(found, await found.read(found.app.clock.now), rung=rung, to=moment)


async def _asked(found: Desk, as_json: bool) -> tuple[str, str]:
    if not as_json:
        form = await found.form()
        return form.get("advance", "").strip(), local(form.get("back", "")) or "/"
    try:
        body = json.loads(await found.request.body() or b"{}")
    except ValueError:
        body = {}
    span = body.get("advance", "") if isinstance(body, dict) else ""
    return (span.strip() if isinstance(span, str) else ""), "/"


def _shown(found: Desk, now: datetime, *, rung: int | None = None, to: datetime | None = None) -> Response:
    body: dict[str, object] = {"now": _iso(found, now)}
    if to is not None:
        body |= {
            "to": _iso(found, to),
            "rung": rung,
            "turning": rung is None,
        }
    return JSONResponse(body)


def _iso(found: Desk, moment: datetime) -> str:
    return moment.astimezone(found.town.tz).isoformat(timespec="seconds")
