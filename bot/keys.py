"""`tsunagi key`: another master key while everybody goes on working, what lies under the older one sealed anew, and its end.

Several machines on one PostgreSQL have a key file each: `prepare`, copy the file to all of them, then `rotate` on one and copy again.
A process reads its file again when it meets what it cannot open and before it seals, so none is started anew.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bot.app import App
from bot.clock import real
from bot.operate import run
from bot.settings import Settings
from storage import journal, keyfile, people, rewrap
from storage.keyfile import Ring
from storage.tx import Tx
from workflow.outcome import Entry

#: A work that sealed something under the older key just before the new one came is kept or lost by then (storage/store.py).
SETTLES: Final = timedelta(minutes=1)
Told = Callable[[int], None]


class NothingToRetire(Exception):
    """The key file holds one key only: there is none to retire. `tsunagi key rotate` makes a new one."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class StillUnder(Exception):
    """{count} things still lie under an older key ({what}): run `tsunagi key rotate` again to go on. Nothing was changed."""

    def __init__(self, left: dict[str, int]) -> None:
        what = ", ".join(f"{name} {count}" for name, count in left.items() if count)
        super().__init__(
            f"{sum(left.values())} things still lie under an older key ({what}): run `tsunagi key rotate` again to go on. "
            "Nothing was changed."
        )


class TooSoon(Exception):
    """The new key is younger than a minute, and somebody may be writing under the older one still: try again in a minute."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class DoNotOpen(Exception):
    """{count} things open with no key of this file: the key that they lie under has to come back into it. The rest is done."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} things open with no key of this file: the key that they lie under has to come back into it. The rest is done."
        )


def show(settings: Settings) -> Iterator[str]:
    """What the key file holds, by the keys' names, which are no secret."""
    ring, left = run(settings, _look)
    yield f"{_file(settings)}: {ring.current.name} is the current key{_first(ring)}"
    yield from (f"older, opens what was sealed before: {one.name}" for one in ring.older)
    if ring.prepared:
        yield f"prepared, not used yet: {ring.prepared.name}"
    if ring.older:
        yield _standing(left)


def prepare(settings: Settings) -> Iterator[str]:
    """Let a new key be known before it is used."""
    _there(settings)
    ring = keyfile.prepare(_file(settings))
    assert ring.prepared is not None
    yield f"{ring.prepared.name} is prepared. Copy {_file(settings)} to every machine of this town, then: tsunagi key rotate"


def rotate(settings: Settings) -> Iterator[str]:
    """Put a new key on top and seal anew what lies under the older one; begun before and not retired, it goes on.

    Raises DoNotOpen at its end.
    """
    before = _there(settings)
    if before.older:
        yield f"A rotation is under way: going on under {before.current.name}."
    else:
        after = keyfile.rotate(_file(settings))
        run(settings, partial(_note, kind="town.key_rotated", data={"key": after.current.name}))
        yield f"{after.current.name} is the current key now; {before.current.name} goes on opening what it has sealed."
    done, shut = run(settings, sealed_anew)
    yield f"sealed anew: {', '.join(f'{name} {count}' for name, count in done.items())}"
    if shut:
        raise DoNotOpen(shut)
    yield _standing(run(settings, _look)[1])


def retire(settings: Settings) -> Iterator[str]:
    """Take the older keys out of the file, when nothing lies under them. Raises NothingToRetire, TooSoon, StillUnder."""
    ring = _there(settings)
    if not ring.older:
        raise NothingToRetire
    if real() - datetime.fromtimestamp(_file(settings).stat().st_mtime, UTC) < SETTLES:
        raise TooSoon
    gone = run(settings, _retired)
    yield f"Gone from the key file: {', '.join(gone)}."
    yield (
        "Backups made under it no longer open here: keep it apart from this machine for as long as you keep them, "
        "or make a new backup and throw those away. Copy the key file to every machine of this town."
    )


async def sealed_anew(app: App) -> tuple[dict[str, int], int]:
    """Seal everything anew that is not under the current key; answer how many by table, and how many did not open."""
    left = await app.store.read(rewrap.left)
    done, shut = dict.fromkeys(left, 0), 0
    with _progress(sum(left.values())) as progress:
        task = progress.add_task("key", total=sum(left.values()))
        for name in left:
            last, batch = None, rewrap.batch(name)
            while True:
                step = await app.store.transact(partial(batch, last))
                done[name] += step.done
                shut += step.shut
                progress.advance(task, step.done)
                if step.last is None:
                    break
                last = step.last
                await asyncio.sleep(0)  # who waits for the writer has its turn
    return done, shut


async def _retired(app: App) -> list[str]:
    keys = app.store.keys
    assert keys.path is not None
    path, older = keys.path, [one.name for one in keys.ring.older]

    def work(tx: Tx) -> None:
        """Nobody writes meanwhile: who comes next finds the file as it is then."""
        rewrap.hold_still(tx)
        if any((left := rewrap.left(tx)).values()):
            raise StillUnder(left)
        _line(tx, app, "town.key_retired", {"keys": older})
        keyfile.retire(path)

    if any((left := await app.store.read(rewrap.left)).values()):  # before anybody is made to wait
        raise StillUnder(left)
    await app.store.transact(work)
    return older


async def _look(app: App) -> tuple[Ring, dict[str, int]]:
    return app.store.keys.ring, await app.store.read(rewrap.left)


async def _note(app: App, kind: str, data: dict[str, object]) -> None:
    await app.store.transact(lambda tx: _line(tx, app, kind, data))


def _line(tx: Tx, app: App, kind: str, data: dict[str, object]) -> None:
    if people.town_version(tx):  # before there is a town there is no journal of it
        journal.append_town(tx, Entry(kind, data=data), None, "console", app.clock.now(tx))


def _there(settings: Settings) -> Ring:
    """The key file as it is; one that is not there is made as a town's first start makes it."""
    if not _file(settings).exists():
        keyfile.make(_file(settings))
    return keyfile.read(_file(settings))


def _file(settings: Settings) -> Path:
    return (settings.var / "key").absolute()


def _first(ring: Ring) -> str:
    return "" if ring.current.mark else " (the first one of this town)"


def _standing(left: dict[str, int]) -> str:
    if not any(left.values()):
        return "Nothing lies under an older key. Make a backup now, then: tsunagi key retire"
    return f"still under an older key: {', '.join(f'{name} {count}' for name, count in left.items())} (tsunagi key rotate goes on)"


def _progress(total: int) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("sealing anew"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal or not total)
