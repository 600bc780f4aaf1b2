"""だれが何を見たか: of a case or a member of staff, on some days; from the looks, the journal and the letters. And the same as a file."""

import csv
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from io import StringIO
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from bot.commands import BOOK
from bot.pages.frame import Desk, NotForYou, View, at, show
from bot.words import whole_number
from storage import cases, looks
from storage.looks import Asked, Seen
from storage.tx import Tx
from workflow import calendar
from workflow import number as numbers
from workflow.people import Role

PAGE: Final = 50
MOST: Final = 5_000  #: lines that are paged through; a file has all of them
FILE_MOST: Final = 200_000
DAYS: Final = 30  #: the usual span
LONGEST: Final = 400  #: days
FEW: Final = 3  #: numbers in a line
#: Who sees of everybody; a coordinator of one case at a time.
ALL: Final = (Role.PRIVACY, Role.OFFICIAL)
#: Where something was seen, in the words of the pages.
PLACES: Final = {
    "/cases/{number}": "相談のページ", "/cases": "事例の一覧", "/board": "ボード", "/today": "今日", "/today/print": "今日の一覧(印刷)",
    "/handover": "引き継ぎ一覧(印刷)", "/chat": "チャット", "/intake": "相談の受付", "/stuck": "とまっているもの",
    "/go/{token}": "メールのリンク", "/town": "町", "/town/people/{code}": "受けもちのページ", "/looks": "だれが何を見たか",
    "/looks/export": "だれが何を見たか", "/breaches": "漏えい等の記録",
}  # fmt: skip
KINDS: Final = {
    "view": "ご覧になった", "search": "さがした", "export": "書き出した・印刷した", "send": "外へお届けした", "assign": "割り当てた",
    "consent": "同意・根拠を書きとめた", "override": "特別な扱いをした",
}  # fmt: skip
SOURCES: Final = {"look": "ご覧になった記録", "journal": "相談の記録", "letter": "お届けの記録"}
#: A cell that begins so would be reckoned with by a spreadsheet.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Wanted:
    """What the form asks for, as it was typed, and what is wrong with it."""

    number: str
    staff: str
    first: date
    last: date
    errors: tuple[tuple[str, str], ...] = ()
    asks: bool = True  #: something was asked for

    @property
    def query(self) -> str:
        given = {
            "number": self.number,
            "staff": self.staff,
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
        }
        return urlencode({name: value for name, value in given.items() if value})


def may_see(found: Desk) -> bool:
    return found.may(*ALL, Role.COORDINATOR)


async def page(found: Desk) -> Response:
    """The form; with a number or a person the lines, newest first."""
    wanted = await _wanted(found)
    first = (min(whole_number(found.query("page")) or 1, MOST // PAGE) - 1) * PAGE
    rows: list[Seen] = []
    if wanted.asks and not wanted.errors:
        rows = (await found.read(lambda tx: looks.seen(tx, _asked(found, wanted), first + PAGE + 1)))[first:]
        found.looked(
            *([wanted.number] if wanted.number else []), *(n for row in rows[:PAGE] for n in row.numbers[:FEW])
        )
    return show(
        found, "looks.html", found.t("だれが何を見たか"), "town", status=422 if wanted.errors else 200, form=_form(found, wanted),
        asked=wanted.asks and not wanted.errors, rows=[_row(found, row, i) for i, row in enumerate(rows[:PAGE])],
        pages=_pages(wanted, first // PAGE + 1, len(rows) > PAGE), export=f"/looks/export?{wanted.query}",
        errors=[{"field": field, "text": text} for field, text in wanted.errors], everybody=found.may(*ALL),
        register="/breaches" if found.may(*ALL) else "",
    )  # fmt: skip


async def export(found: Desk) -> Response:
    """The same as a file for a spreadsheet (UTF-8 with its mark, RFC 4180). To take it away is a look by itself."""
    wanted = await _wanted(found)
    if wanted.errors or not wanted.asks:
        return await page(found)
    rows = await found.read(lambda tx: looks.seen(tx, _asked(found, wanted), FILE_MOST))
    named = dict.fromkeys(number for row in rows for number in row.numbers)
    found.looked(*([wanted.number] if wanted.number else named), kind="export")
    name = f"looks_{wanted.first.isoformat()}_{wanted.last.isoformat()}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response("\ufeff" + _csv(found, rows), media_type="text/csv; charset=utf-8", headers=headers)


def _csv(found: Desk, rows: list[Seen]) -> str:
    made = StringIO()
    writer = csv.writer(made)
    heads = ("いつ", "どなたが", "コード", "何を", "どこで", "番号", "もとの記録")
    writer.writerow([found.t(head) for head in heads])
    for row in rows:
        when = row.at.astimezone(found.town.tz).isoformat(timespec="seconds")
        who = _who(found, row)
        cells = (when, who, row.staff or "", _kind(found, row), _where(found, row), " ".join(row.numbers), found.t(SOURCES[row.source]))  # fmt: skip
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    return made.getvalue()


# -- what is asked for


async def _wanted(found: Desk) -> Wanted:
    """Read the form. Raises NotForYou for whoever has no right to any of it."""
    if not may_see(found):
        raise NotForYou
    today = found.now.astimezone(found.town.tz).date()
    first, last = (_date(found.query(name)) for name in ("from", "to"))
    last = last or today
    first = first or last - timedelta(days=DAYS - 1)
    typed, staff = found.query("number").strip(), found.query("staff").strip()
    seen = numbers.find(typed)
    number = seen[0] if seen else typed
    wanted = Wanted(number, staff, first, last, asks=bool(number or staff))
    if not wanted.asks:
        return wanted
    errors = [*_wrong_days(first, last), *await found.read(lambda tx: list(_wrong(tx, found, wanted, bool(seen))))]
    return Wanted(number, staff, first, last, tuple((field, found.t(text)) for field, text in errors))


def _wrong_days(first: date, last: date) -> list[tuple[str, str]]:
    if last < first:
        return [("to", "終わりの日は、始まりの日から後で選んでください。")]
    return [("from", "一度に調べられるのは400日までです。")] if last - first >= timedelta(days=LONGEST) else []


def _wrong(tx: Tx, found: Desk, wanted: Wanted, shaped: bool) -> list[tuple[str, str]]:
    """A coordinator names a case that they may open; whoever is answerable for the records any case."""
    if not wanted.number:
        return [] if found.may(*ALL) else [("number", "相談の番号を入れてください。")]
    case = cases.load(tx, wanted.number, lock=False) if shaped else None
    if case is None or not (found.may(*ALL) or found.sight.knows(case)):
        return [("number", "この番号の相談は見つかりませんでした。数字をもう一度お確かめください。")]
    return []


def _asked(found: Desk, wanted: Wanted) -> Asked:
    def begins(day: date) -> datetime:
        return calendar.instant(day, datetime.min.time(), found.town.tz)

    until = begins(wanted.last + timedelta(days=1))
    return Asked(wanted.number or None, wanted.staff or None, wanted.first, wanted.last, begins(wanted.first), until)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _form(found: Desk, wanted: Wanted) -> dict[str, Any]:
    t, errors = found.t, dict(wanted.errors)
    people = [{"value": "", "label": t("どなたでも"), "chosen": not wanted.staff}]
    people += [
        {"value": s.code, "label": f"{found.voice.name(s.code)} ({found.voice.agency(s.agency)})", "chosen": s.code == wanted.staff}
        for s in found.town.staff.values()
    ]  # fmt: skip
    if wanted.staff and wanted.staff not in found.town.staff:  # somebody who has left
        people.append({"value": wanted.staff, "label": wanted.staff, "chosen": True})
    days = (("from", t("いつから"), wanted.first), ("to", t("いつまで"), wanted.last))
    return {
        "number": {
            "id": "number", "label": t("相談の番号"), "value": wanted.number, "error": errors.get("number"), "inputmode": "numeric",
            "autocomplete": "off", "need": "" if found.may(*ALL) else "must",
        },
        "staff": {"id": "staff", "label": t("どなたが"), "options": people, "error": errors.get("staff")},
        "days": [
            {"id": name, "label": label, "type": "date", "value": day.isoformat(), "error": errors.get(name)} for name, label, day in days
        ],
    }  # fmt: skip


# -- the lines


def _row(found: Desk, row: Seen, place: int) -> View:
    shown = row.numbers[:FEW]
    more = len(row.numbers) - len(shown) + row.more
    return {
        "id": f"look-{place}", "at": at(found, row.at), "who": _who(found, row), "kind": _kind(found, row), "where": _where(found, row),
        "numbers": shown, "more": found.t("ほか{n}件", n=more) if more else "", "source": found.t(SOURCES[row.source]),
    }  # fmt: skip


def _who(found: Desk, row: Seen) -> str:
    if row.source == "letter":
        to = found.voice.agency(row.room) if row.room else found.voice.person(row.staff)
        return found.t("{who}へ", who=to or found.t("登録のない方"))
    if row.staff in (None, "clock"):
        return found.t("運用の担当") if row.source == "look" else found.voice.say("line.clock")
    return found.voice.person(row.staff) if row.staff in found.town.staff else str(row.staff)


def _kind(found: Desk, row: Seen) -> str:
    return found.t(KINDS.get(row.kind, row.kind))


def _where(found: Desk, row: Seen) -> str:
    """A page's name; of words in a chat the platform and the word."""
    voice = found.voice
    if row.source == "letter":
        return voice.label("platform", row.where)
    if row.source == "journal":
        return found.t("相談のページかチャット")
    surface, _, word = row.where.partition(":")
    if word:
        platform = found.t("コマンド") if surface == "console" else voice.label("platform", surface)
        return f"{platform} {BOOK[word].word if word in BOOK else word}"
    return found.t(PLACES.get(row.where, row.where))


def _pages(wanted: Wanted, here: int, more: bool) -> dict[str, str]:
    def to(page: int) -> str:
        return f"/looks?{wanted.query}&page={page}"

    return {"before": to(here - 1) if here > 1 else "", "after": to(here + 1) if more and here < MOST // PAGE else ""}
