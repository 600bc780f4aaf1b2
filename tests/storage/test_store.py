"""The transaction: all of a work or nothing, whoever else is at it; and failures in words."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import bindparam, event, insert, text, update
from sqlalchemy.exc import DBAPIError

from storage import beats, cases, migrate, tables, turns
from storage.prepared import Prepared, Undone
from storage.store import Store
from storage.tables import to_micros
from storage.trouble import DatabaseAhead, DatabaseBehind, DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from tests.databases import KEYS
from tests.storage.small_town import NINE, settle_town


def claims(tx: Tx) -> set[str]:
    return {name for (name,) in tx.execute(text("SELECT name FROM beats"))}


def claim(name: str, *, fail: bool = False) -> Any:
    def work(tx: Tx) -> bool:
        done = beats.claim(tx, name, NINE, NINE)
        if fail:
            raise LookupError(name)
        return done

    return work


async def test_a_work_that_raises_undoes_itself_and_nobody_else(empty: Store) -> None:
    works = [empty.transact(claim(f"n{i}", fail=i % 3 == 0)) for i in range(40)]
    found = await asyncio.gather(*works, return_exceptions=True)
    assert [isinstance(one, LookupError) for one in found] == [i % 3 == 0 for i in range(40)]
    assert await empty.read(claims) == {f"n{i}" for i in range(40) if i % 3}


async def test_of_many_who_claim_a_beat_one_has_it(empty: Store) -> None:
    found = await asyncio.gather(*(empty.transact(claim("08:30")) for _ in range(12)))
    assert sum(found) == 1


async def test_a_savepoint_undoes_only_what_is_inside(empty: Store) -> None:
    def work(tx: Tx) -> None:
        beats.claim(tx, "before", NINE, NINE)
        for name in ("first", "second"):
            try:
                with tx.savepoint():
                    beats.claim(tx, name, NINE, NINE)
                    with tx.savepoint():
                        beats.claim(tx, f"{name}, deeper", NINE, NINE)
                    if name == "second":
                        tx.execute(text("INSERT INTO beats (name) VALUES (NULL)"))
            except Exception:
                beats.claim(tx, "after", NINE, NINE)

    await empty.transact(work)
    assert await empty.read(claims) == {"before", "first", "first, deeper", "after"}


class Missed(Exception):
    pass


_BEAT = Prepared(insert(tables.beats))
_MOVE_BEAT = Prepared(update(tables.beats).where(tables.beats.c.name == bindparam("of_name")))
_MOVE_EACH = Prepared(update(tables.beats).where(tables.beats.c.name == bindparam("of_name")), keys=("of_name",))
_TURN = Prepared(insert(tables.turns))


def beat(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "instant": NINE, "at": NINE} for name in names]


def turn(staff: str) -> list[dict[str, Any]]:
    return [{"staff": staff, "conversation": "x", "at": NINE, "preview": None, "choices": None, "undo": None}]


@pytest.mark.parametrize("many", [1, 2, 3, 40], ids=lambda many: f"{many} rows")
async def test_what_is_put_is_all_there_in_its_order(store: Store, many: int) -> None:
    names = [f"n{i:02}" for i in range(many)]

    def work(tx: Tx) -> set[str]:
        tx.put(_TURN, turn("suzuki"))
        tx.put(_BEAT, beat(*names))
        tx.put(_MOVE_BEAT, [{"of_name": "n00", "name": "moved"}], missed=Missed)
        tx.put(_BEAT, beat("n00"))
        return claims(tx)

    assert await store.transact(work) == {*names, "moved"} == await store.read(claims)


@pytest.mark.parametrize("many", [2, 3, 40], ids=lambda many: f"{many} rows")
async def test_rows_that_are_told_apart_are_written_as_one(store: Store, many: int) -> None:
    names = [f"n{i:02}" for i in range(many)]
    await store.transact(lambda tx: tx.put(_BEAT, beat(*names)))
    said: list[str] = []

    def hear(_c: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(store.engines[0], "before_cursor_execute", hear)

    def work(tx: Tx) -> None:
        tx.put(_TURN, turn("suzuki"))
        for name in names:
            tx.put(_MOVE_EACH, [{"of_name": name, "name": f"{name}, moved"}], missed=Missed)

    await store.transact(work)
    event.remove(store.engines[0], "before_cursor_execute", hear)
    assert await store.read(claims) == {f"{name}, moved" for name in names}
    if store.dialect == "postgresql":
        assert len([one for one in said if "UPDATE beats" in one]) == 1

    def one_is_missed(tx: Tx) -> None:
        for name in (*names, "nobody's"):
            tx.put(_MOVE_EACH, [{"of_name": f"{name}, moved", "name": name}], missed=Missed)

    with pytest.raises(Missed):
        await store.transact(one_is_missed)
    assert await store.read(claims) == {f"{name}, moved" for name in names}, "all or nothing"


async def test_two_rows_of_one_key_are_written_one_after_the_other(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.put(_BEAT, beat("a"))
        for at in (NINE + timedelta(days=1), NINE + timedelta(days=2)):
            tx.put(_MOVE_EACH, [{"of_name": "a", "at": at}], missed=Missed)

    await store.transact(work)
    assert await store.read(lambda tx: tx.execute(text("SELECT at FROM beats")).scalar()) == to_micros(
        NINE + timedelta(days=2)
    )


async def test_a_transaction_begins_where_it_needs_one(store: Store) -> None:
    """What reads and then writes in one go is kept or not without BEGIN and COMMIT; whoever locks, or looks again, is inside one."""
    seen: dict[str, bool] = {}

    def reads_and_puts(tx: Tx) -> None:
        turns.of(tx, "suzuki")
        tx.put(_BEAT, beat("a"))
        tx.put(_TURN, turn("suzuki"))
        seen["put"] = tx.begun

    def locks(tx: Tx) -> None:
        cases.load(tx, 1, lock=True)
        seen["locked"] = tx.begun

    def looks_again(tx: Tx) -> None:
        tx.put(_BEAT, beat("b"))
        seen["there"] = "b" in claims(tx)
        seen["looked"] = tx.begun

    def does_nothing(tx: Tx) -> None:
        turns.of(tx, "suzuki")
        seen["nothing"] = tx.begun

    for work in (reads_and_puts, locks, looks_again, does_nothing):
        await store.transact(work)
    alone = store.dialect == "postgresql"
    assert seen == {"put": not alone, "locked": True, "there": True, "looked": True, "nothing": not alone}
    assert await store.read(claims) == {"a", "b"}


async def test_what_is_put_inside_a_savepoint_does_not_join_what_was_put_before(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.put(_MOVE_EACH, [{"of_name": "a", "name": "a, moved"}])
        with suppress(LookupError), tx.savepoint():
            tx.put(_MOVE_EACH, [{"of_name": "b", "name": "b, moved"}])
            raise LookupError

    await store.transact(lambda tx: tx.put(_BEAT, beat("a", "b")))
    await store.transact(work)
    assert await store.read(claims) == {"a, moved", "b"}


async def test_a_row_that_is_missed_undoes_all(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.put(_TURN, turn("suzuki"))
        tx.put(_MOVE_BEAT, [{"of_name": "nobody's", "name": "x"}], missed=Missed)

    def alone(tx: Tx) -> None:
        tx.put(_MOVE_BEAT, [{"of_name": "nobody's", "name": "x"}], missed=Missed)

    for one in (work, alone):
        with pytest.raises(Missed):
            await store.transact(one)
    assert await store.read(lambda tx: turns.of(tx, "suzuki")) is None


async def test_what_was_put_inside_a_savepoint_goes_with_it(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.put(_BEAT, beat("before"))
        for look in (False, True):
            with suppress(LookupError), tx.savepoint():
                tx.put(_BEAT, beat("inside"))
                if look:
                    claims(tx)
                tx.put(_TURN, turn("suzuki"))
                raise LookupError
        tx.put(_BEAT, beat("after"))

    await store.transact(work)
    assert await store.read(claims) == {"before", "after"}
    assert await store.read(lambda tx: turns.of(tx, "suzuki")) is None


async def test_what_was_put_before_a_savepoint_stays_when_it_is_undone(store: Store) -> None:
    """Also while it has not left yet, and whether or not something inside made it leave."""

    def work(tx: Tx) -> None:
        tx.put(_TURN, turn("suzuki"))
        for how in ("put", "read", "write"):
            with suppress(LookupError), tx.savepoint():
                with suppress(KeyError), tx.savepoint():
                    tx.put(_BEAT, beat(f"{how}, deeper"))
                    if how == "write":
                        tx.execute(text("DELETE FROM beats WHERE name = 'nobody''s'"))
                    raise KeyError
                tx.put(_BEAT, beat(how))
                if how == "read":
                    assert how in claims(tx)
                raise LookupError

    def deeper(tx: Tx) -> None:
        with tx.savepoint():
            with suppress(KeyError), tx.savepoint():
                tx.execute(_BEAT, beat("deeper")[0])
                raise KeyError
            tx.put(_BEAT, beat("kept"))

    await store.transact(work)
    assert await store.read(claims) == set()
    assert await store.read(lambda tx: turns.of(tx, "suzuki")) is not None
    await store.transact(deeper)
    assert await store.read(claims) == {"kept"}


async def test_a_row_that_was_missed_before_a_savepoint_says_so_inside(store: Store) -> None:
    def work(tx: Tx) -> None:
        with tx.savepoint():
            tx.put(_MOVE_BEAT, [{"of_name": "nobody's", "name": "x"}], missed=Missed)
            with tx.savepoint():
                tx.execute(_TURN, turn("suzuki")[0])

    with pytest.raises(Missed):
        await store.transact(work)
    assert await store.read(lambda tx: turns.of(tx, "suzuki")) is None


async def test_a_read_sees_what_was_put_before_it(store: Store) -> None:
    def work(tx: Tx) -> object:
        tx.put(_TURN, turn("suzuki"))
        return turns.of(tx, "suzuki")

    assert await store.transact(work) is not None


async def test_a_commit_wakes_whom_the_work_named(empty: Store) -> None:
    woken: list[frozenset[str]] = []
    empty.on_commit(woken.append)

    def flag(tx: Tx) -> None:
        tx.flag("timers")

    def flag_and_fail(tx: Tx) -> None:
        tx.flag("letters")
        raise LookupError

    await empty.transact(flag)
    with pytest.raises(LookupError):
        await empty.transact(flag_and_fail)
    await empty.transact(claim("quiet"))
    assert woken == [frozenset({"timers"})]


async def test_a_reader_cannot_write(empty: Store) -> None:
    with pytest.raises(DatabaseReadOnly):
        await empty.read(claim("never"))
    with pytest.raises(DatabaseReadOnly):
        await empty.read(lambda tx: tx.put(_BEAT, beat("never")))
    assert await empty.read(claims) == set()


async def test_works_in_hand_are_finished_at_the_end(url: str) -> None:
    store = Store(url, keys=KEYS)
    waiting = [asyncio.ensure_future(store.transact(claim(f"n{i}"))) for i in range(50)]
    await asyncio.gather(*waiting)
    await store.close()
    again = Store(url, keys=KEYS)
    assert len(await again.read(claims)) == 50
    await again.close()


@pytest.mark.parametrize("gone", ["sqlite:////proc/nowhere/x.db", "postgresql://nobody@127.0.0.1:1/none"])
async def test_a_database_that_is_not_there_is_named_in_a_sentence(gone: str) -> None:
    if gone.startswith("sqlite"):
        with pytest.raises((DatabaseUnavailable, OSError)):
            store = Store(gone, keys=KEYS)
            await store.transact(claim("x"))
        return
    store = Store(gone, keys=KEYS)
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        await store.transact(claim("x"))
    with pytest.raises(DatabaseUnavailable):
        migrate.check(gone)
    await store.close()


@pytest.mark.postgres
async def test_a_commit_that_keeps_nothing_is_no_commit(databases: Any) -> None:
    url = databases.postgresql()
    store = Store(url, keys=KEYS)

    def work(tx: Tx) -> None:
        beats.claim(tx, "lost", NINE, NINE)
        with suppress(DBAPIError):
            tx.execute(text("INSERT INTO beats (name) VALUES (NULL)"))

    with pytest.raises(Undone):
        await store.transact(work)
    await store.transact(claim("kept"))
    assert await store.read(claims) == {"kept"}
    await store.close()
    databases.drop(url)


@pytest.mark.postgres
async def test_works_that_wait_follow_at_once_and_nobody_is_left_in_a_transaction(databases: Any) -> None:
    """A COMMIT begins the transaction of the work that waits: each still keeps or loses its own alone."""
    url = databases.postgresql()
    store = Store(url, keys=KEYS)
    open_now = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    )
    for n in range(20):
        works = [store.transact(claim(f"{n}-{i}", fail=i % 7 == n % 7)) for i in range(40)]
        found = await asyncio.gather(*works, return_exceptions=True)
        assert [isinstance(one, LookupError) for one in found] == [i % 7 == n % 7 for i in range(40)]
        async with asyncio.timeout(5):
            while await store.read(lambda tx: tx.execute(open_now).scalar()):
                pass
    assert await store.read(claims) == {f"{n}-{i}" for n in range(20) for i in range(40) if i % 7 != n % 7}
    await store.close()
    databases.drop(url)


@pytest.mark.postgres
async def test_a_lost_connection_before_the_commit_is_tried_again(databases: Any) -> None:
    url = databases.postgresql()
    store = Store(url, keys=KEYS)
    tries = 0

    def work(tx: Tx) -> None:
        nonlocal tries
        tries += 1
        beats.claim(tx, "once", NINE, NINE)
        if tries == 1:
            tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await store.transact(work)
    assert (tries, await store.read(claims)) == (2, {"once"})
    await store.close()
    databases.drop(url)


@pytest.mark.postgres
async def test_a_work_that_is_cancelled_takes_nothing_with_it(databases: Any) -> None:
    """A page whose reader has left, a hook that took too long: in whatever moment, all that was said to be kept is kept."""
    url = databases.postgresql()
    store = Store(url, keys=KEYS)
    kept = set()

    async def somebody(name: str, seconds: float) -> None:
        task = asyncio.create_task(store.transact(claim(name)))
        await asyncio.wait({task}, timeout=seconds)
        task.cancel()
        if (await asyncio.gather(task, return_exceptions=True))[0] is True:
            kept.add(name)

    for n in range(200):
        hasty = [somebody(f"{n}-{m}", m * 0.002) for m in range(6)]
        await asyncio.gather(*hasty, *(somebody(f"{n}-patient-{m}", 5) for m in range(3)))
    found = await store.read(claims)
    assert kept <= found and 600 <= len(kept) < 1_800, len(kept)
    assert await store.transact(claim("after")) and "after" in await store.read(claims)
    await store.close()
    databases.drop(url)


@pytest.mark.postgres
async def test_two_who_lock_crosswise_both_get_there(databases: Any) -> None:
    url = databases.postgresql()
    store = Store(url, keys=KEYS)
    await store.transact(settle_town)
    loop = asyncio.get_running_loop()
    first = asyncio.gather(*(store.transact(_crosswise(*pair)) for pair in (("kita", "body"), ("body", "kita"))))
    await asyncio.wait_for(first, 20)
    assert loop.is_running()
    await store.close()
    databases.drop(url)


def _crosswise(one: str, other: str) -> Any:
    def work(tx: Tx) -> None:
        lock = text("UPDATE agencies SET name = name WHERE code = :code")
        tx.execute(lock, {"code": one})
        tx.execute(text("SELECT pg_sleep(0.2)"))
        tx.execute(lock, {"code": other})

    return work


async def test_a_database_of_another_version_is_refused(empty: Store, url: str) -> None:
    migrate.check(url)
    await empty.read(migrate.serves)
    for version, error in (("0000", DatabaseBehind), ("9999", DatabaseAhead)):
        await empty.transact(
            lambda tx, v=version: tx.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": v})
        )
        with pytest.raises(error, match=version):
            migrate.check(url)
    with pytest.raises(DatabaseAhead):
        migrate.upgrade(url)


def test_an_empty_database_is_behind_and_can_be_brought_up_twice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    with pytest.raises(DatabaseBehind):
        migrate.check(url)
    assert migrate.upgrade(url) == migrate.upgrade(url) == migrate.head()
    migrate.check(url)


def test_the_head_read_off_the_files_is_alembics() -> None:
    assert ScriptDirectory(str(migrate.MIGRATIONS)).get_current_head() == migrate.head()


async def test_the_migrations_make_the_tables_of_today(empty: Store) -> None:
    def compared(tx: Tx) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(tx.connection), tables.metadata))

    assert await empty.read(compared) == []
