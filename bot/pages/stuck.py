"""What is stuck: events whose work failed, letters that failed or may have arrived. Once more, or let it be."""

import logging
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from bot.looks import named
from bot.pages.fates import addressee, fate, kind
from bot.pages.frame import Desk, at, iso, show
from bot.words import whole_number
from storage import cases, figures, findings, inbox, letters, people
from storage.findings import Finding
from storage.inbox import Parked
from storage.letters import LetterRow
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from workflow.people import Role

log = logging.getLogger(__name__)

REMEMBERED: Final = timedelta(days=1)
SHOWN: Final = 20  #: numbers of a kind
#: What the address carries after an act, and what is said of it.
SAID: Final = {
    "sending": ("ok", "もう一度送ります。届いたら、ここから消えます。"),
    "heard": ("ok", "もう一度受け取りました。お返事はご本人に届いています。"),
    "still": ("late", "まだうまくいきません。記録は変わっていません。管理者にお知らせください。"),
    "dropped": ("ok", "ここで閉じました。記録には残ります。"),
    "gone": ("calm", "もう片づいていました。"),
}


async def stuck(found: Desk) -> Response:
    """GET: the two lists. POST: one act on one of them."""
    found.only(Role.COORDINATOR, Role.OFFICIAL, Role.ADMIN)
    if found.request.method == "POST":
        form = await found.request.form()
        what, _, act = str(form.get("do", "")).partition(":")
        id_ = whole_number(str(form.get("id", "")))
        said = "gone" if id_ is None else await _act(found, what, act, id_)
        return RedirectResponse(f"/stuck?said={said}", 303)
    said_now = SAID.get(found.request.query_params.get("said", ""))
    notice = {"style": said_now[0], "text": found.t(said_now[1])} if said_now else None
    events, rows, round_ = await found.read(lambda tx: (_events(tx, found), _letters(tx, found), _round(tx, found)))
    found.looked(*named([events, rows, round_]))
    return show(
        found, "stuck.html", found.t("とまっているもの"), "town", events=events, letters=rows, notice_=notice, round=round_,
    )  # fmt: skip


async def _act(found: Desk, what: str, act: str, id_: int) -> str:
    store = found.app.store
    match what, act:
        case "letter", "again":
            again = await store.transact(lambda tx: letters.retry(tx, id_, found.now))
            return "sending" if again else "gone"
        case "letter", "drop":
            return "dropped" if await store.transact(lambda tx: _give_up(tx, found, id_)) else "gone"
        case "event", "again":
            return await _hear_again(found, id_)
        case "event", "drop":
            return "dropped" if await store.transact(lambda tx: inbox.done(tx, id_)) else "gone"
    return "gone"


async def _hear_again(found: Desk, id_: int) -> str:
    try:
        return "heard" if await found.app.receiver.again(id_) else "gone"
    except (DatabaseUnavailable, DatabaseReadOnly):
        raise
    except Exception:
        log.exception("a parked event failed again: %s", id_)
        return "still"


def _give_up(tx: Tx, found: Desk, id_: int) -> bool:
    """A letter is given up from the state in which it could be sent; nothing leaves in between."""
    return letters.retry(tx, id_, found.now) and letters.give_up(tx, id_, figures.GIVEN_UP + found.reader.code)


# -- the lists


def _round(tx: Tx, found: Desk) -> dict[str, Any]:
    """What the auditor has found, the kinds that are so still first; what is over stays for a day."""
    rows = [*findings.standing(tx), *findings.gone(tx, found.now - REMEMBERED)]
    kinds = [list(ones) for _, ones in groupby(sorted(rows, key=_kind), key=_kind)]
    named = {one.case_id for one in rows if one.case_id is not None}
    seen = set(cases.numbers_of(tx, found.sight, named).values()) if named else set()
    last = findings.last_audit(tx)
    ago = (found.app.clock.here() - last.at) if last else None
    return {
        "findings": [_finding(found, ones, seen) for ones in kinds],
        "last": at(found, found.now - ago, short=True) if ago is not None else None,
    }


def _kind(one: Finding) -> tuple[bool, str]:
    return one.gone_at is not None, one.kind


def _finding(found: Desk, ones: list[Finding], seen: set[str]) -> dict[str, Any]:
    first, numbers = ones[0], list(dict.fromkeys(one.number for one in ones if one.number in seen))
    count = found.t("{n}件 直しました" if all(one.repaired_at for one in ones) else "{n}件", n=len(ones))
    return {
        "id": f"finding-{first.kind}{'-over' if first.gone_at else ''}", "what": found.voice.label("finding", first.kind),
        "count": count, "numbers": numbers[:SHOWN], "over": first.gone_at is not None,
        "since": at(found, min(one.first_seen for one in ones)),
    }  # fmt: skip


def _events(tx: Tx, found: Desk) -> list[dict[str, Any]]:
    return [_event(tx, found, one) for one in inbox.parked(tx)]


def _event(tx: Tx, found: Desk, one: Parked) -> dict[str, Any]:
    kept, voice = one.arrival, found.voice
    inside = kept.speaker in found.town.staff
    who = kept.speaker if inside else people.linked(tx, kept.platform, kept.speaker or "")
    return {
        "id": f"event-{one.id}", "value": one.id, "who": voice.person(who) if who else found.t("登録のない方"),
        "where": voice.label("surface", kept.platform), "why": found.t("内部の不具合"),
        "what": found.t("ボタン") if kept.kind == "press" else found.t("ことば"),
        "at": {"text": voice.moment(kept.received_at, found.now), "iso": iso(kept.received_at)},
        # What is said outside is not kept (workflow.md §6): whoever said it says it again.
        "again": bool(kept.text or kept.doc.get("says")),
    }  # fmt: skip


def _letters(tx: Tx, found: Desk) -> list[dict[str, Any]]:
    rows = [row for row in letters.stuck(tx) if not row.why.startswith(figures.GIVEN_UP)]
    ids = {row.case_id for row in rows if row.case_id}
    numbers = cases.numbers_of(tx, found.sight, ids) if ids else {}
    return [_letter(found, row, numbers.get(row.case_id or 0, "")) for row in rows]


def _letter(found: Desk, row: LetterRow, number: str) -> dict[str, Any]:
    voice = found.voice
    return {
        "id": f"letter-{row.id}", "value": row.id, "to": addressee(found, row), "what": kind(found, row), "number": number,
        "where": voice.label("surface", row.surface), "why": row.why, "urgent": row.urgent,
        "state": fate(found, row), "again": row.resent,
        "at": {"text": voice.moment(row.created_at, found.now), "iso": iso(row.created_at)},
    }  # fmt: skip
