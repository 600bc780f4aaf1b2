"""The bar that takes the last deed back stands for as long as a press on it would still be heard."""

from typing import Any

from tests.bot import test_pages
from tests.bot.test_pages import signed_in
from tests.town import Town

served = test_pages.served


async def test_the_bar_goes_when_somebody_else_has_acted(lite: Town, served: Any) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    suzuki = await signed_in(lite, served, "suzuki")
    for page in ("/chat?room=me", "/board", f"/cases/{number}"):
        assert 'value="取消"' in (await suzuki.get(page)).text, page
    await lite.says("ishii", f"引受 {number}")
    for page in ("/chat?room=me", "/board", f"/cases/{number}"):
        assert 'value="取消"' not in (await suzuki.get(page)).text, page
    await lite.refused("suzuki", "取消", "SomebodyElseActed")


async def test_the_bar_goes_after_ten_minutes(lite: Town, served: Any) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    suzuki = await signed_in(lite, served, "suzuki")
    await lite.later(minutes=11)
    assert 'value="取消"' not in (await suzuki.get("/chat?room=me")).text


async def test_a_settled_check_in_is_taken_back_from_its_own_card(lite: Town, served: Any) -> None:
    number = await lite.supported()
    await lite.later(days=40)
    await lite.presses("ishii", "会えた・変わりなし")
    ishii = await signed_in(lite, served, "ishii")
    page = await ishii.get("/chat?room=me")
    assert page.text.count('value="取消"') == 3, "the bar, and the card with its reminder"
    await ishii.post("/chat/say", token="取消", room="me")
    assert "checkin.corrected" in await lite.lines(number)
