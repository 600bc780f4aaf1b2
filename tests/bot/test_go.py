"""A mail's one-time link: opened it only shows, pressed it acts once, as the letter's reader and nobody else."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from bot import sign
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from bot.record import new_token
from storage import letters
from storage.letters import LetterRow
from storage.tx import Tx
from tests.town import Town


class Reader:
    """A browser that somebody opens a mail's link with."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def opens(self, link: str) -> httpx2.Response:
        return await self.client.get(link)

    async def presses(self, link: str, label: str) -> httpx2.Response:
        """Open a link and press the button of this label on what it shows."""
        return await self.presses_on((await self.opens(link)).text, link, label)

    async def presses_on(self, html: str, link: str, label: str) -> httpx2.Response:
        found = re.search(
            rf'name="token" value="([^"]+)"[^>]*>(?:<svg.*?</svg>)?<span>{re.escape(label)}</span>', html, re.S
        )
        assert found, f"no button 「{label}」 in {html}"
        return await self.post(link, token=found[1])

    async def post(self, link: str, **fields: str) -> httpx2.Response:
        csrf = self.client.cookies.get("csrftoken", "")
        return await self.client.post(link, data={"csrftoken": csrf, **fields})


@pytest.fixture
async def reader(lite: Town) -> AsyncIterator[Reader]:
    transport = httpx2.ASGITransport(app=routes(lite.app), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield Reader(client)


async def mailed(town: Town, who: str, kind: str, **changes: Any) -> dict[str, str]:
    """Write the mail that says what this person's newest letter of a kind says; its links by the buttons' labels."""
    row, card = [(row, card) for row, card in await town.reads(who) if row.kind == kind][-1]
    letter = replace(
        row, id=town.app.fresh(), surface="mail", address=f"{who}@town.example", to_staff=who, to_room=None, token=new_token(),
        doc=row.doc | {"says": [c.says for c in card.choices]}, **changes,
    )  # fmt: skip
    await town.app.store.transact(lambda tx: letters.write(tx, [letter]))
    return {choice.label: f"/go/{letter.token}{i}" for i, choice in enumerate(card.choices)}


@pytest.fixture
async def offered(lite: Town) -> tuple[str, dict[str, str]]:
    """A case whose 家計相談 has been asked of ともしび, and the links of 石井's mail."""
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    return number, await mailed(lite, "ishii", "offer")


async def signs_in(town: Town, reader: Reader, who: str) -> None:
    token = await town.app.store.transact(lambda tx: sign.begin(tx, who, real()))
    reader.client.cookies.set(COOKIE, token)


async def states(town: Town, number: str) -> list[str]:
    return [h.state for h in (await town.case(number)).handoffs]


Offered = tuple[str, dict[str, str]]


async def test_opening_a_link_does_nothing_however_often(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    for _ in range(3):
        page = await reader.opens(links["引き受けます"])
        assert page.status_code == 200
    assert (await reader.client.head(links["引き受けます"])).status_code in (200, 405)
    assert await states(lite, number) == ["offered"]
    assert number in page.text and "お返事まで" in page.text and "家計相談" in page.text
    assert page.text.count('name="token"') == 1
    assert page.headers["cache-control"] == "no-store"
    assert COOKIE not in reader.client.cookies
    seen = await lite.app.store.transact(lambda tx: tx.execute(text("SELECT staff, page, numbers FROM looks")).all())
    assert {tuple(row) for row in seen} == {("ishii", "/go/{token}", f'["{number}"]')} and len(seen) >= 3


async def test_pressing_answers_as_the_letters_reader(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    said = await reader.presses(links["引き受けます"], "引き受けます")
    assert said.status_code == 200 and number in said.text
    (handoff,) = (await lite.case(number)).handoffs
    assert (handoff.state, handoff.holder) == ("accepted", "ishii")
    assert "accepted" in await lite.kinds("suzuki")
    assert COOKIE not in reader.client.cookies


async def test_a_link_acts_once(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    page = (await reader.opens(links["引き受けます"])).text
    await reader.presses_on(page, links["引き受けます"], "引き受けます")
    before = await lite.lines(number)
    again = await reader.presses_on(page, links["引き受けます"], "引き受けます")
    assert "お返事はもういただいています" in again.text
    assert await lite.lines(number) == before
    after = (await reader.opens(links["引き受けます"])).text
    assert 'name="token"' not in after and "石井さんが引き受けました" in after


async def test_a_no_asks_for_its_reason_and_the_link_carries_on(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    label = next(label for label in links if "お受けできない" in label)
    asked = await reader.presses(links[label], label)
    reasons = re.findall(r'name="token" value="([^"]+)"', asked.text)
    assert len(reasons) > 2
    assert await states(lite, number) == ["offered"]
    thanked = await reader.post(links[label], token=reasons[0])
    assert thanked.status_code == 200
    assert await states(lite, number) == ["declined"]
    again = await reader.post(links[label], token=reasons[0])
    assert "お返事はもういただいています" in again.text


async def test_a_colleague_who_was_quicker_is_named_on_the_page(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    page = (await reader.opens(links["引き受けます"])).text
    colleague = next(s.code for s in lite.place.members["tomoshibi"] if s.code != "ishii")
    await lite.says(colleague, f"引受 {number}")
    late = await reader.presses_on(page, links["引き受けます"], "引き受けます")
    assert late.status_code == 200
    (handoff,) = (await lite.case(number)).handoffs
    assert handoff.holder == colleague
    assert 'name="token"' not in (await reader.opens(links["引き受けます"])).text


async def test_letters_that_left_as_one_mail_show_each_buttons_own_card(lite: Town, reader: Reader) -> None:
    numbers = [await lite.consented(), await lite.consented()]
    for number in numbers:
        await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    rows = [(row, card) for row, card in await lite.reads("ishii") if row.kind == "offer"]
    says = [choice.says for _, card in rows for choice in card.choices]
    mails = [
        replace(row, id=lite.app.fresh(), surface="mail", address="i@t.example", to_staff="ishii", to_room=None, token=new_token(),
                not_before=lite.now)
        for row, _ in rows
    ]  # fmt: skip
    mails[0] = replace(mails[0], doc=mails[0].doc | {"says": says})
    await lite.app.store.transact(lambda tx: letters.write(tx, mails))
    link = f"/go/{mails[0].token}{says.index(f'引受 {numbers[1]}#1')}"
    page = (await reader.opens(link)).text
    assert numbers[1] in page and numbers[0] not in page
    await reader.presses_on(page, link, "引き受けます")
    assert (await states(lite, numbers[0]), await states(lite, numbers[1])) == (["offered"], ["accepted"])


async def test_no_answer_leaves_as_a_mail(lite: Town, reader: Reader, offered: Offered) -> None:
    _, links = offered
    await reader.presses(links["引き受けます"], "引き受けます")
    answer = [row for row, _ in await lite.reads("ishii") if row.kind == "answer"][-1]
    assert (answer.surface, answer.state) == ("web", "sent")


async def test_after_fourteen_days_a_link_is_old(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    page = (await reader.opens(links["引き受けます"])).text
    lite.clock.frozen = lite.now + timedelta(days=14)
    assert (await reader.opens(links["引き受けます"])).status_code == 410
    assert (await reader.presses_on(page, links["引き受けます"], "引き受けます")).status_code == 410
    assert await states(lite, number) == ["offered"]


async def test_a_name_that_is_no_link_of_a_mail_opens_nothing(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    web = [row for row, _ in await lite.reads("ishii") if row.kind == "offer"][-1]
    link = links["引き受けます"]
    await reader.opens(link)
    for name in (
        f"{web.token}0",
        link[4:-1],
        f"{link[4:-1]}99",
        f"{link[4:-1]}x",
        f"{link[4:-1]}²",
        "A" * 21 + "0",
        "x",
        "%00",
        "A" * 4_000,
    ):
        assert (await reader.opens(f"/go/{name}")).status_code == 404, name
        assert (await reader.post(f"/go/{name}")).status_code == 404, name
    assert await states(lite, number) == ["offered"]


async def test_a_link_presses_no_button_of_another_letter(lite: Town, reader: Reader, offered: Offered) -> None:
    """The form's token is the link's own, or one below an answer to it."""
    number, links = offered
    await lite.tries("ishii", f"辞退 {number}")
    own = [row for row, _ in await lite.reads("ishii") if row.kind == "answer"][-1]
    await lite.tries("suzuki", f"取下げ {number}")
    others = [row for row, _ in await lite.reads("suzuki") if row.kind == "answer"][-1]
    await reader.opens(links["引き受けます"])
    for row in (own, others):
        assert row.doc["says"]
        assert (await reader.post(links["引き受けます"], token=f"{row.token}0")).status_code == 404
    assert await states(lite, number) == ["offered"]


async def test_a_form_from_elsewhere_is_not_taken(lite: Town, reader: Reader, offered: Offered) -> None:
    number, links = offered
    await reader.opens(links["引き受けます"])
    assert (await reader.client.post(links["引き受けます"], data={"csrftoken": "made-up"})).status_code == 403
    assert (
        await reader.client.post(links["引き受けます"], headers={"list-unsubscribe": "One-Click"})
    ).status_code == 403
    assert await states(lite, number) == ["offered"]


async def test_who_is_signed_in_goes_on_to_the_card_in_the_web_chat(
    lite: Town, reader: Reader, offered: Offered
) -> None:
    _, links = offered
    await signs_in(lite, reader, "ishii")
    answer = await reader.presses(links["引き受けます"], "引き受けます")
    assert answer.status_code == 303
    page, _, place = answer.headers["location"].partition("#")
    chat = (await reader.opens(page)).text
    assert f'id="{place}"' in chat
    assert "石井さんが引き受けました" in chat.split(f'id="{place}"')[1]


async def test_somebody_elses_session_does_not_answer_for_the_reader(
    lite: Town, reader: Reader, offered: Offered
) -> None:
    number, links = offered
    await signs_in(lite, reader, "mori")
    answer = await reader.presses(links["引き受けます"], "引き受けます")
    assert answer.status_code == 200
    assert "/sign-in?next=" in answer.text
    assert (await lite.case(number)).handoffs[0].holder == "ishii"


async def test_who_has_left_the_town_has_no_link(lite: Town, reader: Reader) -> None:
    row = LetterRow(
        id=lite.app.fresh(), kind="absence", surface="mail", doc={"says": ["今日"]}, created_at=lite.now, not_before=lite.now,
        to_staff="nobody", token=new_token(), state="sent",
    )  # fmt: skip
    await lite.app.store.transact(lambda tx: letters.write(tx, [row]))
    assert (await reader.opens(f"/go/{row.token}0")).status_code == 404


async def test_the_page_speaks_the_readers_language_and_names_no_volunteer(
    lite: Town, reader: Reader, offered: Offered
) -> None:
    _, links = offered
    page = (await reader.opens(links["引き受けます"] + "?lang=en")).text
    assert '<html lang="en"' in page
    assert "This link works once" in page


async def test_a_press_that_meets_a_defect_is_tried_again_and_its_link_is_in_no_log(
    lite: Town, reader: Reader, offered: Offered, caplog: Any, monkeypatch: Any
) -> None:
    number, links = offered
    page = (await reader.opens(links["引き受けます"])).text

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr("bot.receive._Talk.hear", broken)
        answer = await reader.presses_on(page, links["引き受けます"], "引き受けます")
    assert answer.status_code in (200, 202)
    assert "parked" in caplog.text
    assert links["引き受けます"][4:25] not in caplog.text

    def rows(tx: Tx) -> str:
        return repr(tx.connection.execute(text("SELECT * FROM inbox WHERE platform = 'mail'")).all())

    assert links["引き受けます"][4:25] not in await lite.app.store.read(rows)
    assert await states(lite, number) == ["offered"]
    lite.clock.frozen = lite.now + timedelta(minutes=2)
    assert await lite.app.receiver.again_due() == 1
    assert await states(lite, number) == ["accepted"]
