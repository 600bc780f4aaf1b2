"""The town file: read and judged entry by entry, kept as a plain document, made into the workflow's `Town`.

`read` fills in every default (bot/defaults.toml, workflow/ladder.py): a kept document needs neither to be understood.
No clock is read here: the years whose holidays count are handed in.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import date, time
from functools import cache
from pathlib import Path as File
from string import Formatter
from typing import Final

from bot.sweep import CHAT_DAYS
from bot.town.clerk import diff, people_rows, staff_csv
from bot.town.entries import (
    AGENCY,
    CITY,
    CODE,
    CODE_LISTS,
    DUTY,
    LANGUAGES,
    OFFICE_HOURS,
    ONCALL,
    POLICY,
    REPORT,
    STAFF,
    TOP,
    VOLUNTEER_KINDS,
    Doc,
    Entry,
    Page,
    TownMistake,
    listed,
    meant,
    whole,
    words,
)
from bot.town.former import FORMER
from bot.town.lines import Path, places
from bot.town.usual import defaults, show, usual, usual_waits
from workflow.calendar import VOLUNTEER_WEEK, WEEKDAYS, Hours, expand_closed, hours_from
from workflow.ladder import DEFAULTS, Policy, Rung
from workflow.path import STAGES
from workflow.people import LEAD, WATCH, Absence, Agency, Code, Duty, OnCall, Phone, Post, ReportLine, Role, Staff, Town

__all__ = [
    "Doc", "NotUtf8", "TownMistake", "build", "defaults", "diff", "parse", "read", "show", "staff_csv", "text_of",
    "with_staff", "years_around",
]  # fmt: skip

YEARS: Final = range(2024, 2041)  #: whose holidays a document holds unless the caller names others
LEAST_MARKS: Final = 60
#: With none of these nothing would ever leave, or hold.
LEAST: Final[Mapping[str, int]] = {
    "push_a_day": 1, "push_a_week_volunteers": 1, "invite_days": 1, "retention_years": 1,
    "retention_chat_days": 8,  # what was pushed in a week is counted
}  # fmt: skip
#: What is kept of chats is never kept longer (bot/sweep.py), whatever a town writes.
MOST: Final[Mapping[str, int]] = {"retention_chat_days": CHAT_DAYS, "retention_years": 100}
NEVER_OPEN: Final = 366  #: days in a row; whoever is closed longer has an end (valid_to)
#: Staff codes that the journal uses for itself.
TAKEN: Final = frozenset({"clock", "engine"})
#: Days that must be kept: a check-in comes round, a platform repeats an event for a day, a code on paper lives for two weeks.
LEAST_DAYS: Final[Mapping[str, int]] = {"letters": 100, "inbox": 7, "traces": 31}
#: Entries of the code lists that the engine itself speaks of.
RESERVED: Final[Mapping[str, frozenset[str]]] = {
    "duty": frozenset({LEAD, WATCH}),
    "closing": frozenset({"info_only", "mistake", "duplicate", "deceased", "no_contact"}),
    "decline": frozenset({"missing_information", "other"}),
}


class NotUtf8(ValueError):
    """{name}: 文字コードを UTF-8 にして保存しなおしてください。"""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: 文字コードを UTF-8 にして保存しなおしてください。")


def text_of(file: File) -> str:
    """Read a town file, with or without the mark that Windows writes first. Raise NotUtf8 for CP932 and the like, or OSError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise NotUtf8(file.name) from None


def read(
    text: str, *, where: str = "town.toml", years: range = YEARS, known: Mapping[str, frozenset[str]] | None = None
) -> Doc:
    """Judge a town file and return its document, every default filled in; raise TownMistake for the first mistake.

    `known`: sentence key → its placeholders, to judge `[sentences]` by; without it only their form is judged.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as broken:
        raise _broken(broken, text, where) from None
    return _Reading(raw, places(text), where, years, known or {}).document()


def build(doc: Doc, *, version: int, absences: Sequence[Absence] = (), years: range | None = None) -> Town:
    """Make the town of a document; `years` adds the holidays of years that the document does not hold."""
    city = doc["municipality"]
    hours = _Doors(city, years)
    return Town(
        code=city["code"],
        name=city["name"],
        zone=city["timezone"],
        final_owner=city["final_owner"],
        agencies={a["code"]: _agency(a, hours) for a in doc["agency"]},
        staff={s["code"]: _staff(s) for s in doc["staff"]},
        duties={d["code"]: Duty(d["code"], d["label"], tuple(d["fields"]), d["meets_person"]) for d in doc["duty"]},
        concerns=_codes(doc["concern"]),
        declines=_codes(doc["decline"]),
        conditions=_codes(doc["condition"]),
        missing=_codes(doc["missing"]),
        closings=_codes(doc["closing"]),
        policies={
            **DEFAULTS,
            **{kind: _policy(p) for kind, p in doc["waits"].items()},
        },  # kept before there were some: the usual
        stages=dict(doc["stages"]),
        sentences={language: dict(said) for language, said in doc["sentences"].items()},
        language=city["language"],
        phones=tuple(Phone(p["label"], p["number"]) for p in city["phones"]),
        oncall=tuple(_oncall(o) for o in doc["oncall"]),
        reports=tuple(ReportLine(r["kind"], r["label"], r["number"]) for r in doc.get("report") or usual()["report"]),
        marks=tuple(doc["marks"]),
        districts=tuple(city["districts"]),
        harsh=frozenset(city["harsh"]),
        limits=dict(doc["limits"]),
        retention=dict(doc.get("retention") or usual()["retention"]),  # kept before there were any: the usual
        absences=tuple(absences),
        version=version,
        former=tuple(_former(one, years) for one in doc.get(FORMER, ())),
    )


def _former(calendar: Doc, years: range | None) -> dict[str, Hours]:
    doors = _Doors(calendar["municipality"], years)
    return {agency["code"]: doors.of(agency) for agency in calendar["agency"]}


def parse(text: str, *, where: str = "town.toml") -> Town:
    """Read and build in one go."""
    return build(read(text, where=where), version=0)


def years_around(day: date) -> range:
    """Return last year to the third from now: the holidays that a wait set on `day` can need."""
    return range(day.year - 1, day.year + 4)


# -- building


class _Doors:
    """Opening hours by their description: agencies that share one share its remembered days, too."""

    def __init__(self, city: Doc, years: range | None) -> None:
        self.zone = city["timezone"]
        span = range(*city["years"])
        self.years = range(min(span[0], years[0]), max(span[-1], years[-1]) + 1) if years else span
        self.closed = frozenset(date.fromisoformat(day) for day in city["holiday_dates"])
        if years and not set(years) <= set(span):
            self.closed |= national_holidays(city["holidays"], self.years)
        self.closed |= _closed(tuple(city["closed"]), self.years)
        self.made: dict[tuple[object, ...], Hours] = {}

    def of(self, agency: Doc) -> Hours:
        key = (agency["hours"], tuple(sorted(agency["open"].items())), tuple(agency["closed"]))
        if key not in self.made:
            self.made[key] = self._make(agency)
        return self.made[key]

    def _make(self, agency: Doc) -> Hours:
        own = _closed(tuple(agency["closed"]), self.years)
        if not agency["hours"] and not agency["open"]:  # volunteers: calendar days, so no holidays
            return Hours(self.zone, VOLUNTEER_WEEK, own)
        return hours_from(self.zone, agency["hours"], agency["open"] or None, self.closed | own)


@cache
def _closed(entries: tuple[str, ...], years: range) -> frozenset[date]:
    return expand_closed(entries, years)


@cache
def _longest_closure(open_on: frozenset[int], closed: frozenset[date], years: range) -> int:
    """Days in a row without an opening, at most, in these years; `open_on` are days of the week, Monday is 0."""
    longest = idle = 0
    for number in range(date(years[0], 1, 1).toordinal(), date(years[-1], 12, 31).toordinal() + 1):
        idle = 0 if (number - 1) % 7 in open_on and date.fromordinal(number) not in closed else idle + 1
        longest = max(longest, idle)
    return longest


@cache
def national_holidays(country: str, years: range) -> frozenset[date]:
    """Return a country's holidays, 振替休日 included; none for an empty country.

    The library takes half a second to import, so it is only asked while a file is read.
    """
    if not country:
        return frozenset()
    import holidays

    name, _, part = country.partition("-")
    return frozenset(holidays.country_holidays(name, subdiv=part or None, years=years))


def _agency(a: Doc, doors: _Doors) -> Agency:
    return Agency(
        code=a["code"], name=a["name"], kind=a["kind"], hours=doors.of(a), fields=tuple(a["fields"]),
        districts=tuple(a["districts"]), phone=a["phone"], capacity=a["capacity"], decides=a["decides"],
        discreet=a["discreet"], platforms=tuple(a["platforms"]),
        valid_from=_day(a["valid_from"]), valid_to=_day(a["valid_to"]),
    )  # fmt: skip


def _staff(s: Doc) -> Staff:
    return Staff(
        code=s["code"], name=s["name"], posts=tuple(Post(p["agency"], Role(p["role"])) for p in s["posts"]),
        deputy=s["deputy"], email=s["email"], chat=tuple(s["chat"].items()), language=s["language"],
        valid_from=_day(s["valid_from"]), valid_to=_day(s["valid_to"]),
    )  # fmt: skip


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _codes(entries: Iterable[Doc]) -> dict[str, Code]:
    return {
        e["code"]: Code(
            code=e["code"], label=e["label"], short=e["short"], fields=tuple(e["fields"]),
            starred=e["starred"], whose=e["whose"], lasting=e["lasting"], next=e["next"],
        )
        for e in entries
    }  # fmt: skip


def _policy(p: Doc) -> Policy:
    return Policy(
        normal=p["normal"], high=p["high"], emergency=p["emergency"],
        rungs=_rungs(p["rungs"]), emergency_rungs=_rungs(p["emergency_rungs"]),
    )  # fmt: skip


def _rungs(rungs: Iterable[Doc]) -> tuple[Rung, ...]:
    return tuple(Rung(r["at"], tuple(r["to"]), r["act"], r["high"], r["emergency"]) for r in rungs)


def _oncall(o: Doc) -> OnCall:
    days = frozenset(WEEKDAYS.index(day) for day in o["days"])
    return OnCall(o["name"], o["phone"], o["staff"], days, time.fromisoformat(o["from"]), time.fromisoformat(o["to"]))


class _Reading(Page):
    """One reading of one file: what it says, where it says so, and the first thing that cannot stand."""

    def __init__(
        self, raw: Doc, lines: Mapping[Path, int], where: str, years: range, known: Mapping[str, frozenset[str]]
    ) -> None:
        super().__init__(lines, where)
        self.raw = raw
        self.years = years
        self.known = known

    def document(self) -> Doc:
        for key in self.raw:
            if key not in TOP:
                self.refuse((key,), f"「{key}」という項目はありません。{meant(key, TOP)}")
        city = self._city()
        agencies = self._agencies(city)
        staff = self._people(agencies)
        doc: Doc = {"municipality": city, "agency": agencies, "staff": staff}
        doc["oncall"] = self._oncall({s["code"] for s in staff})
        doc["report"] = self._report()
        doc |= {kind: self._codes(kind) for kind in CODE_LISTS}
        doc["waits"] = self._waits()
        doc["stages"] = self._stages()
        doc["sentences"] = self._sentences()
        doc["marks"] = self._marks()
        doc["limits"] = self._limits()
        doc["retention"] = self._retention()
        self._answerable(city, agencies, staff)
        return doc

    def restaffed(self, doc: Doc) -> Doc:
        """Return the document with this reading's people, judged in its town."""
        staff = self._people(doc["agency"])
        self._answerable(doc["municipality"], doc["agency"], staff)
        return {**doc, "staff": staff}

    def _entries(self, kind: str) -> list[object]:
        entries = self.raw.get(kind, [])
        if not isinstance(entries, list):
            self.refuse((kind,), f"「{kind}」は [[{kind}]] と、二重のかっこで書いてください。")
        return entries

    def _once(self, entries: Sequence[Doc], kind: str, key: str, what: str) -> None:
        seen: set[str] = set()
        for i, entry in enumerate(entries):
            if entry[key] in seen:
                self.refuse((kind, i, key), f"{what}「{entry[key]}」は二度書かれています。")
            if entry[key]:
                seen.add(entry[key])

    def _validity(self, kind: str, entries: Sequence[Doc]) -> None:
        for i, entry in enumerate(entries):
            if entry["valid_from"] and entry["valid_to"] and entry["valid_from"] > entry["valid_to"]:
                self.refuse((kind, i, "valid_to"), "終わりの日(valid_to)が始まりの日(valid_from)より前です。")

    def _city(self) -> Doc:
        if "municipality" not in self.raw:
            self.refuse((), "[municipality] がありません。自治体の code, name, final_owner を書いてください。")
        city = self.entry(("municipality",), self.raw["municipality"], CITY)
        city["years"] = [self.years[0], self.years[-1] + 1]
        days = national_holidays(city["holidays"], self.years)
        city["holiday_dates"] = sorted(day.isoformat() for day in days)
        return city

    def _agencies(self, city: Doc) -> list[Doc]:
        agencies = [self.entry(("agency", i), one, AGENCY) for i, one in enumerate(self._entries("agency"))]
        self._once(agencies, "agency", "code", "機関のコード")
        self._once(agencies, "agency", "name", "機関の名前")
        self._validity("agency", agencies)
        for i, agency in enumerate(agencies):
            self._opening(("agency", i), agency)
            self._opens(("agency", i), agency, city)
            self._districts(("agency", i, "districts"), agency["districts"], city["districts"])
        if not city["districts"]:
            city["districts"] = list(dict.fromkeys(d for a in agencies for d in a["districts"]))
        self._one_body(agencies)
        return agencies

    def _opening(self, path: Path, agency: Doc) -> None:
        if agency["hours"] and agency["open"]:
            self.refuse((*path, "open"), "開所時間は hours か open の、どちらか一方で書いてください。")
        if not agency["hours"] and not agency["open"] and agency["kind"] not in VOLUNTEER_KINDS:
            agency["hours"] = OFFICE_HOURS

    def _opens(self, path: Path, agency: Doc, city: Doc) -> None:
        """Refuse closures after which a wait of this agency would never fall due."""
        volunteer = not agency["hours"] and not agency["open"]
        week = (
            VOLUNTEER_WEEK
            if volunteer
            else hours_from("UTC", agency["hours"] or OFFICE_HOURS, agency["open"] or None).week
        )
        closed = _closed(tuple(agency["closed"]), self.years)
        if not volunteer:
            closed |= _closed(tuple(city["closed"]), self.years) | {
                date.fromisoformat(d) for d in city["holiday_dates"]
            }
        if _longest_closure(frozenset(i for i, day in enumerate(week) if day), closed, self.years) > NEVER_OPEN:
            whose = (*path, "closed") if agency["closed"] else ("municipality", "closed")
            self.refuse(
                whose,
                f"「{agency['name']}」は、1年以上、開いている日がありません。休みの日(closed)を確かめてください。",
            )

    def _districts(self, path: Path, own: Sequence[str], towns: Sequence[str]) -> None:
        for i, district in enumerate(own):
            if towns and district not in towns:
                self.refuse(
                    (*path, i),
                    f"圏域「{district}」は [municipality] の districts にありません。{meant(district, towns)}",
                )

    def _one_body(self, agencies: Sequence[Doc]) -> None:
        bodies = [i for i, a in enumerate(agencies) if a["kind"] == "coordinating_body"]
        if not bodies:
            self.refuse(("municipality",), '多機関協働の機関(kind = "coordinating_body")を一つ書いてください。')
        if len(bodies) > 1:
            first = agencies[bodies[0]]["name"]
            self.refuse(
                ("agency", bodies[1], "kind"), f"多機関協働の機関は一つだけです。「{first}」がすでにそうなっています。"
            )

    def _people(self, agencies: Sequence[Doc]) -> list[Doc]:
        staff = [self.entry(("staff", i), one, STAFF) for i, one in enumerate(self._entries("staff"))]
        codes = [a["code"] for a in agencies]
        for i, person in enumerate(staff):
            self._posts(("staff", i), person, codes)
            if person["code"] in TAKEN:
                self.refuse(("staff", i, "code"), f"コード「{person['code']}」は仕組みが使うため、職員には使えません。")
            person["deputy"] = person["deputy"] or None
        self._once(staff, "staff", "code", "職員のコード")
        self._validity("staff", staff)
        self._deputies(staff)
        self._accounts(staff)
        return staff

    def _posts(self, path: Path, person: Doc, agencies: Sequence[str]) -> None:
        """Turn `agency` and `role` into the one list of posts that a document has."""
        agency, role = person.pop("agency"), person.pop("role")
        if person["posts"] and (agency or role):
            stray = "agency" if agency else "role"
            self.refuse((*path, stray), "所属は agency と role か、posts の、どちらか一方で書いてください。")
        if not person["posts"]:
            if not agency:
                self.refuse(path, f"「{person['name']}」さんの所属機関(agency)が書かれていません。")
            person["posts"] = [{"agency": agency, "role": role or "staff"}]
        for i, post in enumerate(person["posts"]):
            if post["agency"] not in agencies:
                at = (*path, "posts", i, "agency") if not agency else (*path, "agency")
                self.refuse(at, f"機関「{post['agency']}」はありません。{meant(post['agency'], agencies)}")
            if post in person["posts"][:i]:
                self.refuse((*path, "posts", i), "同じ所属と職が二度書かれています。")

    def _deputies(self, staff: Sequence[Doc]) -> None:
        place = {s["code"]: i for i, s in enumerate(staff)}
        for i, person in enumerate(staff):
            deputy = person["deputy"]
            if deputy and deputy not in place:
                self.refuse(
                    ("staff", i, "deputy"), f"代理「{deputy}」という職員はいません。{meant(deputy, list(place))}"
                )
        after = {s["code"]: s["deputy"] for s in staff}
        for person in staff:
            if circle := _circle(person["code"], after):
                last = max(place[code] for code in circle)
                names = " → ".join(staff[place[code]]["name"] for code in (*circle, circle[0]))
                self.refuse(("staff", last, "deputy"), f"代理が一回りしています({names})。どこかで止めてください。")

    def _accounts(self, staff: Sequence[Doc]) -> None:
        owner: dict[tuple[str, str], str] = {}
        for i, person in enumerate(staff):
            for account in person["chat"].items():
                if account in owner:
                    self.refuse(
                        ("staff", i, "chat"), f"この {account[0]} のアカウントは「{owner[account]}」さんのものです。"
                    )
                owner[account] = person["name"]

    def _oncall(self, staff: set[str]) -> list[Doc]:
        rows = [self.entry(("oncall", i), one, ONCALL) for i, one in enumerate(self._entries("oncall"))]
        for i, row in enumerate(rows):
            if row["staff"] and row["staff"] not in staff:
                self.refuse(
                    ("oncall", i, "staff"),
                    f"当番「{row['staff']}」という職員はいません。{meant(row['staff'], sorted(staff))}",
                )
            row["staff"] = row["staff"] or None
        return rows

    def _report(self) -> list[Doc]:
        """The numbers to call when abuse is suspected: a kind that the town writes has the town's alone."""
        given = [self.entry(("report", i), one, REPORT) for i, one in enumerate(self._entries("report"))]
        for i, one in enumerate(given):
            if one in given[:i]:
                self.refuse(("report", i), f"「{one['label']}」({one['number']})は二度書かれています。")
        written = {one["kind"] for one in given}
        return given + [dict(one) for one in usual()["report"] if one["kind"] not in written]

    def _codes(self, kind: str) -> list[Doc]:
        """Lay the town's entries of a code list over the usual ones, by code."""
        shape = DUTY if kind == "duty" else CODE
        given_before = {e["code"]: e for e in deepcopy(usual()[kind])}
        given: list[Doc] = []
        for i, one in enumerate(self._entries(kind)):
            path: Path = (kind, i)
            code = self.table(path, one).get("code")
            entry = self.entry(path, one, shape, base=given_before.get(code) if isinstance(code, str) else None)
            if not entry["label"]:
                self.refuse(path, f"「{entry['code']}」の label(呼び名)が書かれていません。")
            if not entry["use"] and entry["code"] in RESERVED.get(kind, ()):
                self.refuse((*path, "use"), f"「{entry['code']}」は仕組みが使うため、外せません。")
            given.append(entry)
        self._once(given, kind, "code", "コード")
        merged = {**given_before, **{e["code"]: e for e in given}}
        return self._in_use(kind, [dict(e) for e in merged.values() if e["use"]], given)

    def _in_use(self, kind: str, entries: list[Doc], given: Sequence[Doc]) -> list[Doc]:
        written = {e["code"]: i for i, e in enumerate(given)}
        for key in ("label", "short"):
            seen: dict[str, str] = {}
            for entry in entries:
                word = entry.get(key)
                if word and word in seen:
                    at = max((written[c], c) for c in (entry["code"], seen[word]) if c in written)[0]
                    self.refuse(
                        (kind, at, key), f"「{word}」という{'短い名' if key == 'short' else '呼び名'}は、もうあります。"
                    )
                if word:
                    seen[word] = entry["code"]
        for entry in entries:
            del entry["use"]
            if kind == "concern":
                entry["short"] = entry["short"] or entry["label"]
                entry["fields"] = entry["fields"] or [entry["short"]]
        return entries

    def _waits(self) -> Doc:
        waits = usual_waits()
        for kind, given in self.table(("waits",), self.raw.get("waits", {})).items():
            path: Path = ("waits", kind)
            if kind not in waits:
                near = meant(kind, list(waits), "名前は town show --defaults で見られます。")
                self.refuse(path, f"「{kind}」という待ちはありません。{near}")
            waits[kind] = self.entry(path, given, POLICY, base=waits[kind])
        return waits

    def _stages(self) -> Doc:
        given = self.table(("stages",), self.raw.get("stages", {}))
        for stage, label in given.items():
            if stage not in STAGES:
                self.refuse(("stages", stage), f"段階「{stage}」はありません。{meant(stage, STAGES)}")
            words(self, ("stages", stage), label)
        labels = {**usual()["stages"], **given}
        for stage, label in given.items():
            if Counter(labels.values())[label] > 1:
                self.refuse(("stages", stage), f"「{label}」という呼び名の段階が二つあります。")
        return labels

    def _limits(self) -> Doc:
        before: Doc = usual()["limits"]
        given = self.table(("limits",), self.raw.get("limits", {}))
        for name, value in given.items():
            if name not in before:
                self.refuse(("limits", name), f"「{name}」という項目はありません。{meant(name, list(before))}")
            most = 23 if name.startswith("quiet_") else MOST.get(name, 3650)
            whole(LEAST.get(name, 0), most)(self, ("limits", name), value)
        return {**before, **given}

    def _retention(self) -> Doc:
        shape = {name: Entry(whole(LEAST_DAYS[name], 36_500)) for name in usual()["retention"]}
        return self.entry(("retention",), self.raw.get("retention", {}), shape, base=usual()["retention"])

    def _marks(self) -> list[str]:
        marks = listed(words)(self, ("marks",), self.raw.get("marks", usual()["marks"]))
        first: dict[str, int] = {}
        for i, word in enumerate(marks):
            if not re.fullmatch(r"[ぁ-んー]{2,12}", word):
                self.refuse(("marks", i), f"目印「{word}」は、ひらがな2字から12字で書いてください。")
            if word in first:
                self.refuse(("marks", i), f"目印「{word}」は二度書かれています。")
            first[word] = i
        if len(marks) < LEAST_MARKS:
            self.refuse(("marks",), f"目印は{LEAST_MARKS}語以上いります。いまは{len(marks)}語です。")
        return marks

    def _sentences(self) -> Doc:
        said: Doc = {}
        for language, given in self.table(("sentences",), self.raw.get("sentences", {})).items():
            path: Path = ("sentences", language)
            if language not in LANGUAGES:
                self.refuse(path, f"言語「{language}」の文はまだありません。{meant(language, LANGUAGES)}")
            said[language] = dict(self._flat(path, self.table(path, given)))
        return said

    def _flat(self, path: Path, given: Doc) -> Iterable[tuple[str, str]]:
        """Yield key and sentence; `offer.title = "…"` and `"offer.title" = "…"` are the same key."""
        for name, value in given.items():
            here = (*path, name)
            if isinstance(value, dict):
                yield from self._flat(here, value)
                continue
            key = ".".join(str(part) for part in here[2:])
            if self.known and key not in self.known:
                self.refuse(here, f"「{key}」という文はありません。{meant(key, list(self.known))}")
            self._placeholders(here, key, words(self, here, value))
            yield key, value

    def _placeholders(self, path: Path, key: str, sentence: str) -> None:
        try:
            parts = [(name, spec, how) for _, name, spec, how in Formatter().parse(sentence) if name is not None]
        except ValueError:
            self.refuse(path, "文の { } が閉じていません。かっこそのものは {{ }} と書いてください。")
        for name, spec, how in parts:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or spec or how:
                self.refuse(path, f"文の中の {{{name}}} は使えません。{{number}} のように、名前だけを入れてください。")
            if self.known and name not in self.known[key]:
                self.refuse(path, f"この文では {{{name}}} は使えません。{meant(name, sorted(self.known[key]))}")

    def _answerable(self, city: Doc, agencies: Sequence[Doc], staff: Sequence[Doc]) -> None:
        """Refuse a town whose ladders would end at nobody, or where no second person could approve."""
        final = next((s for s in staff if s["code"] == city["final_owner"]), None)
        at: Path = ("municipality", "final_owner")
        if final is None:
            codes = [s["code"] for s in staff]
            self.refuse(
                at,
                f"最後に受けとめる人「{city['final_owner']}」という職員はいません。{meant(city['final_owner'], codes)}",
            )
        if not _has(final, "official"):
            self.refuse(
                at, f'最後に受けとめる人「{final["name"]}」さんは、市担当課(role = "official")の職員ではありません。'
            )
        if not any(_has(s, "coordinator") for s in staff):
            self.refuse(("municipality",), '調整役(role = "coordinator")が一人もいません。')
        body = next(a["code"] for a in agencies if a["kind"] == "coordinating_body")
        approvers = [s for s in staff if _has(s, "coordinator", "official") or _heads(s, body)]
        if len(approvers) < 2:
            self.refuse(
                ("municipality",),
                "終結を承認できる人(調整役、多機関協働の機関の長、市担当課)が二人より少なくなっています。",
            )


def _has(person: Doc, *roles: str) -> bool:
    return any(post["role"] in roles for post in person["posts"])


def _heads(person: Doc, agency: str) -> bool:
    return {"agency": agency, "role": "head"} in person["posts"]


def _circle(start: str, after: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the circle that `start` is part of, from `start` on; () when there is none."""
    walked: list[str] = []
    code: str | None = start
    while code and code not in walked:
        walked.append(code)
        code = after[code]
    return tuple(walked) if code == start else ()


def _broken(broken: Exception, text: str, where: str) -> TownMistake:
    found = re.search(r"at line ([0-9]+)", str(broken))
    line = int(found[1]) if found else text.rstrip().count("\n") + 1
    why = re.sub(r" \(at .*\)$", "", str(broken))
    return TownMistake(line, f"TOML として読めません({why})。かっこ、引用符、= を確かめてください。", where)


# -- staff from a table


def with_staff(doc: Doc, table: str, *, where: str = "staff.csv") -> Doc:
    """Return the document with the people of a CSV table in it: new ones join, known ones change, nobody leaves.

    An agency and a deputy may be named or given by code. Raise TownMistake with the table's line.
    """
    staff = {s["code"]: s for s in deepcopy(doc["staff"])}
    agency = {a["name"]: a["code"] for a in doc["agency"]}
    line: dict[str, int] = {}
    rows = people_rows(table, where)
    codes = {row["name"]: row["code"] for _, row in rows} | {s["name"]: s["code"] for s in doc["staff"]}
    for at, row in rows:
        post = {"agency": agency.get(row["agency"], row["agency"]), "role": row["role"]}
        person = staff.setdefault(row["code"], {"code": row["code"]})
        person["posts"] = [*person["posts"], post] if row["code"] in line else [post]
        person |= {"name": row["name"]}
        if row["deputy"]:
            person["deputy"] = row["deputy"] if row["deputy"] in staff else codes.get(row["deputy"], row["deputy"])
        if row["email"]:
            person["email"] = row["email"]
        line.setdefault(row["code"], at)
    raw = {**doc, "staff": list(staff.values())}
    lines: dict[Path, int] = {("staff", i): line[code] for i, code in enumerate(staff) if code in line}
    return _Reading(raw, lines, where, range(*doc["municipality"]["years"]), {}).restaffed(doc)
