"""/hooks/PLATFORM: what a platform posts. It is answered yes when every event is kept, and never before."""

import asyncio
from typing import Final

from starlette.background import BackgroundTasks
from starlette.requests import Request
from starlette.responses import Response

from adapters.base import Ack, Hook, Hooked, Inbound
from bot.app import App

#: Slack waits three seconds; a hook that would take longer is answered no, and comes again.
PATIENCE: Final = 2.5


_under_way: set["asyncio.Task[Ack]"] = set()


def _ended(task: "asyncio.Task[Ack]") -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # heard, whether anybody still waits or not


async def hook(request: Request) -> Response:
    """Hand a hook to its platform's adapter. While the database is away it is a 503: the platform comes again."""
    app: App = request.app.state.tsunagi
    adapter = app.deliverer.adapters.get(request.path_params["platform"])
    if not isinstance(adapter, Hooked):
        return Response(status_code=404)
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
