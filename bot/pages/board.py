"""The board: what is stuck first, then every open case by stage; load by agency and room beside it. Light rows alone."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from bot.looks import named
from bot.pages import saying
from bot.pages.beside import lead_name
from bot.pages.frame import Desk, View, due, guards, show, urgency
from storage import capacity, cases, marks
from storage.cases import CaseRow, Exceptions, Filter, Group, OpenWait
from storage.tx import Tx
from workflow.case import Case
from workflow.ladder import Urgency
from workflow.path import ACTIVE_STAGES, OPEN_STAGES
from workflow.people import Role
from workflow.sight import SUPPRESSED, countable

PER_STAGE: Final = 50
#: On a column before 「ほか…件を見る」.
FIRST: Final = 8
#: In a group of exceptions before the whole list is asked for.
FEW: Final = 3
MANY: Final = 200
GROUPS: Final = (
    ("silent", "返事がまだ", "silent"),
    ("declined", "2回辞退", "declined"),
    ("late", "期限をすぎた", "late"),
)
ROOM_LOOKS: Final = {"yes": "ok", "full": "full", "waitlist": "waiting", "consult": "ask"}
#: A capacity answer older than this says so in paler words.
OLD: Final = timedelta(days=7)


async def board(found: Desk) -> Response:
    """Staff, heads, coordinators, officials; each sees the cases that they may know."""
    found.only(Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL)
    view = await found.read(lambda tx: _view(tx, found))
    found.looked(*_numbers(view))
    return show(found, "board.html", found.t("ボード"), "board", **view)


def _numbers(view: View) -> Iterator[str]:
    """The cases on a board."""
    for group in view["exceptions"]:
        yield from (row["number"] for row in group["rows"])
    for column in view["columns"]:
        yield from (tile["number"] for tile in column["tiles"])
    yield from named(view["said"])


def _everything(found: Desk) -> bool:
    return found.sight.everything


def _filter(found: Desk) -> Filter:
    """What the address asks for; whose cases it can be is the sight's."""
    agency = found.query("agency")
    known = agency if agency in (found.town.agencies if _everything(found) else found.reader.agencies) else None
    level = found.query("urgency")
    district = found.query("district")
    return Filter(
        agency=known,
        district=district if district in found.town.districts else None,
        urgency=Urgency(level) if level in {u.value for u in Urgency} else None,
    )


def _view(tx: Tx, found: Desk) -> View:
    chosen = _filter(found)
    words = marks.words_of(tx, found.reader.code)
    columns = cases.board(tx, found.sight, chosen, PER_STAGE)
    total = sum(column.total for column in columns.values())
    opened = found.query("open")
    stages = [s for s in OPEN_STAGES if s in ACTIVE_STAGES or s in columns]
    phone = found.query("stage") if found.query("stage") in stages else "role_division"
    hidden = saying.fields(found, "board", _here(found))
    return {
        "day": found.voice.title_day(found.now, found.now), "total": found.t("進行中 {n}件", n=total), "filters": _filters(found, chosen),
        "exceptions": _exceptions(tx, found, chosen, words, hidden),
        "columns": [_column(found, s, columns.get(s), words, opened, chosen=s == phone) for s in stages],
        "tabs": [_tab(found, s, columns.get(s), chosen=s == phone) for s in stages],
        "loads": _loads(tx, found), "room": _room(tx, found),
        "said": saying.said_here(tx, found, "board", _here(found)), "undo": saying.undo(tx, found, "board", _here(found)),
    }  # fmt: skip


# -- filters live in the address


def _address(found: Desk, **changes: str) -> str:
    kept = {name: found.query(name) for name in ("district", "urgency", "agency", "stage", "open", "show")}
    asked = {name: value for name, value in (kept | changes).items() if value}
    return f"/board?{urlencode(asked)}" if asked else "/board"


def _here(found: Desk) -> str:
    return _address(found)


def _filters(found: Desk, chosen: Filter) -> list[View]:
    everything = _everything(found)
    agencies = list(found.town.agencies.values())
    seen = agencies if everything else [a for a in agencies if a.code in found.reader.agencies]
    nothing = [{"value": "", "label": found.t("すべて"), "chosen": False}]
    fields: list[View] = [
        {"id": "district", "label": found.t("圏域"), "options": nothing + _options(((d, d) for d in found.town.districts), chosen.district)},
        {
            "id": "urgency", "label": found.t("緊急度"),
            "options": nothing + _options(((u.value, found.voice.label("urgency", u.value)) for u in Urgency), chosen.urgency),
        },
    ]  # fmt: skip
    if everything or len(seen) > 1:
        options = nothing + _options(((a.code, found.voice.agency(a.code)) for a in seen), chosen.agency)
        fields.append({"id": "agency", "label": found.t("機関"), "options": options})
    return fields


def _options(rows: Iterable[tuple[str, str]], chosen: str | None) -> list[View]:
    return [{"value": value, "label": label, "chosen": value == chosen} for value, label in rows]


# -- exceptions


def _exceptions(
    tx: Tx, found: Desk, chosen: Filter, words: dict[int, str], hidden: list[tuple[str, str]]
) -> list[View]:
    most = MANY if found.query("show") else FEW
    groups = cases.exceptions(tx, found.sight, found.now, chosen, most, tracks=_everything(found))
    sorted_ = {"silent": groups.unanswered, "declined": groups.refused_twice, "late": _late(groups)}
    shown = []
    for id_, title, sign in GROUPS:
        total, rows = sorted_[id_]
        whole = found.query("show") == id_
        shown.append({
            "id": f"ex-{id_}", "title": found.t(title), "sign": sign, "count": total,
            "href": _address(found, show="" if whole else id_) + f"#ex-{id_}", "calm": found.t("いまはありません。"),
            "rows": [_stuck(tx, found, row, words, hidden, id_) for row in rows[: MANY if whole else FEW]],
        })  # fmt: skip
    return shown


def _late(groups: Exceptions) -> Group:
    """Everything else past its due time, and what has climbed into the coordinator's queue."""
    rows = [*groups.overdue.rows, *groups.queue.rows]
    first = sorted(rows, key=lambda row: (-row.wait.urgency.rank, row.wait.due_at))
    return Group(groups.overdue.total + groups.queue.total, first)


def _stuck(
    tx: Tx, found: Desk, row: OpenWait, words: dict[int, str], hidden: list[tuple[str, str]], group: str
) -> View:
    """One line with one action: the next candidates, or the case itself."""
    case = cases.load(tx, row.case.id, lock=False)
    level = row.case.urgency.value
    left = found.voice.left(row.wait.due_at, found.now)
    shown: View = {
        "id": f"ex-{group}-{row.wait.id}", "number": row.case.number, "mark": words.get(row.case.id, ""), "urgency": urgency(found, level),
        "since": left.text, "text": _why(found, row, case), "href": f"/cases/{row.case.number}", "act": _act(found, row, case, group, hidden),
    }  # fmt: skip
    if row.case.urgency is Urgency.EMERGENCY:
        shown["phones"] = [{"label": p.label, "number": p.number} for p in found.town.phones[:2]]
    return shown


def _why(found: Desk, row: OpenWait, case: Case | None) -> str:
    """What is waited for, and of whom."""
    voice, wait = found.voice, row.wait
    handoff = case.handoff(wait.handoff) if case and wait.handoff else None
    if wait.kind == "next_step" and case:
        need = case.need(wait.subject)
        asked = voice.join([voice.agency(a.agency) for a in need.refused_by()])
        return voice.join([voice.label("duty", wait.subject), asked])
    label = voice.label("wait", wait.subject if wait.kind == "queue" and wait.subject else wait.kind)
    if handoff:
        return f"{voice.agency(handoff.to_agency)} {voice.label('duty', handoff.duty)} {label}"
    return f"{label} {lead_name(found, row.case.lead, row.case.interim)}"


def _act(found: Desk, row: OpenWait, case: Case | None, group: str, hidden: list[tuple[str, str]]) -> View:
    handoff = case.handoff(row.wait.handoff) if case and row.wait.handoff else None
    leads = found.may(Role.COORDINATOR) or row.case.lead == found.reader.code
    duty = handoff.duty if handoff and group == "silent" else row.wait.subject if row.wait.kind == "next_step" else ""
    if leads and duty == "lead":
        return {"label": found.t("次の候補へ"), "token": f"担当替え {row.case.number}", "hidden": hidden}
    if leads and duty in found.town.duties:
        return {"label": found.t("次の候補へ"), "token": f"依頼 {row.case.number} {duty}", "hidden": hidden}
    return {"label": found.t("ひらく"), "href": f"/cases/{row.case.number}"}


# -- columns


def _column(
    found: Desk, stage: str, column: cases.StageColumn | None, words: dict[int, str], opened: str, *, chosen: bool
) -> View:  # fmt: skip
    rows = column.rows if column else []
    total = column.total if column else 0
    whole = opened == stage
    first = rows if whole else rows[:FIRST]
    more = None
    if total > len(first):
        label = found.t("ほか{n}件を見る", n=total - len(first))
        more = {
            "label": label,
            "href": f"/cases?stage={stage}" if whole else _address(found, open=stage) + f"#col-{stage}",
        }
    return {
        "id": f"col-{stage}", "stage": stage, "label": found.voice.label("stage", stage), "count": total, "more": more, "chosen": chosen,
        "tiles": [tile(found, row, words) for row in first], "calm": found.t("この段階の相談は、いまありません。"),
    }  # fmt: skip


def tile(found: Desk, row: CaseRow, words: dict[int, str]) -> View:
    """A case as a tile: number, 目印, lead, the nearest wait."""
    return {
        "id": f"tile-{row.number}", "number": row.number, "mark": words.get(row.id, ""), "urgency": urgency(found, row.urgency.value),
        "lead": lead_name(found, row.lead, row.interim), "href": f"/cases/{row.number}", "wait": nearest(found, row),
        "guards": guards(found, row.restricted, row.flags),
        "say": found.t("{number} が変わりました", number=row.number),
    }  # fmt: skip


def nearest(found: Desk, row: CaseRow) -> View:
    if row.nearest_due is None:
        return {"kind": "paused", "text": found.voice.say("chip.paused")}
    return due(found, row.nearest_due, found.voice.label("wait", row.nearest_kind))


def _tab(found: Desk, stage: str, column: cases.StageColumn | None, *, chosen: bool) -> View:
    return {
        "stage": stage, "label": found.voice.label("stage", stage), "count": column.total if column else 0, "chosen": chosen,
        "href": _address(found, stage=stage) + "#stages",
    }  # fmt: skip


# -- load and room


def _loads(tx: Tx, found: Desk) -> list[View]:
    """Agencies in the town's order, never ranked; those that carry nothing and set themselves no mark are left out."""
    loads = cases.loads(tx, found.sight, found.now)
    agencies = [a for a in found.town.agencies.values() if _everything(found) or a.code in found.reader.agencies]
    figures = [
        (a, loads.leads.get(a.code, 0), loads.roles.get(a.code, 0), loads.overdue.get(a.code, 0)) for a in agencies
    ]
    widths = (max(_drawn(found, n) + _drawn(found, m), a.capacity or 0) for a, n, m, _ in figures)
    widest = max(widths, default=0) or 1
    shown = []
    for agency, leads, roles, over in figures:
        if not (leads or roles or agency.capacity):
            continue
        figures_ = found.t("主{leads} 役{roles}", leads=_count(found, leads), roles=_count(found, roles))
        bars = _shares(_drawn(found, leads), _drawn(found, roles), _drawn(found, min(over, leads + roles)), widest)
        shown.append({
            "name": found.voice.agency(agency.code), "figures": figures_,
            "late": found.t("超過{n}", n=_count(found, over)) if over else "",
            **bars, "norm": round(100 * agency.capacity / widest) if agency.capacity else 0,
        })  # fmt: skip
    return shown


def _count(found: Desk, n: int) -> str:
    exact = countable(n, found.sight)
    return found.voice.say("count.few") if exact is None else str(exact)


def _drawn(found: Desk, n: int) -> int:
    """A bar gives no more away than its figure."""
    exact = countable(n, found.sight)
    return SUPPRESSED if exact is None else exact


def _shares(leads: int, roles: int, late: int, widest: int) -> View:
    """The red end is a part of what is carried, not more of it."""
    from_roles = min(late, roles)
    from_leads = late - from_roles
    return {
        "lead": round(100 * (leads - from_leads) / widest), "role": round(100 * (roles - from_roles) / widest),
        "over": round(100 * late / widest),
    }  # fmt: skip


def _room(tx: Tx, found: Desk) -> list[View]:
    """The newest answers to 打診, by duty and answer, with their age."""
    by_answer: dict[tuple[str, str], list[datetime]] = {}
    for answer in capacity.newest(tx).values():
        if answer.answer and answer.answered_at:
            by_answer.setdefault((answer.duty, answer.answer), []).append(answer.answered_at)
    rows = sorted(by_answer.items(), key=lambda item: max(item[1]), reverse=True)
    return [_capacity(found, duty, said, moments) for (duty, said), moments in rows[:12]]


def _capacity(found: Desk, duty: str, said: str, moments: Sequence[datetime]) -> View:
    newest = max(moments)
    label = found.voice.label("room", said)
    text = found.t("{answer} {n}機関", answer=label, n=len(moments)) if len(moments) > 1 else label
    return {
        "duty": found.voice.label("duty", duty), "kind": ROOM_LOOKS[said], "text": text, "age": found.voice.ago(newest, found.now),
        "old": found.now - newest > OLD,
    }  # fmt: skip
