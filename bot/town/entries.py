"""What may stand in each entry of a town file, judged one value at a time; what entries mean together is bot/town.py's.

Every refusal is a sentence for a clerk, with the line of the entry.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final, NoReturn, cast
from zoneinfo import available_timezones

from bot.town.lines import Path
from workflow import report
from workflow.calendar import WEEKDAYS, Span, expand_closed, hours_from
from workflow.people import Role

Doc = dict[str, Any]  #: JSON: what the database keeps of a town file

OFFICE_HOURS: Final = "08:30-17:15"
KINDS: Final = ("first_line", "coordinating_body", "municipality", "provider", "outreach", "host", "watcher")
VOLUNTEER_KINDS: Final = ("watcher", "host")
PLATFORMS: Final = ("slack", "telegram", "line", "mail", "webchat", "console")
LANGUAGES: Final = ("ja", "en")
RELATIONS: Final = (
    "owner", "deputy", "head", "lead", "holder", "sender", "receiver", "team", "approver", "next_approver",
    "coordinator", "coordinator2", "body_head", "official", "final", "roster",
)  # fmt: skip
#: A ladder ends here: relations that a valid town never leaves empty.
ENDS: Final = frozenset({"coordinator", "official", "final", "roster", "approver"})
ACTS: Final = (
    "ask", "remind", "tell", "expire", "queue", "next_candidate", "roster", "outreach", "ask_approval",
)  # fmt: skip


class TownMistake(ValueError):
    """An entry that cannot stand: the line it is on and a sentence for whoever wrote it."""

    def __init__(self, line: int, sentence: str, where: str = "town.toml") -> None:
        super().__init__(line, sentence, where)
        self.line = line
        self.sentence = sentence
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.sentence}"


@dataclass(frozen=True)
class Entry:
    """One key of a table: how its value is judged, and what it is when it is left out."""

    judge: Callable[["Page", Path, object], Any]
    default: Any = None
    must: bool = False


class Page:
    """A text being read: where its entries stand, and how a wrong one is refused."""

    def __init__(self, lines: Mapping[Path, int], where: str) -> None:
        self.lines = lines
        self.where = where

    def refuse(self, path: Path, sentence: str) -> NoReturn:
        """Raise the mistake at the nearest line known: the entry's own, else its table's."""
        while path and path not in self.lines:
            path = path[:-1]
        raise TownMistake(self.lines.get(path, 1), sentence, self.where)

    def table(self, path: Path, value: object) -> Doc:
        if not isinstance(value, dict):
            self.refuse(path, f"「{path[-1]}」は、項目 = 値 の並び(表)で書いてください。")
        return value

    def entry(self, path: Path, value: object, shape: Mapping[str, Entry], *, base: Doc | None = None) -> Doc:
        """Judge one table by its shape; `base` holds what a default entry of the same code already says."""
        given = self.table(path, value)
        for key in given:
            if key not in shape:
                self.refuse((*path, key), f"「{key}」という項目はありません。{self._stray(key, shape)}")
        made: Doc = {}
        for key, entry in shape.items():
            if key in given and given[key] is not None:
                made[key] = entry.judge(self, (*path, key), given[key])
            elif base is not None and key in base:
                made[key] = base[key]
            elif entry.must:
                self.refuse(path, f"「{key}」が書かれていません。")
            else:
                made[key] = entry.default.copy() if isinstance(entry.default, list | dict) else entry.default
        return made

    def _stray(self, key: str, shape: Mapping[str, Entry]) -> str:
        if key in TOP:
            return f"「{key}」はファイルの最初、どの [ ] よりも前に書いてください。"
        return meant(key, [k for k in shape if k not in ("years", "holiday_dates")])


def words(page: Page, path: Path, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        page.refuse(path, f"「{path[-1]}」は、空でない文字で書いてください。")
    return value.strip()


def maybe(page: Page, path: Path, value: object) -> str:
    return "" if value == "" else words(page, path, value)


def _code(page: Page, path: Path, value: object) -> str:
    code = words(page, path, value)
    if not re.fullmatch(r"[^\s/,、。]{1,40}", code):
        page.refuse(path, f"コード「{code[:40]}」には、空白・/・読点を使わず、40字までで書いてください。")
    return code


def _flag(page: Page, path: Path, value: object) -> bool:
    if not isinstance(value, bool):
        page.refuse(path, f"「{path[-1]}」は true か false で書いてください。")
    return value


def whole(least: int, most: int) -> Callable[[Page, Path, object], int]:
    def judge(page: Page, path: Path, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            page.refuse(path, f"「{path[-1]}」は {least} から {most} までの整数で書いてください。")
        return value

    return judge


def listed(judge: Callable[[Page, Path, object], Any]) -> Callable[[Page, Path, object], list[Any]]:
    def judged(page: Page, path: Path, value: object) -> list[Any]:
        if not isinstance(value, list):
            page.refuse(path, f"「{path[-1]}」は [ ] に入れて並べてください。")
        return [judge(page, (*path, i), one) for i, one in enumerate(value)]

    return judged


def one_of(names: Sequence[str], what: str) -> Callable[[Page, Path, object], str]:
    def judge(page: Page, path: Path, value: object) -> str:
        if not isinstance(value, str) or value not in names:
            page.refuse(path, f"{what}「{value}」はありません。{meant(value, names)}")
        return value

    return judge


def _date(page: Page, path: Path, value: object) -> str:
    try:
        return (value if isinstance(value, date) else date.fromisoformat(cast(str, value))).isoformat()[:10]
    except (TypeError, ValueError):
        page.refuse(path, f"「{path[-1]}」は 2026-04-01 のような日付で書いてください。")


def _clock(page: Page, path: Path, value: object) -> str:
    if isinstance(value, time):
        return value.strftime("%H:%M")
    if value == "24:00":
        return "00:00"
    if not isinstance(value, str) or not re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", value):
        page.refuse(path, f"時刻「{value}」は読めません。17:15 のように、00:00 から 24:00 までで書いてください。")
    return value.rjust(5, "0")


def _hours(page: Page, path: Path, value: object) -> str:
    if value == "":
        return ""
    try:
        hours_from("UTC", words(page, path, value))
    except ValueError:
        page.refuse(
            path,
            f"開所時間「{value}」は読めません。08:30-17:15 や 08:30-12:00, 13:00-17:15 のように、"
            "始まりを先に、24:00 までで書いてください。",
        )
    return cast(str, value).strip()


def _open(page: Page, path: Path, value: object) -> dict[str, str]:
    week = page.table(path, value)
    for day, text in week.items():
        if day not in WEEKDAYS:
            page.refuse((*path, day), f"曜日「{day}」はありません。{meant(day, WEEKDAYS)}")
        if not _hours(page, (*path, day), text):
            page.refuse((*path, day), "休みの曜日は、時間を空にせず、その曜日を書かないでください。")
    if not week:
        page.refuse(path, "開いている曜日が一つもありません。")
    return {day: week[day].strip() for day in WEEKDAYS if day in week}


def _closure(page: Page, path: Path, value: object) -> str:
    entry = value.isoformat() if isinstance(value, date) else words(page, path, value)
    try:
        expand_closed([entry], range(2024, 2026))
    except ValueError:
        page.refuse(
            path,
            f"休みの日「{entry}」は読めません。08-15、12-29..01-03、2026-08-13..2026-08-15 のように書いてください。",
        )
    return entry


def _days(page: Page, path: Path, value: object) -> list[str]:
    parts = value if isinstance(value, list) else words(page, path, value).split(",")
    named: set[str] = set()
    for part in parts:
        first, dots, last = (p.strip() for p in str(part).partition("-"))
        last = last if dots else first
        for day in (first, last):
            if day not in WEEKDAYS:
                page.refuse(path, f"曜日「{day}」はありません。mon-fri や sat,sun のように書いてください。")
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
        named.update(WEEKDAYS[(start + i) % 7] for i in range((end - start) % 7 + 1))
    if not named:
        page.refuse(path, "曜日が一つもありません。この当番にはだれの番もまわってきません。")
    return [day for day in WEEKDAYS if day in named]


def _number(page: Page, path: Path, value: object) -> str:
    number = words(page, path, value)
    if not re.fullmatch(r"[#+0-9][0-9()-]{2,19}", number):
        page.refuse(
            path, f"電話番号「{number}」は、189 や #8008、04-0000-0000 のように、数字と # と - で書いてください。"
        )
    return number


def _email(page: Page, path: Path, value: object) -> str:
    address = maybe(page, path, value)
    if address and not re.fullmatch(r"[^\s@<>,;\"]{1,64}@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}", address, re.I):
        page.refuse(path, f"メールアドレス「{address}」の形を確かめてください。")
    return address


def _chat(page: Page, path: Path, value: object) -> dict[str, str]:
    accounts = page.table(path, value)
    for platform, account in accounts.items():
        one_of(PLATFORMS, "チャット")(page, (*path, platform), platform)
        words(page, (*path, platform), account)
    return accounts


def _zone(page: Page, path: Path, value: object) -> str:
    name = words(page, path, value)
    zones, renamed = _zones()
    if name in zones:
        return name
    if now := renamed.get(name):
        page.refuse(path, f"時間帯「{name}」は、いまは「{now}」という名前です。「{now}」と書いてください。")
    page.refuse(
        path, f"時間帯「{name}」はありません。{meant(name, sorted(zones), 'Asia/Tokyo のように書いてください。')}"
    )


@cache
def _zones() -> tuple[frozenset[str], Mapping[str, str]]:
    """Today's zone names, and old name → today's, from the time zone database itself."""
    database = files("tzdata") / "zoneinfo"
    rows = (database / "zone.tab").read_text("utf-8").splitlines()
    named = {row.split("\t")[2] for row in rows if row and not row.startswith("#")}
    links = [row.split() for row in (database / "tzdata.zi").read_text("utf-8").splitlines() if row.startswith("L ")]
    today = named | {"UTC"} | {zone for zone in available_timezones() if zone.startswith("Etc/")}
    return frozenset(today), {old: now for _, now, old in links if old not in today}


def _country(page: Page, path: Path, value: object) -> str:
    country = maybe(page, path, value)
    if not country:
        return ""
    import holidays

    here: dict[str, list[str]] = holidays.list_supported_countries(include_aliases=False)
    name, _, part = country.partition("-")
    if name not in here:
        page.refuse(path, f"祝日の国「{country}」はありません。{_country_meant(name, here)}")
    if part and part not in here[name]:
        page.refuse(path, f"祝日の地域「{country}」はありません。{meant(part, here[name])}")
    return country


def _country_meant(name: str, here: Iterable[str]) -> str:
    from holidays.registry import COUNTRIES

    spellings = {"uk": "GB", **{s.lower(): codes[1] for s, codes in COUNTRIES.items()}}
    spellings |= {code.lower(): codes[1] for codes in COUNTRIES.values() for code in codes[:3]}
    meant = spellings.get(name.lower(), "")
    return f"「{meant}」ですか。" if meant in here else "JP のような2文字の国コードで書いてください。"


def _span(page: Page, path: Path, value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else words(page, path, value)
    try:
        return str(Span.parse(text))
    except ValueError:
        page.refuse(
            path,
            f"期間「{text[:40]}」は読めません。2bd, 4bh, 30d, 1mo, 15min, 6h, same_day のように、"
            "400日までで書いてください。",
        )


def _maybe_span(page: Page, path: Path, value: object) -> str:
    return "" if value == "" else _span(page, path, value)


def _wait(page: Page, path: Path, value: object) -> str:
    text = _span(page, path, value)
    span = Span.parse(text)
    if span.n == 0 or span.unit == "%":
        page.refuse(path, f"期間「{value}」では、だれも間に合いません。1bd のように、0 より長く書いてください。")
    return text


def _rung_list(page: Page, path: Path, value: object) -> list[Doc]:
    rungs = [page.entry((*path, i), one, _RUNG) for i, one in enumerate(listed(as_is)(page, path, value))]
    if path[-1] == "rungs" or rungs:
        _reaches_somebody(page, path, rungs)
    return rungs


def _reaches_somebody(page: Page, path: Path, rungs: list[Doc]) -> None:
    if not any(rung["to"] for rung in rungs):
        page.refuse(path, "この段では、返事がなくてもだれにも知らせが届きません。to に届け先を書いてください。")
    for i, rung in enumerate(rungs):
        if not rung["to"]:
            page.refuse((*path, i), "この段はだれにも届きません。to に届け先を書いてください。")
    _climbs(page, path, rungs)
    if not ENDS & set(rungs[-1]["to"]):
        last = (*path, len(rungs) - 1)
        page.refuse(last, f"最後の段は、いつも人がいる所({'・'.join(sorted(ENDS))} のどれか)に届くようにしてください。")


def _climbs(page: Page, path: Path, rungs: list[Doc]) -> None:
    """A rung that lies before the one above it would ring together with it, or never by itself."""
    for name in ("at", "high", "emergency"):
        spans = [
            Span.parse(rung[name] or rung["high"] or rung["at"] if name == "emergency" else rung[name] or rung["at"])
            for rung in rungs
        ]
        for i, (before, span) in enumerate(pairwise(spans), start=1):
            if _earlier(span, before):
                page.refuse(
                    (*path, i), f"「{span}」は、前の段の「{before}」より早くなっています。段は早い順に書いてください。"
                )


def _earlier(one: Span, other: Span) -> bool:
    """Whether a rung surely lies before another: a share before the due time, all else after it; other units depend on the hours."""
    shares = one.unit == "%" and one.n < 100, other.unit == "%" and other.n < 100
    if shares != (False, False):
        return shares == (True, False) or (shares == (True, True) and one.n < other.n)
    if one.n == 0 or one.unit == "%":
        return other.n > 0 and other.unit != "%"
    return one.unit == other.unit and one.n < other.n


def as_is(page: Page, path: Path, value: object) -> Any:
    """Pass what another judge looks at with its neighbours in view."""
    return value


_RUNG: Final = {
    "at": Entry(_span, must=True),
    "to": Entry(listed(one_of(RELATIONS, "届け先")), must=True),
    "act": Entry(one_of(ACTS, "すること"), "remind"),
    "high": Entry(_maybe_span, ""),
    "emergency": Entry(_maybe_span, ""),
}
POLICY: Final = {
    "normal": Entry(_wait),
    "high": Entry(_wait),
    "emergency": Entry(lambda page, path, value: "" if value == "" else _wait(page, path, value), ""),
    "rungs": Entry(_rung_list),
    "emergency_rungs": Entry(_rung_list),
}
_PHONE: Final = {"label": Entry(words, must=True), "number": Entry(words, must=True)}
_POST: Final = {
    "agency": Entry(words, must=True),
    "role": Entry(one_of(tuple(Role), "職"), "staff"),
}
CITY: Final = {
    "code": Entry(words, must=True),
    "name": Entry(words, must=True),
    "timezone": Entry(_zone, "Asia/Tokyo"),
    "holidays": Entry(_country, "JP"),
    "closed": Entry(listed(_closure), ["12-29..01-03"]),
    "language": Entry(one_of(LANGUAGES, "言語"), "ja"),
    "phones": Entry(listed(lambda page, path, value: page.entry(path, value, _PHONE)), []),
    "final_owner": Entry(words, must=True),
    "districts": Entry(listed(words), []),
    "harsh": Entry(listed(whole(1, 12)), [1, 2, 7, 8, 12]),
    "years": Entry(as_is),
    "holiday_dates": Entry(as_is),
}
_VALID: Final = {"valid_from": Entry(_date), "valid_to": Entry(_date)}
AGENCY: Final = {
    "code": Entry(_code, must=True),
    "name": Entry(words, must=True),
    "kind": Entry(one_of(KINDS, "機関の種類"), must=True),
    "fields": Entry(listed(words), []),
    "districts": Entry(listed(words), []),
    "phone": Entry(maybe, ""),
    "hours": Entry(_hours, ""),
    "open": Entry(_open, {}),
    "closed": Entry(listed(_closure), []),
    "capacity": Entry(whole(0, 100_000)),
    "decides": Entry(one_of(("daily", "weekly"), "決めかた"), "daily"),
    "discreet": Entry(_flag, False),
    "platforms": Entry(listed(one_of(PLATFORMS, "チャット")), []),
    **_VALID,
}
STAFF: Final = {
    "code": Entry(_code, must=True),
    "name": Entry(words, must=True),
    "agency": Entry(maybe, ""),
    "role": Entry(one_of(tuple(Role), "職"), ""),
    "posts": Entry(listed(lambda page, path, value: page.entry(path, value, _POST)), []),
    "deputy": Entry(maybe, ""),
    "email": Entry(_email, ""),
    "chat": Entry(_chat, {}),
    "language": Entry(one_of(("", *LANGUAGES), "言語"), ""),
    **_VALID,
}
ONCALL: Final = {
    "name": Entry(words, must=True),
    "phone": Entry(words, must=True),
    "staff": Entry(maybe, ""),
    "days": Entry(_days, list(WEEKDAYS)),
    "from": Entry(_clock, "00:00"),
    "to": Entry(_clock, "00:00"),
}
REPORT: Final = {
    "kind": Entry(one_of(report.KINDS, "虐待の種類"), must=True),
    "label": Entry(words, must=True),
    "number": Entry(_number, must=True),
}
_LISTED: Final = {"code": Entry(_code, must=True), "label": Entry(words), "use": Entry(_flag, True)}
DUTY: Final = {**_LISTED, "fields": Entry(listed(words), []), "meets_person": Entry(_flag, True)}
CODE: Final = {
    **_LISTED,
    "short": Entry(maybe, ""),
    "fields": Entry(listed(words), []),
    "starred": Entry(_flag, False),
    "whose": Entry(one_of(("agency", "person", "engine"), "だれの事情"), "agency"),
    "lasting": Entry(_flag, True),
    "next": Entry(
        one_of(("candidate", "waitlist", "answer", "deputy", "other", "interpreter", "consult"), "次の提案"),
        "candidate",
    ),
}
CODE_LISTS: Final = ("duty", "concern", "decline", "condition", "missing", "closing")
TOP: Final = (
    "municipality",
    "agency",
    "staff",
    "oncall",
    "report",
    *CODE_LISTS,
    "waits",
    "stages",
    "sentences",
    "marks",
    "limits",
    "retention",
)


def meant(wrong: object, right: Sequence[str], otherwise: str = "") -> str:
    """Say what was probably meant, or what could be."""
    from rapidfuzz import fuzz, process  # only a mistake pays for it

    near = process.extractOne(str(wrong), right, scorer=fuzz.ratio, score_cutoff=60)
    if near:
        return f"「{near[0]}」ですか。"
    return otherwise or (f"{', '.join(right)} のどれかです。" if len(right) <= 20 else "")
