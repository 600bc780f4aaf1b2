"""What is printed: one's own day, and the list that the next shift takes over. No names or addresses of anybody at home."""

from datetime import datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from bot.looks import named
from bot.pages.cases import LISTED, lead_name, listed, urgency
from bot.pages.frame import Desk, show
from bot.pages.today import Turn, chip_of, mine_and_theirs
from storage import cases as kept
from storage import marks
from storage.cases import CaseRow, Filter
from storage.tx import Tx
from workflow.case import Case
from workflow.ladder import Urgency
from workflow.path import ACTIVE_STAGES

SOON: Final = timedelta(days=7)
CHECK_INS: Final = ("checkin", "checkin_missed", "checkin_missed_harsh")


async def today_print(found: Desk) -> Response:
    """今日 on paper."""
    sheet = await found.read(lambda tx: _day_sheet(tx, found))
    found.looked(*named(sheet), kind="export")
    return show(found, "paper.html", found.t("今日の一覧"), "today", sheet=sheet, back="/today")


async def handover(found: Desk) -> Response:
    """引き継ぎ一覧: what has to be done now, by tomorrow, and the check-ins of the next days."""
    found.only(*LISTED)
    sheet = await found.read(lambda tx: _handover_sheet(tx, found))
    found.looked(*named(sheet), kind="export")
    return show(found, "paper.html", found.t("引き継ぎ一覧"), "board", sheet=sheet, back="/board")


def _sheet(found: Desk, title: str, way: str, groups: list[tuple[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    voice, now = found.voice, found.now
    printed = found.t("印刷 {name} {moment}").replace("{name}", voice.name(found.reader.code))
    return {
        "title": found.t(title), "when": f"{voice.title_day(now)} {voice.clock(now)}", "way": way,
        "groups": [{"title": f"{found.t(t)} {found.t('{n}件').replace('{n}', str(len(rows)))}", "rows": rows}
                   for t, rows in groups if rows],
        "foot": found.t("お名前・住所・圏域は載せていません。守る印のある相談も同じです。机の上に置いたままにしないでください。"),
        "printed": printed.replace("{moment}", voice.moment(now, now)),
    }  # fmt: skip


# -- one's own day


def _day_sheet(tx: Tx, found: Desk) -> dict[str, Any]:
    mine, theirs = mine_and_theirs(tx, found)
    words = marks.words_of(tx, found.reader.code)
    me = found.reader
    way = f"{found.voice.agency(me.agency)} {found.voice.name(me.code)}"
    return _sheet(found, "今日の一覧", way, [
        ("あなたの番", [_turn_row(found, turn, words) for turn in mine]),
        ("相手の返事を待っています", [_turn_row(found, turn, words) for turn in theirs]),
    ])  # fmt: skip


def _turn_row(found: Desk, turn: Turn, words: dict[int, str]) -> dict[str, Any]:
    case, wait = turn
    voice = found.voice
    late = wait.due_at <= found.now and wait.paused_left is None
    due = {"text": str(chip_of(found, case, wait)["text"]), "late": late}
    if late:
        due["detail"] = voice.moment(wait.due_at, found.now)
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    about = voice.label("duty", handoff.duty) if handoff else ""
    return {
        "number": case.number, "mark": words.get(case.id, ""), "lead": _lead_of(found, case),
        "stage": {"id": case.stage, "label": voice.label("stage", case.stage)},
        "urgency": {"level": case.urgency.value, "label": voice.label("urgency", case.urgency.value)},
        "wait": f"{about} {voice.label('wait', wait.kind)}".strip(), "due": due,
    }  # fmt: skip


def _lead_of(found: Desk, case: Case) -> str:
    if case.lead:
        return found.voice.person(case.lead)
    return found.t("{body}(仮)").replace("{body}", found.voice.agency(found.town.body.code))


# -- the hand-over list


def _handover_sheet(tx: Tx, found: Desk) -> dict[str, Any]:
    rows = listed(tx, found.sight, Filter(stages=ACTIVE_STAGES))
    words = marks.words_of(tx, found.reader.code)
    late = kept.exceptions(tx, found.sight, found.now, most=len(rows) or 1)
    stuck = {o.case.id: o for o in (*late.refused_twice.rows, *late.queue.rows)}
    tomorrow = _tomorrow(found)
    now_, soon, later = [], [], []
    for row in rows:
        if row.id in stuck or (row.nearest_due is not None and row.nearest_due <= found.now):
            now_.append(row)
        elif row.nearest_due is not None and row.nearest_due <= tomorrow:
            soon.append(row)
        elif row.nearest_due is not None and row.nearest_kind in CHECK_INS and row.nearest_due <= found.now + SOON:
            later.append(row)
    now_.sort(key=lambda r: (-r.urgency.rank, r.nearest_due or found.now))
    names = {r.id: found.voice.label("wait", stuck[r.id].wait.kind) for r in now_ if r.id in stuck}

    def drawn(part: list[CaseRow]) -> list[dict[str, Any]]:
        return [_case_row(found, r, words.get(r.id, ""), names.get(r.id, "")) for r in part]

    return _sheet(found, "引き継ぎ一覧", _way(found), [
        ("いま手を打つ", drawn(now_)), ("あすまで", drawn(soon)), ("この数日の定期確認", drawn(later)),
    ])  # fmt: skip


def _tomorrow(found: Desk) -> datetime:
    """The end of the next business day of the coordinating body."""
    hours = found.town.body.hours
    return hours.end_of_day(hours.end_of_day(found.now) + timedelta(minutes=1))


def _way(found: Desk) -> str:
    """From whom to whom: the row of the roster that is on duty after closing."""
    me, voice = found.reader, found.voice
    evening = found.town.body.hours.end_of_day(found.now) + timedelta(hours=1)
    row = next(iter(found.town.on_duty(evening)), None)
    taker = row.name if row else found.t("当番")
    return f"{voice.agency(me.agency)} {voice.name(me.code)} → {taker}"


def _case_row(found: Desk, row: CaseRow, mark: str, what: str) -> dict[str, Any]:
    voice, now = found.voice, found.now
    label = voice.label("wait", row.nearest_kind) if row.nearest_kind else ""
    return {
        "number": row.number, "mark": mark, "urgency": urgency(found, row), "lead": lead_name(found, row),
        "stage": {"id": row.stage, "label": voice.label("stage", row.stage)}, "due": _due(found, row, now),
        "wait": label if what in ("", label) else found.t("、").join((what, label)) if label else what,
    }  # fmt: skip


def _due(found: Desk, row: CaseRow, now: datetime) -> dict[str, Any]:
    voice = found.voice
    if row.nearest_due is None:
        return {"text": voice.say("chip.paused")}
    if row.nearest_due > now:
        return {"text": voice.moment(row.nearest_due, now)}
    hours = None if row.urgency is Urgency.EMERGENCY else found.town.body.hours
    over = voice.left(row.nearest_due, now, hours)
    return {"text": over.text, "late": True, "detail": voice.moment(row.nearest_due, now)}
