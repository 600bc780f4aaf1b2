"""The guard: what looks personal is found, what is the town's own is not; and what becomes of words that hold it, on every road in."""

import ast
import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.jp import cn, in_

from adapters.base import Address, Hook, Inbound, Said, Sender
from adapters.line import Line
from bot.guard import KINDS, Finding, my_numbers, personal
from bot.pages.guarded import sure
from bot.voice import ja
from storage import people
from tests.bot.test_pages import Browser, served, signed_in  # noqa: F401 - a fixture
from tests.properties.values import the_town
from tests.town import Town
from workflow import number as numbers

ROOT = Path(__file__).parents[2]

#: words → what is found in them: "kind 'the place'".
FOUND = {
    "090-1234-5678 にお願いします": "phone 090-1234-5678",
    "０９０−１２３４−５６７８です": "phone ０９０−１２３４−５６７８",
    "03(5253)5711まで": "phone 03(5253)5711",
    "つながるのは 0471506000": "phone 0471506000",
    "+81 90-1234-5678": "phone +81 90-1234-5678",
    "385-267-52 は 080-1111-2222 へ": "phone 080-1111-2222",
    "〒270-0192": "postcode 〒270-0192",
    "２７０−０１９２のあたり": "postcode ２７０−０１９２",
    "平和台三丁目12番地の5": "address 平和台三丁目12番地の5",
    "平和台1丁目1-1です": "address 平和台1丁目1-1",
    "流山市平和台1-1-1の方": "address 市平和台1-1-1",
    "千葉県流山市平和台": "address 千葉県流山市平和台",
    "本町5番12号": "address 本町5番12号",
    "コーポ山田の203号室": "address 203号室",
    "昭和25年4月1日です": "birth 昭和25年4月1日",
    "S25.4.1": "birth S25.4.1",
    "1950/4/1": "birth 1950/4/1",
    "１９５０年４月１日": "birth １９５０年４月１日",
    "19500401": "birth 19500401",
    "令和3年5月5日生まれ": "birth 令和3年5月5日生まれ",
    "平成30年生まれ": "birth 平成30年生まれ",
    "山田花子さんの件です": "name 山田花子さん",
    "赤羽根 様より": "name 赤羽根 様",
    "大森さん": "name 大森さん",  # 森 is staff, 大森 is not
    "ヤマダさんから": "name ヤマダさん",
    "たかしくんのこと": "name たかしくん",
    "氏名: 佐藤 一郎": "name 氏名: 佐藤 一郎",
    "名前は赤羽根": "name 名前は赤羽根",
    "hanako@example.com": "mail hanako@example.com",
    "6214 9832 0257": "my_number 6214 9832 0257",
    "６２１４−９８３２−０２５７": "my_number ６２１４−９８３２−０２５７",
    "番号621498320257です": "my_number 621498320257",
}
#: What is nobody's: the town's own people and numbers, cases, days, relations, and words that only look alike.
NOTHING = (
    "385-267-52 引受", "38526752", "３８５−２６７−５２", "385-267-52#2 辞退 定員", "04-0000-0000 の福祉政策課へ", "189 か #8008 へ",
    "鈴木さんにお願いします", "森さん", "suzuki@example.jp", "皆さんありがとうございます", "ご本人様のようす", "息子さんと娘さん",
    "お母さん", "父親さん", "民生委員さん", "利用者さん", "ケアマネさん", "たくさん届きました", "同様に", "仕様です", "氏名を確かめました", "彼氏",
    "6/12 15:00", "2026-06-12", "2026年6月12日まで", "令和8年6月12日", "1か月後", "3番目", "5番窓口", "12月29日から1月3日",
    "6214 9832 0258", "5835678256246", "5-8356-7825-6246", "100,000円", "30分後に 10人", "1234 5678 9012 3456", "", "あじさい 引受",
)  # fmt: skip


def said(words: str) -> str:
    return "; ".join(f"{f.kind} {words[f.start : f.end]}" for f in personal(words, the_town()))


@pytest.mark.parametrize("words", FOUND)
def test_what_looks_personal_is_found_where_it_stands(words: str) -> None:
    assert said(words) == FOUND[words]


@pytest.mark.parametrize("words", NOTHING)
def test_what_is_nobodys_is_let_be(words: str) -> None:
    assert said(words) == ""


def test_overlaps_are_one_finding_of_the_gravest_kind() -> None:
    words = "生年月日 1950-04-01 〒270-0192 千葉県流山市平和台1丁目1-1 赤羽根様"
    found = personal(words, the_town())
    assert [f.kind for f in found] == ["birth", "postcode", "address", "name"]
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_the_towns_own_sentences_are_let_be() -> None:
    """At most one in a thousand of what the town itself says and is asked looks personal."""
    own = [*ja.SENTENCES.values(), *ja.UI.values()]
    for name in ("bot/demo/grow.py", "bot/pages/help.py"):
        tree = ast.walk(ast.parse((ROOT / name).read_text("utf-8")))
        own += [n.value for n in tree if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    taken = [w for w in own if re.search("[ぁ-ん一-龥]", w) and personal(w, the_town())]
    assert len(own) > 1_500 and len(taken) * 1_000 <= len(own), taken


DIGITS = st.integers(0, 10**11 - 1).map(lambda n: f"{n:011d}")
MARKS = st.sampled_from(("", " ", "-", "－", "−"))
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")
AROUND = st.sampled_from(("", "番号は", "です。", " 本人の ", "\n"))


@given(DIGITS, MARKS, AROUND, AROUND, st.booleans())
@settings(max_examples=200)
def test_a_my_number_is_found_however_it_is_written(
    eleven: str, mark: str, before: str, after: str, wide: bool
) -> None:
    whole = eleven + in_.calc_check_digit(eleven)
    written = mark.join((whole[:4], whole[4:8], whole[8:]))
    text = before + (written.translate(WIDE) if wide else written) + after
    assert [text[f.start : f.end] for f in my_numbers(text)] == [written.translate(WIDE) if wide else written]
    wrong = whole[:-1] + str((int(whole[-1]) + 1) % 10)
    assert not my_numbers(before + wrong + after)


@given(st.integers(0, 10**12 - 1), MARKS)
def test_a_corporate_number_is_no_ones(twelve: int, mark: str) -> None:
    """法人番号, 13 digits with a check digit in front, is public; the library's own check says that it is one."""
    rest = f"{twelve:012d}"
    whole = cn.calc_check_digit(rest) + rest
    assert cn.is_valid(whole)
    assert not my_numbers(mark.join((whole[0], whole[1:5], whole[5:9], whole[9:])))


@given(st.integers(0, 999_999), st.sampled_from(("{}", "{} 引受", "引受{}です", "{}#2")), st.booleans())
def test_a_cases_number_is_never_taken_for_anything(six: int, around: str, wide: bool) -> None:
    number = numbers.make(six)
    assert not personal(around.format(number.translate(WIDE) if wide else number), the_town())


@given(st.text(max_size=80))
def test_whatever_is_written_the_places_lie_within_it_in_order(words: str) -> None:
    found = personal(words, the_town())
    assert all(isinstance(f, Finding) and f.kind in KINDS and 0 <= f.start < f.end <= len(words) for f in found)
    assert all(a.end <= b.start or a.end - 1 == b.start for a, b in pairwise(found))


# -- outside


TEXTS = (
    "引受 {n} 山田花子さんの件、お引き受けします",
    "山田花子さん 090-1234-5678 の件ですが、きょうは難しいかもしれません",
    "きのうの訪問のときのようすを、あとで書いてお送りします",
)


async def link(town: Town, platform: str, who: str) -> None:
    await town.app.store.transact(lambda tx: people.link(tx, platform, f"U-{who}", who, town.now))


@pytest.mark.parametrize("platform", ["slack", "telegram", "line"])
@pytest.mark.parametrize("words", TEXTS)
async def test_outside_the_answer_thanks_asks_to_unsend_and_gives_the_buttons_again(
    lite: Town, platform: str, words: str, tmp_path: Path
) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await link(lite, platform, "ishii")
    answered = await lite.tries("U-ishii", words.format(n=number), surface=platform)
    message = answered.messages[0]
    assert "ありがとうございます" in message.text and "送信取消" in message.text and message.choices
    accepted = (await lite.case(number)).handoffs[0].state == "accepted"
    assert accepted is words.startswith("引受"), "the command is carried out, a text without one does nothing"
    if not accepted:
        assert f"引受 {number}#1" in [c.says for c in message.choices], "the buttons of the open question once more"
    assert not [w for w in ("山田", "090-1234", "訪問のとき") if w in await everything_kept(lite)]


async def everything_kept(town: Town) -> str:
    """All that the database holds, sealed or not, as text."""
    path = town.app.settings.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as db:
        tables = [t for (t,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return "\n".join(
            str(row)
            for t in tables
            if t not in ("staff", "agencies", "municipality")
            for row in db.execute(f'SELECT * FROM "{t}"')
        )


async def test_a_stranger_and_a_shared_conversation_are_asked_to_unsend_too(lite: Town) -> None:
    answered = await lite.tries("U-9", "山田花子です。氏名は山田花子、090-1234-5678", surface="line")
    assert "送信取消" in answered.messages[0].text and answered.refused == "StrangersCannot"
    event = Inbound("g1", Sender("line", "U-9"), Address("line", "G-1"), Said("山田花子さんは元気です"), private=False)
    answered = await lite.app.receiver.receive(event)
    assert "送信取消" in answered.messages[0].text


@pytest.mark.parametrize("words", ["了解です", "385-267-52", "きょう", "引受 よろしくお願いします", "ヘルプ"])
async def test_short_words_and_politeness_are_not_asked_to_be_unsent(lite: Town, words: str) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await link(lite, "line", "ishii")
    answered = await lite.tries("U-ishii", words, surface="line")
    assert "送信取消" not in answered.messages[0].text


async def test_line_tells_that_something_was_unsent_and_there_is_nothing_of_it_to_delete(lite: Town) -> None:
    """Of what is typed outside nothing is kept (workflow.md §6): an unsend finds no copy, and is answered 200 without a row."""
    line = Line("token", "secret")
    taken: list[Inbound] = []

    async def hand(event: Inbound) -> None:
        taken.append(event)
        await lite.app.receiver.receive(event)

    source = {"type": "user", "userId": "U-ishii"}
    common = {
        "mode": "active",
        "timestamp": 1_780_300_000_000,
        "source": source,
        "deliveryContext": {"isRedelivery": False},
    }
    message = {"type": "text", "id": "468789577898262530", "quoteToken": "q", "text": "山田花子さん 090-1234-5678"}
    events = (
        {**common, "type": "message", "webhookEventId": "01H1", "replyToken": "r", "message": message},
        {**common, "type": "unsend", "webhookEventId": "01H2", "unsend": {"messageId": message["id"]}},
    )
    await link(lite, "line", "ishii")
    for event in events:
        body = json.dumps({"destination": "U0", "events": [event]}).encode()
        signed = b64encode(hmac.new(b"secret", body, hashlib.sha256).digest()).decode()
        assert (await line.take(Hook({"x-line-signature": signed}, body), hand)).status == 200
    assert len(taken) == 1, "the unsend is nothing to act on"
    assert not [w for w in ("山田", "090-1234") if w in await everything_kept(lite)]
    await line.close()


def test_mail_has_no_door_for_words() -> None:
    """A letter's link carries a button and no field (bot/pages/templates/go.html): nothing is typed there."""
    page = (ROOT / "bot/pages/templates/go.html").read_text("utf-8")
    assert "textarea" not in page and "input" not in page
    from adapters.mail import Mail

    assert isinstance(Mail, type) and not hasattr(Mail, "take")


# -- inside


async def sent(browser: Browser, words: str, *, room: str = "me", sure: str = "") -> httpx2.Response:
    return await browser.post("/chat/say", words=words, room=room, sure=sure, nonce=secrets.token_hex(4))


async def test_colleagues_words_in_a_room_wait_for_a_second_thought(lite: Town, served: Any) -> None:  # noqa: F811
    browser = await signed_in(lite, served, "ishii")
    words = "山田花子さんは 090-1234-5678 です"
    page = await sent(browser, words, room="tomoshibi")
    assert page.status_code == 422 and "お名前" in page.text and "電話番号" in page.text
    assert "<mark>" in page.text and f">{words}</textarea>" in page.text, "what was typed stays in the field"
    assert "山田" not in await everything_kept(lite) and not await posts(lite)
    # 「このまま送る」 is good for these very words alone.
    page = await sent(browser, f"{words}。", room="tomoshibi", sure=sure(words))
    assert page.status_code == 422
    page = await sent(browser, words, room="tomoshibi", sure=sure(words))
    assert page.status_code == 303 and await posts(lite) == 1
    assert "山田" not in await everything_kept(lite), "sealed"
    assert (await sent(browser, "きょうの会議は3時からです", room="tomoshibi")).status_code == 303


async def posts(town: Town) -> int:
    with sqlite3.connect(town.app.settings.database_url.removeprefix("sqlite:///")) as db:
        return int(db.execute("SELECT count(*) FROM room_posts").fetchone()[0])


@pytest.mark.parametrize(
    "words",
    [
        "サイン {n} 山田花子さんの雨戸が閉まったまま",
        "質問 {n} その他 山田花子さんの連絡先",
        "回答 {n} 090-1234-5678 へ",
    ],
)
async def test_text_behind_a_word_that_others_read_too(lite: Town, served: Any, words: str) -> None:  # noqa: F811
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    if words.startswith("回答"):
        await lite.says("ishii", f"質問 {number} 連絡の方法")
    browser = await signed_in(lite, served, "ishii" if words.startswith("質問") else "suzuki")
    said = words.format(n=number)
    assert (await sent(browser, said)).status_code == 422
    assert (await sent(browser, said, sure=sure(said))).status_code == 303
    if words.startswith("回答"):
        await sent(browser, "送る")
        assert any(line == "handoff.answer" for line in await lite.lines(number))
    assert not [w for w in ("山田花子", "090-1234-5678") if w in await everything_kept(lite)], (
        "kept sealed, the preview too"
    )


async def test_commands_without_text_are_not_asked_about(lite: Town, served: Any) -> None:  # noqa: F811
    number = await lite.intake()
    browser = await signed_in(lite, served, "suzuki")
    assert (await sent(browser, f"電話 {number} 山田花子さんへ")).status_code == 303, "nothing of it is kept for others"


@pytest.mark.parametrize("room", ["me", "tomoshibi"])
async def test_a_my_number_is_never_sent_on(lite: Town, served: Any, room: str) -> None:  # noqa: F811
    browser = await signed_in(lite, served, "ishii")
    words = "番号は 6214 9832 0257 です"
    page = await sent(browser, words, room=room, sure=sure(words))
    assert (
        page.status_code == 422
        and "マイナンバーは、ここには書けません" in page.text
        and "このまま送る" not in page.text
    )
    for surface in ("web", "console"):
        answered = await lite.tries("ishii", words, surface=surface, room="tomoshibi")
        assert answered.refused == "MyNumberNever"
    assert "6214 9832" not in await everything_kept(lite) and not await posts(lite)


async def test_danger_is_heard_also_beside_a_my_number(lite: Town, served: Any) -> None:  # noqa: F811
    words = "6214 9832 0257 の父が倒れました"
    browser = await signed_in(lite, served, "ishii")
    assert (await sent(browser, words, room="tomoshibi")).status_code == 303
    assert "danger" in await lite.kinds("takahashi") and not await posts(lite)
    assert "6214 9832" not in await everything_kept(lite)


@pytest.mark.parametrize("field", ["name", "birth", "contact", "story"])
async def test_nor_is_it_taken_by_the_intake_form(lite: Town, served: Any, field: str) -> None:  # noqa: F811
    browser = await signed_in(lite, served, "suzuki")
    form = {
        "concern": "elder_care",
        "urgency": "normal",
        "district": "北部",
        "consent": "full",
        "step": "3",
        "nonce": secrets.token_hex(4),
    }
    page = await browser.post("/intake", **form, **{field: "６２１４ ９８３２ ０２５７"})
    assert page.status_code == 422 and "番号を消してください" in page.text and "６２１４ ９８３２ ０２５７" in page.text
    page = await browser.post("/intake", **form, **{field: "山田花子 090-1234-5678 昭和25年4月1日"})
    assert page.status_code == 303, "the sealed story is the place for it"
    assert not [w for w in ("山田花子", "090-1234-5678") if w in await everything_kept(lite)]
