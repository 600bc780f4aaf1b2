"""The board: what is late or stuck first, then every open case by stage, the load of the agencies and their room."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from bot.app import App
from bot.site.cases import ALL, LISTED, MOST, Wanted, agencies_of, chip, choosers, lead_name, listed, urgency
from bot.site.frame import Desk, show
from bot.site.today import card_of, hidden, press, said_card
from storage import capacity, marks
from storage import cases as kept
from storage.capacity import CapacityAsk
from storage.cases import CaseRow, OpenWait, StageColumn
from storage.store import Tx
from workflow.case import Case
from workflow.ladder import Urgency
from workflow.path import ACTIVE_STAGES
from workflow.who import reach, stands

PER_STAGE: Final = 50
AT_FIRST: Final = 2
OPENED: Final = 100
OLD: Final = timedelta(days=7)
WIDEST: Final = 6  #: letters of a button beside an exception
#: id, title, what its empty place says
GROUPS: Final = (("silent", "返事がまだ"), ("declined", "2回辞退"), ("late", "期限をすぎた"))


async def board(found: Desk) -> Response:
    """Exceptions, five columns, load, room. Nothing is dragged: moving a case is a worded act on its page."""
    found.only(*LISTED)
    view = await found.read(lambda tx: _view(tx, found))
    return show(found, "board.html", found.t("ボード"), "board", **view)


async def board_view(app: App, staff_code: str) -> dict[str, Any]:
    """The board of one person without a browser: what the bench measures, drawn and all."""
    town, now = await app.store.read(lambda tx: (app.towns.of(tx), app.clock.now(tx)))
    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/board", "query_string": b"", "headers": [],
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    found = Desk(app, Request(scope), town, now, town.staff[staff_code], False)
    view = await found.read(lambda tx: _view(tx, found))
    show(found, "board.html", found.t("ボード"), "board", **view)
    return view


def _view(tx: Tx, found: Desk) -> dict[str, Any]:
    wanted = Wanted.of(found)
    columns, paused, ids = _columns(tx, found, wanted)
    words = marks.words_of(tx, found.reader.code)
    drawn = [_column(found, wanted, stage, columns.get(stage), words) for stage in ACTIVE_STAGES]
    chosen = wanted.stage or next((c["stage"] for c in drawn if c["count"]), ACTIVE_STAGES[0])
    for column in drawn:
        column["chosen"] = column["stage"] == chosen
    return {
        "day": found.voice.title_day(found.now), "open": sum(c["count"] for c in drawn),
        "said": said_card(tx, found, wanted.url("/board")), "groups": _groups(tx, found, wanted, ids, words),
        "columns": drawn, "tabs": _tabs(drawn, wanted), "choosers": choosers(found, wanted), "stage": wanted.stage,
        "paused": {"n": paused, "href": wanted.url("/cases", stage="suspended")} if paused else None,
        "loads": _loads(tx, found), "room": _room(found, capacity.newest(tx).values()),
    }  # fmt: skip


# -- columns


def _columns(tx: Tx, found: Desk, wanted: Wanted) -> tuple[dict[str, StageColumn], int, frozenset[int] | None]:
    """The columns, how many are suspended, and the cases that the exceptions may be of (None: any)."""
    me, filters = found.reader, wanted.filter()
    if me.has(*ALL):
        columns = kept.board(tx, filters, PER_STAGE)
        narrowed = wanted.agency or wanted.district or wanted.urgency
        ids = frozenset(r.id for r in kept.refs(tx, filters, limit=MOST)) if narrowed else None
    else:
        rows = listed(tx, me, filters)
        columns = _by_stage(rows)
        ids = frozenset(r.id for r in rows)
    paused = columns.pop("suspended", None)
    return columns, paused.total if paused else 0, ids


def _by_stage(rows: Iterable[CaseRow]) -> dict[str, StageColumn]:
    columns: dict[str, StageColumn] = {}
    for row in rows:
        column = columns.get(row.stage) or StageColumn(row.stage, 0, [])
        if column.total < PER_STAGE:
            column.rows.append(row)
        columns[row.stage] = column._replace(total=column.total + 1)
    return columns


def _column(
    found: Desk, wanted: Wanted, stage: str, column: StageColumn | None, words: dict[int, str]
) -> dict[str, Any]:
    rows, total = (column.rows, column.total) if column else ([], 0)
    drawn: dict[str, Any] = {
        "id": f"col-{stage}", "stage": stage, "label": found.voice.label("stage", stage), "count": total,
        "tiles": [_tile(found, row, words.get(row.id, "")) for row in rows],
        "calm": found.t("この段階の相談は、いまありません。"),
    }  # fmt: skip
    if total > len(rows):
        label = found.t("ほか{n}件を見る").replace("{n}", str(total - len(rows)))
        drawn["more"] = {"label": label, "href": wanted.url("/cases", stage=stage)}
    return drawn


def _tile(found: Desk, row: CaseRow, mark: str) -> dict[str, Any]:
    return {
        "id": f"tile-{row.id}", "number": row.number, "mark": mark, "urgency": urgency(found, row),
        "lead": lead_name(found, row), "href": f"/cases/{row.number}", "wait": chip(found, row, short=True),
    }  # fmt: skip


def _tabs(columns: Sequence[dict[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {"stage": c["stage"], "label": c["label"], "count": c["count"], "chosen": c["chosen"],
         "href": wanted.url("/board", stage=c["stage"])}
        for c in columns
    ]  # fmt: skip


# -- exceptions


def _groups(
    tx: Tx, found: Desk, wanted: Wanted, ids: frozenset[int] | None, words: dict[int, str]
) -> list[dict[str, Any]]:
    """返事がまだ · 2回辞退 · 期限をすぎた: a count that opens the whole list, and one action a row."""
    late = kept.exceptions(tx, found.now)
    found_in = {
        "silent": late.unanswered,
        "declined": late.refused_twice,
        "late": [*late.overdue, *late.queue],
    }
    opened = found.request.query_params.get("open", "")
    groups = []
    for sign, title in GROUPS:
        rows = _once([o for o in found_in[sign] if ids is None or o.case.id in ids])
        shown = rows[: OPENED if opened == sign else AT_FIRST]
        href = wanted.url("/board") if opened == sign else _opening(wanted, sign)
        groups.append({
            "id": f"ex-{sign}", "title": found.t(title), "sign": sign, "count": len(rows), "href": href,
            "rows": [_exception(tx, found, sign, one, words.get(one.case.id, ""), wanted) for one in shown],
            "calm": found.t("いまはありません。"),
        })  # fmt: skip
    return groups


def _once(found: Iterable[OpenWait]) -> list[OpenWait]:
    """A case stands once in a group, with what is most pressing; emergencies first, then the longest wait."""
    first: dict[int, OpenWait] = {}
    for one in found:
        first.setdefault(one.case.id, one)
    return sorted(first.values(), key=lambda o: (-o.wait.urgency.rank, o.wait.due_at))


def _opening(wanted: Wanted, sign: str) -> str:
    address = wanted.url("/board")
    return f"{address}{'&' if '?' in address else '?'}open={sign}#ex-{sign}"


def _exception(tx: Tx, found: Desk, sign: str, one: OpenWait, mark: str, wanted: Wanted) -> dict[str, Any]:
    row, wait = one
    case = kept.load(tx, row.id, lock=False)
    emergency = wait.urgency is Urgency.EMERGENCY
    left = found.voice.left(wait.due_at, found.now, None if emergency else found.town.body.hours)
    drawn: dict[str, Any] = {
        "id": f"x-{wait.id}", "number": row.number, "mark": mark, "urgency": urgency(found, row),
        "href": f"/cases/{row.number}", "since": left.text,
    }  # fmt: skip
    if emergency:
        drawn["phones"] = [{"label": p.label, "number": p.number} for p in found.town.phones[:2]]
    if case is not None:
        drawn["text"] = _text(found, sign, case, one)
        drawn["act"] = _act(found, sign, case, one, mark, wanted)
    return drawn


def _text(found: Desk, sign: str, case: Case, one: OpenWait) -> str:
    """Who has not answered and who has been told, who could not, or whose turn it is."""
    voice, wait = found.voice, one.wait
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    if sign == "silent" and handoff is not None:
        told = wait.policy.steps(wait.urgency)[: wait.rung][-1:]
        whom = voice.join([voice.label("relation", to) for rung in told for to in rung.to])
        heard = found.t("{who}に知らせました").replace("{who}", whom) if whom else ""
        return f"{voice.agency(handoff.to_agency)} {heard}".strip()
    if sign == "declined":
        refused = list(case.need(wait.subject).refused_by())
        why = voice.join([voice.label("decline", a.code) if a.code else found.t("回答なし") for a in refused])
        agencies = "・".join(dict.fromkeys(voice.agency(a.agency) for a in refused))
        return f"{voice.label('duty', wait.subject)} {agencies} {why}".strip()
    owners = reach(wait.owner, case, found.town, found.now, handoff=handoff, owner=wait.owner)
    who = voice.agency(handoff.to_agency) if handoff and not owners else voice.people(owners[:2])
    what = voice.label("wait", wait.subject if wait.kind == "queue" and wait.subject else wait.kind)
    return f"{what} {who}".strip()


def _act(found: Desk, sign: str, case: Case, one: OpenWait, mark: str, wanted: Wanted) -> dict[str, Any]:
    """One action: the next candidate, the candidates, or the first button of the card; else the case itself."""
    wait, back = one.wait, wanted.url("/board")
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    duty = handoff.duty if handoff else wait.subject
    leads = stands("lead", found.reader, case, found.town, found.now)
    if leads and sign in ("silent", "declined") and (duty in found.town.duties):
        label = found.t("次の候補へ" if sign == "silent" else "候補を見る")
        return {"label": label, "token": f"|候補 {case.number} {duty}", "hidden": hidden(back)}
    for button in press(card_of(found, case, wait, mark).choices):
        if len(button["label"]) <= WIDEST:
            return button | {"style": "plain", "hidden": hidden(back)}
    return {"label": found.t("見る"), "href": f"/cases/{case.number}"}


# -- load and room


def _loads(tx: Tx, found: Desk) -> list[dict[str, Any]]:
    """Leads and roles by agency in the town's order: a hint, never a ranking, and no bar for a person."""
    loads = kept.loads(tx, found.now)
    seen = []
    for code in agencies_of(found):
        leads, roles, late = (part.get(code, 0) for part in (loads.leads, loads.roles, loads.overdue))
        agency = found.town.agencies[code]
        if leads or roles or late or agency.kind in ("first_line", "coordinating_body", "provider"):
            seen.append((agency, leads, roles, min(late, leads + roles)))
    widest = max((max(leads + roles, agency.capacity or 0) for agency, leads, roles, _ in seen), default=0) or 1
    return [_load(found, agency.code, leads, roles, late, agency.capacity, widest) for agency, leads, roles, late in seen]


def _load(
    found: Desk, code: str, leads: int, roles: int, late: int, norm: int | None, widest: int
) -> dict[str, Any]:
    """Solid for leads, striped for roles; the red end is the part that is late."""
    red_of_roles = min(late, roles)
    drawn: dict[str, Any] = {
        "name": found.voice.agency(code), "figures": found.voice.say("load.line", leads=leads, roles=roles),
        "lead": 100 * (leads - (late - red_of_roles)) / widest, "role": 100 * (roles - red_of_roles) / widest,
        "over": 100 * late / widest,
    }  # fmt: skip
    if late:
        drawn["late"] = f"{found.t('超過')}{late}" if found.voice.lang == "ja" else f"{found.t('超過')} {late}"
    return drawn | ({"norm": 100 * norm / widest} if norm else {})


LOOKS: Final = {"yes": "ok", "consult": "ask", "waitlist": "waiting", "full": "full"}


def _room(found: Desk, answers: Iterable[CapacityAsk]) -> list[dict[str, Any]]:
    """The best answer for each role, how many gave it and how old it is; no agency is named."""
    by_duty: dict[str, list[CapacityAsk]] = {}
    for one in answers:
        by_duty.setdefault(one.duty, []).append(one)
    order = {duty: i for i, duty in enumerate(found.town.duties)}
    return [_room_row(found, duty, by_duty[duty]) for duty in sorted(by_duty, key=lambda d: order.get(d, 99))]


def _room_row(found: Desk, duty: str, answers: list[CapacityAsk]) -> dict[str, Any]:
    best = next((code for code in LOOKS if any(a.answer == code for a in answers)), "full")
    same = [a for a in answers if a.answer == best]
    newest = max(same or answers, key=lambda a: a.answered_at or a.asked_at)
    at = newest.answered_at or newest.asked_at
    text = found.voice.label("room", best)
    if best == "yes":
        text = found.t("可 {n}機関").replace("{n}", str(len(same)))
    return {
        "duty": found.voice.label("duty", duty), "kind": LOOKS[best], "text": text, "age": found.voice.ago(at, found.now),
        "old": found.now - at > OLD,
    }  # fmt: skip
