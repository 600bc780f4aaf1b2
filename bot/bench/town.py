"""The town that is measured: people who speak through the door, and as many copies of a case as a measure needs.

Copies are made by SQL, which only a bench may do; each is a whole case with its handoff and its check-in.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from adapters.base import Address, Inbound, Said, Sender
from bot.app import App
from bot.clock import real
from bot.demo.grow import FILE
from bot.operate import keep_town
from bot.town import Doc, read
from storage import people
from storage.tx import Tx

#: A prime, so that in `inbound` everybody says everything on every platform; enough that nobody speaks faster than people do.
PEOPLE: Final = 199
EVENTS: Final = itertools.count()  #: a platform brings the ids of its events; making them is none of our work
TEAM: Final = "T0BENCH"
STEP: Final = 100_000_000  #: between the numbers of two copies; those that a run of the bench gives out lie below
LOOSE: Final = 9_000_000_000_000_000  #: from here on the waits of nobody in particular
FAR: Final = 200_000_000_000_000  #: microseconds, six years: when those ring

Run = Callable[[str], Any]


async def people_at_work(app: App, count: int, holders: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Cases with one active role each: (who holds it, number). Without holders the sample town's, who is put there first."""
    if not holders:
        doc = read(FILE.read_text(encoding="utf-8"))
        await app.store.transact(lambda tx: keep_town(tx, doc))
    made = []
    for holder in itertools.islice(itertools.cycle(holders or ("ishii",)), count):
        number = (await say(app, "suzuki", "受付 介護 困窮")).number
        assert number is not None
        for who, words in (
            ("suzuki", f"見立て {number} 続ける"), ("suzuki", f"同意 {number} あり"), ("suzuki", f"依頼 {number} 家計相談 ともしび"),
            ("suzuki", "送る"), (holder, f"引受 {number}"), (holder, f"つながった {number}"), (holder, f"変わりなし {number}"),
        ):  # fmt: skip
            await say(app, who, words)
        made.append((holder, number))
    return made


async def say(app: App, who: str, words: str) -> Any:
    event = Inbound(f"bench-{next(EVENTS)}", Sender("console", who), Address("console", who), Said(words))
    answered = await app.receiver.receive(event)
    assert answered.refused is None and answered.number, answered
    return answered


async def peopled(app: App) -> list[str]:
    """Put the sample town there with many more people at one of its agencies; answer who they are."""
    codes = [f"p{i}" for i in range(PEOPLE)]
    await app.store.transact(lambda tx: keep_town(tx, _peopled(codes)))
    return codes


def _peopled(codes: Sequence[str]) -> Doc:
    doc = deepcopy(read(FILE.read_text(encoding="utf-8")))
    one = next(person for person in doc["staff"] if person["code"] == "ishii")
    doc["staff"] += [
        {**deepcopy(one), "code": code, "name": f"石井{code}", "deputy": "", "email": ""} for code in codes
    ]
    return doc


def account(platform: str, i: int) -> str:
    """What the i-th of the people is called there."""
    return {"slack": f"{TEAM}/U{i:03d}", "telegram": f"{7000 + i}", "line": f"Uline{i:03d}"}[platform]


def link(tx: Tx, codes: Sequence[str], *platforms: str) -> None:
    """Link everybody's accounts; what the setting-up has told them is not what is measured."""
    tx.connection.exec_driver_sql("UPDATE letters SET state = 'sent', sent_at = created_at WHERE state = 'pending'")
    for (i, code), platform in itertools.product(enumerate(codes), platforms):
        people.link(tx, platform, account(platform, i), code, real())


def multiply(tx: Tx, due: int, pending: int, people: int = 0) -> None:
    """Make `due` of the newest case, all with their check-in due at once, and `pending` loose waits for years ahead.

    With `people` each copy is led and held by one of so many, else by whom the case is. The case's other waits end.
    """
    copies = Copies(tx, people)
    run, case, wait = copies.run, copies.case, copies.wait
    run(f"UPDATE waits SET closed_at = 1 WHERE case_id = {case} AND id <> {wait}")
    run(f"UPDATE timers SET cancelled_at = 1 WHERE case_id = {case} AND wait_id <> {wait}")
    copies.cases(due)
    own = f"wait_id = {wait} AND cancelled_at IS NULL AND fired_at IS NULL"
    run(
        f"INSERT INTO timers (wait_id, case_id, rung, due_at) {_counted(due - 1)} "
        f"SELECT {wait} + i * {_BIG}, {case} + i * {_BIG}, rung, due_at FROM timers, n WHERE {own}"
    )
    if pending:
        copies.of("waits", f"id = {wait}", pending, {
            "id": f"CAST({LOOSE} AS BIGINT) + i", "case_id": "NULL", "handoff": "NULL", "due_at": f"due_at + CAST({FAR} AS BIGINT) + i",
        })  # fmt: skip
        run(
            f"INSERT INTO timers (wait_id, case_id, rung, due_at) {_counted(pending)} "
            f"SELECT CAST({LOOSE} AS BIGINT) + i, NULL, 0, t.due_at + CAST({FAR} AS BIGINT) + i "
            f"FROM (SELECT min(due_at) AS due_at FROM timers WHERE {own}) t, n"
        )
    run("ANALYZE")


def nth(case: int) -> str:
    """SQL for which copy of this case a row of `timers` belongs to."""
    return f"((case_id - {case}) / {STEP})"


_BIG: Final = f"CAST({STEP} AS BIGINT)"


def _counted(count: int) -> str:
    return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"


class Copies:
    """Copies of the newest case, by SQL. The i-th has the case's number and numbers i steps further."""

    def __init__(self, tx: Tx, people: int = 0) -> None:
        self.run: Run = tx.connection.exec_driver_sql
        self.people = people
        self.case, self.handoff, self.wait, self.lead, self.holder = self.run(
            "SELECT c.id, h.id, w.id, c.lead, h.holder FROM cases c JOIN waits w ON w.case_id = c.id "
            "JOIN handoffs h ON h.id = w.handoff WHERE w.kind = 'checkin' AND w.closed_at IS NULL "
            f"AND c.id < {STEP} ORDER BY c.id DESC LIMIT 1"
        ).one()

    def cases(self, count: int) -> None:
        """As many cases as `count` with the one that is there, each with its handoff and its check-in."""
        moved = f"{{}} + i * {_BIG}"
        led = {"lead": self.person("lead")} if self.people else {}
        held = {name: self.person(name) for name in ("holder", "to_staff", "doc")} if self.people else {}
        numbered = {"number": "number || '-' || i"}
        self.of("cases", f"id = {self.case}", count - 1, {"id": moved.format("id"), **numbered, **led})
        handoffs = {name: moved.format(name) for name in ("id", "case_id")}
        self.of("handoffs", f"id = {self.handoff}", count - 1, {**handoffs, **held})
        waits = {name: moved.format(name) for name in ("id", "case_id", "handoff")}
        self.of("waits", f"id = {self.wait}", count - 1, waits)

    def person(self, column: str) -> str:
        """SQL for a column that names the lead or the holder, or has the holder in it: one of the people instead."""
        one = f"'p' || CAST(i % {self.people} AS TEXT)"
        if column == "doc":
            return f"replace(doc, '\"{self.holder}\"', '\"' || {one} || '\"')"
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE {one} END"

    def of(self, table: str, where: str, count: int, changed: Mapping[str, str]) -> None:
        """Insert `count` copies of the rows of a table that are meant, with SQL for what differs."""
        if count < 1:
            return
        columns = list(self.run(f"SELECT * FROM {table} LIMIT 0").keys())
        values = ", ".join(changed.get(name, f'"{name}"') for name in columns if changed.get(name) != "")
        names = ", ".join(f'"{name}"' for name in columns if changed.get(name) != "")
        self.run(f"INSERT INTO {table} ({names}) {_counted(count)} SELECT {values} FROM {table}, n WHERE {where}")
