"""An upgrade while the previous version serves: migrations only add, wait for nobody long, and take what old programs go on writing."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, insert, inspect, select, text

from storage import backup, migrate, people, tables
from storage.migrate import HeldUp
from storage.store import Store
from tests.databases import KEYS, Databases
from tests.storage.small_town import NINE, a_case, opened, settle_town

VERSIONS = sorted(path.name[:4] for path in (migrate.MIGRATIONS / "versions").glob("[0-9]*.py"))
EACH = pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])

Shape = dict[str, dict[str, tuple[str, bool, bool]]]  #: table → column → (type, may be null, has a default)


@pytest.fixture
def bare(databases: Databases, kind: str, tmp_path: Any) -> Iterator[str]:
    """An empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/bare.db"
        return
    url = databases.postgresql()
    migrate.alone(url, _emptied)
    yield url
    databases.drop(url)


def _emptied(connection: Connection) -> None:
    connection.execute(text("DROP SCHEMA public CASCADE"))
    connection.execute(text("CREATE SCHEMA public"))


def shape(connection: Connection) -> Shape:
    found = inspect(connection).get_multi_columns()
    return {
        str(table): {c["name"]: (str(c["type"]), bool(c["nullable"]), c.get("default") is not None) for c in columns}
        for (_, table), columns in found.items() if table != "alembic_version"
    }  # fmt: skip


def rules(connection: Connection) -> set[tuple[str, str, str]]:
    """What a row has to keep to: (table, kind, what)."""
    found = inspect(connection)
    checks, keys, indexes = (
        found.get_multi_check_constraints(),
        found.get_multi_unique_constraints(),
        found.get_multi_indexes(),
    )
    points = found.get_multi_foreign_keys()
    kept = {(str(table), "check", str(one["sqltext"])) for (_, table), all_ in checks.items() for one in all_}
    kept |= {(str(table), "unique", str(one["column_names"])) for (_, table), all_ in keys.items() for one in all_}
    kept |= {
        (str(table), "foreign key", str(one["constrained_columns"]))
        for (_, table), all_ in points.items()
        for one in all_
    }
    return kept | {
        (str(table), "unique", str(one["name"]))
        for (_, table), all_ in indexes.items()
        for one in all_
        if one["unique"]
    }


def troubles(was: Shape, now: Shape, new_rules: set[tuple[str, str, str]]) -> list[str]:
    """What a program of the version before, which still writes and reads, would fall over."""
    found = [f"{table} is gone: the old program still reads it" for table in was.keys() - now.keys()]
    for table in was.keys() & now.keys():
        for name, (kind, null, default) in was[table].items():
            if name not in now[table]:
                found.append(f"{table}.{name} is gone or renamed: the old program still names it")
            elif now[table][name][0] != kind:
                found.append(
                    f"{table}.{name} was {kind} and is {now[table][name][0]}: the old program reads it wrongly"
                )
            elif (null and not now[table][name][1]) or (default and not now[table][name][2]):
                found.append(f"{table}.{name} has to be given now: the old program leaves it out")
        for name in now[table].keys() - was[table].keys():
            _, null, default = now[table][name]
            if not null and not default:
                found.append(f"{table}.{name} is new and has to be given: the old program does not know it")
    found += [
        f"{table} has a new rule ({kind} {what}): the old program does not keep it"
        for table, kind, what in new_rules
        if table in was
    ]
    return found


@EACH
def test_migrations_only_add(bare: str, kind: str) -> None:
    for version in VERSIONS:

        def step(connection: Connection, version: str = version) -> list[str]:
            was, kept = shape(connection), rules(connection)
            migrate.bring(connection, version)
            return troubles(was, shape(connection), rules(connection) - kept)

        assert migrate.alone(bare, step) == [], version


WICKED = {
    "ALTER TABLE letters DROP COLUMN why": "letters.why is gone or renamed",
    "ALTER TABLE letters RENAME COLUMN why TO reason": "letters.why is gone or renamed",
    "DROP TABLE paces": "paces is gone",
    "ALTER TABLE paces RENAME TO speeds": "paces is gone",
    "ALTER TABLE beats ADD COLUMN who TEXT NOT NULL": "beats.who is new and has to be given",
    "CREATE UNIQUE INDEX one ON letters (address)": "letters has a new rule (unique one)",
}


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("wicked", [*WICKED, "ALTER TABLE letters ALTER COLUMN why SET DEFAULT 'x', ALTER COLUMN ref SET NOT NULL", "ALTER TABLE letters ALTER COLUMN tries TYPE TEXT"])  # fmt: skip
@pytest.mark.postgres
def test_a_migration_that_takes_away_is_found_out(bare: str, kind: str, wicked: str) -> None:
    migrate.upgrade(bare)

    def step(connection: Connection) -> list[str]:
        was, kept = shape(connection), rules(connection)
        connection.execute(text(wicked))
        return troubles(was, shape(connection), rules(connection) - kept)

    found = migrate.alone(bare, step)
    assert any(one.startswith(WICKED.get(wicked, "letters.")) for one in found), found


# -- the previous version serves


def old_rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a small town, as they are kept."""

    async def whole() -> dict[str, list[dict[str, Any]]]:
        store = Store(url, keys=KEYS)
        await store.transact(settle_town)
        await store.transact(opened(a_case(1)))
        await store.transact(opened(a_case(2, stage="closed", waits=(), lead=None)))
        found = await store.read(_rows)
        await store.close()
        return found

    return asyncio.run(whole())


def _rows(tx: Any) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for one in tables.metadata.sorted_tables:
        names = ", ".join(f'"{c.name}"' for c in one.columns)
        found[str(one.name)] = [dict(row._mapping) for row in tx.execute(text(f"SELECT {names} FROM {one.name}"))]
    return found


def filled(connection: Connection, version: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """What the program of that version would have written: it knows only its own columns."""
    migrate.bring(connection, version)
    found = MetaData()
    found.reflect(connection)
    for one in found.sorted_tables:
        given = [
            {
                k: bool(v) if str(one.c[k].type) == "BOOLEAN" and v is not None else v
                for k, v in row.items()
                if k in one.c
            }
            for row in rows.get(one.name, ())
        ]
        if given:
            connection.execute(insert(one), given)


class OldProgram(threading.Thread):
    """Goes on writing letters and events as it always has, a transaction each, on a connection of its own."""

    def __init__(self, url: str, version: str) -> None:
        super().__init__()
        self.url, self.version = url, version
        self.written = 0
        self.longest = 0.0
        self.stopped = threading.Event()
        self.failed: list[Exception] = []

    def run(self) -> None:
        found = MetaData()
        migrate.alone(self.url, lambda c: found.reflect(c, only=["letters", "inbox", "links"]))
        while not self.stopped.is_set():
            begun = monotonic()
            try:
                migrate.alone(self.url, lambda c: self._write(c, found))
            except Exception as error:
                self.failed.append(error)
                return
            self.longest = max(self.longest, monotonic() - begun)
            self.written += 1

    def _write(self, connection: Connection, found: MetaData) -> None:
        n, at = 10_000 + self.written, 1_780_000_000_000_000
        letter = {
            "id": n, "kind": "offer", "surface": "web", "doc": "{}", "urgent": False, "must": False, "answer": False, "created_at": at,
            "not_before": at, "state": "sent", "tries": 0, "why": "", "cause": "", "to_staff": "suzuki",
        }  # fmt: skip
        connection.execute(insert(found.tables["letters"]), letter)
        event = {
            "id": n, "platform": "toy", "event_id": str(n), "conversation": "x", "kind": "words", "doc": "{}", "received_at": at,
            "state": "done", "tries": 0, "error": "",
        }  # fmt: skip
        connection.execute(insert(found.tables["inbox"]), event)
        connection.execute(select(found.tables["links"])).all()


@EACH
@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-2]])
def test_the_program_before_goes_on_writing_while_the_tables_grow(
    databases: Databases, bare: str, kind: str, version: str
) -> None:
    full = databases.sqlite()
    rows = old_rows(full)
    migrate.alone(bare, lambda connection: filled(connection, version, rows))
    program = OldProgram(bare, version)
    program.start()
    _until(lambda: program.written > 3 or not program.is_alive())
    assert migrate.upgrade(bare) == migrate.head()
    then = program.written
    _until(lambda: program.written > then + 3 or not program.is_alive())
    program.stopped.set()
    program.join(20)
    assert not program.failed and program.longest < 5, (program.failed, program.longest)

    async def read() -> tuple[int, dict[str, int]]:
        store = Store(bare, keys=KEYS)
        counts = await store.read(lambda tx: backup.about(tx, NINE, NINE))
        whose = await store.read(lambda tx: people.town_doc(tx))
        await store.close()
        assert counts is not None and whose is not None
        return program.written, dict(counts.rows)

    written, counts = asyncio.run(read())
    assert counts["letters"] == counts["inbox"] == written and counts["cases"] == 2
    databases.drop(full)


def _until(there: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if there():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came")


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["postgresql"])
def test_an_upgrade_does_not_stand_before_everybody_behind_a_long_read(bare: str, kind: str) -> None:
    """A backup reads for minutes; an ALTER that waits for it would make everybody wait who comes later."""
    migrate.alone(bare, lambda connection: migrate.bring(connection, VERSIONS[1]))
    reading, done = threading.Event(), threading.Event()

    def reads(connection: Connection) -> None:
        connection.execute(text("SELECT count(*) FROM letters"))
        reading.set()
        done.wait(30)

    reader = threading.Thread(target=lambda: migrate.alone(bare, reads))
    reader.start()
    assert reading.wait(10)
    begun = monotonic()
    with pytest.raises(HeldUp):
        migrate.upgrade(bare, tries=2)
    assert monotonic() - begun < 10
    assert migrate.alone(bare, migrate.found) == VERSIONS[1], "nothing was changed"
    done.set()
    reader.join(10)
    assert migrate.upgrade(bare) == migrate.head()
