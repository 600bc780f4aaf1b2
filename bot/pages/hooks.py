"""/hooks/PLATFORM: what a platform posts. It is answered yes when every event is kept, and never before.

Platforms prove what they post, and read no page: nothing that guards or words the pages stands before this door.
"""

import asyncio
import logging
from typing import Final

from starlette.background import BackgroundTasks
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.base import Ack, Hook, Hooked, Inbound
from bot.app import App
from bot.towns import NoTown
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable

log = logging.getLogger(__name__)

PLACE: Final = "/hooks/"
#: Slack waits three seconds; a hook that would take longer is answered no, and comes again.
PATIENCE: Final = 2.5

_under_way: set["asyncio.Task[Ack]"] = set()


def _ended(task: "asyncio.Task[Ack]") -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # heard, whether anybody still waits or not


def hooks(app: App) -> ASGIApp:
    """Make the door for every platform that posts."""

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        answer = await _answered(app, Request(scope, receive))
        await answer(scope, receive, send)

    return door


async def _answered(app: App, request: Request) -> Response:
    adapter = app.deliverer.adapters.get(request.url.path.removeprefix(PLACE))
    if not isinstance(adapter, Hooked):
        return Response(status_code=404)
    if request.method != "POST":
        return Response(status_code=405, headers={"allow": "POST"})
    try:
        return await _taken(app, adapter, request)
    except (DatabaseUnavailable, DatabaseReadOnly, NoTown):
        return Response(status_code=503, headers={"retry-after": "5"})  # the platform comes again
    except Exception:
        log.exception("a hook broke: %s", adapter.name)
        return Response(status_code=500)


async def _taken(app: App, adapter: Hooked, request: Request) -> Response:
    after = BackgroundTasks()

    async def hand(event: Inbound) -> None:
        await app.receiver.receive(event)
        after.add_task(adapter.heed, event)

    posted = Hook({name.lower(): value for name, value in request.headers.items()}, await request.body())
    taking = asyncio.create_task(adapter.take(posted, hand))
    _under_way.add(taking)
    taking.add_done_callback(_ended)
    done, _ = await asyncio.wait({taking}, timeout=PATIENCE)
    if not done:
        return Response(status_code=503)  # it goes on, and what comes again is known by its id
    ack = taking.result()
    return Response(ack.body, ack.status, media_type=ack.media, background=after)
