"""A one-time link of a mail: opened it shows the card and its one button, pressed it acts as the letter's reader. Only POST acts."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from adapters.base import Address, Choice, Chose, Inbound, Sender
from bot.looks import named
from bot.pages.frame import Desk, View, desk, kept, show, worded
from bot.pages.saying import OWN
from bot.reading import Reading, as_written
from bot.receive import BY_LETTER, Answered
from bot.sign import hashed
from bot.voice import Voice, voice_for
from storage import inbox, letters
from storage.letters import LetterRow
from storage.tx import Tx
from workflow.people import Staff

LIVES: Final = timedelta(days=14)
#: A letter's name; behind it the place of the button.
NAME: Final = 21
NOBODY: Final = (
    "このリンクは使えません",
    "リンクが途中で切れているか、もう使えないものです。メールの1行をそのまま開くか、入口からお入りください。",
)
OLD: Final = (
    "このリンクの期限が過ぎました",
    "リンクが使えるのは、お送りしてから14日間です。いまのようすは、入口からお入りになるとご覧になれます。",
)
USED: Final = ("お返事はもういただいています", "このリンクは1回だけ使えます。お返事は、はじめの1回で届いています。")  # fmt: skip
THERE: Final = ("お返事を受けとりました", "いまのようすは、入口からお入りになるとご覧になれます。")


@dataclass(frozen=True, slots=True)
class Opened:
    """A link that is one: its letter, whose it is, and what its button says."""

    letter: LetterRow
    reader: Staff
    says: str
    old: bool


class Shown(NamedTuple):
    """The card as it is true now, and the button while it is still to be pressed."""

    card: View
    choice: Choice | None
    at: str  #: where the card lies in the web chat


async def go(request: Request) -> Response:
    """Show, or on POST act. Who is signed in here does not matter: the link is the letter's reader."""
    visitor = await desk(request)
    token = str(request.path_params["token"])
    opened = await visitor.read(lambda tx: _opened(tx, visitor, token))
    if opened is None:
        return _worded(visitor, NOBODY, 404)
    found = replace(visitor, me=opened.reader, left=0)
    if opened.old:
        return _worded(found, OLD, 410)
    if request.method == "POST":
        return await kept(found, await _press(visitor, found, opened, token))
    shown = await found.read(lambda tx: _shown(tx, found, opened))
    return await kept(found, _page(found, token, shown, here=_signed_in(visitor, opened)))


def _opened(tx: Tx, visitor: Desk, token: str) -> Opened | None:
    """Only a mail's own tokens are links: those of other platforms name a button, and the tapper is known there."""
    letter = letters.by_token(tx, token[:NAME])
    if letter is None or letter.surface != BY_LETTER:
        return None
    reader, says = visitor.town.staff.get(letter.to_staff or ""), _said(letter, token[NAME:])
    if reader is None or says is None:
        return None
    return Opened(letter, reader, says, letter.created_at + LIVES <= visitor.now)


def _said(letter: LetterRow, place: str) -> str | None:
    """What the button at a place says; None when there is none."""
    says = letter.doc.get("says", [])
    known = place.isascii() and place.isdigit() and len(place) < 3 and int(place) < len(says)
    return str(says[int(place)]) if known else None


def _signed_in(visitor: Desk, opened: Opened) -> bool:
    return visitor.me is not None and visitor.me.code == opened.reader.code


# -- looking


def _shown(tx: Tx, found: Desk, opened: Opened) -> Shown:
    """Render the letter from the present state: an answered question has no button any more.

    Letters of one moment left as one mail under the first one's name; the button's own letter is the one to show.
    """
    reading = Reading(tx, found.town, opened.reader, found.now, _outside(found))
    cards = [(row, reading.card(row)) for row in letters.bundle_of(tx, opened.letter)]
    asked = ((row, card, choice) for row, card in cards for choice in card.choices if choice.says == opened.says)
    mine = next((row, card) for row, card in cards if row.id == opened.letter.id)
    row, card, choice = next(asked, (*mine, None))
    return Shown(replace(card, choices=(), href=None).view(f"asked-{row.id}"), choice, _place(tx, opened.reader, row))


def _outside(found: Desk) -> Voice:
    """Nobody has signed in: the page says no more than the mail did (workflow.md §6)."""
    return voice_for(found.town, found.voice.lang, outside=True)


def _place(tx: Tx, me: Staff, letter: LetterRow) -> str:
    """Where the same card lies in the web chat."""
    rows = letters.for_person(tx, me.code, me.agencies, surface="web", case_id=letter.case_id, latest=True)
    same = (letter.kind, letter.case_id, letter.handoff, letter.wait)
    twin = next((r for r in reversed(rows) if (r.kind, r.case_id, r.handoff, r.wait) == same), None)
    return _chat(twin.to_room or OWN, twin.id) if twin else f"/chat?room={OWN}"


def _chat(room: str, letter: int) -> str:
    return f"/chat?room={room}#m-{letter}"


def _page(found: Desk, token: str, shown: Shown, *, here: bool) -> Response:
    choice = shown.choice
    button = {"label": choice.label, "token": token, "style": "primary"} if choice else None
    found.looked(*named(shown.card))
    return show(
        found, "go.html", found.t("お返事"), plain=True, heading=found.t("お返事"), who=found.voice.name(found.reader.code),
        cards=[shown.card], choice=button, action=f"/go/{token}", enter=_enter(found, shown.at, here=here),
    )  # fmt: skip


def _enter(found: Desk, to: str, *, here: bool) -> dict[str, str]:
    """The way to the card in the web chat, through the door for who is not in."""
    return {"label": found.t("つなぎで見る"), "href": to if here else f"/sign-in?next={quote(to, safe='')}"}


# -- pressing


async def _press(visitor: Desk, found: Desk, opened: Opened, token: str) -> Response:
    """The same door as every platform. The same link twice is the same event."""
    pressed = (await found.form()).get("token", token)[: NAME + 2]
    says = opened.says if pressed == token else await found.read(lambda tx: _follows(tx, opened, pressed))
    if says is None:
        return _worded(found, NOBODY, 404)
    event = Inbound(
        hashed(pressed),  # it goes into logs, where no link may
        Sender(BY_LETTER, opened.reader.code),
        Address(BY_LETTER, _conversation(opened.letter)),
        Chose(pressed, says),
    )
    answered = await found.app.receiver.receive(event)
    here = _signed_in(visitor, opened)
    if answered.inbox is None:
        shown = await found.read(lambda tx: _shown(tx, found, opened))
        return _worded(found, USED, 200, links=[_enter(found, shown.at, here=here)])
    return await _answer(found, opened, token, answered, here=here)


def _conversation(letter: LetterRow) -> str:
    return f"letter:{letter.id}"


def _follows(tx: Tx, opened: Opened, pressed: str) -> str | None:
    """The words of a button below an answer to this very letter's link: a reason, 送る, やめる. Any other is none of its."""
    answer, place = letters.by_token(tx, pressed[:NAME]), pressed[NAME:]
    if answer is None or not answer.answer or answer.to_staff != opened.reader.code or answer.inbox_id is None:
        return None
    if inbox.place(tx, answer.inbox_id) != (BY_LETTER, _conversation(opened.letter)):
        return None
    return _said(answer, place)


async def _answer(found: Desk, opened: Opened, token: str, answered: Answered, *, here: bool) -> Response:
    """Signed in: on to the card in the web chat. Else the answer and the card here, the answer's buttons carrying on."""
    inbox_id, me = answered.inbox or 0, opened.reader.code
    answer = await found.read(lambda tx: letters.answer_to(tx, me, inbox_id))
    if answer is None or answer.inbox_id is None:
        return _worded(found, THERE, 200)
    asks = bool(answer.doc["choices"]) and (answered.refused is not None or _goes_on(answer))
    shown = await found.read(lambda tx: _shown(tx, found, opened))
    if here:
        return RedirectResponse(_chat(OWN, answer.id) if asks else shown.at, 303)
    card = as_written(answer)
    tokens = {choice.says: f"{answer.token}{i}" for i, choice in enumerate(card.choices)}
    said = {**card.view("answer", tokens), "action": f"/go/{token}", "kind_label": card.title or found.t("つなぎ")}
    cards = [said] if asks else [said, shown.card]
    found.looked(*named(cards))
    return show(
        found, "go.html", found.t("お返事"), plain=True, heading=found.t("お返事"), who=found.voice.name(me), cards=cards, choice=None, action="", enter=_enter(found, shown.at, here=False),
    )  # fmt: skip


def _goes_on(answer: LetterRow) -> bool:
    """A preview, or a list to choose from: without another press nothing has happened yet."""
    return "送る" in answer.doc["says"]


def _worded(found: Desk, words: tuple[str, str], status: int, **more: Any) -> Response:
    links = more.pop("links", [{"label": found.t("入口へ"), "href": "/sign-in"}])
    return worded(found, *words, status, plain=True, links=links)
