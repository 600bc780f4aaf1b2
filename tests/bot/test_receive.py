"""The door against bad input: whatever arrives is answered in words, once, and nothing else changes."""

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from adapters.base import Address, Chose, Inbound, Said, Sender
from bot.receive import Answered
from storage import cases, inbox, journal, people, tables
from storage.tx import Tx
from tests.bot.bad_words import BAD, EMOJI
from tests.databases import Databases
from tests.properties.values import the_doc
from tests.town import START, TOKYO, Town
from tests.toy import Toy


@pytest.fixture
async def here(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[Town]:
    url: str = getattr(databases, getattr(request, "param", "sqlite"))()
    town = await Town.found(url, tmp_path, doc=the_doc(), adapters={"toy": Toy()})
    yield town
    await town.close()
    databases.drop(url)


#: What an answer itself leaves behind: that it arrived, its words, the answer, and what a bare digit means now.
ANSWERS = frozenset({"inbox", "texts", "letters", "turns"})


def amounts(tx: Tx) -> dict[str, int]:
    watched = [t for t in tables.metadata.sorted_tables if t.name not in ANSWERS]
    return {t.name: tx.execute(select(func.count()).select_from(t)).scalar_one() for t in watched}


def everything(tx: Tx) -> dict[str, object]:
    """What bad words may not touch: the journal's tail, every case as it is, how much of everything there is."""
    ids = list(tx.execute(select(tables.cases.c.id).order_by(tables.cases.c.id)).scalars())
    told = select(func.count()).select_from(tables.letters).where(~tables.letters.c.answer)
    return {
        "tail": journal.newest(tx), "cases": [repr(c) for c in cases.load_several(tx, ids)], "told": tx.execute(told).scalar_one(),
        **amounts(tx),
    }  # fmt: skip


async def arrives(town: Town, platform: str, account: str, what: Said | Chose, id: str) -> Answered:
    return await town.app.receiver.receive(Inbound(id, Sender(platform, account), Address(platform, account), what))


JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")


def in_the_language(text: str, language: str) -> bool:
    """Japanese has kana or kanji; English has them only where it quotes a word to say, a name or a number's fellow."""
    if language == "ja":
        return bool(JAPANESE.search(text))
    return len(re.findall("[A-Za-z]", text)) > len(JAPANESE.findall(text))


#: Good input after all: staff take a consultation in, and from outside 受付 is enough
#: (what stands behind the word there is dropped, workflow.md §6).
GOOD = {
    ("very many concerns", "suzuki"), ("very many concerns", "nguyen"),
    *((name, "U1") for name, text in BAD.items() if text.startswith("受付")),
}  # fmt: skip
#: Who says it: staff, a volunteer, somebody who reads English, a colleague from outside, and two whom nobody knows.
SPEAKERS = (
    ("web", "suzuki", "ja"), ("web", "yamamoto", "ja"), ("web", "nguyen", "en"), ("toy", "U1", "ja"), ("toy", "U-unknown", "ja"), ("web", "no such person", "ja"),
)  # fmt: skip


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
async def test_bad_words_are_answered_and_change_nothing(here: Town, caplog: pytest.LogCaptureFixture) -> None:
    """Each in words, in the speaker's language; the journal's tail and every case are as they were."""
    theirs = await here.consented("tamura", "ひきこもり")
    await here.says("tamura", f"依頼 {theirs} 家計相談 ともしび")
    wrong_digit = f"{theirs[:-1]}{(int(theirs[-1]) + 1) % 10}"
    await here.app.store.transact(lambda tx: people.link(tx, "toy", "U1", "mori", START))
    before, wrong = await here.app.store.read(everything), []
    with caplog.at_level(logging.ERROR):
        for (name, text), (platform, account, language) in itertools.product(BAD.items(), SPEAKERS):
            said = text.replace("{theirs}", theirs).replace("{wrong}", wrong_digit)
            answered = await arrives(here, platform, account, Said(said), f"{name}-{platform}-{account}")
            texts = [m.text for m in answered.messages]
            if not texts or not all(t.strip() and in_the_language(t, language) and len(t) <= 2_500 for t in texts):
                wrong.append((name, account, [t[:80] for t in texts]))
            after = await here.app.store.read(everything)
            changed = [k for k in before if before[k] != after[k]]
            if bool(changed) != ((name, account) in GOOD):
                wrong.append((name, account, [f"changed {k}" for k in changed]))
            before = after
    parked = await here.app.store.read(inbox.parked)
    assert not parked, [(p.arrival.event_id, p.error) for p in parked]
    assert not caplog.records, caplog.text
    assert not wrong, "\n".join(map(str, wrong))


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


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
async def test_of_two_at_once_one_wins_and_whoever_is_late_is_told_and_changes_nothing(here: Town) -> None:
    """I3: the second colleague, the winner's second tap, the card of before, and whoever it never was for."""
    number = await here.consented("suzuki")
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.later(until=here.place.agencies["tomoshibi"].hours.add_days(here.now, 2))
    letters = {row.kind: row.token or "" for row, _ in await here.reads("ishii") if not row.answer}
    both = await asyncio.gather(*(here.press(who, letters["offer"], f"引受 {number}#1") for who in ("ishii", "kondo")))
    assert sorted(a.refused or "" for a in both) == ["", "AlreadyTaken"]
    won = here.place.staff[(await here.case(number)).handoffs[0].holder or ""]
    told = next(a for a in both if a.refused).messages[0].text
    assert won.name in told and "ありがとうございます" in told, told
    before = await here.app.store.read(everything)
    for who, card, name in (
        (won.code, "offer", "AlreadyDone"), ("ishii", "ring", "OldButton"), ("kondo", "ring", "OldButton"), ("mori", "offer", "NotYourCase"),
    ):  # fmt: skip
        late = await here.press(who, letters[card], f"引受 {number}#1")
        assert late.refused == name and in_the_language(late.messages[0].text, "ja"), (who, card)
        assert await here.app.store.read(everything) == before, (who, card)


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
async def test_an_acceptance_after_expiry_is_thanked_and_raises_nothing_from_the_dead(here: Town) -> None:
    number = await here.consented("suzuki")
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.later(business_days=5)
    before = await here.case(number)
    assert before.handoffs[0].state == "expired"
    assert "ありがとうございます" in (await here.says("kondo", f"引受 {number}")).text
    after = await here.case(number)
    assert (after.stage, after.lead, after.handoffs[0].state, after.handoffs[0].holder) == (
        "intake",
        "suzuki",
        "expired",
        None,
    )
    again = await here.app.store.read(everything)
    assert (await here.tries("kondo", f"引受 {number}")).refused == "AlreadyDone"
    assert await here.app.store.read(everything) == again


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
async def test_the_same_event_and_the_same_act_under_another_id_count_once(here: Town) -> None:
    """I3: platforms deliver twice, with the same id or with another."""
    event = Inbound("E1", Sender("web", "suzuki"), Address("web", "suzuki"), Said("受付 介護"), natural="T1:suzuki:1")
    assert (await here.app.receiver.receive(event)).number
    for id_, natural in (("E1", "T1:suzuki:1"), ("E2", "T1:suzuki:1"), ("E1", "T1:suzuki:2")):
        again = Inbound(id_, event.sender, event.address, event.what, natural=natural)
        assert (await here.app.receiver.receive(again)).inbox is None
    assert (await here.app.store.read(amounts))["cases"] == 1
    copies = (Inbound("E3", event.sender, event.address, Said("受付 困窮"), natural="T1:suzuki:3") for _ in range(8))
    found = await asyncio.gather(*(here.app.receiver.receive(copy) for copy in copies))
    assert sum(one.inbox is not None for one in found) == 1
    assert (await here.app.store.read(amounts))["cases"] == 2


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
async def test_a_town_that_another_process_has_changed_is_the_one_that_counts(here: Town) -> None:
    """The event is taken in the town we know, and once more where that has changed since."""
    await here.says("suzuki", "受付 介護")
    known = here.app.receiver.towns.lately
    assert known is not None
    await here.app.store.transact(lambda tx: people.link(tx, "toy", "U9", "suzuki", START))
    assert here.app.receiver.towns.lately is known, "nobody has told us"
    answered = await arrives(here, "web", "suzuki", Said("受付 困窮"), "after")
    now = here.app.receiver.towns.lately
    assert answered.number and now is not None and now.version == known.version + 1
    assert (await here.app.store.read(amounts))["cases"] == 2


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


async def test_a_flood_is_answered_kindly_and_does_nothing(here: Town) -> None:
    """Whatever came too fast did nothing, and one person's flood is nobody else's."""
    here.app.receiver.flood = 5
    answers = [await here.tries("suzuki", "今日") for _ in range(5)]
    assert [a.refused for a in answers] == [None] * 5
    before = await here.app.store.read(everything)
    for words in ("受付 介護", "今日", "受付 困窮"):
        answered = await here.tries("suzuki", words)
        assert answered.refused == "TooFast" and in_the_language(answered.messages[0].text, "ja")
    assert await here.app.store.read(everything) == before
    assert (await here.tries("mori", "今日")).refused is None, "another's flood is not mine"


async def test_danger_words_are_heard_from_a_stranger_too(here: Town) -> None:
    answered = await arrives(here, "toy", "U-nobody", Said("助けて 倒れています"), "cry")
    assert "119" in answered.messages[0].text


@pytest.mark.parametrize("words", ["助けて", "緊急", "至急お願いします", "父が倒れました"])
async def test_danger_is_heard_in_the_middle_of_a_flood(here: Town, words: str) -> None:
    here.app.receiver.flood = 5
    for _ in range(6):
        answered = await here.tries("suzuki", "今日")
    assert answered.refused == "TooFast"
    answered = await here.tries("suzuki", words)
    assert answered.refused is None and "119" in answered.messages[0].text
    assert await here.kinds("takahashi") == ["danger"]
    assert (await here.tries("suzuki", "今日")).refused == "TooFast"


async def test_two_letters_of_one_command_are_aware_of_each_other(here: Town) -> None:
    """I28, one message a case a day: 鈴木 is of the agency asked and the present lead, so the second news waits for the morning."""
    await here.app.store.transact(lambda tx: people.link(tx, "toy", "U-suzuki", "suzuki", START))
    number = await here.consented("suzuki")
    await here.says("takahashi", f"担当替え {number} 地域包括支援センター北 異動")

    def leave(tx: Tx) -> list[tuple[str, str]]:
        found = tx.execute(
            select(tables.letters.c.kind, tables.letters.c.not_before).where(tables.letters.c.surface == "toy")
        )
        return sorted((r.kind, f"{r.not_before.astimezone(TOKYO):%m-%d %H:%M}") for r in found)

    assert await here.app.store.read(leave) == [("offer", "06-01 09:02"), ("reassigning", "06-02 08:30")]


async def test_one_thing_is_pushed_once_to_somebody_who_is_in_the_room_and_named(here: Town) -> None:
    """I20: an EMERGENCY offer goes to the room, its head and the coordinators: 石井, who is two of them, has it once."""
    for code in ("ishii", "takahashi"):
        await here.app.store.transact(lambda tx, code=code: people.link(tx, "toy", f"U-{code}", code, START))
    number = await here.consented("suzuki")
    await here.says("suzuki", f"緊急 {number}")
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")

    def pushes(tx: Tx) -> list[tuple[str, str]]:
        rows = tx.execute(
            select(tables.letters.c.to_staff, tables.letters.c.kind).where(tables.letters.c.surface == "toy")
        )
        return sorted((r.to_staff, r.kind) for r in rows)

    found = await here.app.store.read(pushes)
    assert found == sorted({*found}), f"twice: {found}"
    assert ("ishii", "offer") in found and ("takahashi", "offer") in found
