"""A case's path as it was walked: stations, ways back, rounds, and who led and who watched along the way. Read off the journal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.pages.beside import STATIONS
from bot.pages.frame import Desk, View
from storage.journal import Line
from workflow.case import Case
from workflow.path import STAGES

Share = Callable[[datetime], int]  #: a moment's place on a row, 0..100

ASIDE: Final = ("suspended", "closed")
LANES: Final = 3
#: A bar narrower than this could not hold its name.
NARROW: Final = 9


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay in a stage."""

    stage: str
    start: datetime
    end: datetime | None
    came_from: str | None
    reason: str = ""


def visits(lines: Sequence[Line]) -> list[Visit]:
    """Every stay, the oldest first."""
    moves = [
        line for line in lines
        if line.kind.startswith("case.") and line.dest in STAGES and line.source != line.dest and line.kind not in _NOT_MOVES
    ]  # fmt: skip
    ends = [line.at for line in moves[1:]] + [None]
    return [
        Visit(str(line.dest), line.at, end, line.source, str(line.data.get("reason") or ""))
        for line, end in zip(moves, ends, strict=True)
    ]


_NOT_MOVES: Final = frozenset(
    {"case.lead", "case.interim", "case.urgency", "case.consent", "case.decision", "case.interval"}
)


def view(found: Desk, case: Case, lines: Sequence[Line]) -> View:
    """The path as parts/path.html draws it."""
    walked = visits(lines) or [Visit(case.stage, case.opened_at, None, None)]
    order = [*STATIONS, *(s for s in ASIDE if any(v.stage == s for v in walked))]
    back = [v for v in walked if v.came_from in order and order.index(v.came_from) > order.index(v.stage)]
    turned = back[-1].start if back else None
    shown: View = {
        "here": found.t("いまここ"), "sentence": _sentence(found, case, walked, back),
        "stations": [_station(found, case, s, i, order, walked, turned) for i, s in enumerate(order)],
        "backs": [_back(found, v, order, current=v is back[-1]) for v in back], "lanes": _lanes(found, case, lines),
    }  # fmt: skip
    inner = [v for v in back if v.came_from in STATIONS]
    return shown | ({"round": found.t("{n}回めの道のり", n=len(inner) + 1)} if inner else {})


def _day(found: Desk, moment: datetime) -> str:
    return found.voice.day(moment, found.now).split("(")[0]


def _station(
    found: Desk, case: Case, stage: str, place: int, order: Sequence[str], walked: Sequence[Visit], turned: datetime | None
) -> View:  # fmt: skip
    stays = [v for v in walked if v.stage == stage]
    state = "now" if stage == case.stage else "visited" if stays else "todo"
    return {
        "stage": stage, "label": found.voice.label("stage", stage), "state": state, "dates": _dates(found, stays),
        "way": _way(stage, place, order, walked, turned),
    }  # fmt: skip


def _dates(found: Desk, stays: Sequence[Visit]) -> str:
    if not stays:
        return found.t("これから")
    parts = []
    for i, stay in enumerate(stays[-2:], start=max(1, len(stays) - 1)):
        start = _day(found, stay.start)
        if stay.end is None:
            start = found.t("{day}から", day=start)
        parts.append(start if i == 1 else found.t("{n}回め {day}", n=i, day=start))
    return "\u3000".join(parts)


def _way(stage: str, place: int, order: Sequence[str], walked: Sequence[Visit], turned: datetime | None) -> str:
    """Which thread leads into a station from the one before it."""
    if place == 0 or stage in ASIDE:
        return "none"
    forward = [
        v for v in walked
        if v.came_from in order and order.index(v.came_from) < place <= order.index(v.stage) and v.stage not in ASIDE
    ]  # fmt: skip
    if not forward:
        return "todo"
    return "current" if turned is None or any(v.start >= turned for v in forward) else "earlier"


def _back(found: Desk, visit: Visit, order: Sequence[str], *, current: bool) -> View:
    resumed = visit.came_from == "suspended"
    word = found.t("再開") if resumed else found.t("戻る")
    label = f"{_day(found, visit.start)} {word}"
    reason = found.voice.label("reintake", visit.reason) if visit.reason else ""
    to = found.voice.label("stage", visit.stage)
    line = found.t(
        "{day} {stage}から再開" if resumed else "{day} {stage}に戻る", day=_day(found, visit.start), stage=to
    )
    return {
        "from": order.index(str(visit.came_from)), "to": order.index(visit.stage), "label": label, "reason": reason,
        "line": f"{line} {reason}".strip(), "current": current,
    }  # fmt: skip


def _sentence(found: Desk, case: Case, walked: Sequence[Visit], back: Sequence[Visit]) -> str:
    label = found.voice.label
    parts = [found.t("{day}に受付", day=_day(found, walked[0].start))]
    parts += [
        found.t(
            "{day}に{source}から{stage}へ戻り",
            day=_day(found, v.start),
            source=label("stage", v.came_from),
            stage=label("stage", v.stage),
        )
        for v in back
    ]
    parts.append(found.t("いまは{stage}です", stage=label("stage", case.stage)))
    return found.t("、").join(parts)


# -- who led, who watched


def _lanes(found: Desk, case: Case, lines: Sequence[Line]) -> View:
    start = case.opened_at
    end = max(case.closed_at or found.now, start)
    length = max((end - start).total_seconds(), 1.0)

    def share(moment: datetime) -> int:
        return max(0, min(100, round(100 * (moment - start).total_seconds() / length)))

    rows = [{"label": found.t("主担当"), "bars": _leads(found, case, lines, share)}]
    rows += [{"label": found.t("見届け役"), "bars": bars} for bars in _watches(found, case, end, share)]
    now = found.t("終結 {day}" if case.closed_at else "いま {day}", day=_day(found, end))
    return {"rows": rows, "now": now, "stage": case.stage}


def _leads(found: Desk, case: Case, lines: Sequence[Line], share: Share) -> list[View]:
    """One unbroken row: every lead, 仮 dashed. What would be too narrow to read grows into its neighbour."""
    turns: list[tuple[datetime, str, str]] = [(case.opened_at, case.opened_by, "holder")]
    for line in lines:
        if line.kind in ("case.lead", "case.interim") and line.dest:
            turns.append((line.at, line.dest, "interim" if line.kind == "case.interim" else "holder"))
    turns = [turn for i, turn in enumerate(turns) if i == 0 or turn[1:] != turns[i - 1][1:]]
    edges = [share(at) for at, _, _ in turns] + [100]
    for i in range(len(turns) - 1, 0, -1):
        edges[i] = min(edges[i], edges[i + 1] - NARROW)
    edges[0] = 0
    for i in range(1, len(turns)):
        edges[i] = max(edges[i], edges[i - 1] + min(NARROW, 100 // len(turns)))
    return [
        {
            "text": f"{_who(found, who, style)} {_day(found, at)}",
            "style": style,
            "start": edges[i],
            "end": min(100, edges[i + 1]),
        }
        for i, (at, who, style) in enumerate(turns)
        if edges[i] < min(100, edges[i + 1])
    ]


def _who(found: Desk, who: str, style: str) -> str:
    if style == "interim":
        return found.t("仮 {agency}", agency=found.voice.agency(who))
    return found.voice.agency(found.town.staff[who].agency) if who in found.town.staff else found.voice.person(who)


def _watches(found: Desk, case: Case, end: datetime, share: Share) -> list[list[View]]:
    """Whoever passed something on watches until its result has come back; what overlaps stands in a row of its own."""
    rows: list[list[View]] = []
    for handoff in sorted(case.handoffs, key=lambda h: h.accepted_at or end):
        if handoff.accepted_at is None:
            continue
        until = handoff.result_at or handoff.ended_at or end
        left, right = share(handoff.accepted_at), share(until)
        right = max(right, min(100, left + NARROW))
        left = min(left, right - NARROW)
        text = found.t(
            "{agency} {duty}",
            agency=found.voice.agency(handoff.from_agency),
            duty=found.voice.label("duty", handoff.duty),
        )
        bar = {"text": text, "style": "sender", "start": max(0, left), "end": right}
        row = next((r for r in rows if r[-1]["end"] <= bar["start"]), None)
        if row is not None:
            row.append(bar)
        elif len(rows) < LANES:
            rows.append([bar])
    return rows
