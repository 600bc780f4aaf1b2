"""Backup and restore: one sealed file of a town, tried by restoring it; and a town from such a file, checked.

The file opens with the key file alone, which lies neither in it nor in the database: both have to be kept, in two places.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bot.audit import breaches
from bot.clock import Clock, real
from bot.fresh import maker
from bot.operate import run
from bot.record import once_more
from bot.settings import Settings
from bot.towns import NoTown, Towns
from storage import backup as rows
from storage import journal, letters, timers
from storage.address import address
from storage.backup import About, Told
from storage.envelope import Sealer, opened
from storage.seal import Keys
from storage.tx import Tx
from workflow.outcome import Entry

#: What SQLite keeps beside a file.
BESIDE: Final = ("", "-wal", "-shm", "-journal")


class FileThere(Exception):
    """{file} is there already: choose another name, or say --force to replace it."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} is there already: choose another name, or say --force to replace it.")


class NoKeyFile(Exception):
    """There is no key file at {file}: put the one there that was kept from the machine where the backup was made."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"There is no key file at {file}: put the one there that was kept from the machine where the backup was made."
        )


class NotTheSame(Exception):
    """The backup did not come back as it was ({what}): it was thrown away."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The backup did not come back as it was ({what}): it was thrown away.")


class Unsound(Exception):
    """The backup is whole; the town in it is not: see the lines above."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def backup(settings: Settings, file: Path, *, force: bool, tried: bool) -> Iterator[str]:
    """Write a sealed file of one moment while the town goes on; with `tried` restore it into a database of its own and verify that.

    Raises FileThere, NoTown, NotTheSame (nothing is left of the file), Unsound (after the last line; the file stays) or OSError.
    """
    if file.exists() and not force:
        raise FileThere(file)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    found: list[str] = []
    try:
        about = run(settings, lambda app: app.store.read(lambda tx: _write(tx, app.clock.now(tx), draft)))
        yield f"{about.name} ({about.code}) as of {_moment(about)}: {about.total} rows, {draft.stat().st_size} bytes"
        if tried:
            found = _tried(settings, draft)
        os.replace(draft, file)
        _keep(file.parent)
    finally:
        draft.unlink(missing_ok=True)
    yield from found
    yield "restored into a database of its own and verified" if tried else "not tried (--no-verify)"
    yield (
        f"{file} opens only with the key file {(settings.var / 'key').absolute()}: keep a copy of that one too, in another place. "
        "Without it nobody can restore this, nor read what is written about people. Settings (TSUNAGI_…) are not in it."
    )
    if any(line.startswith("breach") for line in found):
        raise Unsound


def restore(settings: Settings, file: Path, *, stopped: bool) -> Iterator[str]:
    """Fill an empty database with a backup, and verify it as of the backup's moment. Nothing is changed when it fails.

    Raises NoKeyFile, NotABackup, OtherKey, Damaged, BackupAhead, TownThere, NotEmpty, DoesNotFit; Unsound after the last line.
    """
    if not (settings.var / "key").exists():
        raise NoKeyFile((settings.var / "key").absolute())
    keys = Keys.at(settings.var / "key")
    _read_through(file, keys)
    with _nothing_half(settings.database_url), _lines(file, keys, "restore") as (about, lines, told):
        said = rows.restore(
            settings.database_url, keys, about, lines, told, lambda tx, _saved: _taken_up(tx, about, stopped)
        )
    yield f"{about.name} ({about.code}) as of {_moment(about)}: {about.total} rows"
    found = run(settings, lambda app: app.store.read(lambda tx: _looked_at(tx, about.at)))
    yield from found
    yield said
    if any(line.startswith("breach") for line in found):
        raise Unsound


# -- out


def _write(tx: Tx, at: datetime, draft: Path) -> About:
    """Write the whole file; when the connection was lost it is begun anew."""
    about = rows.about(tx, at, real())
    if about is None:
        raise NoTown
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out, _progress("backup", about.total) as told:
        sealer = Sealer(out, tx.keys.for_backups)
        for some in rows.packed(rows.lines(tx, about, told)):
            sealer.write(some)
        sealer.close()
        out.flush()
        os.fsync(out.fileno())
    return about


def _keep(folder: Path) -> None:
    """Let the name be on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tried(settings: Settings, file: Path) -> list[str]:
    """Restore a backup beside the key file, compare it row by row, verify it as of its moment, and throw it away again."""
    keys = Keys.at(settings.var / "key")
    with (
        TemporaryDirectory(prefix="trial-", dir=settings.var) as folder,
        _lines(file, keys, "trial") as (about, lines, told),
    ):

        def look(tx: Tx, saved: Mapping[str, str]) -> tuple[list[str], list[str]]:
            return [name for name, one in rows.digests(tx).items() if saved.get(name) != one], _looked_at(tx, about.at)

        differ, found = rows.restore(f"sqlite:///{Path(folder).absolute()}/town.db", keys, about, lines, told, look)
    if differ:
        raise NotTheSame(", ".join(differ))
    return found


# -- in


def _taken_up(tx: Tx, about: About, stopped: bool) -> str:
    """What the system that was backed up may have done since."""
    now, fresh = Clock().now(tx), maker()
    unsure = rows.take_up(tx, now, stopped=stopped)
    town = Towns(frozenset()).of(tx)
    arrives = [one for id_, must in unsure if must and (one := letters.get(tx, id_))]
    again = [letter for one in arrives for letter in once_more(tx, one, town, now, fresh, now)]
    letters.write(tx, again)
    data = {"made": about.made.isoformat(), "unknown": len(unsure), "again": len(again)}
    journal.append_town(tx, Entry("town.restore", data=data), None, "console", now)
    return f"letters that may have left since: {len(unsure)} (see /stuck); sent once more, because they must arrive: {len(again)}"


@contextmanager
def _nothing_half(database_url: str) -> Iterator[None]:
    """Leave no SQLite file where there was none."""
    url = address(database_url)
    path = Path(url.database or "")
    there = url.get_backend_name() != "sqlite" or path.exists()
    try:
        yield
    except BaseException:
        if not there:
            for ending in BESIDE:
                path.with_name(path.name + ending).unlink(missing_ok=True)
        raise


# -- both


def _read_through(file: Path, keys: Keys) -> None:
    """See that a file is whole before anything is touched."""
    with _lines(file, keys, "check") as (_about, lines, told):
        for line in lines:
            told(line.startswith(b"["))


@contextmanager
def _lines(file: Path, keys: Keys, what: str) -> Iterator[tuple[About, Iterator[bytes], Told]]:
    with file.open("rb") as sealed:
        lines = rows.unpacked(opened(sealed, *keys.of_backups))
        about = rows.head(lines)
        with _progress(what, about.total) as told:
            yield about, lines, told


def _looked_at(tx: Tx, at: datetime) -> list[str]:
    """What `verify` says; but what is due is no breach of a backup: it rings when the town is served again."""
    at = min(at, timers.next_due(tx) or at)
    shut = rows.unopened(tx)
    other = [f"breach: what is written about {shut} households does not open with this key file"] if shut else []
    return [*other, *breaches(tx, at)]


@contextmanager
def _progress(what: str, total: int) -> Iterator[Told]:
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def _moment(about: About) -> str:
    return about.at.isoformat(timespec="seconds")
