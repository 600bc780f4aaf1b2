"""One language of one town: its sentences with their places filled in, its labels, days, waits and names."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from string import Formatter
from typing import Final, Literal, NamedTuple

from bot.voice import en, ja
from workflow.calendar import Hours, Span
from workflow.people import Role, Town

Book = tuple[Mapping[str, str], Mapping[str, Mapping[str, str]], Mapping[str, str]]

#: language → (sentences, labels, page words)
LANGUAGES: Final[Mapping[str, Book]] = {
    "ja": (ja.SENTENCES, ja.LABELS, ja.UI),
    "en": (en.SENTENCES, en.LABELS, en.UI),
}
WEEKDAYS: Final = {"ja": "月火水木金土日", "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}
LONG_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LONG_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
#: From here on a wait says hours instead of a day.
NEAR: Final = timedelta(hours=6)

_DOUBLED = re.compile(r" {2,}")
_ROMAJI = re.compile(r"([a-z]{2,})(?:[-_.].*|\d*)")


class Left(NamedTuple):
    """What a wait chip shows."""

    kind: Literal["calm", "soon", "late"]
    share: float  #: of the wait's time gone, 0..1
    text: str


def languages() -> tuple[str, ...]:
    return tuple(LANGUAGES)


@lru_cache(maxsize=4096)
def _pieces(template: str) -> tuple[tuple[str, str | None], ...]:
    """A template as (words, place) pairs. Only plain names: a town's sentence reaches into nothing."""
    return tuple((words, name) for words, name, _spec, _conversion in Formatter().parse(template))


def fields(template: str) -> frozenset[str]:
    """Name the places of a template."""
    return frozenset(name for _words, name in _pieces(template) if name is not None)


def fill(template: str, params: Mapping[str, object]) -> str:
    """Fill in what is known; an unknown place stays empty, for a person waits for the answer."""
    found = []
    for words, name in _pieces(template):
        found.append(words)
        if name is not None:
            value = params.get(name)
            found.append("" if value is None else str(value))
    text = "".join(found)
    return _DOUBLED.sub(" ", text).strip() if "  " in text or text[:1] == " " or text[-1:] == " " else text


class Voice:
    """Everything said in one language of one town. `outside`: on a platform that is not part of the system (workflow.md §6)."""

    def __init__(self, town: Town, lang: str = "", *, outside: bool = False) -> None:
        self.town = town
        self.lang = lang if lang in LANGUAGES else (town.language if town.language in LANGUAGES else "ja")
        self.outside = outside
        self._sentences, self._labels, self._ui = LANGUAGES[self.lang]
        self._own = town.sentences.get(self.lang, {})
        self._town_labels = _town_labels(town)

    # -- sentences

    def has(self, key: str) -> bool:
        return key in self._own or key in self._sentences or key in ja.SENTENCES

    def say(self, key: str, /, **params: object) -> str:
        """Say a sentence: the town's own, else the language's, else the Japanese one. Never raises."""
        template = self._own.get(key) or self._sentences.get(key) or ja.SENTENCES.get(key)
        return key if template is None else fill(template, params)

    def places(self, key: str) -> frozenset[str]:
        """Name the places of a sentence; none of one that is not there."""
        return fields(self._own.get(key) or self._sentences.get(key) or ja.SENTENCES.get(key, ""))

    def t(self, word: str) -> str:
        """A word of the pages: templates name it in Japanese, other languages look it up."""
        return self._ui.get(word, word)

    # -- labels

    def label(self, kind: str, code: str | None) -> str:
        """Name a code. In the town's own language the town's label wins; an unknown code names itself."""
        if not code:
            return ""
        if kind == "agency":
            return self.agency(code)
        if kind == "notice":
            return self.say(f"card.{code}.title") if self.has(f"card.{code}.title") else self.say("card.unknown.title")
        if kind == "person":
            return self.person(code)
        if self.outside and kind == "decline" and code in self.town.declines and self.town.declines[code].starred:
            return self.say("outside.starred")
        if self.outside and kind == "closing":
            return self.say("outside.starred")
        known = self._labels.get(kind, {})
        town = self._town_labels.get(kind, {})
        first, second = (town, known) if self.lang == self.town.language else (known, town)
        return first.get(code) or second.get(code) or ja.LABELS.get(kind, {}).get(code) or code

    # -- people

    def person(self, code: str | None) -> str:
        """鈴木さん. Outside a volunteer has no name."""
        staff = self.town.staff.get(code or "")
        if staff is None:
            return self.say("person.unknown") if code else ""
        if self.outside and staff.volunteer:
            return self.say("person.volunteer")
        return self.say("person", name=self.name(staff.code))

    def name(self, code: str) -> str:
        """The bare name: 鈴木; in English from the code when that is romaji."""
        staff = self.town.staff.get(code)
        if staff is None:
            return code
        romaji = _ROMAJI.fullmatch(code)
        return romaji[1].title() if self.lang == "en" and romaji and not staff.name.isascii() else staff.name

    def people(self, codes: tuple[str, ...]) -> str:
        return self.join([self.person(c) for c in codes])

    def agency(self, code: str | None) -> str:
        agency = self.town.agencies.get(code or "")
        if agency is None:
            return code or ""
        return self.say("agency.discreet") if self.outside and agency.discreet else agency.name

    def post(self, code: str, agency: str = "") -> str:
        """What somebody is, for those who do not know them: 調整役, 機関長."""
        staff = self.town.staff.get(code)
        roles = [p.role for p in staff.posts if not agency or p.agency == agency] if staff else []
        order = [r for r in Role if r in roles]
        best = next(
            (r for r in (Role.COORDINATOR, Role.HEAD, Role.OFFICIAL) if r in order), order[0] if order else None
        )
        return self.label("role", best.value) if best else ""

    def join(self, parts: list[str]) -> str:
        return self.between("list.comma").join(dict.fromkeys(p for p in parts if p))

    def between(self, key: str) -> str:
        """What stands between the parts of a list; its own spaces belong to it."""
        return self._own.get(key) or self._sentences[key]

    # -- time

    def _at(self, at: datetime) -> datetime:
        return at.astimezone(self.town.tz)

    def day(self, at: datetime, now: datetime | None = None) -> str:
        """6/12(木); with the year when it is not this one."""
        local = self._at(at)
        other = now is not None and self._at(now).year != local.year
        if self.lang == "en":
            text = f"{WEEKDAYS['en'][local.weekday()]} {local.day} {MONTHS[local.month - 1]}"
            return f"{text} {local.year}" if other else text
        text = f"{local.month}/{local.day}({WEEKDAYS['ja'][local.weekday()]})"
        return f"{local.year}/{text}" if other else text

    def clock(self, at: datetime) -> str:
        local = self._at(at)
        return f"{local.hour}:{local.minute:02d}"

    def moment(self, at: datetime, now: datetime | None = None) -> str:
        """6/12(木) 15:00."""
        return f"{self.day(at, now)} {self.clock(at)}"

    def title_day(self, at: datetime, now: datetime | None = None) -> str:
        """6月12日(木), for titles."""
        local = self._at(at)
        other = now is not None and self._at(now).year != local.year
        if self.lang == "en":
            text = f"{LONG_DAYS[local.weekday()]} {local.day} {LONG_MONTHS[local.month - 1]}"
            return f"{text} {local.year}" if other else text
        text = f"{local.month}月{local.day}日({WEEKDAYS['ja'][local.weekday()]})"
        return f"{local.year}年{text}" if other else text

    def ago(self, at: datetime, now: datetime) -> str:
        """How old an answer is: 2時間前, きのう, 9日前."""
        days = (self._at(now).date() - self._at(at).date()).days
        if days <= 0:
            minutes = max(0, int((now - at).total_seconds() // 60))
            return self.say("ago.hours", n=minutes // 60) if minutes >= 60 else self.say("ago.minutes", n=minutes)
        return self.say("ago.yesterday") if days == 1 else self.say("ago.days", n=days)

    def span(self, text: str) -> str:
        """A duration in words: 1mo → 1か月."""
        try:
            span = Span.parse(text)
        except ValueError:
            return text
        unit, n = ("weeks", span.n // 7) if span.unit == "d" and span.n and span.n % 7 == 0 else (span.unit, span.n)
        one = f"span.{unit}.one"
        return self.say(one if n == 1 and self.has(one) else f"span.{unit}", n=n)

    def left(self, due: datetime, now: datetime, hours: Hours | None = None, *, opened: datetime | None = None) -> Left:
        """Word a due time: far 「6/16(月)まで」, near 「あと3時間」, late 「1日超過」.

        Calm until half of the time since `opened` is gone; without `opened` until the day itself.
        """
        if now >= due:
            return Left("late", 1.0, self._over(due, now, hours))
        near = self._at(due).date() == self._at(now).date() or due - now <= NEAR
        share = _share(opened, due, now, hours) if opened else (0.75 if near else 0.25)
        kind: Literal["calm", "soon"] = "soon" if share >= 0.5 else "calm"
        return Left(kind, share, self._still(due - now) if near else self.say("left.until", day=self.day(due, now)))

    def _still(self, left: timedelta) -> str:
        minutes = max(1, int(left.total_seconds() // 60))
        return self.say("left.hours", n=minutes // 60) if minutes >= 60 else self.say("left.minutes", n=minutes)

    def _over(self, due: datetime, now: datetime, hours: Hours | None) -> str:
        days = hours.days_between(due, now) if hours else (now - due).days
        if days >= 1:
            return self.say("over.day" if days == 1 else "over.days", n=days)
        minutes = int((now - due).total_seconds() // 60)
        if minutes < 1:
            return self.say("over.now")
        return self.say("over.hours", n=minutes // 60) if minutes >= 60 else self.say("over.minutes", n=minutes)


def _share(opened: datetime, due: datetime, now: datetime, hours: Hours | None) -> float:
    if hours and (whole := hours.open_minutes(opened, due)) > 0:
        gone = hours.open_minutes(opened, now) / whole
    else:
        whole_wall = (due - opened).total_seconds()
        gone = (now - opened).total_seconds() / whole_wall if whole_wall > 0 else 1.0
    return min(1.0, max(0.0, gone))


def _town_labels(town: Town) -> Mapping[str, Mapping[str, str]]:
    return {
        "stage": town.stages,
        "duty": {d.code: d.label for d in town.duties.values()},
        "concern": {c.code: c.label for c in town.concerns.values()},
        "short": {c.code: c.short or c.label for c in town.concerns.values()},
        "decline": {c.code: c.label for c in town.declines.values()},
        "condition": {c.code: c.label for c in town.conditions.values()},
        "missing": {c.code: c.label for c in town.missing.values()},
        "closing": {c.code: c.label for c in town.closings.values()},
    }


_VOICES: dict[tuple[str, str, bool], Voice] = {}


def voice_for(town: Town, lang: str = "", *, outside: bool = False) -> Voice:
    """The voice of this very town value, made once and kept until the town is another."""
    key = (town.code, lang, outside)
    found = _VOICES.get(key)
    if found is None or found.town is not town:
        found = _VOICES[key] = Voice(town, lang, outside=outside)
    return found
