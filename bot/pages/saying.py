"""Words and buttons from any page go through the one door for chat events; the answer is shown where they were said."""

import re
from datetime import datetime, timedelta
from typing import Final

from starlette.responses import Response

from adapters.base import Address, Chose, Inbound, Said, Sender
from bot.pages import guarded
from bot.pages.frame import TAKES_IN, Desk, View, back_to, clock, nonce
from bot.reading import as_written, undone_by
from bot.receive import Answered
from bot.voice import echo
from storage import conversation
from storage.letters import LetterRow
from storage.tx import Tx

OWN: Final = "me"
#: An answer stays on the page where the words were said for this long (town time).
SHOWN: Final = timedelta(minutes=15)
#: Letters of one's own words that stand above their answer on a page; the whole is in one's own room.
ECHOED: Final = 120
#: A letter's name and the words of one of its buttons; without a letter it is words alone.
_PRESSED: Final = re.compile(r"([A-Za-z0-9_-]{21})[ |](.+)", re.DOTALL)
_PLACE: Final = re.compile(r"(board|today|stuck|town|intake|conferences|case:[0-9-]{6,12})")


async def say(found: Desk) -> Response:
    """A form's words or button: the same door as every platform, then back to where it was pressed."""
    form = await found.form()
    me = found.reader.code
    place = form.get("room", "")
    room = place if place in found.reader.agencies else None
    what = _what(form)
    if isinstance(what, Said) and (asked := guarded.second_thought(found, what.text, form, room)):
        return asked
    if what is not None:
        said = what.says if isinstance(what, Chose) else what.text
        token = what.token if isinstance(what, Chose) else ""
        name = form.get("nonce", "")[:80] or nonce()
        event = Inbound(
            id=f"{me}:{nonce()}", sender=Sender("web", me), address=Address("web", _conversation(place, room)), what=what,
            natural=f"{me}:{token}:{said[:200]}:{name}",
        )  # fmt: skip
        await found.app.receiver.receive(event, room=room)
    return back_to(form.get("back", ""), f"/chat?room={room or OWN}")


async def through(found: Desk, words: str, name: str) -> Answered:
    """Say what a form means through the same door as everybody, and 送る when asked: the form's own button was that. Once a `name`."""
    answered = await _say(found, words, name)
    if answered.messages and any(c.says == "送る" for c in answered.messages[0].choices):
        answered = await _say(found, "送る", f"{name}:send")
    return answered


async def _say(found: Desk, words: str, name: str) -> Answered:
    me = found.reader.code
    event = Inbound(f"{me}:{name}", Sender("web", me), Address("web", OWN), Said(words))
    return await found.app.receiver.receive(event)


def _conversation(place: str, room: str | None) -> str:
    """Where it was said: an agency's room, a page, or one's own room."""
    return room or (place if _PLACE.fullmatch(place) else OWN)


def _what(form: dict[str, str]) -> Said | Chose | None:
    """A button carries its letter's name and its words; one without a letter is simply words."""
    value = form.get("token", "")
    if pressed := _PRESSED.fullmatch(value):
        return Chose(pressed[1], pressed[2])
    words = (value.removeprefix("|") or form.get("words", "")).replace("\r\n", "\n").strip()
    return Said(words) if words else None


def token(letter: LetterRow, says: str) -> str:
    """What a button posts."""
    return f"{letter.token} {says}"


def fields(found: Desk, place: str, back: str = "") -> list[tuple[str, str]]:
    """The hidden fields of a form that says something: where, and a name so that a double click does nothing twice."""
    hidden = [("room", place), ("nonce", nonce())]
    return [*hidden, ("back", back)] if back else hidden


def message(
    found: Desk, letter: LetterRow, hidden: list[tuple[str, str]], *, private: bool, over: bool = False
) -> View:
    """An answer as a bubble; what it lists as a card, its choices below. A preview that is `over` asks no more."""
    made = as_written(letter)
    shown: View = {
        "id": f"m-{letter.id}", "who": {"name": found.t("つなぎ"), "initial": "つ", "bot": True},
        "at": clock(found, letter.created_at), "private": private, "hidden": hidden,
    }  # fmt: skip
    choices = [{"label": c.label, "token": token(letter, c.says), "style": c.style} for c in made.choices]
    if over and any(c.says == "送る" for c in made.choices):
        choices = []
    if found.may(*TAKES_IN) and any(c.says.startswith("受付 ") for c in made.choices):
        choices.append({"label": found.t("くわしく書く"), "href": "/intake", "style": "quiet"})
    if not made.facts:
        text = f"{made.title}\n{made.text}" if made.title else made.text
        return shown | {"text": text, "choices": choices}
    card: View = {
        "id": f"card-{letter.id}", "kind": "answer", "kind_label": made.title or found.t("お返事"), "text": made.text,
        "facts": [{"label": label, "value": value.split("\n") if "\n" in value else value} for label, value, _ in made.facts],
        "choices": [c | {"style": "plain" if c["style"] == "danger" else c["style"]} for c in choices], "hidden": hidden,
    }  # fmt: skip
    return shown | {"card": card}


def said_here(tx: Tx, found: Desk, place: str, back: str) -> View | None:
    """The newest answer to words said on this page, with the words themselves; and whether they can be taken back."""
    recent = conversation.answers(tx, found.reader.code, found.now - SHOWN)
    asked = conversation.said(tx, [one.inbox_id for one in recent if one.inbox_id is not None])
    for letter in recent:
        behind = asked.get(letter.inbox_id or 0)
        if behind is not None and behind.conversation == place:
            hidden = fields(found, place, back)
            words = echo.shown(behind.words, found.voice)
            words = words if len(words) <= ECHOED else f"{words[:ECHOED]}…"
            return {"message": message(found, letter, hidden, private=False), "words": words}
        if behind is not None:
            return None  # the newest words were said elsewhere: their answer stands there
    return None


def undo(tx: Tx, found: Desk, place: str, back: str = "") -> View | None:
    """The bar at the foot while the last deed can still be taken back; gone as soon as somebody else has acted on it."""
    last = undone_by(tx, found.reader.code, found.now)
    left = int((datetime.fromisoformat(last["until"]) - found.now).total_seconds()) if last else 0
    if left <= 0:
        return None
    return {
        "text": found.t("いまのことばは、まだ取り消せます"), "left": left, "left_label": found.t("あと{n}分", n=max(1, -(-left // 60))),
        "token": "取消", "label": found.t("取り消す"), "hidden": fields(found, place, back),
    }  # fmt: skip
