"""`tsunagi verify` finds nothing in a town that has lived, and names what a hand in the database has broken, on both databases."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bot import operate
from bot.audit import breaches
from bot.settings import Settings
from storage.store import Tx
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
            tx.connection.execute(text(one))

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


class Undone(Exception):
    """Rolls a transaction back."""


async def found_after(town: Town, *statements: str) -> list[str]:
    """What the auditor would say after these statements; nothing of them stays."""
    seen: list[str] = []

    def work(tx: Tx) -> None:
        for one in statements:
            tx.connection.execute(text(one))
        seen.extend(line for line in breaches(tx, town.now) if line.startswith("breach"))
        raise Undone

    with pytest.raises(Undone):
        await town.app.store.transact(work)
    return seen


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


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_answers_0_or_1(
    kind: str, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tsunagi verify` from outside: sound, then not."""
    monkeypatch.chdir(tmp_path)
    url: str = getattr(databases, kind)()
    settings = Settings(database_url=url, _env_file=None)  # type: ignore[call-arg]
    operate.migrate(settings, demo=True, at="2026-06-01T09:00")
    operate.put_town(settings, the_doc())
    from bot.console import say

    say(settings, "suzuki", "受付 介護", as_json=True)
    sound, lines = operate.verify(settings)
    assert sound and all(line.startswith("ok") for line in lines)
    operate.run(
        settings,
        lambda app: app.store.transact(
            lambda tx: tx.connection.execute(text("UPDATE timers SET cancelled_at = due_at"))
        ),
    )
    sound, lines = operate.verify(settings)
    assert not sound and any(line.startswith("breach") for line in lines)
    databases.drop(url)
