"""One's own words as the conversation shows them again: a button says codes and an ordinal, people read names."""

import re
from typing import Final

from bot.voice.speech import Voice

_ORDINAL: Final = re.compile(r"#\d{1,3}\b")
_CODE: Final = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)
#: Words about a consultation's troubles: there a code is a concern before it is a duty of the same name.
_OF_CONCERNS: Final = frozenset({"困りごと", "受付", "再相談"})
_LISTS: Final = ("duty", "short", "decline", "condition", "missing", "closing", "wait")


def shown(words: str, voice: Voice) -> str:
    """Name the codes of a command's words and leave out the ordinal: 「依頼 393-903-43 家計相談 ともしび」.

    Only words that begin in Japanese are a button's or page's; English sentences stay as they were typed.
    """
    head, _, rest = words.partition(" ")
    if not rest or head.isascii() or "\n" in words:
        return words
    kinds = sorted(_LISTS, key=lambda kind: kind != "short") if head in _OF_CONCERNS else _LISTS
    return " ".join((head, *(_part(part, kinds, voice) for part in _ORDINAL.sub("", rest).split())))


def _part(part: str, kinds: "tuple[str, ...] | list[str]", voice: Voice) -> str:
    """A code, or an agency with one of its people: houkatsu-kita/suzuki."""
    return "/".join(_named(one, kinds, voice) if _CODE.fullmatch(one) else one for one in part.split("/"))


def _named(code: str, kinds: "tuple[str, ...] | list[str]", voice: Voice) -> str:
    if code in voice.town.agencies:
        return voice.agency(code)
    if code in voice.town.staff:
        return voice.person(code)
    return next((label for kind in kinds if (label := voice.label(kind, code)) != code), code)
