"""The clock of a demonstration: shown and turned by everybody who may try the town. Elsewhere it does not exist."""

import asyncio
import json
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from bot.site.frame import Desk, desk, from_here, worded
from bot.turn import NoSuchSpan, until

_NOT_A_SPAN: Final = "進める長さを読めませんでした。1h、2d3h、2bd、next-morning のように書いてください(400日まで)。"
_turning: Final = asyncio.Lock()  #: one turn after the other: a second press goes on from where the first arrived


async def clock(request: Request) -> Response:
    """GET says the town's time; POST turns it, as JSON or as a form, and every due instant on the way rings."""
    found = await desk(request)
    if not found.demo:
        raise HTTPException(404)
    if found.me is None and not from_here(request):
        raise HTTPException(403)
    if request.method != "POST":
        return JSONResponse({"now": _iso(found, found.now)})
    plain = not request.headers.get("content-type", "").startswith("application/json")
    try:
        rung = await _turn(found, await _asked(request, plain))
    except NoSuchSpan as wrong:
        if plain:
            return worded(found, "時計を進められませんでした", _NOT_A_SPAN, 422)
        return JSONResponse({"error": str(wrong)}, 422)
    if plain:
        return RedirectResponse(_back(request), 303)
    return JSONResponse({"now": _iso(found, await found.app.turner.now()), "rung": rung})


async def _asked(request: Request, plain: bool) -> str:
    if plain:
        return str((await request.form()).get("advance", ""))
    try:
        said = json.loads(await request.body())
    except ValueError:
        raise NoSuchSpan from None
    span = said.get("advance") if isinstance(said, dict) else None
    if not isinstance(span, str):
        raise NoSuchSpan
    return span


async def _turn(found: Desk, span: str) -> int:
    async with _turning:
        return await found.app.turner.to(until(span, await found.app.turner.now(), found.town))


def _back(request: Request) -> str:
    """The page where the button was pressed, by its path alone."""
    came = urlsplit(request.headers.get("referer", ""))
    path = came.path if came.path.startswith("/") and not came.path.startswith("//") else "/"
    return "/" if path.startswith("/demo/") else path + (f"?{came.query}" if came.query else "")


def _iso(found: Desk, at: datetime) -> str:
    return at.astimezone(found.town.tz).isoformat(timespec="seconds")
