"""What is asked at every event, ring and letter finds its rows by an index, however many there are: the databases' own plans say so."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from storage import cases, closings, conversation, due, inbox, letters, reads, sweep, tables, texts, timers, waits
from storage.inbox import Arrival
from storage.letters import LetterRow
from storage.store import Store
from storage.tables import to_micros
from storage.tx import Tx
from tests.databases import KEYS, Databases
from tests.storage.small_town import NINE, a_case, opened, plan_of, settle_town

MANY = 20_000
LARGE = ("letters", "timers", "waits", "inbox", "texts", "journal")
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)"
OTHERS = {"id": "999 + i", "number": "'n' || CAST(i AS TEXT)"}
FILL = (
    f"""INSERT INTO cases ({", ".join(c.name for c in tables.cases.c)}) {NUMBERS.replace(":many", "5001")}
        SELECT {", ".join(OTHERS.get(c.name, c.name) for c in tables.cases.c)} FROM n, (SELECT * FROM cases) AS one""",
    f"""INSERT INTO texts (sealed, digest, at, by) {NUMBERS} SELECT sealed, '', :now - :day, 'suzuki' FROM n, (SELECT sealed FROM texts LIMIT 1) AS one""",
    f"""INSERT INTO waits (id, case_id, kind, owner, due_at, opened_at, rung, urgency, subject, closed_at, why, policy, doc) {NUMBERS}
        SELECT 1000000 + i, NULL, 'talk', 'lead', :now - :day * (i % 500), :now - :day * 500, 0, 'normal', '', CASE WHEN i % 100 = 0 THEN NULL ELSE :now - :day * (i % 500) END, '', '{{}}', '{{}}' FROM n""",
    f"""INSERT INTO timers (wait_id, case_id, rung, due_at, fired_at) {NUMBERS}
        SELECT 1000000 + i, NULL, 0, :now + :day * (i % 500), CASE WHEN i % 100 = 0 THEN NULL ELSE :now END FROM n""",
    f"""INSERT INTO inbox (id, platform, event_id, conversation, speaker, kind, doc, text, received_at, state, tries, error) {NUMBERS}
        SELECT i, CASE WHEN i % 2 = 0 THEN 'web' ELSE 'slack' END, 'e' || CAST(i AS TEXT), 'C1', 'suzuki', 'words', '{{}}', CASE WHEN i % 2 = 0 THEN i END, :now - :day * (500 - i * 500 / :many), 'done', 0, '' FROM n""",
    f"""INSERT INTO letters (id, case_id, handoff, wait, kind, to_staff, to_room, surface, address, doc, urgent, must, token, answer, created_at, not_before, state, tries, why, sent_at, cause) {NUMBERS}
        SELECT i, 1000 + i % 5000, i % 7000, 1000000 + i, 'ring', CASE WHEN i % 5 > 0 THEN 's' || CAST(i % 50 AS TEXT) END, CASE WHEN i % 5 = 0 THEN 'r' || CAST(i % 20 AS TEXT) END,
        CASE i % 3 WHEN 0 THEN 'slack' WHEN 1 THEN 'telegram' ELSE 'web' END, 'A' || CAST(i % 60 AS TEXT), '{{}}', false, false, 't' || CAST(i AS TEXT), false, :now - :day * (500 - i * 500 / :many), :now - :day * (500 - i * 500 / :many),
        CASE WHEN i % 200 = 0 THEN 'pending' WHEN i % 1000 = 1 THEN 'unknown' ELSE 'sent' END, 0, '', :now - :day * (500 - i * 500 / :many), '' FROM n""",
    f"""INSERT INTO letters (id, kind, to_staff, surface, doc, urgent, must, answer, created_at, not_before, state, tries, why, cause) {NUMBERS}
        SELECT 2000000 + i, 'ring', 's' || CAST(i % 50 AS TEXT), 'web', '{{}}', false, false, false, :now, :now, 'sent', 0, '', '' FROM n""",
)  # fmt: skip


def _with(statement: str, many: int) -> str:
    return (
        statement.replace(":now", f"CAST({to_micros(NINE)} AS BIGINT)")
        .replace(":many", str(many))
        .replace(":day", "CAST(86400000000 AS BIGINT)")
    )


def grown(many: int) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        settle_town(tx)
        opened(a_case(2))(tx)
        texts.put(tx, None, "おはようございます", "suzuki", NINE)
        for statement in FILL:
            tx.execute(text(_with(statement, many)))

    return work


LETTER = LetterRow(5, "ring", "slack", {}, NINE, NINE, to_staff="s1", address="A1", case_id=1001, inbox_id=3)
ASKED: dict[str, Callable[[Tx], Any]] = {
    "letters.lease": lambda tx: letters.lease(tx, NINE, {"slack": 50, "telegram": 50}, 0, 60),
    "letters.lease, of platforms that are gone": lambda tx: letters.lease(tx, NINE, {"slack": 0, "telegram": 0}, 50, 60),
    "letters.lease_stale": lambda tx: letters.lease_stale(tx, NINE, 20, 60),
    "letters.lost": lambda tx: letters.lost(tx, NINE, 60, 10),
    "letters.by_token": lambda tx: letters.by_token(tx, "t77"),
    "letters.for_person": lambda tx: letters.for_person(tx, "s1", ["r1", "r2"], latest=True),
    "letters.for_person, what is new": lambda tx: letters.for_person(tx, "s1", ["r1"], 1_999_000),
    "letters.newest_in, one's own": lambda tx: letters.newest_in(tx, "s1", None),
    "letters.newest_in, a room": lambda tx: letters.newest_in(tx, "s1", "r1"),
    "letters.push_times": lambda tx: letters.push_times(tx, ["s1", "s2", "s3"], NINE - timedelta(days=7)),
    "letters.queue": lambda tx: letters.queue(tx, "slack", "A1", NINE),
    "letters.lately": lambda tx: letters.lately(tx, "slack", "A1", NINE - timedelta(hours=1)),
    "letters.supersede": lambda tx: letters.supersede(tx, LETTER),
    "letters.stand_down": lambda tx: letters.stand_down(tx, 1001, 5),
    "letters.silence": lambda tx: letters.silence(tx, 1001),
    "letters.bundle_of": lambda tx: letters.bundle_of(tx, LETTER),
    "letters.answer_to": lambda tx: letters.answer_to(tx, "s1", 3),
    "letters.stuck": letters.stuck,
    "letters.next_due": letters.next_due,
    "closings.notice": lambda tx: closings.notice(tx, 1001, NINE),
    "conversation.letters": lambda tx: conversation.letters(tx, "s1", "r1", 50),
    "conversation.said": lambda tx: conversation.said(tx, [2, 4, 6]),
    "reads.unread": lambda tx: reads.unread(tx, "s1", ["r1"]),
    "timers.due": lambda tx: timers.due(tx, NINE),
    "timers.next_due": timers.next_due,
    "due.look": lambda tx: due.look(tx, NINE, ("slack", "telegram")),
    "inbox.arrive": lambda tx: inbox.arrive(tx, 999_999, Arrival("slack", "new", "C1", "words", NINE)),
    "inbox.parked": lambda tx: inbox.parked(tx, NINE),
    "waits.of_case": lambda tx: waits.of_case(tx, 2),
    "cases.load": lambda tx: cases.load(tx, 2, lock=True),
    "sweep.letters": lambda tx: sweep.letters(NINE - timedelta(days=400))(0, tx),
    "sweep.inbox": lambda tx: sweep.inbox(NINE - timedelta(days=400), NINE - timedelta(days=30))(0, tx),
    "sweep.waits": lambda tx: sweep.waits(NINE - timedelta(days=400))(0, tx),
}  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def large(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """The address of a town with years of letters."""
    url = getattr(databases, request.param)()

    async def whole() -> None:
        store = Store(url, keys=KEYS)
        await store.transact(grown(MANY))
        if store.dialect == "postgresql":
            await store.transact(lambda tx: tx.execute(text("ANALYZE")))
        await store.close()

    asyncio.run(whole())
    yield url
    databases.drop(url)


@contextmanager
def heard(store: Store) -> Iterator[list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []

    def hear(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool) -> None:
        found.append((statement, parameters[0] if many else parameters))

    for engine in store.engines:
        event.listen(engine, "before_cursor_execute", hear)
    yield found
    for engine in store.engines:
        event.remove(engine, "before_cursor_execute", hear)


class _Undo(Exception):
    pass


async def test_nothing_that_is_asked_often_goes_through_a_large_table(large: str) -> None:
    store = Store(large, keys=KEYS)
    through: list[str] = []
    with heard(store) as statements:
        for name, ask in ASKED.items():
            plans: list[tuple[str, str]] = []

            def work(tx: Tx, ask: Callable[[Tx], Any] = ask, plans: list[tuple[str, str]] = plans) -> None:
                statements.clear()
                ask(tx)
                for statement, parameters in list(statements):
                    if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")):
                        plans.append((statement, plan_of(tx, statement, parameters)))
                raise _Undo

            with suppress(_Undo):
                await store.transact(work)
            assert plans, name
            through += [
                f"{name}: {line.strip()}" for _, plan in plans for line in plan.splitlines() if _whole_table(line)
            ]
    await store.close()
    assert not through, through


#: Indexes on a few of the rows: all of one is not much.
SMALL = {
    str(index.name) for name in LARGE for index in tables.metadata.tables[name].indexes
    if index.dialect_options["sqlite"]["where"] is not None and index.name not in ("ix_letters_pushed", "ix_letters_place", "ix_inbox_text")
}  # fmt: skip


def _whole_table(line: str) -> bool:
    """SQLite: SCAN letters, or all of an index that has them all; a SEARCH has a beginning. PostgreSQL: Seq Scan on letters."""
    line = line.strip()
    if found := re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?$", line):
        return found[1] in LARGE and found[2] not in SMALL
    return any(re.search(rf"Seq Scan on {table}\b", line) for table in LARGE)
