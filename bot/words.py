"""Typed words become a request: normal form, case number, ordinal, days, and the command that was meant. No database here."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from rapidfuzz import fuzz, process

from workflow import number as numbers

#: Nobody types more than this to a workflow; a longer text is answered, not parsed.
LONGEST = 2_000

_CONTROL = re.compile(r"[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_ORDINAL = re.compile(r"#\s?(\d{1,3})")
_SPLIT = re.compile(r"[\s,、・/｜|:]+")
_POLITE = re.compile(
    r"^(?:を|に|は|が|で|へ|と|も|します|しました|して|する|した|ます|ました|です|でした|いたします|お願いします|おねがいします|ください|下さい|。|!|！)+$"
)
#: Words in an unrecognised text that mean danger (workflow.md §3).
DANGER = re.compile(
    r"死|しにたい|たすけて|助けて|倒れ|たおれ|首を|自殺|殺|息をして|意識がない|救急|火事|血が|動かない|刃物"
)
#: Words in an unrecognised text that may mean abuse: whoever writes them is asked to telephone.
ABUSE = re.compile(r"虐待|ぎゃくたい|ネグレクト|殴|なぐられ|なぐって|叩かれ|たたかれ|暴力|(?<![A-Za-z])DV(?![A-Za-z])")
#: Politeness is no answer: the buttons are shown again.
POLITE_ONLY = frozenset(
    [
        "了解",
        "了解です",
        "了解しました",
        "はい",
        "ハイ",
        "ok",
        "OK",
        "おk",
        "わかりました",
        "分かりました",
        "承知しました",
        "承知です",
        "ありがとう",
        "ありがとうございます",
        "お世話になります",
        "お疲れ様です",
        "yes",
        "thanks",
        "👍",
        "👌",
        "🙏",
    ]
)


#: A longer text that is no command is somebody's sentence.
SHORT = 12
_COURTESY = re.compile(
    r"よろしく|お?願い|ありがと|お世話|すみません|すいません|失礼|了解|承知|わかりました|お疲れ|助かり|こんにち|おはよ"
)


def prose(rest: str, called: str) -> bool:
    """Say whether a sentence stands among words: neither politeness nor what is `called` so anyway."""
    parts = (part for part in re.split(r"[\s、。]+", rest) if len(part) >= 6 and re.search(r"[ぁ-ん]", part))
    return any(not _COURTESY.search(part) and part not in called for part in parts)


@dataclass(frozen=True, slots=True)
class Words:
    """What somebody typed, taken apart."""

    text: str  #: normal form, without control characters
    number: str | None  #: as typed, hyphens put in; perhaps with a wrong check digit
    ordinal: int | None  #: #2: the handoff within the case
    rest: str  #: without number and ordinal

    @property
    def tokens(self) -> list[str]:
        return [t for t in _SPLIT.split(self.rest) if t]


def clean(text: str) -> str:
    """Bring to normal form: full-width digits, control characters, right-to-left marks, doubled spaces."""
    normal = unicodedata.normalize("NFKC", text)
    return re.sub(r"[ \t\u3000]+", " ", _CONTROL.sub("", normal)).strip()


def whole_number(text: str) -> int | None:
    """Read a number from outside: ASCII digits, fewer than nineteen, so that every database can hold it; else None.

    `int()` behind `isdigit()` raises for ² and for more digits than it reads.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def take_apart(text: str) -> Words:
    normal = clean(text)
    ordinal = _ORDINAL.search(normal)
    bare = _ORDINAL.sub(" ", normal, count=1) if ordinal else normal
    found = numbers.find(bare)
    rest = bare if found is None else f"{bare[: found[1]]} {bare[found[2] :]}"
    return Words(normal, found[0] if found else None, int(ordinal.group(1)) if ordinal else None, rest.strip())


def fold(word: str) -> str:
    """Katakana to hiragana, lower case: how forms are compared."""
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in word.lower())


def match(rest: str, forms: dict[str, str]) -> tuple[str, str] | None:
    """Find the command whose form begins the words (longest wins): (command, what is left of the words)."""
    folded = fold(rest)
    for length in range(min(len(folded), _longest(forms)), 0, -1):
        name = forms.get(folded[:length])
        if name is None or not _ends_well(folded, length):
            continue
        return name, strip_polite(rest[length:])
    return None


_LENGTHS: dict[int, int] = {}


def _longest(forms: dict[str, str]) -> int:
    key = id(forms)
    if key not in _LENGTHS:
        _LENGTHS[key] = max(map(len, forms))
    return _LENGTHS[key]


def _ends_well(folded: str, length: int) -> bool:
    """English words end at a word boundary; Japanese ones may run on."""
    if not folded[:length].isascii() or length == len(folded):
        return True
    return not (folded[length].isascii() and folded[length].isalnum())


def strip_polite(text: str) -> str:
    """Drop what politeness adds right after a word: 引受 します, 辞退 でお願いします."""
    text = text.strip()
    head, _, tail = text.partition(" ")
    while head and _POLITE.match(head):
        text = tail.strip()
        head, _, tail = text.partition(" ")
    return text


def did_you_mean(rest: str, forms: Iterable[str], *, most: int = 3) -> list[str]:
    """Forms that look like what was typed, best first."""
    head = fold(_SPLIT.split(rest.strip())[0]) if rest.strip() else ""
    if not 1 < len(head) <= 12:
        return []
    found = process.extract(head, list(forms), scorer=fuzz.ratio, limit=most * 3, score_cutoff=60)
    return [form for form, _score, _i in found][: most * 3]


# -- days

_DATE = re.compile(r"(?:(\d{4})[-/.年])?(\d{1,2})[-/月](\d{1,2})日?")
_AFTER = re.compile(r"(\d{1,3})\s?(日|週間|か月|ヶ月|カ月|ケ月|箇月|d|w|m)後?")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2})|時(?:(\d{1,2})分?)?(半)?)")
_NAMED = {
    "今日": 0, "きょう": 0, "本日": 0, "today": 0, "明日": 1, "あす": 1, "あした": 1, "tomorrow": 1,
    "明後日": 2, "あさって": 2, "しあさって": 3, "昨日": -1, "きのう": -1, "yesterday": -1, "一昨日": -2, "おととい": -2,
}  # fmt: skip
_WEEK = "月火水木金土日"


def find_day(text: str, today: date) -> date | None:
    """Find a day in words: 2026-06-12, 6/12 (the next one), 明日, 来週月曜, 3日後, 1か月後."""
    if dated := _DATE.search(text):
        return _dated(dated, today)
    for word, days in sorted(_NAMED.items(), key=lambda item: -len(item[0])):
        if word in text:
            return today + timedelta(days=days)
    if named := re.search(rf"(再来週|来週|今週)?の?([{_WEEK}])曜", text):
        return _weekday(named.group(1) or "", _WEEK.index(named.group(2)), today)
    if after := _AFTER.search(text):
        n = int(after.group(1))
        if after.group(2) in ("日", "d"):
            return today + timedelta(days=n)
        return today + timedelta(weeks=n) if after.group(2) in ("週間", "w") else add_months(today, n)
    if "再来週" in text:
        return today + timedelta(days=14)
    return today + timedelta(days=7) if "来週" in text else None


def _dated(found: re.Match[str], today: date) -> date | None:
    year, month, day = found.groups()
    try:
        if year:
            return date(int(year), int(month), int(day))
        this = date(today.year, int(month), int(day))
        return this if this >= today - timedelta(days=31) else this.replace(year=today.year + 1)
    except ValueError:
        return None


def _weekday(which: str, weekday: int, today: date) -> date:
    monday = today - timedelta(days=today.weekday())
    if which:
        return monday + timedelta(days=weekday + 7 * {"今週": 0, "来週": 1, "再来週": 2}[which])
    ahead = monday + timedelta(days=weekday)
    return ahead if ahead > today else ahead + timedelta(days=7)


def add_months(day: date, n: int) -> date:
    month = day.month - 1 + n
    year, month = day.year + month // 12, month % 12 + 1
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, last)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


def find_clock(text: str) -> tuple[int, int] | None:
    found = _CLOCK.search(text)
    if not found:
        return None
    hour = int(found.group(1))
    minute = int(found.group(2) or found.group(3) or (30 if found.group(4) else 0))
    return (hour, minute) if hour < 24 and minute < 60 else None


def at_local(day: date, clock: tuple[int, int], zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, *clock, tzinfo=zone)


_SPAN = re.compile(r"(\d{1,3})\s?(日|週間|か月|ヶ月|カ月|ケ月|箇月|d|w|mo?)")


def find_span(text: str) -> str | None:
    """Find a duration in words as a Span text: 1か月 → 1mo, 2週間 → 14d."""
    if "毎週" in text:
        return "7d"
    if "毎月" in text:
        return "1mo"
    found = _SPAN.search(text)
    if not found:
        return None
    n, unit = int(found.group(1)), found.group(2)
    if unit in ("日", "d"):
        return f"{n}d"
    return f"{7 * n}d" if unit in ("週間", "w") else f"{n}mo"
