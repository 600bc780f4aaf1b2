"""The five minutes of the README in a real browser: two windows, a refusal that helps, silence that climbs, a close by two."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, ROOT, People
from tests.browser.hands import NUMBER, answer, press, send, turn, words

pytestmark = pytest.mark.browser


def test_the_board_shows_first_what_needs_a_hand(people: People, pictures: Path) -> None:
    takahashi = people.be("takahashi")
    takahashi.goto("/board")
    expect(takahashi.locator("main")).to_contain_text("返事がまだ")
    takahashi.screenshot(path=pictures / "board.png")


def test_a_volunteer_sees_one_question(people: People, pictures: Path) -> None:
    yamamoto = people.be("yamamoto", size=PHONE)
    yamamoto.screenshot(path=pictures / "volunteer-phone.png")
    assert yamamoto.url.endswith("/today")
    assert "119" in yamamoto.locator("body").inner_text()


def test_a_consultation_walks_the_five_minutes(people: People, pictures: Path) -> None:
    suzuki = people.be("suzuki")
    suzuki.goto("/chat?room=me")
    words(suzuki, "受付 介護 困窮 北部")
    number = NUMBER.findall(suzuki.locator("#log").inner_text())[-1]
    words(suzuki, f"依頼 {number} 家計相談 ともしび")
    assert "共有できる理由" in answer(suzuki), "without a basis nothing may be offered"
    words(suzuki, f"見立て {number} 続ける")
    words(suzuki, f"同意 {number} あり")
    words(suzuki, f"依頼 {number} 家計相談 ともしび")
    assert "届きます" in answer(suzuki), "what reaches others is shown first"
    send(suzuki)

    # The asked agency declines on a phone; the sender's open page hears it without being touched.
    ishii = people.be("ishii", size=PHONE)
    ishii.goto("/chat?room=tomoshibi")
    expect(ishii.locator("article", has_text=number).first).to_be_visible()
    ishii.screenshot(path=pictures / "chat-offer-phone.png")
    press(ishii, number, "お受けできない")
    ishii.locator("#log button", has_text="定員").last.click()
    expect(ishii.locator("#log")).to_contain_text("早めのお返事、助かりました")
    expect(suzuki.locator("#log")).to_contain_text("今回お受けできないとの回答でした", timeout=10_000)

    # The next candidate is a button; then a week of silence climbs to the coordinator.
    suzuki.locator("#log article", has_text=number).locator("button", has_text="つばさに依頼").last.click()
    expect(suzuki.locator("#log button", has_text=re.compile("^送る$")).last).to_be_visible()
    send(suzuki)
    turn(suzuki, "7日すすめる", "/chat?room=me")
    expect(suzuki.locator("#log")).to_contain_text("お返事が期限までにありませんでした", timeout=30_000)
    takahashi = people.be("takahashi")
    takahashi.goto("/chat?room=me")
    expect(takahashi.locator("#log")).to_contain_text(number)

    # The coordinator asks the next one; whoever accepts is seen at once in the sender's open window.
    takahashi.goto("/chat?room=me")
    words(takahashi, f"依頼 {number} 家計相談 社協ながれ")
    send(takahashi)
    sakamoto = people.be("sakamoto", size=PHONE)
    sakamoto.goto("/chat?room=shakyo")
    press(sakamoto, number, "引き受けます")
    expect(sakamoto.locator("#log")).to_contain_text("まず初回の連絡をお願いします")
    sakamoto.screenshot(path=pictures / "chat-accepted-phone.png")
    expect(takahashi.locator("#log")).to_contain_text("引き受けました", timeout=10_000)
    words(sakamoto, f"つながった {number}")

    # Roles are divided: what is missing is named, and each is a button.
    words(suzuki, f"困りごと {number} 介護 資源なし")
    for said in (f"移す {number} ほぐし", f"会議なし {number}", f"移す {number} 役割分担", f"移す {number} 支援"):
        words(suzuki, said)
        if "よければ「送る」" in answer(suzuki):
            send(suzuki)
    suzuki.goto(f"/cases/{number}")
    expect(suzuki.locator("main")).to_contain_text("支援")
    suzuki.screenshot(path=pictures / "case.png")

    # A month later they are asked whether they met; then two people close it.
    for other in (suzuki, ishii, takahashi):
        other.goto("about:blank")  # an open page looks again at every change, and a month has many
    sakamoto.request.post("/demo/clock", data={"advance": "31d"}, timeout=120_000, max_retries=3)
    turn(sakamoto, "次の営業日の朝へ", "/chat?room=me")
    expect(sakamoto.locator("#log")).to_contain_text("いかがでした")
    words(sakamoto, f"変わりなし {number}")
    suzuki.goto("/chat?room=me")
    words(suzuki, f"終結 {number} 目標達成・安定")
    send(suzuki)
    suzuki.goto("about:blank")
    takahashi.goto("/chat?room=me")
    turn(takahashi, "7日すすめる", "/chat?room=me")
    turn(takahashi, "次の営業日の朝へ", "/chat?room=me")
    words(takahashi, f"承認 {number}")
    send(takahashi)
    takahashi.goto(f"/cases/{number}")
    expect(takahashi.locator("main")).to_contain_text("終結")


def test_every_picture_of_the_readme_was_left(pictures: Path) -> None:
    shown = re.findall(r"deploy/pictures/([\w-]+\.png)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown
    assert {name for name in shown if not (pictures / name).is_file()} == set()
