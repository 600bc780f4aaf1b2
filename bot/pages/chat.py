"""The web chat: a room for each agency and one's own, cards that stay true, one's own words and colleagues' words."""

from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple

from starlette.responses import Response

from bot.looks import named
from bot.pages import beside, naming, saying
from bot.pages.frame import Desk, NotFound, View, at, clock, phones, show
from bot.pages.saying import OWN
from bot.reading import Reading
from bot.voice import echo
from bot.words import whole_number
from storage import conversation, reads
from storage.conversation import Said
from storage.letters import LetterRow
from storage.rooms import Post
from storage.tx import Tx

SHOWN: Final = 60
#: The newest of a long room stay whole; settled cards before them are folded to one line.
WHOLE: Final = 12
MENU: Final = (
    ("今日", "calendar"), ("つぎへ", "next"), ("一覧", "list"), ("受付", "plus"), ("ヘルプ", "help"), ("緊急", "danger"),
)  # fmt: skip


class Item(NamedTuple):
    """One thing in a conversation, with its place in it."""

    id: int
    at: datetime
    view: View


async def chat(found: Desk) -> Response:
    """The rooms, one conversation, and the case it is about."""
    me = found.reader
    asked = found.query("room")
    room = asked if asked in me.agencies else None
    if asked and room is None and asked != OWN:
        raise NotFound
    before = whole_number(found.query("before"))
    await naming.give(found)
    view, newest = await found.read(lambda tx: _view(tx, found, room, before))
    if newest:
        await found.write(lambda tx: reads.seen(tx, me.code, room or "", newest))
    found.looked(*named(view))
    title = view["head"]["name"]
    return show(found, "chat.html", title, "chat", focus=bool(asked), open="talk" if asked else "rooms", **view)


def _view(tx: Tx, found: Desk, room: str | None, before: int | None) -> tuple[View, int]:
    me = found.reader
    place = room or OWN
    reading = Reading(tx, found.town, me, found.now, found.voice)
    mine = conversation.letters(tx, me.code, room, SHOWN, before)
    posted = conversation.posts(tx, room, SHOWN, before) if room else []
    items = _merged(tx, found, reading, mine, posted, saying.fields(found, place))
    older = items[0].id if len(mine) + len(posted) >= SHOWN and items else None
    last = max((item.id for item in items), default=0)
    seen = reads.of(tx, me.code)
    back = f"/chat?room={place}"
    view: View = {
        "rooms": _rooms(tx, found, place, seen), "head": _head(found, room), "place": place, "items": list(_days(found, items)),
        "older": f"{back}&before={older}" if older else "", "newest": back if before else "",
        "composer": _composer(found, place), "undo": saying.undo(tx, found, place),
        "case": _beside(reading, found, mine),
    }  # fmt: skip
    return view, last if before is None and last > seen.get(room or "", 0) else 0


def _merged(
    tx: Tx, found: Desk, reading: Reading, mine: list[LetterRow], posted: list[Post], hidden: list[tuple[str, str]]
) -> list[Item]:
    """Letters, what was said to get them, and colleagues' words, in the order of their ids."""
    words = conversation.said(tx, [row.inbox_id for row in mine if row.answer and row.inbox_id is not None])
    items: list[Item] = []
    newest = max((row.id for row in mine if row.answer), default=0)
    for place, row in enumerate(mine):
        if row.answer and (own := words.get(row.inbox_id or 0)) and own.words:
            items.append(Item(row.id - 1, own.at, _own(found, own, row)))
        items.append(
            Item(
                row.id,
                row.created_at,
                _letter(found, reading, row, hidden, whole=place >= len(mine) - WHOLE, newest=newest),
            )
        )
    items += [Item(post.id, post.at, _post(found, post)) for post in posted]
    return sorted(items, key=lambda item: item.id)


def _letter(
    found: Desk, reading: Reading, row: LetterRow, hidden: list[tuple[str, str]], *, whole: bool, newest: int
) -> View:
    """An answer is a bubble; everything else is a card, as it is true now."""
    if row.kind == "answer" and not reading.hides(row):
        return saying.message(found, row, hidden, private=row.to_room is not None, over=row.id < newest)
    card = reading.card(row)
    if not whole and card.number and not card.choices:
        text = card.band[1] if card.band else card.title
        return {
            "settled": True, "id": f"m-{row.id}", "number": card.number, "mark": card.mark, "text": text, "href": card.href,
            "at": clock(found, row.created_at),
        }  # fmt: skip
    # 取消 is said as a word of its own: the card's question is over, and so are its buttons.
    tokens = {c.says: "取消" if c.says == "取消" else saying.token(row, c.says) for c in card.choices}
    return {
        "id": f"m-{row.id}", "who": {"name": found.t("つなぎ"), "initial": "つ", "bot": True},
        "at": clock(found, row.created_at),
        "card": card.view(f"card-{row.id}", tokens) | {"hidden": hidden},
    }  # fmt: skip


def _own(found: Desk, own: Said, row: LetterRow) -> View:
    return {
        "id": f"w-{row.id}",
        "own": True,
        "who": {"name": "", "initial": ""},
        "text": echo.shown(own.words, found.voice),
        "at": clock(found, own.at),
    }


def _post(found: Desk, post: Post) -> View:
    name = found.voice.name(post.by_staff)
    return {
        "id": f"p-{post.id}", "own": post.by_staff == found.reader.code, "who": {"name": name, "initial": name[:1]},
        "text": post.words, "at": clock(found, post.at),
    }  # fmt: skip


def _days(found: Desk, items: list[Item]) -> "list[View]":
    """A line between days."""
    shown: list[View] = []
    for day, same in groupby(items, key=lambda item: item.at.astimezone(found.town.tz).date()):
        of_day = list(same)
        shown.append(
            {"day": found.voice.title_day(of_day[0].at, found.now), "id": f"day-{day.isoformat()}-{of_day[0].id}"}
        )
        shown += [item.view for item in of_day]
    return shown


# -- the rooms


def _rooms(tx: Tx, found: Desk, chosen: str, seen: dict[str, int]) -> list[View]:
    me = found.reader
    unread = reads.unread(tx, me.code, me.agencies)
    posts = conversation.unread_posts(tx, me.code, me.agencies, seen)
    rows = []
    for code in (*me.agencies, OWN):
        room = None if code == OWN else code
        newest = conversation.letters(tx, me.code, room, 1)
        last = newest[0] if newest else None
        name = found.voice.agency(code) if room else found.t("じぶんの部屋")
        count = 0 if code == chosen else unread.get(room or "", 0) + posts.get(code, 0)
        rows.append({
            "id": f"room-{code}", "name": name, "initial": name[:1] if room else found.voice.name(me.code)[:1],
            "last": _last(found, last), "at": at(found, last.created_at if last else None, short=True), "unread": count,
            "href": f"/chat?room={code}", "chosen": code == chosen,
        })  # fmt: skip
    return rows


def _last(found: Desk, row: LetterRow | None) -> str:
    """The last thing in a room in one line, without content."""
    if row is None:
        return found.t("まだ何も届いていません")
    if row.kind == "answer":
        return found.t("あなたへのお返事")
    if row.kind == "ring":
        return found.voice.say(f"ring.{row.doc.get('what', '')}.title")
    return found.voice.say(f"card.{row.kind}.title")


def _head(found: Desk, room: str | None) -> View:
    if room is None:
        about = found.t("あなたとつなぎだけの部屋")
        return {
            "name": found.t("じぶんの部屋"),
            "about": about,
            "back": "/chat",
            "help": "/help",
            "phones": phones(found),
        }
    members = len(found.town.members.get(room, ()))
    name = found.voice.name(found.reader.code)
    about = found.t("機関の部屋・{n}人 {name}として参加", n=members, name=name)
    return {"name": found.voice.agency(room), "about": about, "back": "/chat", "help": "/help", "phones": phones(found)}


def _composer(found: Desk, place: str) -> View:
    menu = [{"label": found.t(word), "says": word, "glyph": glyph, "danger": word == "緊急"} for word, glyph in MENU]
    return {
        "hidden": saying.fields(found, place),
        "placeholder": found.t("ことばで頼む 例: 今日、つぎへ"),
        "menu": menu,
    }


def _beside(reading: Reading, found: Desk, mine: list[LetterRow]) -> View | None:
    """The case last touched in this room, for whoever may open it."""
    for row in reversed(mine):
        case = reading.case(row.case_id) if row.case_id else None
        if case is not None:
            return beside.panel(found, case, reading.mark(case.id)) if found.sight.knows(case) else None
    return None
