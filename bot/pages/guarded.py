"""Before somebody's own words stand where more than a case's team reads them: what looks personal in them, and a second thought.

Nothing is kept meanwhile: the words travel in the form. マイナンバー is never sent on.
"""

from hashlib import sha256
from typing import Final

from starlette.responses import Response

from bot import guard, words
from bot.commands import BOOK, FORMS
from bot.pages.frame import Desk, View, local, show

#: What each kind is called on a page.
CALLED: Final = {
    "my_number": "マイナンバー", "phone": "電話番号", "mail": "メールアドレス", "birth": "生年月日", "address": "住所", "postcode": "郵便番号",
    "name": "お名前",
}  # fmt: skip


def sure(said: str) -> str:
    """What 「このまま送る」 carries: it is good for these very words."""
    return sha256(said.encode(errors="replace")).hexdigest()


def in_danger(said: str) -> bool:
    """Say whether these are words of danger: they go to the door at once, whatever else they hold."""
    rest = words.take_apart(said).rest
    return words.match(rest, FORMS) is None and bool(words.DANGER.search(rest) or words.ABUSE.search(rest))


def stands_for_others(said: str, room: str | None) -> bool:
    """Say whether words would be kept and read by others: colleagues' words in a room, or the text behind a command."""
    taken = words.take_apart(said)
    found = words.match(taken.rest, FORMS)
    if found is not None:
        return BOOK[found[0]].writes
    return room is not None


def second_thought(found: Desk, said: str, form: dict[str, str], room: str | None) -> Response | None:
    """The page that asks before words are sent; None when they may go."""
    if in_danger(said):
        return None
    barred = guard.my_numbers(said)
    asks = stands_for_others(said, room) and form.get("sure", "") != sure(said)
    findings = guard.personal(said, found.town) if barred or asks else []
    if not findings:
        return None
    kinds = dict.fromkeys(found.t(CALLED[f.kind]) for f in findings)
    hidden = [(name, form[name]) for name in ("room", "nonce", "back") if form.get(name)]
    return show(
        found, "guarded.html", found.t("送るまえに"), "", status=422, still=True, words=said, parts=_marked(said, findings),
        kinds=found.voice.join(list(kinds)), barred=bool(barred), sure="" if barred else sure(said), hidden=hidden,
        back=local(form.get("back", "")) or "/chat",
    )  # fmt: skip


def _marked(said: str, findings: list[guard.Finding]) -> list[View]:
    """The words in pieces, those that look personal marked."""
    parts: list[View] = []
    at = 0
    for one in findings:
        parts += [{"text": said[at : one.start]}, {"text": said[one.start : one.end], "kind": CALLED[one.kind]}]
        at = one.end
    return [part for part in (*parts, {"text": said[at:]}) if part["text"]]
