"""Whether this process can work: asked by /readyz, watched by the process itself, and told when it could not."""

import asyncio
import logging
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bot.record import send
from storage import figures, findings, migrate
from storage.findings import Finding
from storage.promises import Found
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from workflow.outcome import Act, Notice, Reader
from workflow.people import Role, Town

if TYPE_CHECKING:
    from bot.app import App

log = logging.getLogger(__name__)

SILENT: Final = timedelta(seconds=5)  #: a loop turns at least as often
PATIENCE: Final = 3.0  #: seconds given to the database, and to the disk, to answer
LOOK: Final = 2.0  #: seconds between the looks of a process at itself
#: What is shorter is in the log alone.
WORTH_TELLING: Final = timedelta(seconds=5)
#: Who cannot work for so long, but can write, says so and waits for no end.
NO_END: Final = timedelta(minutes=1)


@dataclass(slots=True)
class Health:
    """What a process has seen of itself."""

    red_since: datetime | None = None
    written_at: datetime | None = None  #: when it could first write down that it is red
    well: bool = False  #: it is written down that it can work


async def checks(app: "App", *, disk: bool = True) -> dict[str, str]:
    """What this process cannot work without, each "ok" or the sentence of what is wrong."""
    found = {"database": await _said(_database(app)), "loops": loops(app)}
    return found | ({"disk": await _said(_disk(app))} if disk else {})


def ready(app: "App") -> bool:
    """Whether this process could work when it last looked at itself."""
    return app.health.red_since is None and loops(app) == "ok"


def loops(app: "App") -> str:
    """Whether the loop that rings and sends is alive."""
    if app.working is not None and app.working.done():
        return "stopped"
    age = loop_age(app)
    if age is None:
        return "not begun yet"
    return "ok" if age <= SILENT else f"silent for {age.total_seconds():.0f} seconds"


def loop_age(app: "App") -> timedelta | None:
    """How long ago the loop last turned; None before its first turn."""
    last = app.beaten.get("work")
    return None if last is None else timedelta(seconds=asyncio.get_running_loop().time() - last)


async def clocks_apart(app: "App") -> timedelta | None:
    """By how much the database's clock is ahead of this machine's; None for one that has none, or a clock that stands still.

    Half of the journey there and back is taken off; what is left of it is the error.
    """
    if app.clock.frozen is not None:
        return None

    def look(tx: Tx) -> timedelta | None:
        before, there, after = app.clock.here(), figures.database_clock(tx), app.clock.here()
        return None if there is None else there - before - (after - before) / 2

    return await app.store.read(look, apart=True)


async def _said(check: Awaitable[None]) -> str:
    try:
        await asyncio.wait_for(check, PATIENCE)
    except TimeoutError:
        return f"no answer for {PATIENCE:g} seconds"
    except Exception as wrong:
        return str(wrong) or type(wrong).__name__
    return "ok"


async def _database(app: "App") -> None:
    await app.store.read(migrate.serves)
    if not await app.store.transact(figures.takes_changes):
        raise PermissionError("The database takes no changes.")


async def _disk(app: "App") -> None:
    await asyncio.to_thread(_write, app.settings.var)


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"ok")
        file.flush()
        os.fsync(file.fileno())


# -- a process watches itself


@asynccontextmanager
async def watched(app: "App") -> AsyncIterator[None]:
    """Watch apart from the loops, so that somebody is left when one of them is dead."""
    watching = asyncio.create_task(_watch(app))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(app: "App") -> None:
    while True:
        await asyncio.sleep(LOOK)
        try:
            await look(app)
        except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
            log.debug("%s", trouble)  # said when it began; written down when that can be done
        except Exception:
            log.exception("a look at ourselves went wrong; the next one looks again")


async def look(app: "App") -> None:
    """Look once, and write down that this process cannot work, or that it can again."""
    if app.working is None:
        return  # it has not begun
    said = await checks(app, disk=False)
    wrong = {name: why for name, why in said.items() if why != "ok"}
    if wrong == {"loops": "not begun yet"}:
        return
    if wrong and app.health.red_since is None:
        app.health = Health(red_since=app.clock.now())
        log.error("This process cannot work: %s", "; ".join(f"{name}: {why}" for name, why in wrong.items()))
    if wrong and said["database"] == "ok":
        await app.store.transact(lambda tx: _is_red(tx, app))
        app.health.written_at = app.health.written_at or app.clock.now()
    elif not wrong and not app.health.well:
        await app.store.transact(lambda tx: _is_green(tx, app))
        app.health = Health(well=True)


def here() -> str:
    """The name of this machine."""
    return platform.node() or "server"


def _is_red(tx: Tx, app: "App") -> None:
    findings.alone(tx)
    since, written, now = app.health.red_since, app.health.written_at, app.clock.now(tx)
    assert since is not None
    one = _own(tx) or _begun(tx, since, now)
    if one.told_at is None and written is not None and now - written >= NO_END and findings.tell(tx, one, now):
        _tell(tx, app, {"start": one.first_seen.isoformat()})


def _is_green(tx: Tx, app: "App") -> None:
    """What a process before this one on the same machine left unfinished is over as well.

    A database that is away is away for all: the first to come back tells, the others have been told.
    """
    findings.alone(tx)
    since, now = app.health.red_since, app.clock.now(tx)
    one = _own(tx) or (_begun(tx, since, now) if since and now - since >= WORTH_TELLING else None)
    if one is None:
        return
    findings.go(tx, one, now)
    if one.told_at is None and findings.tell(tx, one, now):
        _tell(tx, app, {"start": one.first_seen.isoformat(), "end": now.isoformat()})


def _own(tx: Tx) -> Finding | None:
    return next((one for one in findings.standing(tx) if (one.kind, one.key) == ("server", here())), None)


def _begun(tx: Tx, since: datetime, now: datetime) -> Finding:
    """A new episode; of one that somebody else has told already nobody is told again."""
    told = findings.told_since(tx, "server", since)
    findings.begin(tx, Found("server", here()), since, now if told else None)
    one = _own(tx)
    assert one is not None
    return one


def _tell(tx: Tx, app: "App", data: Mapping[str, Any]) -> None:
    town = app.towns.of(tx)
    notice = Notice("unready", watchers(town), data=data, urgent="end" not in data)
    send(tx, [notice], Act(None, app.clock.now(tx), town, "auto", app.fresh), cause="server.unready")


def watchers(town: Town) -> tuple[Reader, ...]:
    """Who hears that something is wrong with the engine itself: coordinators and admins, else the final owner."""
    found = [one.code for one in town.staff.values() if one.has(Role.COORDINATOR, Role.ADMIN)] or [town.final_owner]
    return tuple(Reader("staff", code) for code in found)
