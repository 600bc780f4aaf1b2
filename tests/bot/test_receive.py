"""The door against bad input: whatever arrives is answered in words, once, and nothing else changes."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from adapters.base import Address, Chose, Inbound, Said, Sender
from bot.receive import Answered
from storage import inbox, people, tables
from storage.store import Tx
from tests.databases import Databases
from tests.properties.values import the_doc
from tests.town import START, Town

EMOJI = "👨‍👩‍👧‍👦👩🏽‍🦽🏳️‍🌈🇯🇵"
BAD = {
    "nothing": "", "blanks": " \t\u3000\n ", "ten thousand letters": "あ" * 10_000, "a million": "x" * 1_000_000, "NUL": "引受\x00 \x00",
    "control": "".join(map(chr, range(32))) + "\x7f\x9f", "emoji families": EMOJI, "right to left": "\u202e385-267-52 受引\u202c",
    "isolates": "\u2066辞退\u2069", "full width nonsense": "ＡＢＣ　１２３", "an ordinal alone": "#999", "a huge ordinal": "引受 #99999999999",
    "an absurd number": "引受 99999999999999999999999999", "a negative": "引受 -385-267-52", "a number with a wrong check": "引受 385-267-53",
    "a number that nobody has": "引受 385-267-52", "SQL": "'; DROP TABLE cases; --", "SQL in a word": "受付 介護'); DELETE FROM staff; --",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>", "HTML as an agency": "依頼 385-267-52 <b>就労</b> <i>若葉</i>",
    "format places": "依頼 {number} {0} {} %s %(x)s", "a path": "../../etc/passwd", "surrogates": "\ud800 引受", "combining": "が\u3099" * 300,
    "zalgo": "h̷̡̢̛" * 200, "an impossible day": "検討 385-267-52 2026-02-30", "the year ten thousand": "中断 385-267-52 10000-01-01",
    "the far future": "中断 385-267-52 2999-12-31", "two days": "不在 明日 昨日", "every word": "受付 引受 辞退 終結 承認", "a digit": "7", "zero": "0", "ten": "10",
    "send without a preview": "送る", "drop without one": "やめる", "undo without one": "取消", "a template": "{{ 7*7 }} ${jndi:ldap://x}", "slashes": "依頼 / / /",
    "commas": "受付 ,,,,、、、", "very many concerns": "受付 " + "介護 " * 500, "many agencies": "一斉依頼 385-267-52 就労相談 " + "若葉 " * 300,
    "a code nobody made": "登録 000-000-000", "JSON": '{"case": null}', "newlines": "引受\n385-267-52\n辞退", "mixed scripts": "引受 ٣٨٥-٢٦٧-٥٢",
    "circled digits": "引受 ③⑧⑤②⑥⑦⑤②", "one letter": "あ", "a question mark": "？", "a full stop": "。",
}  # fmt: skip


@pytest.fixture
async def here(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[Town]:
    url: str = getattr(databases, getattr(request, "param", "sqlite"))()
    town = await Town.found(url, tmp_path, doc=the_doc())
    yield town
    await town.close()
    databases.drop(url)


def amounts(tx: Tx) -> dict[str, int]:
    watched = (
        tables.cases,
        tables.handoffs,
        tables.waits,
        tables.journal,
        tables.timers,
        tables.staff,
        tables.agencies,
        tables.links,
    )
    return {t.name: tx.execute(select(func.count()).select_from(t)).scalar_one() for t in watched}


async def arrives(town: Town, platform: str, account: str, what: Said | Chose, id: str) -> Answered:
    return await town.app.receiver.receive(Inbound(id, Sender(platform, account), Address(platform, account), what))


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
async def test_bad_words_are_answered_and_change_nothing(here: Town, caplog: pytest.LogCaptureFixture) -> None:
    number = await here.intake("suzuki")
    before = await here.app.store.read(amounts)
    await here.app.store.transact(lambda tx: people.link(tx, "toy", "U1", "mori", START))
    before["links"] += 1
    speakers = (("web", "suzuki"), ("web", "yamamoto"), ("toy", "U1"), ("toy", "U-unknown"), ("web", "no such person"))
    wrong = []
    with caplog.at_level(logging.ERROR):
        for name, text in BAD.items():
            for platform, account in speakers:
                answered = await arrives(here, platform, account, Said(text), f"{name}-{platform}-{account}")
                if not answered.messages or not answered.messages[0].text.strip():
                    wrong.append(f"{name}: no answer for {account}")
                wrong += [
                    f"{name}: {m.text[:80]}" for m in answered.messages if len(m.text) > 2_500 or "Traceback" in m.text
                ]
    parked = await here.app.store.read(inbox.parked)
    assert not parked, [(p.arrival.event_id, p.error) for p in parked]
    assert not caplog.records, caplog.text
    assert not wrong
    after = await here.app.store.read(amounts)
    # 受付 with its concerns is good input from staff, whatever stands around it.
    opened = after["cases"] - before["cases"]
    assert opened <= 2, f"{opened} cases from bad words"
    assert (after["staff"], after["agencies"], after["links"]) == (before["staff"], before["agencies"], before["links"])
    assert (await here.case(number)).version == 1


TAPS = {
    "no token": "", "somebody's guess": "A" * 22, "a long one": "x" * 5_000, "NUL": "a\x00b", "quotes": "' OR 1=1 --", "emoji": EMOJI, "short": "a", "place only": "-----",
}  # fmt: skip


@pytest.mark.parametrize("token", list(TAPS.values()), ids=list(TAPS))
async def test_a_token_that_nobody_made_is_an_old_button(here: Town, token: str) -> None:
    for platform in ("web", "toy"):
        answered = await arrives(here, platform, "suzuki", Chose(token, "終結 385-267-52 転出"), f"tap-{platform}")
        assert answered.refused in ("OldButton", "StrangersCannot") and answered.messages[0].text


async def test_a_token_is_a_name_not_a_right(here: Town) -> None:
    """Whoever learns another's token acts as themselves, not as the other."""
    number = await here.consented("suzuki")
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    token = next(row.token for row, _ in await here.reads("ishii") if row.kind == "offer")
    answered = await here.press("yamamoto", token or "", f"引受 {number}#1")
    assert answered.refused == "NotYourCase"
    assert (await here.case(number)).handoffs[0].state == "offered"


async def test_outside_a_token_means_what_its_letter_says(here: Town) -> None:
    """The words beside a token count inside alone: abroad they would be anybody's."""
    number = await here.consented("suzuki")
    await here.app.store.transact(lambda tx: people.link(tx, "toy", "U1", "ishii", START))
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    token = next(row.token for row, _ in await here.reads("ishii") if row.kind == "offer")
    answered = await arrives(here, "toy", "U1", Chose(f"{token}99", f"引受 {number}#1"), "outside")
    assert answered.refused == "OldButton"
    assert (await here.case(number)).handoffs[0].state == "offered"


async def test_the_same_event_and_the_same_act_under_another_id_count_once(here: Town) -> None:
    """I3: platforms deliver twice, with the same id or with another."""
    event = Inbound("E1", Sender("web", "suzuki"), Address("web", "suzuki"), Said("受付 介護"), natural="T1:suzuki:1")
    assert (await here.app.receiver.receive(event)).number
    for id_, natural in (("E1", "T1:suzuki:1"), ("E2", "T1:suzuki:1"), ("E1", "T1:suzuki:2")):
        again = Inbound(id_, event.sender, event.address, event.what, natural=natural)
        assert (await here.app.receiver.receive(again)).inbox is None
    assert (await here.app.store.read(amounts))["cases"] == 1


async def test_words_from_outside_leave_no_trace_of_themselves(here: Town) -> None:
    """Outside, the inbox keeps no text; inside it lies sealed in `texts`."""
    await here.app.store.transact(lambda tx: people.link(tx, "toy", "U1", "suzuki", START))
    story = "やまだはなこさんのこと"
    await arrives(here, "toy", "U1", Said(f"相談 {story}"), "outside")
    await arrives(here, "web", "suzuki", Said(f"相談 {story}"), "inside")

    def kept(tx: Tx) -> tuple[list[object], str]:
        rows = list(tx.execute(select(tables.inbox.c.text, tables.inbox.c.platform).order_by(tables.inbox.c.id)))
        everything = [
            str(tuple(r)) for t in (tables.inbox, tables.journal, tables.letters) for r in tx.execute(select(t))
        ]
        return [r.text for r in rows], "\n".join(everything)

    texts, everything = await here.app.store.read(kept)
    assert texts[0] is None and texts[1] is not None
    assert story not in everything


async def test_a_flood_is_answered_kindly_and_the_next_minute_is_another(here: Town) -> None:
    here.app.receiver.flood = 5
    answers = [await here.tries("suzuki", "今日") for _ in range(8)]
    assert [a.refused for a in answers[:5]] == [None] * 5
    assert {a.refused for a in answers[5:]} == {"TooFast"}
    assert (await here.tries("mori", "今日")).refused is None, "another's flood is not mine"


async def test_danger_words_are_heard_from_a_stranger_too(here: Town) -> None:
    answered = await arrives(here, "toy", "U-nobody", Said("助けて 倒れています"), "cry")
    assert "119" in answered.messages[0].text
    assert await here.kinds("takahashi") == ["danger"]
