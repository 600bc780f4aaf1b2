"""The list of cases and the search for one; what a row of every list shows."""

import unicodedata
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from bot.pages.frame import Desk, guards, show
from bot.words import whole_number
from storage import cases as kept
from storage import marks
from storage.cases import CaseRow, Filter
from storage.tx import Tx
from workflow import number as numbers
from workflow.confidence import may_open
from workflow.ladder import Urgency
from workflow.path import STAGES
from workflow.people import Role, Staff
from workflow.sight import Sight

#: Who may see lists of cases; which cases stand there is their sight's.
LISTED: Final = (Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL)
PAGE: Final = 50
MOST: Final = 5_000


@dataclass(frozen=True)
class Wanted:
    """What a list's address asks for; unknown values ask for nothing."""

    district: str = ""
    urgency: str = ""
    agency: str = ""
    stage: str = ""
    q: str = ""
    closed: str = ""
    page: str = ""

    @classmethod
    def of(cls, found: Desk) -> "Wanted":
        asked = cls(**{f.name: found.request.query_params.get(f.name, "").strip()[:80] for f in fields(cls)})
        return replace(
            asked,
            district=asked.district if asked.district in found.town.districts else "",
            urgency=asked.urgency if asked.urgency in set(Urgency) else "",
            agency=asked.agency if asked.agency in agencies_of(found) else "",
            stage=asked.stage if asked.stage in STAGES else "",
            page=asked.page if whole_number(asked.page) else "",
        )

    @property
    def number(self) -> int:
        """The page, from 1."""
        return min(whole_number(self.page) or 1, MOST // PAGE)

    def filter(self, *, stages: tuple[str, ...] = ()) -> Filter:
        return Filter(
            stages=stages, agency=self.agency or None, district=self.district or None,
            urgency=Urgency(self.urgency) if self.urgency else None,
        )  # fmt: skip

    def url(self, path: str, **changes: str) -> str:
        """The address of the same wishes but for some."""
        asked = {f.name: getattr(self, f.name) for f in fields(self)} | changes
        query = urlencode({k: v for k, v in asked.items() if v})
        return f"{path}?{query}" if query else path


def agencies_of(found: Desk) -> tuple[str, ...]:
    """The agencies that this person may list cases of."""
    me = found.reader
    return tuple(found.town.agencies) if found.sight.everything else own_agencies(me)


def own_agencies(me: Staff) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.agency for p in me.posts if p.role in LISTED))


def listed(tx: Tx, sight: Sight, wanted: Filter, *, closed: bool = False, limit: int = MOST) -> list[CaseRow]:
    """The cases that somebody may know, the nearest due first."""
    return kept.refs(tx, sight, wanted, closed=closed, limit=limit)


# -- what a row shows


def chip(found: Desk, row: CaseRow, *, short: bool = False) -> dict[str, Any]:
    """The nearest wait of a case, worded; `short` is for a tile: 「定期確認 6/16」."""
    voice = found.voice
    if row.stage == "closed":
        return {"kind": "done", "text": voice.label("stage", "closed")}
    if row.nearest_due is None:
        return {"kind": "paused", "text": voice.say("chip.paused")}
    hours = None if row.urgency is Urgency.EMERGENCY else found.town.body.hours
    left = voice.left(row.nearest_due, found.now, hours)
    label, when = voice.label("wait", row.nearest_kind), left.text
    if short:
        label = label.partition("(")[0]
        far = when == voice.say("left.until", day=voice.day(row.nearest_due, found.now))
        when = voice.day(row.nearest_due, found.now).partition("(")[0] if far else when
    text = f"{label} {when}".strip()
    return {"kind": left.kind, "text": text, "share": left.share, "iso": row.nearest_due.isoformat()}


def lead_name(found: Desk, row: CaseRow) -> str:
    """The lead, or the coordinating body while nobody else leads."""
    if row.lead:
        return found.voice.person(row.lead)
    return found.t("{body}(仮)").replace("{body}", found.voice.agency(row.interim)) if row.interim else ""


def urgency(found: Desk, row: CaseRow) -> dict[str, str]:
    return {"level": row.urgency.value, "label": found.voice.label("urgency", row.urgency.value)}


def choosers(found: Desk, wanted: Wanted, *, stage: bool = False) -> list[dict[str, Any]]:
    """The filters as select boxes; one that has a single answer is left out."""
    voice, town = found.voice, found.town
    boxes = [
        ("stage", "段階", [(s, voice.label("stage", s)) for s in STAGES if s != "closed"] if stage else []),
        ("district", "圏域", [(d, d) for d in town.districts]),
        ("urgency", "緊急度", [(u.value, voice.label("urgency", u.value)) for u in Urgency]),
        ("agency", "機関", [(a, voice.agency(a)) for a in agencies_of(found)]),
    ]
    return [
        {
            "id": f"by-{name}", "name": name, "label": found.t(label),
            "options": [{"value": v, "label": text, "chosen": v == getattr(wanted, name)} for v, text in options],
        }
        for name, label, options in boxes if len(options) > 1
    ]  # fmt: skip


# -- the page


async def cases(found: Desk) -> Response:
    """Every case one may list, open or closed; found by number or 目印."""
    found.only(*LISTED)
    wanted = Wanted.of(found)
    rows, words = await found.read(lambda tx: (_rows(tx, found, wanted), marks.words_of(tx, found.reader.code)))
    whole = _whole(wanted.q)
    opens = await found.read(lambda tx: bool(whole) and _opens(tx, found, whole, rows))
    if opens:
        return RedirectResponse(f"/cases/{whole}", 303)
    near = await found.read(lambda tx: _near(tx, found, wanted)) if wanted.q and not rows else []
    first = (wanted.number - 1) * PAGE
    shown = rows[first : first + PAGE]
    found.looked(*(row.number for row in shown), *(one["label"] for one in near), kind="search" if wanted.q else "view")
    return show(
        found, "cases.html", found.t("事例の一覧"), "cases", wanted=wanted, count=len(rows), near=near,
        choosers=choosers(found, wanted, stage=not wanted.closed), opens=may_open(found.reader, found.town), tabs=_tabs(found, wanted),
        rows=[_row(found, row, words.get(row.id, "")) for row in shown], pages=_pages(wanted, len(rows)),
    )  # fmt: skip


def _opens(tx: Tx, found: Desk, whole: str, rows: list[CaseRow]) -> bool:
    """Say whether a whole number leads straight to its case: it is listed, or this person may open it."""
    if any(row.number == whole for row in rows):
        return True
    case = kept.load(tx, whole, lock=False)
    return case is not None and found.sight.knows(case)


def _rows(tx: Tx, found: Desk, wanted: Wanted) -> list[CaseRow]:
    """An empty search lists what is open; a search looks through closed cases too."""
    me = found.reader
    stages = ("closed",) if wanted.closed else (wanted.stage,) if wanted.stage else ()
    base = wanted.filter(stages=stages)
    if not wanted.q:
        rows = listed(tx, found.sight, base, closed=bool(wanted.closed))
        return sorted(rows, key=lambda r: r.opened_at, reverse=True) if wanted.closed else rows
    found_rows: dict[int, CaseRow] = {}
    for part in _numbers(wanted.q):
        found_rows |= {r.id: r for r in listed(tx, found.sight, replace(base, number=part), closed=True)}
    meant = _marked(tx, me.code, wanted.q)
    if meant:
        every = {r.id: r for r in listed(tx, found.sight, base, closed=True)}
        found_rows |= {id_: every[id_] for id_ in meant if id_ in every}
    return list(found_rows.values())


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def _whole(text: str) -> str:
    seen = numbers.find(text)
    return seen[0] if seen else ""


def _numbers(text: str) -> list[str]:
    """What could be written in a number: typed whole, with hyphens, or as figures alone."""
    plain = _plain(text).replace("ー", "-").replace("−", "-").replace("‐", "-")
    if whole := _whole(plain):
        return [whole]
    if not plain or not set(plain) <= set("0123456789-"):
        return []
    figures = plain.replace("-", "")
    hyphened = "-".join(filter(None, (figures[:3], figures[3:6], figures[6:8])))
    return list(dict.fromkeys((plain, hyphened)))


def _marked(tx: Tx, reader: str, text: str) -> set[int]:
    """Cases whose 目印 begins like this, also those given back since."""
    plain = _hiragana(_plain(text))
    exact = marks.case_for_mark(tx, reader, text)
    begun = {id_ for id_, word in marks.words_of(tx, reader).items() if plain and _hiragana(word).startswith(plain)}
    return begun | ({exact} if exact is not None else set())


def _hiragana(text: str) -> str:
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in text)


def _near(tx: Tx, found: Desk, wanted: Wanted) -> list[dict[str, str]]:
    """Numbers one figure away that this person may list: 「こちらのことでしょうか」."""
    whole = _whole(wanted.q)
    if not whole:
        return []
    close = kept.find_numbers(tx, found.sight, numbers.neighbours(whole))
    return [{"label": r.number, "href": f"/cases/{r.number}"} for r in close][:3]


def _row(found: Desk, row: CaseRow, mark: str) -> dict[str, Any]:
    voice = found.voice
    return {
        "id": f"case-{row.id}", "number": row.number, "mark": mark, "href": f"/cases/{row.number}",
        "urgency": urgency(found, row), "stage": row.stage, "stage_label": voice.label("stage", row.stage),
        "lead": lead_name(found, row), "district": row.district or "", "guards": guards(found, row.restricted, row.flags), "flagged": bool(row.flags), "wait": chip(found, row),
        "opened": {"text": voice.day(row.opened_at, found.now), "iso": row.opened_at.isoformat()},
    }  # fmt: skip


def _tabs(found: Desk, wanted: Wanted) -> list[dict[str, Any]]:
    pairs = (("", "進行中"), ("1", "終結した相談"))
    return [
        {"label": found.t(label), "href": wanted.url("/cases", closed=value, stage="", page="", q=""),
         "chosen": not wanted.q and bool(wanted.closed) == bool(value)}
        for value, label in pairs
    ]  # fmt: skip


def _pages(wanted: Wanted, count: int) -> dict[str, str]:
    here = wanted.number
    return {
        "before": wanted.url("/cases", page=str(here - 1)) if here > 1 else "",
        "after": wanted.url("/cases", page=str(here + 1)) if here * PAGE < count else "",
    }
