"""お名前でさがす: exact matches through keyed hashes. What is typed is posted, never put into an address, and found is only what one may know."""

from typing import Final

from starlette.responses import Response

from bot.pages.cases import LISTED
from bot.pages.forms import Form, text_of
from bot.pages.frame import Desk, View, show
from storage import cases, households, persons
from storage.tx import Tx
from workflow.household import asked

MOST: Final = 200  #: letters of a field
SHOWN: Final = 50


async def find(found: Desk) -> Response:
    """GET: the form. POST: the cases of whoever has this name with this birth date or contact, or one of those two."""
    found.only(*LISTED)
    if found.request.method != "POST":
        return _page(found, {}, None)
    form = await found.request.form()
    given = {name: text_of(form, name)[:MOST] for name in ("name", "birth", "contact")}
    if not (given["birth"] or given["contact"]):
        said = found.t("お名前だけでは、同じお名前の別の方も見つかります。生年月日か連絡先も書いてください。")
        return _page(found, given, None, {"birth": said})
    rows = await found.read(lambda tx: _rows(tx, found, given))
    found.looked(*(row["number"] for row in rows), kind="search")
    return _page(found, given, rows)


def _rows(tx: Tx, found: Desk, given: dict[str, str]) -> list[View]:
    """Cases that the reader may know; of others not even that they are there."""
    hits = persons.same(tx, asked(given["name"], given["birth"], given["contact"]))
    every = dict.fromkeys(h for hit in hits for h in households.together(tx, hit))
    return [
        {
            "number": one.number, "href": f"/cases/{one.number}", "stage": one.stage, "label": found.voice.label("stage", one.stage),
            "opened": found.voice.day(one.opened_at, found.now),
        }
        for h in every for one in cases.of_household(tx, found.sight, h).known
    ][:SHOWN]  # fmt: skip


def _page(
    found: Desk, given: dict[str, str], rows: list[View] | None, errors: dict[str, str] | None = None
) -> Response:
    form = Form("find", found.t("お名前でさがす"), found.t("さがす"))
    form.line("name", found.t("お名前"), given.get("name", ""), hint=found.t("漢字でも、ふりがなでも。"))
    form.line("birth", found.t("生年月日"), given.get("birth", ""), hint=found.t("例: 1950-04-01、昭和25年4月1日"))
    form.line("contact", found.t("連絡先"), given.get("contact", ""))
    view = form.wrong(errors or {}).view()
    status = 422 if errors else 200
    return show(found, "find.html", found.t("お名前でさがす"), "cases", status=status, still=True, form=view, rows=rows)
