"""One member of staff, as those see them who look after accounts: what they still hold, with the word that moves each of it; sign-out."""

from typing import Final

from starlette.responses import Response

from bot.pages.frame import Desk, NotFound, View, back_to, nonce, show
from bot.pages.town import invitable
from bot.pages.ways import everywhere
from storage import cases, people
from storage.cases import Stake
from storage.tx import Tx
from workflow.people import LEAD, WATCH, Role, Staff

#: What somebody has to do with a case → the label of it.
HELD: Final = {"lead": "主担当", "holder": "役割", "asked": "名ざしの依頼", "sender": "見届け役"}


async def person(found: Desk) -> Response:
    """GET: the hand-over list. POST: sign this person out everywhere."""
    code = str(found.request.path_params["code"])
    one = found.town.staff.get(code)
    if one is None or one not in invitable(found):
        raise NotFound
    if found.request.method == "POST":
        if (await found.form()).get("do") == "out-all":
            await found.write(lambda tx: everywhere(tx, found, one.code))
        return back_to(f"/town/people/{code}?out=1", "/town")
    rows, sessions = await found.read(lambda tx: (_rows(tx, found, one), len(_sessions(tx, found, one))))
    found.looked(*(row["number"] for row in rows if row["number"]))
    return show(
        found, "person.html", found.t("{name}の受けもち", name=found.voice.name(code)), "town", name=found.voice.person(code),
        posts=found.voice.join([f"{found.voice.agency(p.agency)} {found.voice.post(code, p.agency)}" for p in one.posts]),
        rows=rows, sessions=sessions, code=code, out=bool(found.query("out")), last=found.voice.title_day(found.now),
    )  # fmt: skip


def _sessions(tx: Tx, found: Desk, one: Staff) -> list[people.Session]:
    return people.sessions_of(tx, one.code, found.app.clock.machine())


def _rows(tx: Tx, found: Desk, one: Staff) -> list[View]:
    """What this person leads, holds, was asked by name and watches over; then for whom they stand in."""
    held = cases.held_by(tx, found.sight, one.code)
    stakes = [s for s in held.stakes if not (s.relation == "holder" and s.duty == LEAD)]
    unseen = [_unseen(found, held.unseen)] if held.unseen else []
    return [*(_held(found, s) for s in stakes), *unseen, *_stands_in(tx, found, one)]


def _unseen(found: Desk, count: int) -> View:
    """What this person still holds and the reader may not know: that there is something, and who hands it over."""
    text = found.t("あなたにはご覧になれない受けもちがあります。ご本人か調整役が引き継ぎます。")
    return {
        "id": "held-unseen",
        "number": "",
        "label": text,
        "duty": found.t("{n}件", n=count),
        "href": "/town",
        "words": [],
        "nonce": "",
    }


def _held(found: Desk, stake: Stake) -> View:
    number, voice = stake.case.number, found.voice
    label = found.t(HELD["holder" if stake.duty == WATCH else stake.relation])
    duty = voice.label("duty", stake.duty) if stake.duty and stake.duty != LEAD else ""
    return {
        "id": f"held-{stake.case.id}-{stake.relation}-{stake.handoff or 0}", "number": number, "label": label, "duty": duty,
        "href": f"/cases/{number}", "words": [{"label": found.t(t), "says": f"{w} {number}"} for t, w in _words(found, stake)],
        "nonce": nonce(),
    }  # fmt: skip


def _words(found: Desk, stake: Stake) -> list[tuple[str, str]]:
    """The words that move it, of those that this reader may say: 割当 within the agency, 担当替え to another."""
    coordinates = found.may(Role.COORDINATOR)
    assign = [("機関の中で割り当てる", "割当")] if found.may(Role.HEAD) else []
    match stake.relation:
        case "lead":
            return [*assign, *([("担当をかえる", "担当替え"), ("仮担当にする", "仮担当")] if coordinates else [])]
        case "holder":
            return [*assign, *([("取り下げて、次の方へ", "取下げ")] if coordinates else [])]
        case "asked":
            return [*assign, *([("取り下げる", "取下げ")] if coordinates else [])]
    return []


def _stands_in(tx: Tx, found: Desk, one: Staff) -> list[View]:
    """As a deputy, standing or of an absence: changed in the town file and on the town's page."""
    absent = [
        (row.absence.staff, "不在の代理")
        for row in people.absence_rows(tx, found.now)
        if row.absence.deputy == one.code
    ]
    standing = [(other.code, "ふだんの代理") for other in found.town.staff.values() if other.deputy == one.code]
    return [
        {
            "id": f"deputy-{i}", "number": "", "label": found.t(label), "duty": found.voice.person(code), "href": "/town#away", "words": [],
            "nonce": "",
        }
        for i, (code, label) in enumerate([*absent, *standing])
    ]  # fmt: skip
