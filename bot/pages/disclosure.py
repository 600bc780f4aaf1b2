"""開示請求: every entry kept of a household with 開示・不開示 beside it; then the person's pack, and the list of what is withheld."""

from typing import Final

from starlette.responses import RedirectResponse, Response

from bot import disclosing
from bot.disclosing import REASONS, Judged
from bot.pages.frame import Desk, NotFound, View, show
from bot.words import whole_number
from storage import disclosures, journal
from storage.tx import Tx
from workflow import number as numbers
from workflow import refusals as no
from workflow.outcome import Entry
from workflow.retention import KEEPERS

PAGE: Final = 100  #: entries a form
PARTS: Final = ("person", "withheld")


async def find(found: Desk) -> Response:
    """Go to the page of a number that was typed."""
    found.only(*KEEPERS)
    typed = numbers.find(found.query("of"))
    if not typed:
        raise NotFound
    return RedirectResponse(f"/disclosure/{typed[0]}", 303)


async def disclosure(found: Desk) -> Response:
    """GET: the entries, or with `part` a pack to be printed. POST: what was decided of the entries of one form."""
    found.only(*KEEPERS)
    typed = numbers.find(str(found.request.path_params["number"]))
    if not typed:
        raise NotFound
    number, page = typed[0], whole_number(found.query("page")) or 0
    if found.request.method == "POST":
        return await _judge(found, number, page, await found.form())
    of, entries = await _entries(found, number)
    part = found.query("part")
    if part not in PARTS:
        return _form(found, number, of, entries, page)
    if disclosing.left(entries):
        return _form(
            found,
            number,
            of,
            entries,
            page,
            wrong=found.t("まだ見ていない記録があります。すべて決めてから、印刷できます。"),
        )
    some = [disclosing.row(one, found.voice, found.now) for one in entries if one.shown is (part == "person")]
    return show(
        found, "disclosed.html", found.t("開示する記録" if part == "person" else "開示しない記録の一覧"), "cases", still=True, number=number,
        numbers=of, part=part, rows=some, town=found.town.name, when=found.voice.title_day(found.now),
    )  # fmt: skip


async def _entries(found: Desk, number: str) -> tuple[list[str], list[Judged]]:
    try:
        _, of, entries = await found.read(lambda tx: disclosing.judged(tx, number, found.town, found.voice, found.now))
    except (no.NoSuchCase, no.OnlyFigures):
        raise NotFound from None
    found.looked(*of, kind="export")
    return of, entries


def _form(
    found: Desk, number: str, of: list[str], entries: list[Judged], page: int, *, wrong: str = "", typed: dict[str, str] | None = None
) -> Response:  # fmt: skip
    """The entries that nobody has looked at come first: they are what somebody has come for."""
    order = sorted(entries, key=lambda one: not one.item.look)
    some = order[page * PAGE : (page + 1) * PAGE]
    return show(
        found, "disclosure.html", found.t("開示請求 {number}", number=number), "cases", still=True, status=422 if typed else 200,
        number=number, numbers=of, rows=[_row(found, one, typed) for one in some], left=disclosing.left(entries), all=len(entries),
        page_no=page, pages=-(-len(entries) // PAGE), wrong=wrong, saved=found.query("said") == "saved",
        reasons=[{"value": code, "label": found.t(label)} for code, label in REASONS.items()],
    )  # fmt: skip


def _row(found: Desk, one: Judged, typed: dict[str, str] | None) -> View:
    shown: View = disclosing.row(one, found.voice, found.now)
    if typed:
        said = typed.get(f"d.{one.item.key}", "")
        shown |= {"shown": {"show": True, "hold": False}.get(said), "reason": typed.get(f"r.{one.item.key}", "")}
    return shown


async def _judge(found: Desk, number: str, page: int, form: dict[str, str]) -> Response:
    """Nothing is kept unless all of it can be: what is withheld has a reason."""
    of, entries = await _entries(found, number)
    known = {one.item.key: one for one in entries}
    decided = [
        (key, said, form.get(f"r.{key}", "")) for key in known if (said := form.get(f"d.{key}")) in ("show", "hold", "")
    ]
    if any(said == "hold" and reason not in REASONS for _, said, reason in decided):
        why = found.t("開示しない記録には、わけを選んでください。")
        return _form(found, number, of, entries, page, wrong=why, typed=form)
    rows = [
        (key, {"show": True, "hold": False}.get(said or ""), reason if said == "hold" else "")
        for key, said, reason in decided
        if said or known[key].decision
    ]
    await found.write(lambda tx: _keep(tx, found, number, of, rows))
    return RedirectResponse(f"/disclosure/{number}?page={page}&said=saved", 303)


def _keep(tx: Tx, found: Desk, number: str, of: list[str], rows: list[tuple[str, bool | None, str]]) -> None:
    household, _, _ = disclosing.judged(tx, number, found.town, found.voice, found.now)
    disclosures.decide(tx, household, rows, found.reader.code, found.now)
    data = {"numbers": of, "shown": sum(s is True for _, s, _ in rows), "withheld": sum(s is False for _, s, _ in rows)}
    journal.append_town(tx, Entry("town.disclosure_judged", data=data), found.reader.code, "web", found.now)
