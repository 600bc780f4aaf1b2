"""`tsunagi serve`: the pages and the loops in one process, from the checks at the start to a quiet end."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from errno import EADDRINUSE
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from bot import app as composition
from bot import town
from bot.app import App
from bot.clock import real
from bot.logs import quiet_logs
from bot.operate import at_head, keep_town, run
from bot.pages import routes
from bot.pages.live import Feed
from bot.ready import watched
from bot.settings import Settings
from bot.slow import Patient
from storage import people

#: Open answers get this long to end, then the letter in hand.
DRAIN_SECONDS: Final = 2
LAST_LETTER_SECONDS: Final = 20


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises what `tsunagi` says in a sentence, before anything is begun."""
    at_head(settings)
    settings.secret()
    _town(settings)
    listening = listen(settings)
    quiet_logs(settings)
    with listening, _signals_answered():
        _run(settings, listening)


def _run(settings: Settings, listening: socket.socket) -> None:
    app = composition.make(settings)

    @asynccontextmanager
    async def lifespan(pages: Starlette) -> AsyncIterator[None]:
        server.feed = pages.state.feed
        working = asyncio.create_task(composition.work(app))
        try:
            async with watched(app):
                yield
        finally:
            await _end(app, working)

    server = _Server(told(routes(app, lifespan)), _welcome(settings, listening))
    server.run([listening])


def told(pages: ASGIApp) -> uvicorn.Config:
    """What uvicorn is told. No line of the log says who asked for what."""
    return uvicorn.Config(
        pages, loop="uvloop", http=Patient, lifespan="on", ws="none", log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )  # fmt: skip


async def _end(app: App, working: "asyncio.Task[None]") -> None:
    """Stop the loops after the letter in hand, then let go of the database."""
    working.cancel()
    with suppress(asyncio.CancelledError, TimeoutError):
        await asyncio.wait_for(working, LAST_LETTER_SECONDS)
    await app.close()


class _Server(uvicorn.Server):
    """Says its address when it listens, and ends open event streams when it is told to stop."""

    def __init__(self, config: uvicorn.Config, welcome: str) -> None:
        super().__init__(config)
        self.feed: Feed | None = None
        self._welcome = welcome
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        composition.settle_down()
        if self.started:
            print(self._welcome, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.feed and self._loop:
            self._loop.call_soon_threadsafe(self.feed.stop)
        super().handle_exit(sig, frame)


@contextmanager
def _signals_answered() -> Iterator[None]:
    """uvicorn raises the signal again when it has stopped; by then it has been answered."""
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


# -- before it begins


def _town(settings: Settings) -> None:
    """There has to be a town: the one in the database, else the file that TSUNAGI_TOWN names. Raises NoTown."""

    async def look(app: App) -> bool:
        version = await app.store.read(people.town_version)
        if settings.town is None or version:
            await app.store.read(app.towns.of)
            return False
        years = town.years_around(real().date())
        doc = town.read(town.text_of(settings.town), where=settings.town.name, years=years)
        await app.store.transact(lambda tx: keep_town(tx, doc))
        return True

    if run(settings, look):
        print(f"町の設定を読みこみました: {settings.town}")


class NoAddress(Exception):
    """The address to listen on is in use, or cannot be had."""


def listen(settings: Settings) -> socket.socket:
    """Take the address before anything is begun. Raises NoAddress."""
    try:
        return _bound(settings)
    except OSError as wrong:
        raise NoAddress(_no_address(settings, wrong)) from None


def _bound(settings: Settings) -> socket.socket:
    found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _name, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening


def _no_address(settings: Settings, wrong: OSError) -> str:
    where = f"{settings.host}:{settings.port}"
    if wrong.errno == EADDRINUSE:
        return f"{where} is in use: stop the other program, or choose another port with TSUNAGI_PORT (make demo PORT=8090)."
    return f"{where} cannot be used ({wrong.strerror or wrong}): choose another with TSUNAGI_HOST and TSUNAGI_PORT."


def _welcome(settings: Settings, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    here = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return f"つなぎ {settings.base_url or here} (Ctrl-C でとめる)"
