"""つなげる: one's own chats, their order and quiet hours, an agency's shared ones, and papers for volunteers. Acts on POST alone."""

import secrets
from collections import deque
from collections.abc import Sequence
from datetime import time, timedelta
from typing import Any, Final, NamedTuple

import segno
from starlette.responses import Response

from adapters.base import DeepLinked
from bot import sign
from bot.pages.frame import Desk, NotForYou, View, at, back_to, show, worded
from bot.record import room_platforms
from storage import journal, people
from storage.people import Link, ReaderSettings, Room
from storage.tx import Tx
from workflow.outcome import Entry
from workflow.people import Agency, Quiet, Role, Staff

#: Proper names; a platform of somebody's own goes by its code.
NAMES: Final = {"slack": "Slack", "telegram": "Telegram", "line": "LINE"}
#: Nothing comes in by mail; it needs no code.
NOT_LINKED: Final = frozenset({"mail"})
#: Where words for us begin with our command.
SLASHED: Final = frozenset({"slack"})
#: So much of an account is shown that its owner knows it, and nobody else learns it.
SHOWN: Final = 4
#: LINE's own token for one account, as it came in the address of the button.
LONGEST: Final = 200
OFTEN: Final = (
    "すこしおいてからお願いします",
    "つづけて合言葉をつくることはできません。1分ほどおいてから、もう一度お願いします。",
)

_made: dict[str, deque[float]] = {}


class Made(NamedTuple):
    """A pair of codes, shown once."""

    platform: str
    typed: str
    carried: str = ""
    agency: str = ""  #: whose shared conversation it links; empty: one's own account


async def links(found: Desk) -> Response:
    """GET: what is linked. POST: make a code, keep, move up or unlink an account, say when to be quiet, judge a paper."""
    if found.request.method != "POST":
        return await _page(found)
    form = await found.form()
    do, platform, account = form.get("do", ""), form.get("platform", ""), form.get("account", "")
    if do == "make" and platform in _platforms(found):
        return await _make(found, platform)
    if do == "make-room":
        return await _make_room(found, platform, form.get("agency", ""))
    if do == "quiet":
        return await _quiet(found, form.get("start", ""), form.get("end", ""))
    if do == "up":
        await found.write(lambda tx: _up(tx, found, platform))
    elif do == "unlink-room":
        await found.write(lambda tx: _unlink_room(tx, found, platform, account))
    elif do in ("keep", "unlink"):
        await found.write(lambda tx: _own(tx, found, do, platform, account))
    elif do in ("accept", "refuse"):
        await found.write(lambda tx: _decide(tx, found, do, platform, account))
    return back_to("/links", "/links")


def _platforms(found: Desk) -> list[str]:
    """What is set up here and allowed by this person's agencies."""
    allowed = [set(a.platforms) for code in found.reader.agencies if (a := found.town.agencies[code]).platforms]
    return [p for p in sorted(found.town.outside - NOT_LINKED) if all(p in some for some in allowed)]


def _name(platform: str) -> str:
    return NAMES.get(platform, platform.title())


# -- one's own


def _own(tx: Tx, found: Desk, do: str, platform: str, account: str) -> None:
    """Say yes to an account or let it go. One that is somebody else's by now is none of one's own."""
    me = found.reader.code
    mine = next((row for row in people.link_rows(tx, me) if (row.platform, row.account) == (platform, account)), None)
    if mine is None:
        return
    if do == "unlink":
        people.unlink(tx, platform, account)
    elif mine.how != "paper":  # nobody confirms their own paper
        people.confirm_link(tx, platform, account, me, me, found.now)


async def _make(found: Desk, platform: str) -> Response:
    me = found.reader.code
    if sign.too_often(_made, me):
        return worded(found, *OFTEN, 429, links=[{"label": found.t("つなげる"), "href": "/links"}])
    typed, carried = await found.write(lambda tx: sign.link_codes(tx, me, found.now))
    return await _page(found, Made(platform, typed, carried))


class Linked(NamedTuple):
    """What the page is made of."""

    mine: list[Link]
    waiting: list[Link]
    rooms: list[Room]
    settings: ReaderSettings


def _linked(tx: Tx, found: Desk) -> Linked:
    me = found.reader.code
    waiting = [row for row in people.unconfirmed_links(tx) if _may_confirm(found, row.staff)]
    theirs = {agency.code for agency in _agencies(found)}
    shared = [room for room in people.rooms(tx) if room.agency in theirs]
    return Linked(_mine(tx, found), waiting, shared, people.reader_settings(tx, me))


async def _page(found: Desk, made: Made | None = None, wrong: tuple[str, str] | None = None) -> Response:
    mine, waiting, rooms, settings = await found.read(lambda tx: _linked(tx, found))
    asked = [row for row in mine if row.how == "link" and row.confirmed_at is None]
    order = _order(found, [row for row in mine if row not in asked], settings.orders)
    return show(
        found, "links.html", found.t("つなげる"), "", still=made is not None,
        asked=[_account(found, row) for row in asked], mine=_accounts(found, mine, asked, order),
        quiet=_quiet_view(found, settings.quiet, wrong), shared=_shared(found, rooms),
        platforms=[{"value": p, "label": _name(p)} for p in _platforms(found)], made=_shown(found, made) if made else None,
        waiting=[_waiting(found, row) for row in waiting], paper=_paper_form(found), status=422 if wrong else 200,
    )  # fmt: skip


def _mine(tx: Tx, found: Desk) -> list[Link]:
    return [row for row in people.link_rows(tx, found.reader.code) if row.platform not in ("web", "console")]


# -- in which order, and when not


def _order(found: Desk, mine: Sequence[Link], chosen: tuple[str, ...]) -> tuple[str, ...]:
    """This person's platforms, as they chose; what they have not placed follows, the oldest first and mail at the end."""
    have = dict.fromkeys([row.platform for row in mine] + (["mail"] if _mail(found) else []))
    return (*(p for p in chosen if p in have), *(p for p in have if p not in chosen))


def _accounts(found: Desk, mine: list[Link], asked: list[Link], order: tuple[str, ...]) -> list[View]:
    rows = [_account(found, row) for row in mine if row not in asked]
    if address := _mail(found):
        rows.append(
            {
                "id": "by-mail",
                "platform": "mail",
                "name": found.t("メール"),
                "tail": address,
                "holds": True,
                "reachable": True,
            }
        )
    rows.sort(key=lambda row: order.index(row["platform"]))
    return [row | {"up": row["platform"] != order[0]} for row in rows]


def _up(tx: Tx, found: Desk, platform: str) -> None:
    """Put a platform one place forward."""
    me = found.reader.code
    settings = people.reader_settings(tx, me)
    order = list(_order(found, _mine(tx, found), settings.orders))
    if platform in order[1:]:
        place = order.index(platform)
        order[place - 1 : place + 1] = [platform, order[place - 1]]
        people.set_reader(tx, me, settings._replace(orders=tuple(order)))


async def _quiet(found: Desk, start: str, end: str) -> Response:
    me = found.reader.code
    try:
        quiet = Quiet(_minute(start), _minute(end)) if start or end else None
    except ValueError:
        return await _page(found, wrong=(start, end))
    if quiet and quiet.start == quiet.end:
        return await _page(found, wrong=(start, end))
    await found.write(lambda tx: people.set_reader(tx, me, people.reader_settings(tx, me)._replace(quiet=quiet)))
    return back_to("/links", "/links")


def _minute(clock: str) -> int:
    """14:30 → 870. Raises ValueError."""
    at = time.fromisoformat(clock)
    return at.hour * 60 + at.minute


def _quiet_view(found: Desk, quiet: Quiet | None, wrong: tuple[str, str] | None) -> View:
    kept = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in quiet or ()] or ["", ""]
    start, end = wrong or kept
    return {
        "start": start,
        "end": end,
        "wrong": found.t("はじまりとおわりの時刻を、ちがう時刻でお願いします。") if wrong else "",
    }


# -- an agency's channels and groups


def _agencies(found: Desk) -> list[Agency]:
    """Whose shared conversations this person may link: every agency's as a coordinator, else those they head."""
    me = found.reader
    return [a for a in found.town.agencies.values() if me.has(Role.COORDINATOR) or me.heads(a.code)]


def _shareable(found: Desk) -> list[Agency]:
    return [a for a in _agencies(found) if room_platforms(a, found.town)]


async def _make_room(found: Desk, platform: str, code: str) -> Response:
    """Make a code that links a shared conversation; only the newest counts."""
    agency = next((a for a in _shareable(found) if a.code == code), None)
    if agency is None or platform not in room_platforms(agency, found.town):
        raise NotForYou
    me, typed = found.reader.code, "".join(secrets.choice(sign.LETTERS) for _ in range(sign.TYPED))
    if sign.too_often(_made, me):
        return worded(found, *OFTEN, 429, links=[{"label": found.t("つなげる"), "href": "/links"}])

    def make(tx: Tx) -> None:
        people.spend_invites(tx, me, "room", found.now)
        until = found.now + sign.CODE_LIVES["link"]
        people.add_invite(tx, sign.hashed(sign.plain(typed)), me, "room", until, me, room=agency.code)

    await found.write(make)
    return await _page(found, Made(platform, f"{typed[:4]}-{typed[4:]}", agency=agency.code))


def _unlink_room(tx: Tx, found: Desk, platform: str, conversation: str) -> None:
    """Let a shared conversation go. To who neither heads the agency nor coordinates there is none."""
    room = people.room(tx, platform, conversation)
    if room is None or room.agency not in {agency.code for agency in _agencies(found)}:
        return
    people.unlink_room(tx, platform, conversation)
    data = {"room": room.agency, "platform": platform}
    journal.append_town(tx, Entry("town.unlink", data=data), found.reader.code, "web", found.now)


def _shared(found: Desk, rooms: list[Room]) -> View | None:
    some = _shareable(found)
    if not some:
        return None
    options = [{"value": a.code, "label": found.voice.agency(a.code)} for a in some]
    platforms = sorted(frozenset[str]().union(*(room_platforms(a, found.town) for a in some)))
    return {
        "rows": [_room(found, room) for room in rooms],
        "agency": {"id": "room-agency", "name": "agency", "label": found.t("どの機関の"), "options": options},
        "platforms": [{"value": p, "label": _name(p)} for p in platforms],
    }  # fmt: skip


def _room(found: Desk, room: Room) -> View:
    return {
        "id": f"room-{sign.hashed(f'{room.platform}:{room.conversation}')[:8]}", "platform": room.platform,
        "account": room.conversation, "name": _name(room.platform), "tail": _tail(room.conversation),
        "who": found.voice.agency(room.agency), "at": at(found, room.linked_at), "reachable": room.reachable,
    }  # fmt: skip


def _tail(account: str) -> str:
    return f"…{account[-SHOWN:] if len(account) > SHOWN else ''}"


def _account(found: Desk, row: Link) -> View:
    return {
        "id": f"link-{sign.hashed(f'{row.platform}:{row.account}')[:8]}", "platform": row.platform, "account": row.account,
        "name": _name(row.platform), "tail": _tail(row.account), "holds": row.holds,
        "at": at(found, row.linked_at) if row.how != "file" else None,
        "reachable": row.reachable,
    }  # fmt: skip


def _mail(found: Desk) -> str:
    """Where mail goes: the town file's address, when mail is set up."""
    return found.reader.email if "mail" in found.town.outside else ""


def _shown(found: Desk, made: Made) -> View:
    """How the code gets there: by a link that brings it, or typed."""
    adapter: object = found.app.deliverer.adapters.get(made.platform)
    link = adapter.link(made.carried) if made.carried and isinstance(adapter, DeepLinked) else ""
    words = f"{'' if made.platform not in SLASHED else '/tsunagi '}登録 {made.typed}"
    name = _name(made.platform)
    if made.agency:
        where = found.t("{agency} の {name} のチャンネルやグループで送ってください。").replace(
            "{agency}", found.voice.agency(made.agency)
        )
    else:
        where = found.t("{name} で、つなぎとの1対1の場所に送ってください。")
    return {
        "name": name,
        "where": where.replace("{name}", name),
        "code": made.typed,
        "says": words,
        "link": link,
        "image": _qr(link) if link else "",
    }


def _qr(link: str) -> str:
    return segno.make(link, micro=False, error="m").svg_data_uri(dark="#000", light="#fff", scale=5, border=4)


# -- LINE's account link


async def line(found: Desk) -> Response:
    """LINE sends a reader here with its token; one press makes our code, and LINE brings it back with the account."""
    token = (await found.form()).get("linkToken", "") if found.request.method == "POST" else found.query("linkToken")
    if "line" not in _platforms(found) or not (0 < len(token) <= LONGEST and token.isascii() and token.isprintable()):
        raise NotForYou
    if found.request.method != "POST":
        return show(found, "links_line.html", found.t("LINE をつなげる"), "", token=token, to="", still=True)
    me = found.reader.code
    if sign.too_often(_made, me):
        return worded(found, *OFTEN, 429, links=[{"label": found.t("つなげる"), "href": "/links"}])
    _typed, carried = await found.write(lambda tx: sign.link_codes(tx, me, found.now))
    from adapters.line import account_link  # importing an SDK takes a second: only where it is set up

    # A link and not a redirect: the page's policy lets no form lead to another host.
    to = account_link(token, carried)
    return show(found, "links_line.html", found.t("LINE をつなげる"), "", token=token, to=to, still=True)


# -- papers


def _may_confirm(found: Desk, staff: str) -> bool:
    """A head of the person's agency or a coordinator, and never the person."""
    me, one = found.reader, found.town.staff.get(staff)
    if one is None or one.code == me.code:
        return False
    return me.has(Role.COORDINATOR) or any(me.heads(agency) for agency in one.agencies)


def _waiting(found: Desk, row: Link) -> View:
    where = found.t("この町のページ") if row.platform == sign.BROWSER else _name(row.platform)
    return _account(found, row) | {"name": where, "who": found.voice.person(row.staff), "staff": row.staff}


def _decide(tx: Tx, found: Desk, do: str, platform: str, account: str) -> None:
    """Let a paper count, or not. What has been decided meanwhile stays decided."""
    row = next((r for r in people.unconfirmed_links(tx) if (r.platform, r.account) == (platform, account)), None)
    if row is None or not _may_confirm(found, row.staff):
        return
    if do == "refuse":
        people.unlink(tx, platform, account)
    elif platform == sign.BROWSER:
        sign.let_in(tx, account, row.staff, found.app.clock.machine(), sign.lives(found.town, shared=False))
        sign.came_in(tx, row.staff, "paper", found.now)
    else:
        people.confirm_link(tx, platform, account, row.staff, found.reader.code, found.now)


def _volunteers(found: Desk) -> list[Staff]:
    return [one for one in found.town.staff.values() if one.volunteer and _may_confirm(found, one.code)]


def _paper_form(found: Desk) -> View | None:
    some = _volunteers(found)
    if not some:
        return None
    options = [
        {"value": s.code, "label": f"{found.voice.name(s.code)} ({found.voice.agency(s.agency)})"}
        for s in some
    ]  # fmt: skip
    return {"id": "paper-who", "name": "who", "label": found.t("どなたに"), "options": options}


async def paper(found: Desk) -> Response:
    """Make an 招待状 and show it once, to be printed."""
    asked = (await found.form()).get("who", "")
    one = next((s for s in _volunteers(found) if s.code == asked), None)
    if one is None:
        raise NotForYou
    me = found.reader
    code = await found.write(lambda tx: sign.invite(tx, one.code, "paper", me.code, found.now, "web"))
    base = (found.app.settings.base_url or str(found.request.base_url)).rstrip("/")
    agency = found.town.agencies[me.agency]
    until = found.now + timedelta(days=14)
    sheet: dict[str, Any] = {
        "to": found.voice.person(one.code), "from": f"{agency.name} {found.voice.name(me.code)}", "phone": agency.phone,
        "town": found.town.name, "until": found.voice.title_day(until, found.now), "today": found.voice.title_day(found.now),
        "code": code, "place": f"{base}/sign-in", "image": _qr(f"{base}/sign-in?code={code}"),
        "chats": found.voice.join([_name(p) for p in sorted(found.town.outside - NOT_LINKED)]), "says": f"登録 {code}",
    }  # fmt: skip
    return show(found, "invitation.html", found.t("招待状"), "", sheet=sheet, still=True)
