"""The master key: another one while everybody goes on writing, nothing lost, the older one gone afterwards; and a stolen disk."""

import asyncio
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import select

from bot import keys
from bot.app import App, make
from bot.audit import breaches
from bot.backup import backup, restore
from bot.enter import totp
from bot.settings import Settings
from storage import journal, keyfile, rewrap, rooms, seal, tables, texts, ways
from storage.envelope import OtherKey
from storage.seal import BadKeyFile, Keys, WrongKey
from storage.store import Store
from storage.tx import Tx
from tests.bot.test_cli import Tsunagi, demo, grown, here, one_sentence, tsunagi
from tests.databases import Databases
from tests.town import START, Town, settled

__all__ = ["demo", "grown", "here", "tsunagi"]  # fixtures

STORY = "山田花子さんは桜町3丁目にお住まいで、通帳をなくされた"
BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@dataclass
class Home:
    """A machine with a database and a key file of its own."""

    settings: Settings
    town: Town

    @property
    def app(self) -> App:
        return self.town.app

    @property
    def file(self) -> Path:
        return self.settings.var / "key"

    async def does(self, step: str) -> list[str]:
        """An operator's command, in a process (here: a thread and a loop) of its own."""
        return await asyncio.to_thread(lambda: list(getattr(keys, step)(self.settings)))

    async def retires(self) -> list[str]:
        """… after the minute in which somebody may still be writing."""
        before = time.time() - 2 * keys.SETTLES.total_seconds()
        os.utime(self.file, (before, before))
        return await self.does("retire")


@pytest.fixture(params=BOTH)
async def home(
    request: pytest.FixtureRequest, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Home]:
    monkeypatch.chdir(tmp_path)
    url = kept = getattr(databases, request.param)(settled)
    if request.param == "sqlite":
        (tmp_path / "var").mkdir()
        shutil.copyfile(url.removeprefix("sqlite:///"), tmp_path / "var" / "town.db")
        url = f"sqlite:///{tmp_path}/var/town.db"
    settings = Settings(database_url=url, _env_file=None)  # type: ignore[call-arg]
    town = await Town.found(url, settings.var)
    yield Home(settings, town)
    await town.close()
    databases.drop(kept)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    keyfile.make(tmp_path / "key")
    yield tmp_path / "key"


def _wrote(tx: Tx, household: int, words: str = STORY) -> int:
    texts.open_household(tx, household)
    named = tx.keys.fingerprint("山田花子", "0900000000")
    tx.execute(tables.households.update().where(tables.households.c.id == household).values(hash=named))
    return texts.put(tx, household, words, "suzuki", START)[0]


async def wrote(app: App, household: int, words: str = STORY) -> int:
    return await app.store.transact(lambda tx: _wrote(tx, household, words))


async def opens(app: App) -> dict[int, str | None]:
    """Every text, opened."""
    return await app.store.read(
        lambda tx: {id_: texts.get(tx, id_) for (id_,) in tx.execute(select(tables.texts.c.id))}
    )


# -- the file


def test_a_first_key_is_one_line_as_ever(path: Path) -> None:
    """One line stays valid, and what it seals is what the version before sealed: that one may still be running."""
    assert len(path.read_text().split()) == 1 and stat.S_IMODE(path.stat().st_mode) == 0o600
    first = Keys.at(path)
    assert first.mark == b"" and len(first.wrap(seal.new_key(), 7)) == 60
    assert Keys(bytes.fromhex(path.read_text())).unwrap(first.wrap(bytes(32), 7), 7) == bytes(32)


def test_what_is_sealed_says_by_whom_and_opens_under_any_key_of_the_file(path: Path) -> None:
    old = Keys.at(path)
    sealed = [old.wrap(bytes(32), 7), old.seal_room(STORY)]
    ring = keyfile.rotate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and not list(path.parent.glob("key.*"))
    new = Keys.at(path)
    assert new.wrap(bytes(32), 7).startswith(ring.current.mark) and new.mark == ring.current.mark != b""
    assert new.unwrap(sealed[0], 7) == bytes(32) and new.open_room(sealed[1]) == STORY
    # Who has been running since before notices: it opens what is new, and seals under the new key itself.
    assert old.open_room(new.seal_room(STORY)) == STORY and old.mark == new.mark
    with pytest.raises(WrongKey):
        new.unwrap(new.wrap(bytes(32), 7), 8)
    with pytest.raises(WrongKey):
        new.open_room(b"short")


def test_a_running_process_seals_under_the_new_key_at_once(path: Path) -> None:
    running = Keys.at(path)
    ring = keyfile.rotate(path)
    assert running.wrap(bytes(32), 1).startswith(ring.current.mark)
    keyfile.retire(path)
    assert running.unwrap(running.wrap(bytes(32), 1), 1) == bytes(32)


def test_what_is_found_by_a_keyed_hash_is_found_for_ever(path: Path) -> None:
    was = Keys.at(path).fingerprint("山田花子", "0900000000")
    for _ in range(2):
        keyfile.rotate(path)
        assert keyfile.retire(path).older == ()
        assert Keys.at(path).fingerprint("山田 花子", "0900000000") == was


def test_a_prepared_key_opens_before_it_is_used(path: Path) -> None:
    """Two machines: the file is copied while nothing lies under the new key yet."""
    other = path.with_name("other")
    ring = keyfile.prepare(path)
    shutil.copyfile(path, other)
    there = Keys.at(other)
    assert there.mark == b"" and keyfile.prepare(path) == ring
    assert ring.prepared and keyfile.rotate(path).current.secret == ring.prepared.secret
    assert there.open_room(Keys.at(path).seal_room(STORY)) == STORY


@pytest.mark.parametrize(
    "words", ["", "ab" * 31, "ab" * 32 + " 0011223344556677", "fingerprint " + "ab" * 32, "ab" * 32 + "\nx"]
)
def test_a_damaged_key_file_is_refused_in_words(tmp_path: Path, words: str) -> None:
    (tmp_path / "key").write_text(words)
    with pytest.raises(BadKeyFile, match=r"key does not hold"):
        Keys.at(tmp_path / "key")


def test_a_file_that_breaks_while_somebody_works_stops_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = Keys.at(path)
    path.write_text("half a ke")
    for _ in range(3):
        assert running.open_room(running.seal_room(STORY)) == STORY
    assert caplog.text.count("goes on") == 1 and "half" not in caplog.text


def test_the_command_says_it_in_a_sentence(tsunagi: Tsunagi, demo: Path) -> None:
    secret = (demo / "key").read_text().strip()
    one_sentence(tsunagi("key", "retire"), 1, "one key only")
    one_sentence(tsunagi("key", "burn"), 2, "invalid choice")
    for step in ("show", "prepare", "rotate", "rotate", "show"):
        code, out, err = tsunagi("key", step)
        assert (code, err) == (0, "") and secret not in out, step
    one_sentence(tsunagi("key", "retire"), 1, "younger than a minute")
    one_sentence(tsunagi("disclosure", "111-111-11", "--out", "pack.html"), 1, "111-111-11")
    assert not (demo / "pack.html").exists()


# -- the town


async def test_a_key_is_rotated_while_everybody_writes(home: Home) -> None:
    """Nothing is lost: every text opens during, after, and without the older key; who comes later needs only the new one."""
    written: dict[int, str] = {}
    stop = asyncio.Event()

    async def writes(who: int) -> None:
        count = 0
        while not stop.is_set() or count < 8:
            count += 1
            words = f"{STORY} {who} {count}"
            written[await wrote(home.app, who * 100_000 + count, words)] = words
            await home.app.store.transact(partial(_posted, id=count * 10 + who))
            await home.town.intake()

    written |= await home.app.store.transact(lambda tx: {_wrote(tx, household): STORY for household in range(1, 300)})
    address = await home.app.store.transact(lambda tx: totp.begin(tx, "mori", START))
    writers = [asyncio.create_task(writes(who)) for who in range(1, 4)]
    before = keyfile.read(home.file)
    said = await home.does("rotate")
    stop.set()
    await asyncio.gather(*writers)
    assert before.current.name in said[0] and before.current.secret.hex() not in " ".join(said)
    ring = keyfile.read(home.file)
    assert ring.older == (before.current,)
    assert sum((await home.app.store.read(rewrap.left)).values()) <= 3, "whoever was writing wrote under the new key"
    await home.does("rotate")
    assert sum((await home.app.store.read(rewrap.left)).values()) == 0
    with pytest.raises(keys.TooSoon):
        await home.does("retire")
    assert before.current.name in (await home.retires())[0]
    assert before.current.secret.hex() not in home.file.read_text()
    # Somebody new, with the new key alone.
    later = make(home.settings)
    found = await opens(later)
    assert {id_: found[id_] for id_ in written} == written and None not in found.values()
    secret = pyotp.parse_uri(address).secret
    kept = await later.store.read(lambda tx: ways.app(tx, "mori"))
    assert kept and await later.store.read(lambda tx: totp._secret(tx, kept)) == secret
    same = tables.households.select().where(
        tables.households.c.hash == later.store.keys.fingerprint("山田花子", "0900000000")
    )
    assert [row.id for row in await later.store.read(lambda tx: tx.execute(same.limit(2)).all())] == [1, 2]
    await later.close()
    assert not [
        b for b in await home.app.store.read(lambda tx: list(breaches(tx, home.town.now))) if b.startswith("breach")
    ]
    lines = [
        one
        for one in await home.app.store.read(lambda tx: journal.tail(tx, 0, 5_000))
        if one.kind.startswith("town.key")
    ]
    assert [one.kind for one in lines] == ["town.key_rotated", "town.key_retired"]
    # And once more: the second key has a mark from the beginning.
    await home.does("rotate")
    await home.retires()
    assert set((await opens(home.app)).values()) >= set(written.values())


def _posted(tx: Tx, id: int) -> None:
    rooms.post(tx, id, "shakyo", "mori", f"おはよう {id}", START)


async def test_nothing_is_retired_while_something_lies_under_it(home: Home) -> None:
    await wrote(home.app, 1)
    with pytest.raises(keys.NothingToRetire):
        await home.does("retire")
    keyfile.rotate(home.file)
    before = home.file.read_bytes()
    with pytest.raises(keys.StillUnder, match=r"households 1"):
        await home.retires()
    assert home.file.read_bytes() == before
    assert any("households 1" in line for line in await home.does("show"))
    assert "going on" in (await home.does("rotate"))[0], "no third key is made"
    assert len(await home.retires()) == 2


async def test_what_no_key_opens_is_said_and_keeps_the_older_key(home: Home) -> None:
    await wrote(home.app, 1)
    stranger = Keys(bytes(32))
    await home.app.store.transact(
        lambda tx: tx.execute(tables.households.insert(), {"id": 2, "key": stranger.wrap(bytes(32), 2), "hash": None})
    )
    with pytest.raises(keys.DoNotOpen, match=r"^1 things"):
        await home.does("rotate")
    with pytest.raises(keys.StillUnder):
        await home.retires()
    assert await opens(home.app) == {1: STORY}


def test_killed_in_the_middle_it_goes_on(databases: Databases, tmp_path: Path) -> None:
    """kill -9 between two batches: what is done is done, everything opens, and the same command goes on."""
    shutil.copyfile(databases.sqlite(settled).removeprefix("sqlite:///"), tmp_path / "town.db")
    url, count = f"sqlite:///{tmp_path}/town.db", 3_000
    first = Keys.at(tmp_path / "key")
    rows = [(i, first.wrap(bytes([i % 256]) * 32, i)) for i in range(1, count + 1)]
    with sqlite3.connect(tmp_path / "town.db") as base:
        base.executemany("INSERT INTO households (id, key) VALUES (?, ?)", rows)
    environment = {"PATH": os.environ["PATH"], "TSUNAGI_DATABASE_URL": url, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "bot", "key", "rotate"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd=tmp_path) as running:
        with sqlite3.connect(tmp_path / "town.db") as base:
            while not _begun(base) and running.poll() is None:
                time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
    with sqlite3.connect(tmp_path / "town.db") as base:
        assert 0 < _anew(base) < count
        _all_open(base, Keys.at(tmp_path / "key"))
    settings = Settings(database_url=url, _env_file=None)  # type: ignore[call-arg]
    said = list(keys.rotate(settings))
    assert "going on" in said[0] and "Nothing lies" in said[-1]
    os.utime(tmp_path / "key", (0, 0))
    list(keys.retire(settings))
    with sqlite3.connect(tmp_path / "town.db") as base:
        assert _anew(base) == count
        _all_open(base, Keys.at(tmp_path / "key"))


def _begun(base: sqlite3.Connection) -> bool:
    return bool(base.execute("SELECT length(key) > 60 FROM households WHERE id = 1").fetchone()[0])


def _anew(base: sqlite3.Connection) -> int:
    return int(base.execute("SELECT count(*) FROM households WHERE length(key) > 60").fetchone()[0])


def _all_open(base: sqlite3.Connection, found: Keys) -> None:
    for id_, wrapped in base.execute("SELECT id, key FROM households"):
        assert found.unwrap(wrapped, id_) == bytes([id_ % 256]) * 32


async def test_a_backup_opens_while_its_key_is_in_the_file(home: Home, tmp_path: Path) -> None:
    await wrote(home.app, 1)
    before, after = tmp_path / "before.backup", tmp_path / "after.backup"
    assert await asyncio.to_thread(lambda: list(backup(home.settings, before, force=False, tried=False)))
    await home.does("rotate")
    assert await asyncio.to_thread(lambda: list(backup(home.settings, after, force=False, tried=True)))
    for file in (before, after):
        assert await _restored(home, file, tmp_path / f"{file.stem}-there") == [STORY]
    await home.retires()
    assert await _restored(home, after, tmp_path / "again") == [STORY]
    with pytest.raises(OtherKey):
        await _restored(home, before, tmp_path / "never")


async def _restored(home: Home, file: Path, folder: Path) -> list[str | None]:
    await asyncio.to_thread(folder.mkdir)
    shutil.copyfile(home.file, folder / "key")
    there = Settings(database_url=f"sqlite:///{folder}/town.db", _env_file=None)  # type: ignore[call-arg]
    await asyncio.to_thread(lambda: list(restore(there, file, stopped=True)))
    store = Store(there.database_url, keys=Keys.at(folder / "key"))
    try:
        return await store.read(lambda tx: [texts.get(tx, 1)])
    finally:
        await store.close()


async def test_a_stolen_database_says_nothing_before_and_after_a_rotation(home: Home, tmp_path: Path) -> None:
    """Every byte of every table, read without the key; and with the key of before it opens nothing afterwards."""
    await wrote(home.app, 1)
    await home.town.says("suzuki", "受付 介護 北部")
    await home.app.store.transact(lambda tx: rooms.post(tx, 5, "shakyo", "mori", STORY, START))
    old = home.file.read_text().strip()
    for _ in range(2):
        stolen = await _stolen(home)
        for part in ("花子", "桜町", "通帳", "0900000000"):
            assert part.encode() not in stolen and part.encode().hex().encode() not in stolen, part
        await home.does("rotate")
        await home.retires()
    thief = Keys(bytes.fromhex(old))
    rows = await home.app.store.read(
        lambda tx: tx.execute(select(tables.households.c.id, tables.households.c.key)).all()
    )
    for id_, wrapped in rows:
        with pytest.raises(WrongKey):
            thief.unwrap(wrapped, id_)
    words = await home.app.store.read(
        lambda tx: tx.execute(select(tables.texts.c.sealed).where(tables.texts.c.household.is_(None))).scalars().all()
    )
    assert words
    for sealed in words:
        with pytest.raises(WrongKey):
            thief.open_room(sealed)


async def _stolen(home: Home) -> bytes:
    """What a thief of the disk has: every row, and of SQLite the files too."""

    def rows(tx: Tx) -> bytes:
        return b"\n".join(
            value if isinstance(value, bytes) else str(value).encode()
            for table in tables.metadata.sorted_tables for row in tx.execute(select(table)) for value in row
        )  # fmt: skip

    files = b"".join(one.read_bytes() for one in home.settings.var.glob("town.db*"))
    return files + await home.app.store.read(rows)
