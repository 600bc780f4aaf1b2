"""People who do not exist, told by every road into the house; and the one finder of them, in whatever writing."""

import base64
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

#: Nothing else in the house has these letters: a part of them is a leak wherever it stands.
NAME, PLACE, STORY = "鵺代", "水鶏町", "鵺の声がする"
BIRTH = ("1903-11-27", "1903年11月27日", "1903/11/27")
GIVEN = [a + b for a in "朔凪蓮澪暁灯柊楓梓椿" for b in ("太朗", "一路", "美", "之介", "乃", "彦", "江", "代子")]


class Person(NamedTuple):
    """Somebody as one road told of them."""

    road: str
    name: str
    phone: str
    address: str
    birth: str
    story: str

    def __str__(self) -> str:
        return f"{self.name} {self.phone} {self.address} {self.birth} {self.story}"


class Leak(NamedTuple):
    """Where somebody stands who should not."""

    place: str
    writing: str  #: raw, percent …
    road: str  #: by which they came; empty: only a part that all share was found
    around: str


class Seeds:
    """Makes one person a road, and finds them again."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}

    def of(self, road: str) -> Person:
        """The person that this road tells of."""
        if road not in self.people:
            n = len(self.people)
            name = f"{NAME}{GIVEN[n % len(GIVEN)]}{'' if n < len(GIVEN) else n}"
            phone = f"090-7341-{1000 + n}"
            if n % 3 == 1:
                phone = phone.translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789-"})
            address = f"ながれ市{PLACE}{n + 1}丁目9番"
            self.people[road] = Person(road, name, phone, address, BIRTH[n % 3], f"夜ごと{STORY}と{name}さん")
        return self.people[road]

    def find(self, places: Iterable[tuple[str, str | bytes]]) -> list[Leak]:
        """Look for every person in every writing; one leak for each place and writing."""
        numbers = {re.sub(r"\D", "", unicodedata.normalize("NFKC", one.phone)).encode() for one in self.people.values()}
        found: list[Leak] = []
        for place, said in places:
            whole = said.encode("utf-8", "surrogatepass") if isinstance(said, str) else said
            small = whole.lower()
            hits = [
                (writing, (whole if exact else small).find(needle)) for needle, (writing, exact) in needles().items()
            ]
            hits += [(f"digits {number.decode()}", small.find(number)) for number in numbers]
            for writing, at in hits:
                if at >= 0:
                    road = next((one.road for one in self.people.values() if one.name.encode() in whole), "")
                    around = whole[max(0, at - 60) : at + 60].decode("utf-8", "replace")
                    found.append(Leak(place, writing, road, around))
        return found


@cache
def needles() -> dict[bytes, tuple[str, bool]]:
    """Bytes → (writing, whether upper and lower case are two things) of all that the people share."""
    shared = (NAME, PLACE, STORY, "090-7341-", "０９０－７３４１－", *BIRTH)
    return {needle: (f"{writing} of {word}", exact) for word in shared for writing, needle, exact in _writings(word)}


def _writings(word: str) -> Iterator[tuple[str, bytes, bool]]:
    raw = word.encode()
    yield "raw", raw.lower(), False
    yield "NFKC", unicodedata.normalize("NFKC", word).encode().lower(), False
    if not word.isascii():
        yield "percent", quote(word).lower().encode(), False
        yield "json", json.dumps(word)[1:-1].lower().encode(), False
        yield "html", "".join(f"&#{ord(c)};" for c in word).encode(), False
        yield "html hex", "".join(f"&#x{ord(c):x};" for c in word).encode(), False
        yield "quoted-printable", "".join(f"={b:02x}" for b in raw).encode(), False
        yield "bytes' repr", "".join(f"\\x{b:02x}" for b in raw).encode(), False
    yield "hex", raw.hex().encode(), False
    for skip, first in ((0, 0), (1, 2), (2, 3)):  # where the word lies among threes of bytes
        coded = base64.b64encode(b"\0" * skip + raw)[first : (skip + len(raw)) * 8 // 6]
        yield "base64", coded, True
        yield "base64 of addresses", coded.replace(b"+", b"-").replace(b"/", b"_"), True
