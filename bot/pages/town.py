"""The town: who is where and how to reach them, who is away, who is on duty; and asking somebody new in."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import segno
from starlette.responses import Response

from bot import sign
from bot.looks import named
from bot.pages.frame import Desk, NotForYou, back_to, iso, loopback, nonce, show
from bot.pages.looks import may_see
from bot.reading import as_written
from bot.voice.speech import WEEKDAYS
from storage import journal, letters, people
from storage.people import AbsenceRow
from storage.tx import Tx
from workflow.calendar import Hours
from workflow.outcome import Entry
from workflow.people import Agency, OnCall, Role, Staff
from workflow.retention import KEEPERS

READERS: Final = (Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL, Role.ADMIN, Role.PRIVACY)
#: An answer this young is the one to the form that was just sent.
JUST: Final = timedelta(minutes=2)
FARTHEST: Final = timedelta(days=400)


async def town(found: Desk) -> Response:
    """GET: the lists. With an absence filled in: its confirmation, whose button says the word 不在."""
    found.only(*READERS)
    return await _page(found, _asked(found))


async def invite(found: Desk) -> Response:
    """Make a one-time code and show it on this one answer."""
    form = await found.request.form()
    one = found.town.staff.get(str(form.get("who", "")))
    if one is None or one not in invitable(found):
        raise NotForYou
    paper = form.get("kind") == "paper"
    by = found.reader.code
    code = await found.app.store.transact(
        lambda tx: sign.invite(tx, one.code, "paper" if paper else "code", by, found.now, "web")
    )
    base = found.app.settings.base_url or str(found.request.base_url)
    link = f"{base.rstrip('/')}/sign-in?code={code}"
    image = segno.make(link, micro=False).svg_data_uri(dark="#000", light="#fff", scale=5, border=3)
    lives = "この合言葉は14日間、1回だけ使えます。" if paper else "この合言葉は10分間、1回だけ使えます。"
    shown: dict[str, str | bool] = {
        "name": found.voice.person(one.code), "code": code, "link": link, "image": image, "lives": found.t(lives),
        "here_only": not found.app.settings.base_url and loopback(found.request.url.hostname or ""),
    }  # fmt: skip
    return await _page(found, _Asked(), made=shown)


async def _page(found: Desk, asked: "_Asked", made: dict[str, str | bool] | None = None) -> Response:
    rows, answer = await found.read(lambda tx: _read(tx, found))
    said = answer if found.request.query_params.get("said") else None
    found.looked(*named(said))
    return show(
        found, "town.html", found.t("町"), "town", town=found.town.name, phones=_phones(found), roster=_roster(found),
        away=[_away(found, row) for row in rows], agencies=[_agency(found, a) for a in found.town.agencies.values()],
        absence=_absence_form(found, asked), asked=asked, invite=_invite_form(found), made=made, still=made is not None, said=said, nonce=nonce(),
        may_see_looks=may_see(found),
        may_see_stuck=found.reader.has(Role.COORDINATOR, Role.OFFICIAL, Role.ADMIN),
        may_keep=found.reader.has(*KEEPERS),
    )  # fmt: skip


def _read(tx: Tx, found: Desk) -> tuple[list[AbsenceRow], str | None]:
    newest = letters.newest_in(tx, found.reader.code, None)
    fresh = newest is not None and newest.kind == "answer" and found.now - newest.created_at < JUST
    return people.absence_rows(tx, found.now), as_written(newest).text if newest and fresh else None


# -- the lists


def _phones(found: Desk) -> list[dict[str, str]]:
    public = [(found.t("火事・救急"), "119"), (found.t("警察"), "110")]
    return [{"label": a, "number": b} for a, b in (*public, *((p.label, p.number) for p in found.town.phones))]


def _roster(found: Desk) -> list[dict[str, Any]]:
    local = found.now.astimezone(found.town.tz)
    first = found.town.on_duty(found.now)[:1]
    return [
        {
            "id": f"duty-{i}", "name": row.name, "phone": row.phone, "days": _days(found, row), "clock": _clock(found, row),
            "person": found.voice.person(row.staff) if row.staff else "", "now": row in first and row.on(local),
        }
        for i, row in enumerate(found.town.oncall)
    ]  # fmt: skip


def _days(found: Desk, row: OnCall) -> str:
    if len(row.days) == 7:
        return found.t("毎日")
    names = [WEEKDAYS[found.voice.lang][day] for day in sorted(row.days)]
    return found.voice.say("list.comma").join(names)


def _clock(found: Desk, row: OnCall) -> str:
    if row.start == row.end:
        return found.t("終日")
    return f"{row.start.hour}:{row.start.minute:02d}–{row.end.hour}:{row.end.minute:02d}"


def _away(found: Desk, row: AbsenceRow) -> dict[str, Any]:
    away, voice = row.absence, found.voice
    last = away.end - timedelta(minutes=1)
    deputy = away.deputy or (found.town.staff[away.staff].deputy if away.staff in found.town.staff else None)
    return {
        "id": f"away-{row.id}", "person": voice.person(away.staff), "now": away.start <= found.now < away.end,
        "start": {"text": voice.day(away.start, found.now), "iso": iso(away.start)},
        "end": {"text": voice.day(last, found.now), "iso": iso(last)},
        "deputy": voice.person(deputy) if deputy else "", "value": row.id, "mine": _may_take_back(found, row),
    }  # fmt: skip


def _may_take_back(found: Desk, row: AbsenceRow) -> bool:
    """One's own, those of one's agency's people as head, everybody's as coordinator."""
    me, who = found.reader, found.town.staff.get(row.absence.staff)
    return (
        me.code == row.absence.staff
        or me.has(Role.COORDINATOR)
        or (who is not None and any(me.heads(a) for a in who.agencies))
    )


async def come_back(found: Desk) -> Response:
    """Take an absence back: its person is here after all."""
    asked = (await found.form()).get("id", "")

    def take_back(tx: Tx) -> bool:
        row = next((r for r in people.absence_rows(tx, found.now) if str(r.id) == asked), None)
        if row is None or not _may_take_back(found, row) or not people.cancel_absence(tx, row.id, found.now):
            return False
        data = {"person": row.absence.staff, "start": row.absence.start.isoformat()}
        journal.append_town(tx, Entry("town.back", data=data), found.reader.code, "web", found.now)
        return True

    if not await found.write(take_back):
        raise NotForYou
    return back_to("/town#away", "/town")


def _agency(found: Desk, agency: Agency) -> dict[str, Any]:
    voice = found.voice
    local = found.now.astimezone(found.town.tz).date()
    return {
        "id": f"agency-{agency.code}", "name": agency.name, "kind": voice.label("agency_kind", agency.kind),
        "phone": agency.phone, "hours": _hours(found, agency.hours), "open": agency.hours.is_open(found.now),
        "districts": voice.join(list(agency.districts)), "fields": voice.join(list(agency.fields)),
        "over": agency.valid_to is not None and agency.valid_to < local,
        "people": [_person(found, s, agency.code) for s in found.town.members.get(agency.code, ())],
    }  # fmt: skip


def _hours(found: Desk, hours: Hours) -> str:
    """Days that are open alike together: 月、火、水、木、金 8:30–17:15."""
    alike: dict[str, list[str]] = {}
    for day, spans in enumerate(hours.week):
        text = found.voice.say("list.comma").join(f"{_minutes(a)}–{_minutes(b)}" for a, b in spans)
        if text:
            alike.setdefault(text, []).append(WEEKDAYS[found.voice.lang][day])
    comma = "" if found.voice.lang == "ja" else " "
    return " / ".join(
        f"{found.t('毎日') if len(days) == 7 else comma.join(days)} {text}" for text, days in alike.items()
    )


def _minutes(of_day: float) -> str:
    return f"{int(of_day) // 60}:{int(of_day) % 60:02d}"


def _person(found: Desk, one: Staff, agency: str) -> dict[str, Any]:
    away = found.town.away(one.code, found.now)
    back = found.voice.day(away.end, found.now) if away else ""
    return {
        "name": found.voice.name(one.code), "post": found.voice.post(one.code, agency), "initial": one.name[:1],
        "away": found.t("{day}まで不在").replace("{day}", found.voice.day(away.end - timedelta(minutes=1))) if away else "",
        "href": f"/town/people/{one.code}" if one in invitable(found) else "", "back": back, "deputy": found.voice.person(one.deputy) if one.deputy else "",
    }  # fmt: skip


# -- an absence: filled in, confirmed, said


@dataclass(frozen=True)
class _Asked:
    """What stands in the form, what is wrong with it, and the words it comes to."""

    who: str = ""
    start: str = ""
    end: str = ""
    deputy: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    words: str = ""
    text: str = ""


def _asked(found: Desk) -> _Asked:
    given = found.request.query_params
    if "start" not in given:
        return _Asked(who=found.reader.code)
    mine = found.reader.code
    who, start, end, deputy = (given.get(k, "").strip() for k in ("who", "start", "end", "deputy"))
    who, end = who or mine, end or start
    errors = tuple(_wrong(found, who, _date(start), _date(end), deputy))
    if errors:
        return _Asked(who, start, end, deputy, errors)
    # The word itself tells one name from two: oneself needs none, unless a deputy is named too.
    names = [who, deputy] if deputy else [who] if who != mine else []
    words = " ".join(["不在", *names[:1], start, end, *names[1:]])
    return _Asked(who, start, end, deputy, (), words, _sentence(found, who, start, end, deputy))


def _wrong(found: Desk, who: str, start: date | None, end: date | None, deputy: str) -> list[tuple[str, str]]:
    today = found.now.astimezone(found.town.tz).date()
    staff = found.town.staff
    wrong: list[tuple[str, str]] = []
    if who not in staff or (who != found.reader.code and not _for_others(found)):
        wrong.append(("who", "ほかの方の不在は、機関長か調整役が登録します。"))
    if start is None:
        wrong.append(("start", "いつからかを選んでください。"))
    elif end is None or end < start:
        wrong.append(("end", "いつまでかを、始まりの日から後で選んでください。"))
    elif end > today + FARTHEST or end < today:
        wrong.append(("end", "きょうから400日までの日を選んでください。"))
    if deputy and (deputy not in staff or deputy == who):
        wrong.append(("deputy", "代理は、ご本人とは別の方を選んでください。"))
    elif not deputy and who in staff and staff[who].has(Role.COORDINATOR) and not staff[who].deputy:
        wrong.append(("deputy", "調整役の不在には、代理の方が必要です。"))
    return [(field, found.t(text)) for field, text in wrong]


def _sentence(found: Desk, who: str, start: str, end: str, deputy: str) -> str:
    voice, standing = found.voice, deputy or found.town.staff[who].deputy or ""
    days = [datetime.combine(day, datetime.min.time(), found.town.tz) for d in (start, end) if (day := _date(d))]
    text = found.t("{person}は{start}から{end}まで不在、代理は{deputy}。この内容でよろしいですか。")
    filled = {
        "{person}": voice.person(who), "{start}": voice.day(days[0], found.now), "{end}": voice.day(days[-1], found.now),
        "{deputy}": voice.person(standing) if standing else found.t("なし"),
    }  # fmt: skip
    for place, value in filled.items():
        text = text.replace(place, value)
    return text


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _for_others(found: Desk) -> bool:
    return found.reader.has(Role.COORDINATOR, Role.HEAD)


def _absence_form(found: Desk, asked: _Asked) -> dict[str, Any]:
    t, errors = found.t, dict(asked.errors)
    everybody = list(found.town.staff.values())
    chosen = everybody if _for_others(found) else [found.reader]
    usual = {"value": "", "label": t("いつもの代理の方"), "chosen": not asked.deputy}
    return {
        "errors": [{"field": field, "text": text} for field, text in asked.errors],
        "who": {"id": "who", "label": t("どなたが"), "options": _options(found, chosen, asked.who), "error": errors.get("who")},
        "start": {
            "id": "start", "label": t("いつから"), "type": "date", "value": asked.start, "need": "must",
            "error": errors.get("start"),
        },
        "end": {
            "id": "end", "label": t("いつまで"), "type": "date", "value": asked.end, "error": errors.get("end"),
            "hint": t("その日もふくみます。1日だけなら空けておいてください。"),
        },
        "deputy": {
            "id": "deputy", "label": t("代理"), "error": errors.get("deputy"),
            "options": [usual, *_options(found, [s for s in everybody if not s.volunteer], asked.deputy)],
        },
    }  # fmt: skip


# -- asking somebody in


def invitable(found: Desk) -> list[Staff]:
    """Whose accounts this reader looks after: a coordinator's and an admin's everybody, a head's their agency's."""
    me = found.reader
    if me.has(Role.COORDINATOR, Role.ADMIN):
        return list(found.town.staff.values())
    return [s for s in found.town.staff.values() if any(me.heads(agency) for agency in s.agencies)]


def _invite_form(found: Desk) -> dict[str, Any] | None:
    able = invitable(found)
    if not able:
        return None
    kinds = [
        {"value": "code", "label": found.t("すぐに使う合言葉"), "note": found.t("10分間"), "chosen": True},
        {"value": "paper", "label": found.t("紙の招待状"), "note": found.t("14日間")},
    ]
    return {
        "who": {"id": "invited", "name": "who", "label": found.t("どなたを"), "options": _options(found, able, "")},
        "kind": {"id": "kind", "legend": found.t("渡し方"), "kind": "radio", "options": kinds, "columns": 2},
    }


def _options(found: Desk, some: list[Staff], chosen: str) -> list[dict[str, Any]]:
    return [
        {
            "value": s.code,
            "label": f"{found.voice.name(s.code)} ({found.voice.agency(s.agency)})",
            "chosen": s.code == chosen,
        }
        for s in some
    ]
