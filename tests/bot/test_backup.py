"""Backup and restore: one sealed file of one moment, out of either database and into either, with nothing lost and nothing claimed."""

import asyncio
import os
import resource
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import inspect, select, text

from adapters.base import Sent
from bot import sign
from bot.app import make
from bot.backup import backup, restore
from bot.clock import Clock
from bot.settings import Settings
from storage import backup as rows
from storage import letters, migrate, people, tables, texts
from storage.envelope import Sealer, opened
from storage.seal import Keys
from storage.store import Store
from storage.tx import Tx
from tests.bot.test_cli import Tsunagi, demo, grown, here, one_sentence, tsunagi
from tests.databases import Databases
from tests.town import START, Town, sample, settled
from tests.toy import Toy

__all__ = ["demo", "grown", "here", "tsunagi"]  # fixtures

Environment = Callable[..., None]
BOTH = pytest.mark.parametrize(
    ("out", "into"),
    [
        ("sqlite", "sqlite"),
        pytest.param("sqlite", "postgresql", marks=pytest.mark.postgres),
        pytest.param("postgresql", "sqlite", marks=pytest.mark.postgres),
    ],
)
EACH = pytest.mark.parametrize("into", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])


class Place:
    """A machine: a folder with a key file, and a database that is not there yet."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.settings = Settings(database_url=url, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def machine(databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Place]]:
    """A new machine with a database of a kind; its key file is that of the town's old one."""
    made: list[Place] = []
    monkeypatch.chdir(tmp_path)  # where a program beside PostgreSQL looks for var/key

    def new(kind: str) -> Place:
        if kind == "sqlite":
            folder = tmp_path / f"machine-{len(made)}"
            url = f"sqlite:///{folder}/town.db"
        else:
            folder = tmp_path / "var"
            url = databases.postgresql()
            migrate.alone(url, _emptied)
        folder.mkdir(exist_ok=True)
        made.append(place := Place(folder, url))
        return place

    yield new
    for one in made:
        if one.url.startswith("postgresql"):
            databases.drop(one.url)


def _emptied(connection: Any) -> None:
    connection.execute(text("DROP SCHEMA public CASCADE"))
    connection.execute(text("CREATE SCHEMA public"))


@contextmanager
def _at(place: Place) -> Iterator[Callable[[Callable[[Tx], Any]], Any]]:
    """Read and write there."""

    def done(work: Callable[[Tx], Any]) -> Any:
        async def whole() -> Any:
            store = Store(place.url, keys=Keys.at(place.folder / "key"))
            try:
                return await store.transact(work)
            finally:
                await store.close()

        return asyncio.run(whole())

    yield done


async def lived_in(url: str, folder: Path, toy: Toy) -> tuple[Town, str]:
    """A town with a case, a story about it, words among colleagues, somebody signed in, and a letter that has not left."""
    town = await Town.found(url, folder, adapters={"toy": toy})
    await town.app.store.transact(lambda tx: people.link(tx, "toy", "U-ishii", "ishii", START))
    number = await town.supported()
    await town.intake("suzuki")
    await town.says("suzuki", "おはようございます", room="houkatsu-kita")
    household = (await town.case(number)).household
    await town.app.store.transact(lambda tx: texts.put(tx, household, "ご本人の話", "suzuki", town.now))
    await town.app.store.transact(lambda tx: sign.begin(tx, "suzuki", town.now))
    return town, number


def resumed(place: Place, at: datetime, toy: Toy) -> Town:
    """The town on its new machine."""
    clock = Clock(frozen=at)
    app = make(place.settings, clock=clock, adapters={"toy": toy}, var=place.folder)
    app.receiver.flood = 0
    return Town(app, clock, sample())


async def made(place: Place, file: Path, **given: Any) -> list[str]:
    return await asyncio.to_thread(
        lambda: list(backup(place.settings, file, **{"force": False, "tried": True} | given))
    )


async def came_back(place: Place, file: Path, *, stopped: bool = False) -> list[str]:
    return await asyncio.to_thread(lambda: list(restore(place.settings, file, stopped=stopped)))


def old(databases: Databases, kind: str, tmp_path: Path) -> Place:
    """The machine that the town lives on."""
    folder = tmp_path / "var"
    folder.mkdir(exist_ok=True)
    place = Place(folder, getattr(databases, kind)(settled))
    if kind == "sqlite":
        moved = folder / "town.db"
        shutil.move(place.url.removeprefix("sqlite:///"), moved)
        place = Place(folder, f"sqlite:///{moved}")
    return place


@BOTH
async def test_the_machine_has_burnt_down(
    databases: Databases, tmp_path: Path, machine: Callable[[str], Place], out: str, into: str
) -> None:
    """From one database into the other: the same rows, the words open, the promises hold, and the town goes on."""
    before, file = old(databases, out, tmp_path), tmp_path / "town.backup"
    new = machine(into)
    town, number = await lived_in(before.url, before.folder, Toy())
    said = await made(before, file)
    assert (
        stat.S_IMODE(file.stat().st_mode) == 0o600 and "key file" in said[-1] and str(before.folder / "key") in said[-1]
    )
    assert any("every chain whole" in line for line in said) and not list(before.folder.glob("trial-*"))
    sealed = file.read_bytes()
    assert not [word for word in ("ながれ", "suzuki", number) if word.encode() in sealed]
    was = await town.app.store.read(rows.digests)
    await town.close()
    if into == "sqlite":
        shutil.copyfile(before.folder / "key", new.folder / "key")
    shown = await came_back(new, file)
    assert not [line for line in shown if line.startswith("breach")] and any(
        "every chain whole" in line for line in shown
    )
    town = resumed(new, town.now, Toy())
    now = await town.app.store.read(rows.digests)
    changed = {name for name in was if was[name] != now[name]}
    assert changed == {"letters", "sessions", "journal", "municipality"}, (
        "signed out, and the town's own journal says why"
    )
    lines = await town.app.store.read(
        lambda tx: list(tx.execute(select(tables.journal.c.kind).order_by(tables.journal.c.id)).scalars())
    )
    assert lines[-1] == "town.restore"
    assert await town.app.store.read(
        lambda tx: "ご本人の話" in [words for id_ in range(1, 90) if (words := texts.get(tx, id_))]
    )
    assert not await town.app.store.read(rows.unopened)
    await town.says("ishii", f"役割終了 {number}")  # rows are numbered on
    other = await town.consented()
    await town.says("suzuki", f"依頼 {other} 家計相談 ともしび")
    assert await town.later(business_days=5) > 0
    await town.close()
    if out == "postgresql":
        databases.drop(before.url)


@EACH
async def test_a_backup_is_of_one_moment(databases: Databases, tmp_path: Path, into: str) -> None:
    """The town works on while its tables are read one after another: what is said meanwhile is in none of them."""
    place = old(databases, into, tmp_path)
    town, _ = await lived_in(place.url, place.folder, Toy())
    begun, go_on = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> list[bytes]:
        about = rows.about(tx, town.now, town.now)
        assert about is not None
        found = []
        for line in rows.lines(tx, about, lambda count: None):
            found.append(line)
            if line.startswith(b'{"end":"staff"'):
                begun.set()
                assert go_on.wait(20)
        return found

    def apart() -> list[bytes]:
        async def whole() -> list[bytes]:
            store = Store(place.url, keys=town.app.store.keys)
            try:
                return await store.read(slowly)
            finally:
                await store.close()

        return asyncio.run(whole())

    reading = asyncio.create_task(asyncio.to_thread(apart))
    await asyncio.to_thread(begun.wait, 20)
    saved = await town.app.store.read(rows.digests)
    late = await town.consented()
    go_on.set()
    lines = await reading
    assert not [line for line in lines if late.encode() in line]
    assert {
        one["end"]: one["digest"] for line in lines if b'"digest"' in line and "end" in (one := orjson.loads(line))
    } == saved
    assert orjson.loads(lines[0])["rows"]["cases"] == 2
    await town.close()
    if into == "postgresql":
        databases.drop(place.url)


# -- letters


@EACH
@pytest.mark.parametrize("stopped", [False, True], ids=["went on", "stopped"])
async def test_what_waited_to_be_sent(
    databases: Databases, tmp_path: Path, machine: Callable[[str], Place], into: str, stopped: bool
) -> None:
    """What may have left since is unknown and on /stuck; what must arrive goes once more; silence climbs as ever (faults 1 and 2)."""
    before, file, new, toy = old(databases, "sqlite", tmp_path), tmp_path / "town.backup", machine(into), Toy()
    town, _ = await lived_in(before.url, before.folder, toy)
    asked = await town.consented()
    await town.says("suzuki", f"依頼 {asked} 家計相談 ともしび")
    rows_ = [_letter(i, **changes) for i, changes in enumerate(
        [{}, {"must": True, "urgent": True}, {"state": "leased", "lease": "x"}, {"not_before": START + timedelta(days=900)}], start=1
    )]  # fmt: skip
    await town.app.store.transact(
        lambda tx: tx.execute(tables.letters.delete().where(tables.letters.c.surface == "toy"))
    )
    await town.app.store.transact(lambda tx: letters.write(tx, rows_))
    await made(before, file)
    await town.close()
    if into == "sqlite":
        shutil.copyfile(before.folder / "key", new.folder / "key")
    await came_back(new, file, stopped=stopped)
    toy = Toy(says=lambda parcel: Sent(parcel.key))
    town = resumed(new, town.now, toy)
    found = await town.app.store.read(lambda tx: [letters.get(tx, i) for i in (1, 2, 3, 4)])
    unsure = {one.id for one in found if one and (one.state, one.why) == ("unknown", "restored")}
    assert unsure == ({3} if stopped else {1, 2, 3})
    stuck = await town.app.store.read(lambda tx: {one.id for one in letters.stuck(tx)})
    assert stuck == unsure
    again = await town.app.store.read(lambda tx: [row for row in _pending(tx) if row not in (1, 2, 3, 4)])
    assert len(again) == (0 if stopped else 1), "the one that must arrive, once more"
    town.clock.frozen = town.now + timedelta(days=200)  # what was asked of the machine's clock is past
    await town.app.turner.settle()
    assert toy.to("U-ishii")
    sent = await town.app.store.read(
        lambda tx: {i for i in (1, 2, *again) if (one := letters.get(tx, i)) and one.state == "sent"}
    )
    assert sent - {1} == ({2} if stopped else {*again})  # 1 is not urgent: it has a pace
    assert "expired_receiver" in await town.kinds("ishii") and "expired" in await town.kinds("takahashi"), (
        "silence climbs"
    )
    await town.close()


def _pending(tx: Tx) -> list[int]:
    found = select(tables.letters.c.id).where(tables.letters.c.surface == "toy", tables.letters.c.state == "pending")
    return list(tx.execute(found).scalars())


def _letter(id_: int, **changes: Any) -> letters.LetterRow:
    given: dict[str, Any] = {
        "to_staff": "ishii",
        "address": "U-ishii",
        "doc": {},
        "created_at": START,
        "not_before": START,
    } | changes
    return letters.LetterRow(id_, "absence", "toy", **given)


# -- older and newer programs


def as_of(lines: list[bytes], version: str, columns: dict[str, list[str]]) -> Iterator[bytes]:
    """What an older program would have written."""
    about = orjson.loads(lines[0])
    yield orjson.dumps(
        about | {"schema": version, "rows": {name: n for name, n in about["rows"].items() if name in columns}}
    )
    places: list[int] | None = None
    names: list[str] = []
    for line in lines[1:]:
        one = orjson.loads(line)
        if isinstance(one, dict) and "table" in one:
            known = columns.get(one["table"])
            places = None if known is None else [i for i, name in enumerate(one["columns"]) if name in known]
            names = [one["columns"][i] for i in places or ()]
            one = one | {"columns": names}
        elif isinstance(one, list) and places is not None:
            if names == columns["journal"] and version < "0002" and one[names.index("case_id")] is None:
                continue  # the town had no journal of its own yet
            one = [one[i] for i in places]
        if places is not None:
            yield orjson.dumps(one)


OLDER = sorted(path.name[:4] for path in (migrate.MIGRATIONS / "versions").glob("[0-9]*.py"))[:-1]


@pytest.mark.parametrize(
    ("into", "version"),
    [*(("sqlite", version) for version in OLDER), pytest.param("postgresql", OLDER[0], marks=pytest.mark.postgres)],
)
def test_a_backup_of_an_older_program(
    databases: Databases, tmp_path: Path, machine: Callable[[str], Place], into: str, version: str
) -> None:
    """It is loaded as it was and brought up to date, also where somebody has migrated the empty database already."""
    source = old(databases, "sqlite", tmp_path)
    first, file = Place(tmp_path, f"sqlite:///{tmp_path}/first.db"), tmp_path / "old.backup"
    columns = migrate.alone(first.url, partial(_columns_at, version))
    with _at(source) as done:
        lines = done(lambda tx: list(rows.lines(tx, rows.about(tx, START, START), lambda count: None)))  # type: ignore[arg-type]
    with file.open("wb") as out:
        sealer = Sealer(out, Keys.at(source.folder / "key").for_backups)
        for some in rows.packed(as_of(lines, version, columns)):
            sealer.write(some)
        sealer.close()
    new = machine(into)
    if into == "sqlite":
        shutil.copyfile(source.folder / "key", new.folder / "key")
    else:
        migrate.upgrade(new.url)  # too far: begun anew
    shown = list(restore(new.settings, file, stopped=False))
    assert not [line for line in shown if line.startswith("breach")]
    migrate.check(new.url)
    with _at(new) as done:
        assert done(lambda tx: people.town_doc(tx)) is not None


def _columns_at(version: str, connection: Any) -> dict[str, list[str]]:
    migrate.bring(connection, version)
    found = inspect(connection)
    return {
        name: [c["name"] for c in found.get_columns(name)]
        for name in found.get_table_names()
        if name != "alembic_version"
    }


# -- what may be wrong: a sentence, exit 1, nothing written


@pytest.fixture
def backed_up(tsunagi: Tsunagi, demo: Path) -> Path:
    """A demonstration and a backup of it."""
    code, out, err = tsunagi("backup", "town.backup")
    assert (code, err) == (0, "") and "verified" in out
    return demo


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.endswith("-shm")
    }


def _elsewhere(environment: Environment, folder: Path, *, key: bool = True) -> Path:
    new = folder / "new"
    new.mkdir()
    if key:
        shutil.copyfile(folder / "key", new / "key")
    environment(DATABASE_URL=f"sqlite:///{new}/town.db")
    return new


def test_a_demonstration_comes_back_as_one(tsunagi: Tsunagi, backed_up: Path, environment: Environment) -> None:
    _elsewhere(environment, backed_up)
    code, out, err = tsunagi("restore", "town.backup")
    assert (code, err) == (0, "") and "every chain whole" in out
    assert tsunagi("clock")[1].startswith("2026-06-01") and tsunagi("clock", "advance", "1d")[0] == 0
    assert tsunagi("verify")[0] == 0


def _damaged(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])


def _newer(file: Path) -> None:
    _rewritten(file, lambda lines: [orjson.dumps(orjson.loads(lines[0]) | {"schema": "9999"}), *lines[1:]])


def _rewritten(file: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """What a program of ours would have to have written: nobody else has the key."""
    key = Keys.at(file.with_name("key")).for_backups
    with file.open("rb") as sealed:
        lines = list(rows.unpacked(opened(sealed, key)))
    with file.open("wb") as out:
        sealer = Sealer(out, key)
        for some in rows.packed(change(lines)):
            sealer.write(some)
        sealer.close()


WRONG: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "no file": (lambda file, new: file.unlink(), "town.backup"),
    "not a backup": (lambda file, new: file.write_text("a shopping list"), "not a backup"),
    "an empty file": (lambda file, new: file.write_bytes(b""), "not a backup"),
    "another key": (lambda file, new: (new / "key").write_text("ab" * 32), "key file"),
    "no key": (lambda file, new: (new / "key").unlink(), "no key file"),
    "half a key": (lambda file, new: (new / "key").write_text("ab"), "32 bytes"),
    "one bit": (lambda file, new: _damaged(file), "damaged"),
    "half a file": (lambda file, new: file.write_bytes(file.read_bytes()[:-5_000]), "damaged"),
    "a newer program's": (lambda file, new: _newer(file), "9999"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_restored_changes_nothing(
    tsunagi: Tsunagi, backed_up: Path, environment: Environment, what: str
) -> None:
    new = _elsewhere(environment, backed_up)
    spoil, part = WRONG[what]
    spoil(backed_up / "town.backup", new)
    before = files(backed_up)
    one_sentence(tsunagi("restore", "town.backup"), 1, part)
    assert files(backed_up) == before


def test_a_town_is_never_restored_over(tsunagi: Tsunagi, backed_up: Path, environment: Environment) -> None:
    one_sentence(tsunagi("restore", "town.backup"), 1, "There is a town in this database already")
    _elsewhere(environment, backed_up)
    assert tsunagi("migrate", "--demo")[0] == 0
    one_sentence(tsunagi("restore", "town.backup"), 1, "not empty (demo_clock)")


def test_rows_that_do_not_fit_leave_no_database(tsunagi: Tsunagi, backed_up: Path, environment: Environment) -> None:
    _rewritten(backed_up / "town.backup", lambda lines: [line for line in lines if not line.startswith(b'["seisaku"')])
    new = _elsewhere(environment, backed_up)
    one_sentence(tsunagi("restore", "town.backup"), 1, "do not fit")
    assert [p.name for p in new.iterdir()] == ["key"]


@pytest.mark.parametrize("argv", [("backup", "x"), ("restore", "x")], ids=" ".join)
def test_bad_usage(tsunagi: Tsunagi, here: Path, argv: tuple[str, ...]) -> None:
    one_sentence(tsunagi(*argv), 1, "database" if argv[0] == "backup" else "key file")
    one_sentence(tsunagi(argv[0]), 2, "tsunagi")
    assert not list(here.iterdir())


def test_a_file_that_is_there_is_kept(tsunagi: Tsunagi, backed_up: Path) -> None:
    before = files(backed_up)
    one_sentence(tsunagi("backup", "town.backup"), 1, "--force")
    assert files(backed_up) == before
    assert tsunagi("backup", "town.backup", "--force")[0] == 0
    assert (backed_up / "town.backup").read_bytes() != before["town.backup"]


def test_a_database_without_a_town_has_no_backup(tsunagi: Tsunagi, here: Path) -> None:
    tsunagi("migrate")
    one_sentence(tsunagi("backup", "town.backup"), 1, "tsunagi town load")
    one_sentence(tsunagi("backup", "nowhere/town.backup"), 1, "tsunagi town load")
    assert not [p for p in here.iterdir() if "backup" in p.name]


def test_a_disk_that_is_full_leaves_what_was_there(tsunagi: Tsunagi, backed_up: Path, environment: Environment) -> None:
    """Fault 39: half a backup never takes the place of a whole one, half a town that of none."""
    with sqlite3.connect(backed_up / "town.db") as found:
        found.execute("INSERT INTO texts (sealed, digest, at, by) VALUES (randomblob(200000), '', 0, '')")
    before = files(backed_up)
    with _small_files(100_000):
        one_sentence(tsunagi("backup", "town.backup", "--force"), 1, "large")
    assert files(backed_up) == before
    _elsewhere(environment, backed_up)
    with _small_files(150_000):
        code, _, err = tsunagi("restore", "town.backup")
    assert code == 1 and len(err.splitlines()) == 1, err
    assert [p.name for p in (backed_up / "new").iterdir()] == ["key"]


@contextmanager
def _small_files(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the write fails in its middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_in_a_hurry_it_is_not_tried_and_says_so(tsunagi: Tsunagi, demo: Path) -> None:
    code, out, _ = tsunagi("backup", "town.backup", "--no-verify")
    assert code == 0 and "not tried" in out and (demo / "town.backup").exists()


def test_a_town_that_is_not_whole_is_kept_and_said_to_be_none(tsunagi: Tsunagi, demo: Path) -> None:
    """A backup is of what is there: better a true copy of something broken than none; but nobody takes it for sound."""
    with sqlite3.connect(demo / "town.db") as found:
        found.execute("UPDATE municipality SET head = 'x'")
    code, out, err = tsunagi("backup", "town.backup")
    assert code == 1 and "breach: the journal of the town" in out and "not: see the lines above" in err
    assert (demo / "town.backup").exists()
    os.unlink(demo / "town.db")
    code, out, err = tsunagi("restore", "town.backup")
    assert code == 1 and "breach: the journal of the town" in out


async def test_a_key_file_that_is_not_the_towns_is_found_out(databases: Databases, tmp_path: Path) -> None:
    """Somebody moved the database and not its key: the backup would open, what is written about people would not."""
    place = old(databases, "sqlite", tmp_path)
    town, _ = await lived_in(place.url, place.folder, Toy())
    await town.close()
    (place.folder / "key").write_text("cd" * 32)
    with pytest.raises(Exception, match="not: see the lines above"):
        await made(place, tmp_path / "town.backup")
    assert (tmp_path / "town.backup").exists()
