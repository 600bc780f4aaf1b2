"""The web chat: a room for each agency and a direct one, cards that stay true, one's own words, colleagues' words."""

import secrets
from datetime import datetime
from typing import Any, Final

from adapters.base import Address, Chose, Inbound, Said, Sender
from bot.reading import Reading, as_written
from bot.site.frame import Desk, iso, nonce, show
from starlette.responses import RedirectResponse, Response
from storage import inbox, letters, reads, rooms
from storage.letters import LetterRow
from storage.store import Tx
from workflow.case import Case

SHOWN: Final = 40
OWN: Final = "me"
MENU: Final = (
    ("今日", "calendar"), ("つぎへ", "next"), ("一覧", "list"), ("受付", "plus"), ("ヘルプ", "help"), ("緊急", "danger"),
)  # fmt: skip


async def chat(found: Desk) -> Response:
    """The rooms, one conversation, and the case it is about."""
    me = found.reader
    chosen = found.request.query_params.get("room", "")
    room = chosen if chosen in me.agencies else OWN
    more = int(found.request.query_params.get("more", "0") or 0) if found.request.query_params.get("more", "0").isdigit() else 0
    view = await found.read(lambda tx: _view(tx, found, room, SHOWN * (1 + min(more, 20))))
    last = view.pop("last")
    if last:
        await found.app.store.transact(lambda tx: reads.seen(tx, me.code, "" if room == OWN else room, last))
    open_ = "talk" if chosen else "rooms"
    return show(found, "chat.html", found.t("チャット"), "chat", focus=bool(chosen), open=open_, more=more + 1, **view)


def _view(tx: Tx, found: Desk, room: str, most: int) -> dict[str, Any]:
    me, voice = found.reader, found.voice
    reading = Reading(tx, found.town, me, found.now, voice)
    mine = [row for row in letters.for_person(tx, me.code, me.agencies, 0, most * 3, surface="web", latest=True) if _here(row, room)]
    mine = mine[-most:]
    items = [(row.created_at, row.id, _letter(found, reading, row)) for row in mine]
    if room != OWN:
        for post in rooms.posts(tx, [room], 0, most, latest=True):
            items.append((post.at, post.id, _post(found, post.by_staff, post.words, post.at, post.id)))
    since = mine[0].created_at if mine else None
    for said in inbox.said(tx, me.code, OWN if room == OWN else room, since, most):
        items.append((said.at, 0, _own(found, said.words, said.at, said.id)))
    items.sort(key=lambda item: (item[0], item[1]))
    case = next((reading.case(row.case_id) for row in reversed(mine) if row.case_id), None)
    last = max((row.id for row in letters.for_person(tx, me.code, me.agencies, 0, 1, surface="web", latest=True)), default=0)
    return {
        "rooms": _rooms(tx, found, room), "head": _head(found, room), "items": _days(found, items), "room": room, "nonce": nonce(),
        "menu": [{"label": voice.t(w), "says": w, "glyph": g, **({"danger": True} if w == "緊急" else {})} for w, g in MENU],
        "case": _beside(found, reading, case) if case else None, "last": last, "older": len(mine) >= most,
    }  # fmt: skip


def _here(row: LetterRow, room: str) -> bool:
    return row.to_room == room if room != OWN else row.to_room is None


def _letter(found: Desk, reading: Reading, row: LetterRow) -> dict[str, Any]:
    """A letter as the conversation shows it: a bubble for an answer, a card for everything that is about a case."""
    at = {"text": found.voice.clock(row.created_at), "iso": iso(row.created_at)}
    who = {"name": "つなぎ", "bot": True}
    hidden = [("room", row.to_room or OWN), ("nonce", nonce())]
    if row.kind == "answer":
        card = as_written(row)
        lines = [card.text, *(f"{label}: {value}" for label, value, _ in card.facts)]
        text = "\n".join(filter(None, [card.title, *lines]))
        choices = [{"label": c.label, "token": f"{row.token}|{c.says}"} for c in card.choices]
        return {
            "id": f"m-{row.id}", "who": who, "at": at, "text": text, "choices": choices, "hidden": hidden,
            "private": bool(row.to_room),
        }  # fmt: skip
    card = reading.card(row)
    tokens = {c.says: f"{row.token}|{c.says}" for c in card.choices}
    return {"id": f"m-{row.id}", "who": who, "at": at, "card": card.view(f"card-{row.id}", tokens) | {"hidden": hidden}}


def _post(found: Desk, by: str, words: str, at: datetime, id_: int) -> dict[str, Any]:
    name = found.town.staff[by].name if by in found.town.staff else by
    return {
        "id": f"p-{id_}", "own": by == found.reader.code, "who": {"name": name, "initial": name[:1]}, "text": words,
        "at": {"text": found.voice.clock(at), "iso": iso(at)},
    }  # fmt: skip


def _own(found: Desk, words: str, at: datetime, id_: int) -> dict[str, Any]:
    return {"id": f"w-{id_}", "own": True, "who": {"name": ""}, "text": words, "at": {"text": found.voice.clock(at), "iso": iso(at)}}


def _days(found: Desk, items: list[tuple[datetime, int, dict[str, Any]]]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    day = None
    for at, _id, item in items:
        local = at.astimezone(found.town.tz).date()
        if local != day:
            day = local
            shown.append({"day": found.voice.title_day(at), "id": f"d-{local.isoformat()}"})
        shown.append(item)
    return shown


def _rooms(tx: Tx, found: Desk, chosen: str) -> list[dict[str, Any]]:
    me, voice = found.reader, found.voice
    unread = reads.unread(tx, me.code, me.agencies)
    rows = []
    for code in (*me.agencies, OWN):
        own = code == OWN
        newest = letters.newest_in(tx, me.code, None if own else code)
        last = voice.label("notice", newest.kind) if newest and newest.kind != "answer" else voice.t("お返事しました") if newest else ""
        rows.append(
            {
                "id": f"r-{code}", "name": voice.t("じぶんの部屋") if own else voice.agency(code),
                "initial": me.name[:1] if own else found.town.agencies[code].name[:1], "last": last,
                "at": {"text": _when(found, newest.created_at) if newest else "", "iso": iso(newest.created_at) if newest else ""},
                "unread": unread.get("" if own else code, 0), "href": f"/chat?room={code}", "chosen": code == chosen,
            }
        )  # fmt: skip
    return rows


def _when(found: Desk, at: datetime) -> str:
    same = at.astimezone(found.town.tz).date() == found.now.astimezone(found.town.tz).date()
    return found.voice.clock(at) if same else found.voice.day(at, found.now)


def _head(found: Desk, room: str) -> dict[str, Any]:
    me, voice = found.reader, found.voice
    if room == OWN:
        return {"name": voice.t("じぶんの部屋"), "about": voice.t("あなたとつなぎだけの部屋です"), "back": "/chat", "help": "/help"}
    count = len(found.town.members.get(room, ()))
    about = voice.t("機関の部屋・{n}人 {name}として参加").replace("{n}", str(count)).replace("{name}", me.name)
    return {"name": voice.agency(room), "about": about, "back": "/chat", "help": "/help"}


def _beside(found: Desk, reading: Reading, case: Case) -> dict[str, Any] | None:
    """The case beside the conversation, for whoever may open it."""
    from bot.site.case import beside
    from workflow.who import knows

    return beside(found, case, reading.mark(case.id)) if knows(found.reader, case, found.town, found.now) else None


async def say(found: Desk) -> Response:
    """A form's words or button: the same door as every platform, then back to where it was pressed."""
    form = await found.request.form()
    me = found.reader
    room = str(form.get("room", OWN))
    room = room if room in me.agencies else OWN
    name = str(form.get("nonce", "")) or secrets.token_hex(8)
    token, says = _pressed(str(form.get("token", "")))
    typed = str(form.get("words", ""))
    back = str(form.get("back", "")) or f"/chat?room={room}#foot"
    back = back if back.startswith("/") and not back.startswith("//") else "/chat"
    if token or says or typed.strip():
        what = Chose(token, says) if token else Said(says or typed)
        event = Inbound(
            id=f"{me.code}:{name}:{token}{says}{typed}"[:400], sender=Sender("web", me.code), address=Address("web", room), what=what,
        )  # fmt: skip
        await found.app.receiver.receive(event, room=None if room == OWN else room)
    return RedirectResponse(back, 303)


def _pressed(value: str) -> tuple[str, str]:
    """A button's value is its letter's token and its words; a token without words is looked up."""
    token, bar, says = value.partition("|")
    return (token, says) if bar else (token, "")
