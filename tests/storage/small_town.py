"""A small town and its cases, as plain values."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from storage import cases, people, texts
from storage.tx import Tx
from workflow.calendar import Hours
from workflow.case import Case, Handoff, Wait
from workflow.ladder import DEFAULTS, Urgency
from workflow.people import Agency, Post, Role, Staff, Town

NINE = datetime(2026, 6, 1, 0, 0, tzinfo=UTC)
HOURS = Hours("Asia/Tokyo", (((510, 1035),),) * 5 + ((), ()), frozenset())
AGENCIES = (
    Agency("kita", "地域包括支援センター北", "first_line", HOURS),
    Agency("wakaba", "若葉", "provider", HOURS),
    Agency("body", "重層支援チーム", "coordinating_body", HOURS),
    Agency("city", "福祉政策課", "municipality", HOURS),
)


def person(code: str, agency: str, role: Role = Role.STAFF) -> Staff:
    return Staff(code, code.title(), (Post(agency, role),))


STAFF = (
    person("suzuki", "kita"),
    person("tanaka", "kita", Role.HEAD),
    person("sato", "wakaba"),
    person("mori", "body", Role.COORDINATOR),
    person("watanabe", "city", Role.OFFICIAL),
)


TOWN = Town(
    "12220",
    "ながれ市",
    "Asia/Tokyo",
    "watanabe",
    {a.code: a for a in AGENCIES},
    {s.code: s for s in STAFF},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
)


def settle_town(tx: Tx) -> None:
    people.put_town(tx, {"municipality": {"code": "12220"}}, AGENCIES, STAFF, "watanabe", code="12220", name="ながれ市")


def wait(id: int, kind: str = "screening", *, owner: str = "lead", days: float = 1, **changes: Any) -> Wait:
    due = NINE + timedelta(days=days)
    fields: dict[str, Any] = {"next_at": due} | changes
    return Wait(id, kind, owner, NINE, due, DEFAULTS[kind], **fields)


def handoff(id: int, no: int, *, duty: str = "work", state: str = "offered", **changes: Any) -> Handoff:
    fields: dict[str, Any] = {"sender": "suzuki", "from_agency": "kita", "to_agency": "wakaba"} | changes
    return Handoff(id, no, duty, state, offered_at=NINE, basis="consent", **fields)


def a_case(id: int = 1, **changes: Any) -> Case:
    fields: dict[str, Any] = {
        "household": id,
        "stage": "intake",
        "urgency": Urgency.NORMAL,
        "opened_at": NINE,
        "opened_by": "suzuki",
        "opened_agency": "kita",
        "lead": "suzuki",
        "stage_at": NINE,
        "moved_at": NINE,
        "waits": (wait(id * 100),),
    } | changes
    return Case(id, fields.pop("number", f"{id:06d}"), **fields)


def opened(case: Case) -> Callable[[Tx], Case]:
    """A work that keeps a case and its household."""

    def work(tx: Tx) -> Case:
        texts.open_household(tx, case.household)
        cases.insert(tx, case)
        return case

    return work


def plan_of(tx: Tx, statement: str, parameters: Any) -> str:
    """PostgreSQL: for whatever parameters, which is how ours are planned (storage/postgres.py)."""
    word = "EXPLAIN (GENERIC_PLAN)" if tx.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
    found = tx.connection.exec_driver_sql(f"{word} {statement}", parameters)
    return "\n".join(str(row[-1]) for row in found)
