"""開示請求: all that is kept of a household, entry by entry; third parties' words apart; one pack for the person, one list of what is withheld."""

import asyncio
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from bot import disclosing, erasing
from bot.disclosing import Unjudged
from bot.operate import NoSuchNumber
from bot.pages.frame import Desk
from storage import cases, disclosures, journal, texts
from storage.envelope import OtherKey
from storage.tx import Tx
from tests.bot.test_keys import Home, home  # noqa: F401 - a fixture
from tests.bot.test_pages import Browser
from tests.bot.test_retention import act, doors  # noqa: F401 - a fixture
from tests.town import Town

OWN = "ご本人は仕事をさがしたいと話された"
TOLD = "となりの山田さんが、夜に声がすると知らせてくださった"


async def told(town: Town) -> tuple[str, list[int]]:
    """A household with two texts: one's own words, and a neighbour's."""
    number = await town.accepted()
    case = await town.case(number)

    def write(tx: Tx) -> list[int]:
        return [texts.put(tx, case.household, words, "suzuki", town.now)[0] for words in (OWN, TOLD)]

    return number, await town.app.store.transact(write)


def fields(html: str, choose: dict[str, tuple[str, str]] | None = None) -> dict[str, str]:
    """A form as it would be posted: what is checked, less what somebody has chosen otherwise."""
    found = dict(re.findall(r'name="(d\.[^"]+)" value="(\w*)" checked', html))
    found |= dict(re.findall(r'name="(r\.[^"]+)">(?:(?!</select>).)*?value="(\w+)" selected', html))
    for key, (said, reason) in (choose or {}).items():
        found |= {f"d.{key}": said, f"r.{key}": reason}
    return found


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """Every look that a page notes."""
    seen: list[tuple[str, tuple[str, ...]]] = []
    before = Desk.looked

    def looked(self: Desk, *numbers: str, kind: str = "view") -> None:
        seen.append((kind, numbers))
        before(self, *numbers, kind=kind)

    monkeypatch.setattr(Desk, "looked", looked)
    return seen


async def test_what_somebody_else_may_have_said_waits_for_a_human(
    town: Town, doors: Any, looks: list[tuple[str, tuple[str, ...]]]  # noqa: F811
) -> None:  # fmt: skip
    """The office's own acts are shown; a text does not say who spoke: nothing goes out before each was looked at."""
    number, (own, neighbour) = await told(town)
    privacy: Browser = await doors("matsui")
    page = f"/disclosure/{number}"
    for who in ("suzuki", "takahashi", "endo"):
        assert (await (await doors(who)).get(page)).status_code == 403
    assert (await privacy.get(f"/disclosure?of={number.replace('-', '')}")).headers["location"] == page
    assert (await privacy.get("/disclosure/111-111-11")).status_code == 404
    looks.clear()
    html = (await privacy.get(page)).text
    assert looks == [("export", (number,))]
    assert "To be looked at" in (await privacy.get(f"{page}?lang=en")).text
    assert OWN in html and TOLD in html and "まだ見ていない記録 2件" in html and html.count("要確認</span>") == 2
    for part in ("person", "withheld"):
        early = (await privacy.get(f"{page}?part={part}")).text
        assert "すべて決めてから" in early
    # What is withheld has a reason; without one nothing at all is kept, and what was ticked stays.
    wrong = await privacy.post(page, **fields(html, {f"text:{own}": ("show", ""), f"text:{neighbour}": ("hold", "")}))
    assert wrong.status_code == 422 and "わけを選んで" in wrong.text
    assert f'name="d.text:{neighbour}" value="hold" checked' in wrong.text
    assert "まだ見ていない記録 2件" in (await privacy.get(page)).text
    right = fields(html, {f"text:{own}": ("show", ""), f"text:{neighbour}": ("hold", "reporter")})
    assert (await privacy.post(page, **right)).status_code == 303
    assert "すべて決まりました" in (await privacy.get(page)).text
    mine = (await privacy.get(f"{page}?part=person")).text
    assert OWN in mine and TOLD not in mine and "山田" not in mine and "引き受け" in mine
    withheld = (await privacy.get(f"{page}?part=withheld")).text
    assert "知らせてくださった方" in withheld and OWN not in withheld and TOLD not in withheld, (
        "the list tells no more than why"
    )
    # Decided again, by another; and the journal says who did.
    official: Browser = await doors("watanabe")
    await official.post(page, **fields((await official.get(page)).text, {f"text:{own}": ("", "")}))
    assert "まだ見ていない記録 1件" in (await official.get(page)).text
    lines = [
        one
        for one in await town.app.store.read(lambda tx: journal.tail(tx, 0, 5_000))
        if one.kind == "town.disclosure_judged"
    ]
    assert [one.actor for one in lines] == ["matsui", "watanabe"] and all(TOLD not in str(one.data) for one in lines)
    assert {kind for kind, _ in looks} == {"export"}


async def test_traces_of_a_report_and_of_volunteers_are_not_taken_for_granted(town: Town) -> None:
    number, _ = await told(town)
    case = await town.case(number)
    await town.app.store.transact(lambda tx: cases.save(tx, case, case.become(abuse=True), at=town.now))
    await town.says("suzuki", f"依頼 {number} 見守り 民生委員北部")
    _, _, found = await town.app.store.read(
        lambda tx: disclosing.judged(tx, number, town.place, _voice(town), town.now)
    )
    open_ = {one.item.key.split(":")[0] for one in found if one.shown is None}
    assert open_ == {"flags", "handoff", "text"}
    assert [one.item.at for one in found] == sorted(one.item.at for one in found)
    assert {one.item.key.split(":")[0] for one in found} == {"case", "flags", "handoff", "line", "text"}


def _voice(town: Town) -> Any:
    from bot.voice import voice_for

    return voice_for(town.place)


async def test_a_file_for_the_counter(home: Home, tmp_path: Path) -> None:  # noqa: F811
    """Plain or sealed, one's own alone (0600), never over another; nothing before everything was looked at."""
    number, (own, neighbour) = await told(home.town)
    out = tmp_path / "pack.html"

    async def made(part: str, to: Path, *, sealed: bool = False) -> str:
        return await asyncio.to_thread(lambda: disclosing.to_file(home.settings, number, to, part, sealed=sealed))

    with pytest.raises(Unjudged, match=r"^2 entries"):
        await made("person", out)
    assert not out.exists()
    case = await home.town.case(number)
    rows = [(f"text:{own}", True, ""), (f"text:{neighbour}", False, "third_party")]
    await home.app.store.transact(lambda tx: disclosures.decide(tx, case.household, rows, "matsui", home.town.now))
    assert "entries (person)" in await made("person", out)
    assert OWN in out.read_text() and TOLD not in out.read_text() and stat.S_IMODE(out.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        await made("person", out)
    assert "1 entries (withheld)" in await made("withheld", tmp_path / "withheld.html")
    assert "2号 ほかの方" in (tmp_path / "withheld.html").read_text()
    # Sealed: nothing to read without the key file, and it opens after a rotation too.
    sealed = tmp_path / "pack.sealed"
    await made("person", sealed, sealed=True)
    assert OWN.encode() not in sealed.read_bytes()
    await home.does("rotate")
    await asyncio.to_thread(lambda: disclosing.unsealed(home.settings, sealed, tmp_path / "opened.html"))
    assert OWN in (tmp_path / "opened.html").read_text()
    await home.retires()
    with pytest.raises(OtherKey):
        await asyncio.to_thread(lambda: disclosing.unsealed(home.settings, sealed, tmp_path / "never.html"))
    with pytest.raises(NoSuchNumber):
        await asyncio.to_thread(
            lambda: disclosing.to_file(home.settings, "111-111-11", tmp_path / "x", "person", sealed=False)
        )


async def test_a_request_is_held_until_it_is_answered(town: Town) -> None:
    """An open request is a reason to hold back; its decisions go with the household."""
    number, _ = await told(town)
    await town.app.store.transact(lambda tx: erasing.hold(tx, number, "disclosure", "", act(town, "matsui")))
    case = await town.case(number)
    await town.app.store.transact(
        lambda tx: disclosures.decide(tx, case.household, [("text:1", True, "")], "matsui", town.now)
    )
    gone = await town.app.store.transact(lambda tx: erasing.erasures.destroy(tx, case.household, [case.id]))
    assert (
        gone.counts["disclosures"] == 1
        and await town.app.store.read(lambda tx: disclosures.of(tx, case.household)) == {}
    )
