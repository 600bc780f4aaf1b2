"""`tsunagi serve`: the pages and the loops in one process, until Ctrl-C."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator
from typing import Final

import uvicorn
from starlette.applications import Starlette

from bot import app as composition
from bot.pages import routes
from bot.settings import Settings
from storage.migrate import check

#: Pages that are open hang on a line of events; nobody waits longer for them to go.
GRACE: Final = 3


def serve(settings: Settings) -> int | None:
    """Serve until stopped; a sentence and 1 when it cannot begin."""
    settings.secret()
    check(settings.database_url)
    try:
        listening = _listen(settings.host, settings.port)
    except OSError as wrong:
        print(_why(settings, wrong), file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    return asyncio.run(_run(settings, listening))


def _listen(host: str, port: int) -> socket.socket:
    """Take the address before anything else is begun."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(512)
    except OSError:
        taken.close()
        raise
    return taken


def _why(settings: Settings, wrong: OSError) -> str:
    where = f"{settings.host}:{settings.port}"
    if wrong.errno in (98, 48):  # EADDRINUSE on Linux and macOS
        return f"{where} is in use already: stop what listens there, or choose another with TSUNAGI_PORT (make demo PORT=8090)."
    return f"{where} cannot be listened on: {wrong.strerror}."


async def _run(settings: Settings, listening: socket.socket) -> int | None:
    app = composition.make(settings)

    @contextlib.asynccontextmanager
    async def lifespan(pages: Starlette) -> AsyncIterator[None]:
        pages.state.loops = True
        working = asyncio.create_task(composition.work(app))
        try:
            yield
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
            await app.close()

    port = listening.getsockname()[1]
    config = uvicorn.Config(
        routes(app, lifespan), log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=GRACE,
        lifespan="on", log_level="warning",
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        address = settings.base_url or f"http://{_host(settings.host)}:{port}"
        print(f"つなぎ {address} (Ctrl-C でとめる)", flush=True)
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        await serving
    return None if server.started else 1


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
