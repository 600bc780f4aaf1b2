"""`tsunagi verify` finds nothing in a town that has lived, and names what a hand in the database has broken, on both databases."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from bot.__main__ import main
from bot.app import make
from bot.audit import breaches
from bot.clock import Clock, real
from bot.demo.grow import BEGIN, grow
from bot.fresh import counting
from bot.settings import Settings
from storage import people
from storage.tx import Tx
from tests.databases import Databases
from tests.properties.values import the_doc
from tests.town import Town

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    found: str = getattr(databases, request.param)()
    yield found
    databases.drop(found)


@pytest.fixture
async def lived(url: str, tmp_path: Path) -> AsyncIterator[Town]:
    """A small town after a week: an offer accepted, one unanswered, one case of somebody who has died, one closed."""
    town = await Town.found(url, tmp_path, doc=the_doc())
    first = await town.accepted()
    await town.says("ishii", f"つながった {first}")
    second = await town.consented("sato", "仕事")
    await town.says("sato", f"依頼 {second} 就労相談 若葉")
    third = await town.consented("suzuki", "介護")
    await town.says("suzuki", f"逝去 {third}")
    fourth = await town.intake("suzuki", "介護")
    await town.says("suzuki", f"終結 {fourth} 誤登録")
    await town.later(days=7)
    town.numbers = [first, second, third, fourth]  # type: ignore[attr-defined]
    yield town
    await town.close()


async def findings(town: Town) -> list[str]:
    lines: list[str] = await town.app.store.read(lambda tx: list(breaches(tx, town.now)))
    assert all(line.startswith(("ok", "breach")) for line in lines)
    return [line for line in lines if line.startswith("breach")]


async def by_hand(town: Town, *statements: str) -> None:
    """Do what no door of ours does."""

    def work(tx: Tx) -> None:
        for one in statements:
            tx.execute(text(one))

    await town.app.store.transact(work)


async def test_a_town_that_has_lived_is_sound(lived: Town) -> None:
    assert await findings(lived) == []


async def unguarded(town: Town) -> None:
    """Take the journal's triggers away, as somebody with the database's own rights could."""
    if town.app.store.dialect == "sqlite":

        def names(tx: Tx) -> list[str]:
            found = tx.connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'journal'")
            )
            return [str(n) for (n,) in found]

        await by_hand(town, *[f'DROP TRIGGER "{n}"' for n in await town.app.store.read(names)])
    else:
        await by_hand(town, "ALTER TABLE journal DISABLE TRIGGER USER")


async def test_the_journal_takes_no_change_and_no_deletion(lived: Town) -> None:
    for statement in ("UPDATE journal SET actor = 'mori'", "DELETE FROM journal"):
        with pytest.raises(Exception, match=r"(?i)journal|append"):
            await by_hand(lived, statement)
    assert await findings(lived) == []


TAMPERED = {
    "another actor": "UPDATE journal SET actor = 'mori' WHERE seq = 2 AND case_id = {case}",
    "another moment": "UPDATE journal SET at = at - 60000000 WHERE seq = 1 AND case_id = {case}",
    "another word": "UPDATE journal SET data = '{{}}' WHERE seq = 1 AND case_id = {case}",
    "a line is gone": "DELETE FROM journal WHERE seq = 2 AND case_id = {case}",
    "the last line is gone": "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal WHERE case_id = {case})",
    "the whole chain is gone": "DELETE FROM journal WHERE case_id = {case}",
    "two lines changed places": "UPDATE journal SET hash = prev, prev = hash WHERE seq = 2 AND case_id = {case}",
}


OF_THE_TOWN = "case_id IS NULL AND seq = (SELECT max(seq) FROM journal WHERE case_id IS NULL)"
TOWN_TAMPERED = {
    "another actor": f"UPDATE journal SET actor = 'mori' WHERE {OF_THE_TOWN}",
    "the last line is gone": f"DELETE FROM journal WHERE {OF_THE_TOWN}",
    "the whole chain is gone": "DELETE FROM journal WHERE case_id IS NULL",
    "another end": "UPDATE municipality SET head = 'else'",
}


class Undone(Exception):
    """Rolls a transaction back."""


async def found_after(town: Town, *statements: str) -> list[str]:
    """What the auditor would say after these statements; nothing of them stays."""
    seen: list[str] = []

    def work(tx: Tx) -> None:
        for one in statements:
            tx.execute(text(one))
        seen.extend(line for line in breaches(tx, town.now) if line.startswith("breach"))
        raise Undone

    with pytest.raises(Undone):
        await town.app.store.transact(work)
    return seen


async def test_a_changed_journal_of_the_town_is_named(lived: Town) -> None:
    """Also its last line: the municipality remembers the chain's end."""
    await lived.says("suzuki", "不在 明日 3日後")
    assert await findings(lived) == []
    await unguarded(lived)
    for what, statement in TOWN_TAMPERED.items():
        found = await found_after(lived, statement)
        assert found and all("the journal of the town does not hold" in line for line in found), (what, found)


async def test_a_changed_journal_is_named(lived: Town) -> None:
    """I11: the log verifies, and stops doing so for the case whose line was touched."""
    number: str = lived.numbers[0]  # type: ignore[attr-defined]
    case = await lived.case(number)
    await unguarded(lived)
    for what, statement in TAMPERED.items():
        found = await found_after(lived, statement.format(case=case.id))
        assert found and all(number in line and "journal" in line for line in found), (what, found)
    assert await findings(lived) == []


BROKEN = {
    "I25": ("has no open wait", 1, ["UPDATE waits SET closed_at = opened_at WHERE case_id = {case}", "UPDATE timers SET cancelled_at = due_at WHERE case_id = {case}"]),
    "I4": ("nothing will ring", 1, ["UPDATE timers SET cancelled_at = due_at WHERE case_id = {case} AND fired_at IS NULL"]),
    "late": ("should have rung", 1, ["UPDATE timers SET due_at = due_at - 8640000000000 WHERE case_id = {case} AND fired_at IS NULL AND cancelled_at IS NULL"]),
    "I26": ("without a basis", 1, ["UPDATE handoffs SET doc = replace(doc, '\"basis\"', '\"gone\"') WHERE case_id = {case}"]),
    "I27": ("after 逝去", 2, ["UPDATE waits SET kind = 'screening' WHERE case_id = {case} AND closed_at IS NULL"]),
}  # fmt: skip


async def test_a_broken_promise_is_named(lived: Town) -> None:
    for which, (said, place, statements) in BROKEN.items():
        number: str = lived.numbers[place]  # type: ignore[attr-defined]
        case = await lived.case(number)
        found = await found_after(lived, *[s.format(case=case.id) for s in statements])
        assert any(number in line and said in line for line in found), (which, found)
    assert await findings(lived) == []


async def without_checks(town: Town) -> None:
    """The database itself refuses a case without a lead: take that away first."""
    if town.app.store.dialect == "sqlite":
        await by_hand(town, "PRAGMA ignore_check_constraints = ON")
    else:

        def names(tx: Tx) -> list[str]:
            rows = tx.connection.execute(
                text("SELECT conname FROM pg_constraint WHERE conrelid = 'cases'::regclass AND contype IN ('c', 'f')")
            )
            return [str(n) for (n,) in rows]

        await by_hand(town, *[f'ALTER TABLE cases DROP CONSTRAINT "{n}"' for n in await town.app.store.read(names)])


async def test_the_database_refuses_a_case_without_a_lead(lived: Town) -> None:
    """I1, held by the database itself."""
    case = await lived.case(lived.numbers[0])  # type: ignore[attr-defined]
    for change in ("lead = NULL, lead_active = NULL", "interim = 'suishin'", "lead = 'nobody'", "lead_active = 0"):
        with pytest.raises(Exception, match=r"(?i)constraint|check|foreign"):
            await by_hand(lived, f"UPDATE cases SET {change} WHERE id = {case.id}")
    assert await findings(lived) == []


async def test_a_lost_lead_is_named(lived: Town) -> None:
    number: str = lived.numbers[0]  # type: ignore[attr-defined]
    case = await lived.case(number)
    await without_checks(lived)
    await by_hand(lived, f"UPDATE cases SET lead = NULL, lead_active = NULL WHERE id = {case.id}")
    assert any(number in line and "lead" in line for line in await findings(lived))


# -- from the command line: a town that has grown, then a hand in its database


def grown(url: str) -> None:
    """A fortnight of the sample town: people say real words, waits ring, cases open and close."""

    async def whole() -> None:
        clock = Clock(frozen=BEGIN)
        app = make(Settings(database_url=url, _env_file=None), clock=clock, fresh=counting(1_000_000))  # type: ignore[call-arg]
        await grow(app, clock, end=BEGIN + timedelta(days=14))
        await app.store.transact(lambda tx: people.mark_demo(tx, clock.now(), real()))
        await app.close()

    asyncio.run(whole())


#: What keeps the promise or the journal, taken away first. (SQLite forgets its foreign keys and checks when told so.)
UNGUARDED = {
    "sqlite": (
        "PRAGMA ignore_check_constraints = ON", "PRAGMA foreign_keys = OFF", "DROP TRIGGER journal_keeps_its_lines", "DROP TRIGGER journal_loses_no_line",
    ),
    "postgresql": (
        "ALTER TABLE journal DISABLE TRIGGER USER",
        "DO $$ DECLARE n text; BEGIN FOR n IN SELECT conname FROM pg_constraint WHERE conrelid = 'cases'::regclass AND contype IN ('c', 'f') "
        "LOOP EXECUTE format('ALTER TABLE cases DROP CONSTRAINT %I', n); END LOOP; END $$",
    ),
}  # fmt: skip
A_LINE = "case_id = {case} AND seq = 2"
#: Breach → (its words, the statements of a hand in the database). {case} is an open case with a lead.
BREACHES = {
    "a line is altered": ("the journal of {number} does not hold at line 2 (hash)", [f"UPDATE journal SET actor = 'nobody' WHERE {A_LINE}"]),
    "a line has another content": ("the journal of {number} does not hold at line 2 (hash)", [f"UPDATE journal SET data = '{{{{}}}}' WHERE {A_LINE}"]),
    "a line and its hash are altered": ("the journal of {number} does not hold at line 3 (prev)", [f"UPDATE journal SET actor = 'nobody', hash = '{{forged}}' WHERE {A_LINE}"]),
    "a line is deleted": ("the journal of {number} does not hold at line 3 (seq)", [f"DELETE FROM journal WHERE {A_LINE}"]),
    "the last line is deleted": ("the journal of {number} does not hold", ["DELETE FROM journal WHERE case_id = {case} AND seq = {last}"]),
    "two lines change places": ("the journal of {number} does not hold at line 1 (prev)", [
        "UPDATE journal SET seq = -1 WHERE case_id = {case} AND seq = 1", "UPDATE journal SET seq = 1 WHERE case_id = {case} AND seq = 2",
        "UPDATE journal SET seq = 2 WHERE case_id = {case} AND seq = -1"]),
    "the case's head is altered": ("the journal of {number} does not hold at line {last} (head)", ["UPDATE cases SET head = '{forged}' WHERE id = {case}"]),
    "the lead is gone": ("{number} has no lead, or two (I1)", ["UPDATE cases SET lead = NULL, lead_active = NULL WHERE id = {case}"]),
    "two lead": ("{number} has no lead, or two (I1)", ["UPDATE cases SET interim = 'suishin' WHERE id = {case}"]),
    "nobody leads": ("{number} has no lead, or two (I1)", ["UPDATE cases SET lead = 'somebody-else' WHERE id = {case}"]),
    "the last wait is gone": ("{number} has no open wait (I25)", ["DELETE FROM timers WHERE case_id = {case}", "DELETE FROM waits WHERE case_id = {case}"]),
    "the last wait is over": ("{number} has no open wait (I25)", ["UPDATE waits SET closed_at = opened_at WHERE case_id = {case}", "UPDATE cases SET waiting = 0 WHERE id = {case}"]),
    "a wait's timer is gone": ("{number} has an open wait that nothing will ring (I4)", ["DELETE FROM timers WHERE case_id = {case} AND fired_at IS NULL AND cancelled_at IS NULL"]),
    "a wait's timer is called off": ("{number} has an open wait that nothing will ring (I4)", ["UPDATE timers SET cancelled_at = due_at WHERE case_id = {case} AND fired_at IS NULL"]),
}  # fmt: skip
OF_INTEREST = (
    "SELECT c.id, c.number, c.seq FROM cases c WHERE c.stage <> 'closed' AND c.lead IS NOT NULL AND c.seq > 3 AND EXISTS "
    "(SELECT 1 FROM timers t WHERE t.case_id = c.id AND t.fired_at IS NULL AND t.cancelled_at IS NULL) ORDER BY c.id LIMIT 1"
)


def by_somebody(url: str, *statements: str) -> list[Any]:
    """Go to the database past the program, as whoever has its file or its password can; answer the last rows."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            return [connection.execute(one).fetchall() for one in statements][-1]

    async def whole() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetch(one) for one in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(whole())


def verified(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """`tsunagi verify`: its exit code and every line."""
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    return int(ended.value.code or 0), (shown.out + shown.err).splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_verify_passes_on_a_grown_town_and_names_each_breach(
    kind: str, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    environment: Callable[..., None],
) -> None:  # fmt: skip
    """`tsunagi verify` from outside: exit 0 and what was looked at; after each breach, exit 1 and its words."""
    monkeypatch.chdir(tmp_path)
    for what in (None, *BREACHES):
        url: str = getattr(databases, kind)(grown)
        environment(DATABASE_URL=url)
        case, number, last = by_somebody(url, OF_INTEREST)[0]
        if what is not None:
            words, statements = BREACHES[what]
            names = {"case": case, "number": number, "last": last, "forged": "f" * 64}
            by_somebody(url, *UNGUARDED[kind], *(one.format(**names) for one in statements))
        code, lines = verified(capsys)
        if what is None:
            assert code == 0 and all(line.startswith("ok") for line in lines), lines
            assert re.search(r"looked at [1-9]\d open", "\n".join(lines)), lines
        else:
            assert code == 1 and any(words.format(**names) in line for line in lines), (what, lines)
            assert all(number in line for line in lines if not line.startswith("ok")), (what, lines)
        databases.drop(url)
