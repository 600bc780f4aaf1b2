"""What looks personal in somebody's words: found before it stands where more than a case's team reads it. Pure.

Numbers are judged by libraries that know them: telephones by Google's metadata (phonenumbers), マイナンバー by its check digit
(番号法施行令8条; python-stdnum). The rest are patterns that would rather ask once too often: a person decides, a machine only asks.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from workflow import number as numbers
from workflow.people import Town

MY_NUMBER: Final = "my_number"
#: The gravest first: where two overlap, it names both.
KINDS: Final = (MY_NUMBER, "phone", "mail", "birth", "address", "postcode", "name")


class Finding(NamedTuple):
    """One place in the words, as Python counts letters."""

    kind: str  #: one of KINDS
    start: int
    end: int


#: Without any of these there is nothing to look for.
_HINT: Final = re.compile(
    r"[0-9@]|丁目|番地|[都道府県]|さん|様|さま|氏|くん|君|殿|ちゃん|名前|なまえ|ふりがな|フリガナ|生まれ|うまれ"
)


def personal(words: str, town: Town) -> list[Finding]:
    """Find what looks personal, in its order, nothing twice; of the town's own people and numbers nothing is personal."""
    plain, origin = _plain(words)
    if not _HINT.search(plain):
        return []
    found = [*_my_numbers(plain), *_patterns(plain), *_phones(plain, town), *_names(plain, town), *_mails(plain, town)]
    return [Finding(kind, origin[start], origin[end - 1] + 1) for kind, start, end in _merged(found)]


def my_numbers(words: str) -> list[Finding]:
    """Find マイナンバー alone: nowhere in this system (domain.md §4.1)."""
    plain, origin = _plain(words)
    return [Finding(kind, origin[start], origin[end - 1] + 1) for kind, start, end in _my_numbers(plain)]


def _plain(words: str) -> tuple[str, list[int]]:
    """The normal form (full-width digits, ℡) and, for each of its letters, the place in the words that it stands for."""
    letters: list[str] = []
    origin: list[int] = []
    for place, letter in enumerate(words):
        for one in unicodedata.normalize("NFKC", letter):
            letters.append("-" if one in "‐‑‒–—―−ｰ" or (one == "ー" and letters and letters[-1].isdigit()) else one)
            origin.append(place)
    return "".join(letters), origin


def _merged(found: Iterable[Finding]) -> Iterator[Finding]:
    """Overlaps become one finding of the gravest kind."""
    last: Finding | None = None
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        if last is not None and one.start < last.end:
            last = Finding(min(last.kind, one.kind, key=KINDS.index), last.start, max(last.end, one.end))
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


# -- numbers

_TWELVE: Final = re.compile(r"(?<!\d)(?<!\d[- ])(?<!\+)\d{4}[- ]?\d{4}[- ]?\d{4}(?![- ]?\d)")


def _my_numbers(plain: str) -> Iterator[Finding]:
    for match in _TWELVE.finditer(plain):
        from stdnum.jp import in_  # only who writes twelve digits pays for it

        if in_.is_valid(match[0]):
            yield Finding(MY_NUMBER, *match.span())


_CASE: Final = re.compile(r"(?<![\d-])(\d{3})[- ]?(\d{3})[- ]?(\d{2})(?![\d-])")
_DIGITS: Final = re.compile(r"\D")


def _phones(plain: str, town: Town) -> Iterator[Finding]:
    """Telephone numbers that could be dialled in Japan; never a case's number, never one of the town's own."""
    if sum(letter.isdigit() for letter in plain) < 9:
        return
    import phonenumbers

    shown = _CASE.sub(lambda m: "#" * len(m[0]) if _a_case(m) else m[0], plain)
    own = _own_numbers(town)
    for match in phonenumbers.PhoneNumberMatcher(shown, "JP", leniency=phonenumbers.Leniency.VALID):
        if _DIGITS.sub("", match.raw_string) not in own:
            yield Finding("phone", match.start, match.end)


def _a_case(match: re.Match[str]) -> bool:
    """Written in three, three and two it is meant as a case's, wrong digits too; without marks only when its check digits fit."""
    return len(match[0]) > 8 or numbers.valid("".join(match.groups()))


@lru_cache(maxsize=4)
def _own(of: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_DIGITS.sub("", one) for one in of)


def _own_numbers(town: Town) -> frozenset[str]:
    phones = (*(p.number for p in town.phones), *(o.phone for o in town.oncall), *(r.number for r in town.reports))
    return _own((*phones, *(a.phone for a in town.agencies.values())))


# -- patterns

_N: Final = r"[0-9〇一二三四五六七八九十百]"
_WORD: Final = r"[一-龥々ヶケァ-ヴーぁ-ん]"
_PREFECTURE: Final = r"(?:東京都|北海道|(?:京都|大阪)府|[一-龥]{2,3}県)"
_HOUSE: Final = r"アパート|マンション|ハイツ|コーポ|メゾン|団地"
_ERA: Final = r"(?:明治|大正|昭和|平成|[MTSH明大昭平](?=\.?\d))"
_DAY: Final = r"(?:年|[-/.])(?:1[0-2]|0?[1-9])(?:月|[-/.])(?:[12][0-9]|3[01]|0?[1-9])日?(?!\d)"
_BORN: Final = r"(?:生まれ|うまれ|生年月日|誕生日|生誕)"
#: Years nobody plans in: whoever is named by a day of one was born then.
_YEAR: Final = r"(?<!\d)(?:19[0-9]{2}|200[0-9]|201[0-9])"

_PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("postcode", r"〒\s?\d{3}-?\d{4}(?!\d)"),
        ("postcode", r"(?<![\d-])\d{3}-\d{4}(?![\d-])"),
        ("address", rf"{_WORD}{{1,8}}?{_N}+丁目(?:{_N}+番地?{_N}*号?|[0-9]+(?:-[0-9]+)*|の[0-9]+)?(?:-[0-9]+)*"),
        ("address", rf"(?:{_WORD}{{1,8}}?)?{_N}+(?:番地(?:の?{_N}+)?号?|番{_N}+号)"),
        ("address", rf"[市区町村郡字]{_WORD}{{1,8}}?[0-9]{{1,4}}-[0-9]{{1,4}}(?:-[0-9]{{1,4}})?(?![-0-9])"),
        ("address", rf"{_PREFECTURE}{_WORD}{{1,6}}?[市区町村郡]{_WORD}{{2,8}}(?:[0-9-]+)?"),
        ("address", rf"(?:{_HOUSE}|{_WORD}{{1,6}}荘)\s?[0-9]{{1,4}}(?:-[0-9]{{1,4}})?(?:号室?|号棟)?"),
        ("address", r"(?<!\d)[0-9]{3,4}号室"),
        ("birth", rf"{_ERA}\.?(?:元|[0-9]{{1,2}}){_DAY}"),
        ("birth", rf"{_YEAR}{_DAY}"),
        ("birth", rf"{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?!\d)"),
        ("birth", rf"(?:{_ERA}|令和|R(?=\d))?\.?(?:元|[0-9]{{1,4}}){_DAY}\s?{_BORN}"),
        ("birth", r"(?:明治|大正|昭和|平成|令和)?\s?(?:元|[0-9]{1,4})年(?:早?生まれ|うまれ)"),
        ("birth", r"(?:生年月日|誕生日)\s?[はが::]?\s?\S{0,4}[0-9]\S{2,14}"),
    )
)  # fmt: skip


def _patterns(plain: str) -> Iterator[Finding]:
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(plain):
            yield Finding(kind, *match.span())


_MAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def _mails(plain: str, town: Town) -> Iterator[Finding]:
    own = {person.email.lower() for person in town.staff.values()}
    for match in _MAIL.finditer(plain):
        if match[0].lower() not in own:
            yield Finding("mail", *match.span())


# -- names

#: 様 and 氏 are parts of many words: 様子, 仕様, 同様, 氏名.
_AFTER: Final = (
    r"(?:(?<!たく)さん|様(?![子々式相態])|さま(?!ざま|たげ)|氏(?!名)|くん(?![れ])|君(?![がはを]代)|殿|ちゃん)"
)
_HONOURED: Final = re.compile(
    rf"(?P<name>[一-龥々ヶ]{{1,5}}(?:[\s・]?[一-龥々ヶァ-ヴーぁ-ん]{{1,4}}?)?|[ァ-ヴー]{{2,10}}(?:・[ァ-ヴー]{{2,10}})?|(?<![ぁ-ん])[ぁ-ん]{{2,4}}?)\s?{_AFTER}"
)
_LABELLED: Final = re.compile(
    r"(?:氏名|お?名前|なまえ|ふりがな|フリガナ)(?:は|が)?\s?[::]?\s?(?P<name>[一-龥々ヶァ-ヴー][一-龥々ヶァ-ヴーぁ-ん]{1,4}(?:\s[一-龥々ァ-ヴーぁ-ん]{1,4})?)"
)
#: Whom people call so without naming them, and words that only end like it.
_NOBODY: Final = re.compile(
    r"(?:^|.*[のはがをにともや])?(?:皆|みな|みんな|方|お?客|奥|旦那|主人|本人|家族|世帯|[父母両片毒]親|母|父|親|お?子|兄|姉|弟|妹|子|娘|息子|孫|祖母|祖父|嫁|婿|赤|患者|利用者|相談者|依頼者|当事者|"
    r"相手|担当者?|管理者|責任者|代表者?|委員|民生委員|児童委員|相談員|支援員|調査員|職員|医師?|先生|看護師|保健師|薬剤師|弁護士|社労士|司法書士|行政書士|介護士|福祉士|大家|隣|近所|"
    r"友人|仲間|屋|店|店長|会長|社長|課長|係長|部長|室長|町|市|区長|仕|同|多|模|有|異|各|神|王|貴|彼|諸|別|某|何|誰|どな?た|こちら|ヘルパー|ケアマネ|ケアマネジャー|スタッフ|ボランティア|"
    r"ワーカー|サポーター|ドクター|ナース|パパ|ママ|おじい|おばあ|おじ|おば|おにい|おねえ|お?たく|たく|"
    r"どちら|あなた|みなさま|お疲れ|ご苦労|お互い|おまわり|お巡り|つなぎ|包括|社協|役所|役場|病院|学校|警察|事業所|施設|生活|高齢者|障害者|児童|子ども|大人|若者)"
)


_PARTICLE: Final = re.compile(r"[のはがをにとへもやでお]")


def _names(plain: str, town: Town) -> Iterator[Finding]:
    """A run before 様, さん, 氏 …, or behind 氏名: who is no member of staff, no agency and no mere relation."""
    known = _known(tuple(s.name for s in town.staff.values()), tuple(a.name for a in town.agencies.values()))
    for match in (*_HONOURED.finditer(plain), *_LABELLED.finditer(plain)):
        name = match["name"].strip()
        if not _NOBODY.fullmatch(name) and not {name, _PARTICLE.split(name)[-1]} & known:
            yield Finding("name", *match.span())


@lru_cache(maxsize=4)
def _known(staff: tuple[str, ...], agencies: tuple[str, ...]) -> frozenset[str]:
    """Names of staff, whole and by their parts, and of agencies."""
    parts = {part for name in staff for part in (name, *re.split(r"[\s・]", name)) if part}
    return frozenset(parts | {unicodedata.normalize("NFKC", agency) for agency in agencies})
