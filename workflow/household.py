"""A household's persons, and how two writings of one name, birth date or contact are found to be the same. Pure."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from workflow import refusals as no
from workflow.case import Value

#: 続柄, as the person of the consultation sees them; 本人 first.
KIN: Final = (
    "self",
    "spouse",
    "child",
    "parent",
    "sibling",
    "grandparent",
    "grandchild",
    "relative",
    "cohabitant",
    "other",
)
#: 性別 as the intake sheet has it (domain.md §2.2).
SEXES: Final = ("female", "male", "other")
LANGUAGES: Final = ("ja", "easy_ja", "sign", "en", "zh", "ko", "vi", "tl", "pt", "es", "ne", "other")
#: 分離: how long a 統合 can be undone (I21).
UNDOABLE: Final = timedelta(days=30)


@dataclass(frozen=True)
class Person(Value):
    """One member of a household. All that is written about them is sealed as one; empty means not known."""

    id: int
    household: int
    ordinal: int  #: 1, 2, 3 … within the household
    name: str = ""
    kana: str = ""
    birth: str = ""
    sex: str = ""  #: one of SEXES
    relation: str = ""  #: one of KIN
    address: str = ""
    contacts: tuple[str, ...] = ()
    language: str = ""  #: one of LANGUAGES
    added_by: str = ""
    added_at: datetime | None = None
    removed_at: datetime | None = None


#: What is sealed of a person, and what has to be text there.
SEALED: Final = ("name", "kana", "birth", "sex", "relation", "address", "contacts", "language")


class Merge(NamedTuple):
    """統合: the records of `gone` are read with those of `kept`; nothing is moved, nothing sealed anew."""

    id: int
    kept: int
    gone: int
    at: datetime
    by: str
    undone_at: datetime | None = None


def may_split(merge: Merge, at: datetime) -> None:
    """分離 is exact, and for thirty days (I21). Raises MergedTooLongAgo, SplitAlready."""
    if merge.undone_at is not None:
        raise no.SplitAlready()
    if at >= merge.at + UNDOABLE:
        raise no.MergedTooLongAgo(latest=merge.at + UNDOABLE)


# -- the same person, written differently


def folded(text: str) -> str:
    """Width, case, spaces and which kana are how somebody happens to write."""
    plain = "".join(unicodedata.normalize("NFKC", text).split()).casefold()
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in plain)


#: First year of each era, less one (平成1年 is 1989).
_ERAS: Final = {
    "明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018,
    "m": 1867, "t": 1911, "s": 1925, "h": 1988, "r": 2018,
}  # fmt: skip
_WESTERN: Final = re.compile(r"(\d{4})\D+(\d{1,2})\D+(\d{1,2})\D*|(\d{4})(\d{2})(\d{2})")
_ERA: Final = re.compile(rf"({'|'.join(_ERAS)})\.?(元|\d{{1,2}})\D+(\d{{1,2}})\D+(\d{{1,2}})\D*")


def born(text: str) -> str:
    """A birth date as eight digits, whatever the calendar; what is no date stands as its digits, else as it is."""
    plain = folded(text)
    if found := _ERA.fullmatch(plain):
        year, *rest = _ERAS[found[1]] + (1 if found[2] == "元" else int(found[2])), int(found[3]), int(found[4])
        return _day(year, *rest) or plain
    if found := _WESTERN.fullmatch(plain):
        return _day(*(int(part) for part in found.groups() if part)) or plain
    return "".join(c for c in plain if c.isdecimal()) or plain


def _day(year: int, month: int, day: int) -> str:
    try:
        return f"{date(year, month, day):%Y%m%d}"
    except ValueError:
        return ""


def reached(text: str) -> str:
    """A telephone number as its digits, also one written from abroad (+81); an address of another kind as it is."""
    plain = folded(text)
    digits = "".join(c for c in plain if c.isdecimal())
    if len(digits) < 6 or "@" in plain:
        return plain
    return "0" + digits.removeprefix("81") if plain.startswith("+81") else digits


class Sign(NamedTuple):
    """Something by which a person is found exactly; storage keeps a keyed hash of its parts and nothing else."""

    kind: str  #: name_birth | name_contact | birth | contact
    parts: tuple[str, str, str]


def signs(names: tuple[str, ...], birth: str, contacts: tuple[str, ...]) -> frozenset[Sign]:
    """Say by what somebody is found: a name with birth date or contact, or one of those two alone. A name alone finds too many."""
    return frozenset(
        _signs([folded(n) for n in names if folded(n)], born(birth), [c for c in map(reached, contacts) if c])
    )


def _signs(names: list[str], birth: str, contacts: list[str]) -> Iterator[Sign]:
    for name in ("", *names):
        kind = "name_" if name else ""
        if birth:
            yield Sign(f"{kind}birth", (name, "birth", birth))
        for contact in contacts:
            yield Sign(f"{kind}contact", (name, "contact", contact))


def signs_of(person: Person) -> frozenset[Sign]:
    return signs((person.name, person.kana), person.birth, person.contacts)


def asked(name: str, birth: str, contact: str) -> frozenset[Sign]:
    """What a search means: with a name only those of that name, without one the birth date or the contact alone."""
    found = signs((name,), birth, (contact,))
    return frozenset(s for s in found if s.kind.startswith("name_") == bool(folded(name)))
