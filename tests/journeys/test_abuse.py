"""虐待の疑い: a track that nobody declines, with duties that climb by the wall clock; and who may know that there is one."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.base import Message
from bot.reading import Reading
from bot.voice import voice_for
from storage import journal, letters, people
from storage.tx import Tx
from tests.bot.test_pages import served, signed_in  # noqa: F401 - a fixture
from tests.journeys.rings import rings
from tests.town import TOKYO, Town
from workflow.case import TRACK
from workflow.report import ENDS, KINDS

SPOKEN = {"child": "子ども", "elder": "高齢", "disability": "障害", "dv": "DV"}
FIRST = {"child": "児相", "elder": "市町村", "disability": "警察", "dv": "配暴センター"}
#: What nobody who need not know may read anywhere.
TELLING = ("虐待", "通報", "児童相談所", "189", "#8008", "安全の確認", "至急の電話", "至急の確認", "手続き")


async def duties(town: Town, number: str) -> list[str]:
    return [w.kind for w in (await town.case(number)).waits if w.kind in TRACK]


async def suspected(town: Town, kind: str = "child") -> str:
    number = await town.accepted()
    await town.says("suzuki", f"虐待 {number} {SPOKEN[kind]}")
    return number


def everything(message: Message) -> str:
    return f"{message.title} {message.text} {message.facts} {[c.label for c in message.choices]}"


async def test_the_answer_puts_the_telephone_first_and_everybody_who_has_to_act_hears_at_once(town: Town) -> None:
    number = await town.accepted()
    asked = await town.refused("suzuki", f"虐待 {number}", "WordsMissing")
    assert [c.says.split()[-1] for c in asked.choices] == list(SPOKEN.values())
    answer = await town.says("suzuki", asked.choices[0].says)
    assert (
        answer.facts[0] == ("児童相談所虐待対応ダイヤル", "189")
        and "119" in answer.text
        and "04-0000-0000" in str(answer.facts)
    )
    for who in ("takahashi", "shimizu", "ogawa", "watanabe"):
        card = await town.last(who, "abuse")
        assert card.facts[0][1] == "189" and "虐待の疑い" in card.text
        assert any(c.says == f"通報済 {number} child" for c in card.choices)
    assert await duties(town, number) == ["report"]
    assert "report.suspected" in await town.lines(number)


async def test_a_report_that_nobody_makes_climbs_by_the_wall_clock_to_the_final_owner(town: Town) -> None:
    await town.later(until=datetime(2026, 6, 6, 22, tzinfo=TOKYO))  # a Saturday night
    await suspected(town)
    await town.later(hours=3)
    assert await rings(town, "report") == [
        ("06-06 22:15", "remind", "suzuki takahashi shimizu nakajima watanabe ogawa"),
        ("06-06 22:30", "remind", "takahashi shimizu nakajima watanabe ogawa"),
        ("06-06 23:00", "remind", "suzuki takahashi shimizu nakajima watanabe ogawa"),
        ("06-07 00:15", "remind", "suzuki takahashi shimizu nakajima watanabe ogawa"),
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_goes_its_way_to_the_officials_end(lite: Town, kind: str) -> None:
    number = await suspected(lite, kind)
    asked = await lite.refused("suzuki", f"通報済 {number}", "WordsMissing")
    assert FIRST[kind] in [c.says.split()[-1] for c in asked.choices]
    await lite.says("suzuki", f"通報済 {number} {FIRST[kind]}")
    if kind == "child":
        assert await duties(lite, number) == ["child_safety"]
        await lite.says("ogawa", f"安全確認 {number}")
    assert await duties(lite, number) == ["report_follow"]
    for who in ("suzuki", "takahashi"):
        await lite.refused(who, f"虐待終了 {number} 終結", "OfficialsOnly")
    asked = await lite.refused("ogawa", f"虐待終了 {number}", "WordsMissing")
    assert len(asked.choices) == len(ENDS)
    await lite.says("ogawa", asked.choices[0].says)
    case = await lite.case(number)
    assert not any(r.open for r in case.reports) and not await duties(lite, number) and case.abuse
    case_lines = await lite.app.store.read(lambda tx: journal.read(tx, case.id))
    told = [(line.kind, line.actor) for line in case_lines if line.kind.startswith("report.")]
    assert [k for k, _ in told] == [
        "report.suspected", "report.made", *(("report.seen",) if kind == "child" else ()), "report.ended",
    ]  # fmt: skip
    made = next(line for line in case_lines if line.kind == "report.made")
    assert made.data["means"] == "phone" and datetime.fromisoformat(str(made.data["made"])) == made.at


async def test_a_child_is_seen_within_48_hours_of_the_report_not_of_its_record(town: Town) -> None:
    number = await suspected(town)
    await town.later(hours=1)
    await town.says("takahashi", f"通報済 {number} 児相 電話 9:20")
    wait = (await town.case(number)).wait("child_safety")
    assert wait and wait.due_at == datetime(2026, 6, 3, 9, 20, tzinfo=TOKYO)
    await town.later(hours=50)
    climbed = await rings(town, "child_safety")
    assert [at for at, _, _ in climbed] == ["06-02 09:40", "06-02 21:30", "06-03 09:20"]
    assert climbed[-1][2] == "watanabe ogawa takahashi shimizu nakajima"
    await town.presses("ogawa", "安全を確かめました")
    assert await duties(town, number) == ["report_follow"]


async def test_a_report_in_the_future_or_long_ago_is_none_and_a_wish_holds_back_only_dv(lite: Town) -> None:
    number = await suspected(lite)
    await lite.refused("suzuki", f"通報済 {number} 児相 6/5 10:00", "DayOutOfRange")
    await lite.refused("suzuki", f"通報済 {number} 児相 2026-05-20 10:00", "DayOutOfRange")
    await lite.refused("suzuki", f"通報済 {number} 本人の意思", "NoSuchCode")
    assert await duties(lite, number) == ["report"]
    other = await suspected(lite, "dv")
    await lite.says("suzuki", f"通報済 {other} 本人の意思")
    assert await duties(lite, other) == ["report_follow"]


async def test_nobody_declines_withdraws_or_puts_it_off(town: Town) -> None:
    number = await suspected(town)
    await town.refused("suzuki", "取消", "NothingToUndo")
    waits = (await town.case(number)).waits
    await town.says("takahashi", f"期限延長 {number} 6/20")
    assert (await town.case(number)).wait("report") == next(w for w in waits if w.kind == "report")
    await town.says("suzuki", f"急ぎ {number}")
    after = (await town.case(number)).wait("report")
    assert after == next(w for w in waits if w.kind == "report"), "the case's urgency is not the law's"


async def test_the_case_does_not_close_before_the_track_has_ended(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"終結 {number} 転出")
    await town.says("suzuki", f"虐待 {number} 高齢")
    await town.later(business_days=6)
    refusal = await town.refused("takahashi", f"承認 {number}", "FactsMissing")
    assert "市担当課の手続き" in refusal.text and "虐待" not in refusal.text
    await town.says("suzuki", f"提案取下げ {number}")
    refusal = await town.refused("suzuki", f"終結 {number} 転出", "FactsMissing")
    assert "市担当課の手続き" in refusal.text
    await town.says("ogawa", f"虐待終了 {number} 虐待ではなかった")
    case = await town.case(number)
    assert not case.abuse and not case.danger, "what was none leaves no mark"
    await town.says("suzuki", f"終結 {number} 転出")
    await town.later(business_days=6)
    await town.says("takahashi", f"承認 {number}")
    assert not (await town.case(number)).open


async def test_after_a_death_only_the_approval_waits_and_it_waits_for_the_official(town: Town) -> None:
    """I27 holds beside the track."""
    number = await suspected(town, "elder")
    await town.says("suzuki", f"逝去 {number}")
    assert [w.kind for w in (await town.case(number)).waits] == ["approval"]
    await town.refused("takahashi", f"承認 {number}", "FactsMissing")
    await town.says("ogawa", f"虐待終了 {number} 警察へ")
    await town.says("takahashi", f"承認 {number}")
    assert not (await town.case(number)).open


async def test_two_suspicions_stand_side_by_side_and_the_same_one_again_is_the_same(town: Town) -> None:
    number = await suspected(town)
    await town.says("takahashi", f"虐待 {number} 子ども")
    await town.says("suzuki", f"虐待 {number} DV")
    case = await town.case(number)
    assert [(r.kind, len(r.by)) for r in case.reports] == [("child", 2), ("dv", 1)]
    asked = await town.refused("suzuki", f"通報済 {number} 警察", "WordsMissing")
    await town.says("suzuki", asked.choices[1].says)
    assert sorted(await duties(town, number)) == ["report", "report_follow"]


async def test_who_need_not_act_reads_nothing_of_it_anywhere(town: Town) -> None:
    """A holder and a volunteer of the same case: cards, lists, the case at a glance, the day, the answers to their own words."""
    number = await town.accepted()
    await town.says("suzuki", f"依頼 {number} 見守り 民生委員北部")
    await town.says("yamamoto", f"引受 {number}")
    await town.says("suzuki", f"虐待 {number} 子ども")
    await town.later(hours=2)
    shown = []
    for who, words in (
        ("ishii", f"つながった {number}"), ("ishii", "今日"), ("ishii", "一覧"), ("ishii", number), ("ishii", f"急ぎ {number}"),
        ("yamamoto", f"会えた {number}"), ("yamamoto", "つぎへ"), ("yamamoto", number), ("ishii", "持ち件数"),
    ):  # fmt: skip
        shown.append(everything(await town.says(who, words)))
    for who in ("ishii", "yamamoto", "kondo", "tamura"):
        shown += [everything(card.message()) for _, card in await town.reads(who)]
    assert not [text for text in shown if any(word in text for word in TELLING)]
    for words in (f"通報済 {number} 児相", f"安全確認 {number}"):
        await town.refused("ishii", words, "NothingToAnswer")


async def test_a_volunteer_who_raises_it_hears_the_numbers_and_no_more(town: Town) -> None:
    number = await town.accepted()
    await town.says("suzuki", f"依頼 {number} 見守り 民生委員北部")
    await town.says("yamamoto", f"引受 {number}")
    answer = await town.says("yamamoto", f"虐待 {number} 高齢")
    assert answer.facts[0][1] == "#9110"
    assert "abuse" in await town.kinds("suzuki") and "abuse" not in await town.kinds("yamamoto")
    await town.says("suzuki", f"通報済 {number} 市町村")
    assert "report_made" in await town.kinds("takahashi") and "report_made" not in await town.kinds("yamamoto")


@pytest.mark.parametrize(
    "words", ["虐待 {n} 子ども", "通報済 {n} 児相", "子どもが殴られているようです", "虐待かもしれません"]
)
@pytest.mark.parametrize("platform", ["slack", "telegram", "line"])
async def test_outside_it_is_only_asked_to_telephone(lite: Town, platform: str, words: str) -> None:
    number = await lite.accepted()
    await link(lite, platform, "suzuki")
    for account in ("U-suzuki", "U-nobody"):
        answered = await lite.tries(account, words.format(n=number), surface=platform)
        message = answered.messages[0]
        text = everything(message)
        assert (
            message.text.startswith("至急 電話してください")
            and "119" in text
            and "04-0000-0000" in text
            and "189" in text
        )
        assert not [w for w in ("虐待", "通報", "児童", "DV", "子ども") if w in text], text
    assert not (await lite.case(number)).reports, "the track is begun inside"


async def link(town: Town, platform: str, who: str) -> None:
    await town.app.store.transact(lambda tx: people.link(tx, platform, f"U-{who}", who, town.now))


async def test_letters_outside_about_a_track_say_only_to_telephone(lite: Town) -> None:
    number = await suspected(lite)
    await lite.says("suzuki", f"通報済 {number} 児相")
    await lite.later(hours=30)
    await lite.says("ogawa", f"安全確認 {number}")
    await lite.says("ogawa", f"虐待終了 {number} 児相へ")

    def work(tx: Tx) -> list[str]:
        town = lite.app.towns.of(tx)
        found = []
        for who in ("ogawa", "takahashi", "suzuki"):
            me = town.staff[who]
            for row in letters.for_person(tx, who, me.agencies, 0, 500, surface="web"):
                if row.answer:
                    continue
                reading = Reading(tx, town, me, lite.now, voice_for(town, outside=True))
                found.append(everything(reading.card(row).message()))
        return found

    shown = await lite.app.store.read(work)
    assert shown and not [text for text in shown if any(w in text for w in ("虐待", "通報", "児童", "189", "子ども"))]


async def test_the_lead_changes_and_the_track_goes_on(town: Town) -> None:
    """The next lead knows of it; who led and did not raise it, no longer."""
    number = await town.consented()
    await town.says("takahashi", f"虐待 {number} 高齢")
    await town.says("takahashi", f"担当替え {number} ひばり/森 異動")
    await town.says("mori", f"引受 {number}")
    await town.later(minutes=16)
    assert "ring:report" in await town.kinds("mori")
    await town.refused("suzuki", f"通報済 {number} 市町村", "NothingToAnswer")
    await town.says("mori", f"通報済 {number} 市町村")
    assert (await town.case(number)).wait("report_follow")
    await town.later(until=town.now + timedelta(days=40))
    assert "ring:report_follow" in await town.kinds("ogawa")


async def test_the_pages_show_it_to_who_has_to_act_alone(lite: Town, served: Any) -> None:  # noqa: F811
    number = await suspected(lite)
    await lite.later(hours=1)
    hidden = ("虐待の疑い", "通報", "至急の電話", "至急の確認", "まず電話を")
    holder = await signed_in(lite, served, "ishii")
    for address in (f"/cases/{number}", "/board", "/cases", "/today", "/chat?room=tomoshibi", "/handover", "/help"):
        page = (await holder.get(address)).text
        found = [word for word in hidden if word in page]
        assert not found or address == "/help", f"{address}: {found}"
    for who in ("suzuki", "takahashi", "ogawa"):
        page = (await (await signed_in(lite, served, who)).get(f"/cases/{number}")).text
        assert "まず電話を" in page and 'href="tel:189"' in page and "虐待の疑いを記録しました(子ども)" in page
        assert f'value="通報済 {number}"' in page and (f'value="虐待終了 {number}"' in page) is (who == "ogawa")


@pytest.mark.parametrize("who", ["suzuki", "yamamoto"])
async def test_every_page_has_the_numbers_one_tap_away(lite: Town, served: Any, who: str) -> None:  # noqa: F811
    """On the door too, and where a phone hides the page's own header."""
    number = await lite.accepted()
    await lite.says("suzuki", f"依頼 {number} 見守り 民生委員北部")
    browser = await signed_in(lite, served, who)
    for address in ("/today", "/chat", "/chat?room=me", f"/cases/{number}", "/help", "/links", "/ways"):
        page = (await browser.get(address)).text
        assert page.count('<details class="call') == (2 if address.startswith("/chat") else 1), address
        assert 'href="tel:119"' in page and 'href="tel:04-0000-0000"' in page
    assert 'href="tel:119"' in (await served().get("/sign-in")).text
