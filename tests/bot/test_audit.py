"""The auditor: each finding is caused, told once, mended once where that can be done, gone when it is, and told again when it is back."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from bot import beat
from bot.app import App, make, once
from bot.audit import audit, audit_all, heed
from bot.beat import BEATS, Beats
from bot.clock import Clock, real
from bot.record import new_token
from bot.settings import Settings
from storage import beats, findings, inbox, journal, letters, promises
from storage.codec import policy_text
from storage.inbox import Arrival
from storage.letters import LetterRow
from storage.tx import Tx
from tests.databases import Databases
from tests.town import Town, settled
from tests.toy import Toy
from workflow.ladder import Policy, Rung

TITLE = "見まわりで気づいたこと"


async def by_hand(town: Town, *statements: str) -> None:
    """Do what no door of ours does."""

    def work(tx: Tx) -> None:
        for one in statements:
            tx.connection.exec_driver_sql(one)

    await town.app.store.transact(work)


async def standing(town: Town) -> dict[str, list[str]]:
    """What is so now: kind → keys."""
    found: dict[str, list[str]] = {}
    for one in await town.app.store.read(findings.standing):
        found.setdefault(one.kind, []).append(one.key)
    return found


async def told(town: Town, who: str = "takahashi") -> list[list[tuple[str, str]]]:
    """The facts of each letter of the auditor since the last look."""
    return [list(message.facts) for message in await town.news(who) if message.title == TITLE]


@dataclass(frozen=True)
class Trouble:
    """How a finding comes about and how it goes; {case}, {wait} and {number} are of a case with an offer that is open."""

    kind: str
    cause: tuple[str, ...]
    mend: tuple[str, ...]
    said: str
    #: … where the two databases have different words for the same
    sqlite: tuple[str, ...] = ()
    postgresql: tuple[str, ...] = ()
    everything: bool = False  #: found once a day


NOBODY = policy_text(Policy("1bd", "1bd", (Rung("0d", ("deputy",)),))).replace("'", "''")
UNCHECKED = (
    "DO $$ DECLARE n text; BEGIN FOR n IN SELECT conname FROM pg_constraint WHERE conrelid = 'cases'::regclass AND contype IN ('c', 'f') "
    "LOOP EXECUTE format('ALTER TABLE cases DROP CONSTRAINT %I', n); END LOOP; END $$"
)
TROUBLES = {
    "no lead (only without the database's constraints)": Trouble(
        "lead", ("UPDATE cases SET lead = NULL, lead_active = NULL WHERE id = {case}",),
        ("UPDATE cases SET lead = 'suzuki', lead_active = 1 WHERE id = {case}",), "主担当がひとりに決まっていない相談",
        ("PRAGMA ignore_check_constraints = ON",), (UNCHECKED,),
    ),
    "two timers (only without the database's unique index)": Trouble(
        "timers", (
            "DROP INDEX uq_timers_one_live",
            "INSERT INTO timers (wait_id, case_id, rung, due_at) SELECT wait_id, case_id, 77, due_at FROM timers WHERE wait_id = {wait}",
        ),
        ("DELETE FROM timers WHERE rung = 77",), "お知らせの予定がふたつある約束", everything=True,
    ),
    "a timer that nobody rings": Trouble(
        "late", ("UPDATE timers SET due_at = due_at - 8640000000000 WHERE wait_id = {wait}",),
        ("UPDATE timers SET due_at = due_at + 8640000000000 WHERE wait_id = {wait}",), "時刻を過ぎても出ていないお知らせ",
    ),
    "a timer that could not be rung": Trouble(
        "ring", ("UPDATE timers SET tries = 1, retry_at = due_at WHERE wait_id = {wait}",),
        ("UPDATE timers SET tries = 0, retry_at = NULL WHERE wait_id = {wait}",), "いまは出せないお知らせ",
    ),
    "a changed line of the journal": Trouble(
        "chain", ("UPDATE journal SET actor = 'mori' WHERE case_id = {case} AND seq = 2",),
        ("UPDATE journal SET actor = 'suzuki' WHERE case_id = {case} AND seq = 2",), "つながりの合わない記録",
        ("DROP TRIGGER journal_keeps_its_lines",), ("ALTER TABLE journal DISABLE TRIGGER USER",), everything=True,
    ),
    "an offer without a basis": Trouble(
        "basis", ("UPDATE handoffs SET doc = replace(doc, '\"basis\"', '\"gone\"') WHERE case_id = {case}",),
        ("UPDATE handoffs SET doc = replace(doc, '\"gone\"', '\"basis\"') WHERE case_id = {case}",), "共有できる理由の記録がないお願い", everything=True,
    ),
    "asked after a death": Trouble(
        "death", ("UPDATE cases SET doc = replace(doc, '{{', '{{\"deceased\":1780272000000000,') WHERE id = {case}",),
        ("UPDATE cases SET doc = replace(doc, '\"deceased\":1780272000000000,', '') WHERE id = {case}",), "逝去のあとに残っている確認", everything=True,
    ),
    "a wait that reaches nobody (fault 37)": Trouble(
        "nobody", (f"UPDATE waits SET policy = '{NOBODY.replace('{', '{{').replace('}', '}}')}' WHERE id = {{wait}}",),
        ("UPDATE waits SET policy = '{policy}' WHERE id = {wait}",), "だれにも届かない約束", everything=True,
    ),
    "a case of another program": Trouble(
        "unreadable", ("UPDATE cases SET doc = replace(doc, '{{', '{{\"strange\":1,') WHERE id = {case}",),
        ("UPDATE cases SET doc = replace(doc, '\"strange\":1,', '') WHERE id = {case}",), "読みとれない相談の記録", everything=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLES)
async def test_what_is_wrong_is_told_once_and_again_when_it_is_back(town: Town, name: str) -> None:
    """(fault 37 among them)"""
    trouble, store = TROUBLES[name], town.app.store
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    case = await town.case(number)
    wait = next(one for one in case.waits if one.kind == "react")
    names = {"case": case.id, "number": number, "wait": wait.id, "policy": policy_text(wait.policy)}
    look = audit_all if trouble.everything else audit
    town.clock.frozen = town.now + timedelta(minutes=6)
    await look(town.app)
    assert await standing(town) == {} and await told(town) == []
    await by_hand(town, *(trouble.sqlite if store.dialect == "sqlite" else trouble.postgresql))
    for turn in range(2):
        await by_hand(town, *(one.format(**names) for one in trouble.cause))
        await look(town.app)
        assert trouble.kind in await standing(town), turn
        ((fact, *_),) = [[f for f in facts if f[0] == trouble.said] for facts in await told(town)]
        assert fact[1].startswith("1件") and "読" not in fact[1]
        town.clock.frozen = town.now + timedelta(minutes=1)
        await audit(town.app)
        assert trouble.kind in await standing(town), "a case that is broken is looked at every minute"
        assert await told(town) == [], "told once"
        await by_hand(town, *(one.format(**names) for one in trouble.mend))
        await look(town.app)
        assert await standing(town) == {}, "gone"
        if trouble.kind == "timers":
            break  # the index that forbids it is not there any more: the same again would be no news


async def test_a_case_that_waits_for_nothing_waits_again(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    """I25, repaired once by the engine's own hand: what the state demands, and a coordinator has a look."""
    number = await town.consented()
    before = {wait.key for wait in (await town.case(number)).waits}
    case = await town.case(number)
    await by_hand(
        town,
        f"UPDATE waits SET closed_at = opened_at WHERE case_id = {case.id}",
        f"UPDATE timers SET cancelled_at = due_at WHERE case_id = {case.id}",
    )
    await audit(town.app)
    after = (await town.case(number)).waits
    assert before <= {wait.key for wait in after} and "queue" in {wait.kind for wait in after}
    assert "wait.mended" in await town.lines(number)
    (line,) = [
        one for one in await town.app.store.read(lambda tx: journal.read(tx, case.id)) if one.kind == "wait.mended"
    ]
    assert line.actor == "clock"
    ((fact,),) = await told(town)
    assert fact == ("次の約束がない相談", f"1件 直しました\n{number}")
    await audit(town.app)
    assert await standing(town) == {} and await told(town) == []
    await town.later(business_days=3)
    assert "ring:movement_intake" in await town.kinds("suzuki") or "ring:queue" in await town.kinds("takahashi")
    assert not caplog.records


@pytest.mark.parametrize("lost", ["cancelled_at = due_at", "fired_at = due_at"])
async def test_a_wait_without_a_timer_gets_it_back_and_rings(town: Town, lost: str) -> None:
    """I4: a case's wait, and a call that belongs to no case."""
    number = await town.intake()
    await town.says("ishii", "緊急")
    await by_hand(town, f"UPDATE timers SET {lost}")
    await audit(town.app)
    assert await town.app.store.read(promises.silent_waits) == []
    ((fact,),) = await told(town)
    assert fact[0] == "お知らせの予定がない約束" and "2件 直しました" in fact[1] and number in fact[1]
    assert await town.later(business_days=2) > 1
    assert "wait.rung" in await town.lines(number)


def letter(town: Town, **facts: object) -> LetterRow:
    return replace(
        LetterRow(
            id=town.app.fresh(), kind="phone", surface="toy", doc={"person": "suzuki", "due": town.now.isoformat()}, address="U-ishii",
            to_staff="ishii", token=new_token(), created_at=town.now, not_before=town.now,
        ),
        **facts,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_letters_that_do_not_leave_and_leases_that_nobody_ends(town: Town) -> None:
    """One finding a platform, however many letters; a lost lease is settled: what may have arrived is unknown."""
    town.app.deliverer.adapters["toy"] = Toy()  # set up, and nobody sends
    begin = town.now
    town.clock.frozen = begin + timedelta(minutes=20)
    rows = [letter(town, not_before=begin) for _ in range(3)]
    rows += [letter(town, not_before=begin, why=letters.PACED), letter(town, not_before=town.now)]
    lost = letter(town, state="leased", lease="x", lease_until=begin, surface="slate")
    await town.app.store.transact(lambda tx: letters.write(tx, [*rows, lost]))
    await audit(town.app)
    facts = dict((await told(town))[0])
    assert facts == {"長く出ていけずにいる手紙": "3件", "送ったあとがわからない手紙": "1件 直しました"}
    row = await town.app.store.read(lambda tx: letters.get(tx, lost.id))
    assert row is not None and row.state == "unknown"
    await audit(town.app)
    assert await standing(town) == {"letters": ["toy"]} and await told(town) == []


async def test_an_event_that_nobody_tries_again_and_a_letter_that_cannot_be_worded(town: Town) -> None:
    def leave(tx: Tx) -> None:
        arrival = Arrival("slack", "E1", "C1", "words", town.now)
        inbox.park(tx, 1, arrival, "KeyError", town.now - timedelta(minutes=6))
        inbox.park(tx, 2, replace(arrival, event_id="E2"), "KeyError", town.now + timedelta(minutes=1))
        letters.write(tx, [letter(town, why=letters.UNWRITTEN, not_before=town.now + timedelta(minutes=1))])

    await town.app.store.transact(leave)
    await audit(town.app)
    assert dict((await told(town))[0]) == {"受け取れていないできごと": "1件", "書き上げられない手紙": "1件"}
    assert (await standing(town))["event"] == ["1"]
    await town.app.store.transact(lambda tx: inbox.done(tx, 1))
    await audit(town.app)
    assert list(await standing(town)) == ["unwritten"]


async def test_a_line_is_looked_at_within_a_minute_of_its_writing(town: Town) -> None:
    """Not the whole journal each minute: what was written since, and the rest once a day."""
    old, fresh = await town.intake(), await town.intake()
    for _ in range(3):
        await audit(town.app)
    cases = [await town.case(number) for number in (old, fresh)]
    trigger = "DROP TRIGGER journal_keeps_its_lines"
    await by_hand(town, trigger if town.app.store.dialect == "sqlite" else "ALTER TABLE journal DISABLE TRIGGER USER")
    last = "seq = (SELECT max(j.seq) FROM journal j WHERE j.case_id = journal.case_id)"
    await by_hand(town, *(f"UPDATE journal SET actor = 'mori' WHERE case_id = {case.id} AND {last}" for case in cases))
    await town.says("suzuki", f"見立て {fresh} 続ける")
    await audit(town.app)
    assert await standing(town) == {"chain": [str(cases[1].id)]}
    await audit_all(town.app)
    assert await standing(town) == {"chain": [str(case.id) for case in cases]}
    await by_hand(town, "UPDATE municipality SET head = 'else'")
    await audit_all(town.app)
    assert "town" in (await standing(town))["chain"]


# -- who does it


def other(town: Town, tmp_path: Path, **given: object) -> App:
    settings = Settings(database_url=town.app.settings.database_url, secret_key="x" * 40, _env_file=None, **given)  # type: ignore[arg-type,call-arg]
    return make(settings, clock=town.clock, var=tmp_path)


async def test_two_processes_audit_once_and_one_that_is_killed_is_stood_in_for(town: Town, tmp_path: Path) -> None:
    """Claimed when done: what somebody began and did not end is done by another when the lease has run out."""
    done: list[str] = []
    second = other(town, tmp_path)

    async def work(app: object) -> None:
        done.append("one" if app is town.app else "two")

    daily = beat.Beat("sweep", BEATS[1].rule, work, timedelta(hours=1))
    one, two = Beats("one", [daily]), Beats("two", [daily])
    instant = daily.rule(town.now, town.place)
    assert instant.astimezone(town.place.tz).hour == 3 and instant <= town.now
    await asyncio.gather(one.do(town.app, daily, instant), two.do(second, daily, instant))
    assert await one.do(town.app, daily, instant) and await two.do(second, daily, instant)
    assert len(done) == 1

    town.clock.frozen = town.now + timedelta(days=1)
    instant = daily.rule(town.now, town.place)
    taken = town.now + timedelta(hours=1)
    await town.app.store.transact(lambda tx: beats.take(tx, "beat:sweep", "killed", town.now, taken))
    assert not await two.do(second, daily, instant), "somebody is at it"
    town.clock.frozen = taken
    assert await two.do(second, daily, instant) and done[1:] == ["two"]

    town.clock.frozen = town.now - timedelta(days=2)
    assert await one.do(town.app, daily, daily.rule(town.now, town.place)) and len(done) == 3, "the clock was set back"
    await second.close()


async def test_a_beat_that_breaks_waits_and_the_others_are_done(lite: Town, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def falls(_app: object) -> None:
        done.append("falls")
        raise KeyError("a defect of ours")

    async def works(_app: object) -> None:
        done.append("works")

    minute = BEATS[0].rule
    lite.app.beats = Beats(
        "one",
        [beat.Beat("a", minute, falls, timedelta(minutes=5)), beat.Beat("b", minute, works, timedelta(minutes=1))],
    )
    for _ in range(2):
        lite.app.beats._looked = float("-inf")
        await once(lite.app)
        await lite.app.beats.finish()
    assert done == ["falls", "works"] and "a went wrong" in caplog.text


async def test_the_loop_audits_each_minute(lite: Town) -> None:
    for minute in range(3):
        lite.app.beats._looked = float("-inf")
        await once(lite.app)
        await lite.app.beats.finish()
        last = await lite.app.store.read(findings.last_audit)
        assert last is not None and last.at == lite.now, minute
        lite.clock.frozen = lite.now + timedelta(minutes=1)


async def test_an_auditor_that_is_silent_is_told_once_by_whoever_is_left(town: Town, tmp_path: Path) -> None:
    """(fault 40)"""
    second = other(town, tmp_path)
    await audit(town.app)
    town.clock.frozen = town.now + timedelta(minutes=4)
    await heed(town.app)
    assert await standing(town) == {}
    town.clock.frozen = town.now + timedelta(minutes=2)
    await asyncio.gather(*(heed(app) for app in (town.app, second) for _ in range(4)))
    assert await standing(town) == {"audit": ["audit"]}
    assert await told(town) == [[("止まっている見まわり", "1件")]]
    (one,) = await town.app.store.read(findings.standing)
    assert not await town.app.store.transact(lambda tx: findings.tell(tx, one, town.now)), "who comes later is told so"
    fresh = other(town, tmp_path)
    assert await standing(town) == {"audit": ["audit"]}
    await heed(fresh)
    await audit(town.app)
    assert await standing(town) == {} and await told(town) == []
    await fresh.close()
    await second.close()


# -- whoever listens outside


@asynccontextmanager
async def listening(*answers: int) -> AsyncIterator[tuple[str, list[int]]]:
    """Somebody outside who notes each ping and answers so; the last answer again and again."""
    heard: list[int] = []

    async def pinged(_request: web.Request) -> web.Response:
        heard.append(answers[min(len(heard), len(answers) - 1)])
        return web.Response(status=heard[-1])

    app = web.Application()
    app.router.add_get("/ping/1", pinged)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield f"http://127.0.0.1:{port}/ping/1", heard
    await runner.cleanup()


async def test_somebody_outside_hears_each_minute_that_all_is_well_and_nothing_else(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """(fault 40) A finding, a dead loop: no ping. One that fails is a line in the log."""
    async with listening(200, 500, 200) as (url, heard):
        town.app.settings.heartbeat_url = url
        await audit(town.app)
        assert heard == [], "the loop has not turned"
        town.app.beaten["work"] = asyncio.get_running_loop().time()
        await audit(town.app)
        assert heard == [200] and not caplog.records
        await audit(town.app)
        assert heard == [200, 500] and await standing(town) == {}
        assert [r.levelno for r in caplog.records] == [logging.WARNING] and url not in caplog.text
        await town.intake()
        await by_hand(town, "UPDATE timers SET tries = 1, retry_at = due_at")
        await audit(town.app)
        assert heard == [200, 500]
        await by_hand(town, "UPDATE timers SET tries = 0, retry_at = NULL")
        await audit(town.app)
        assert heard == [200, 500, 200]
        town.app.beaten["work"] -= 6
        await audit(town.app)
        assert heard == [200, 500, 200], "a loop that is dead"
    town.app.beaten["work"] += 6
    await audit(town.app)
    assert await standing(town) == {}


async def test_clocks_that_differ_are_found(databases: Databases, tmp_path: Path) -> None:
    """PostgreSQL's clock and this machine's; the machine's is set wrong by three seconds, then by one."""
    url = databases.postgresql(settled)
    wrong = timedelta(seconds=3)
    settings = Settings(database_url=url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    app = make(settings, clock=Clock(machine=lambda: real() + wrong), var=tmp_path)
    await audit(app)
    assert [one.kind for one in await app.store.read(findings.standing)] == ["clock"]
    wrong = timedelta(seconds=1)
    await audit(app)
    assert await app.store.read(findings.standing) == []
    await app.close()
    databases.drop(url)
