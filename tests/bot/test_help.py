"""The help page: every word in the reader's language, slips of the keyboard unshown, the graphs in their own words."""

import re
from typing import Any

from bot.commands import BOOK, FORMS
from bot.words import match
from tests.bot.test_pages import served, signed_in  # noqa: F401  # a fixture
from tests.town import Town


def row(page: str, name: str) -> str:
    found = re.search(rf'<tr id="word-{name}">.*?</tr>', page, re.DOTALL)
    assert found, name
    return found[0]


async def test_the_words_are_shown_as_people_say_them(lite: Town, served: Any) -> None:  # noqa: F811
    page = (await (await signed_in(lite, served, "takahashi")).get("/help")).text
    assert "直前の期限延長を取り消し、元の日に戻します。" in row(page, "extend_back")
    assert "受付 困りごと[,困りごと…] 急ぎ 圏域" in row(page, "intake")
    assert "<b>担い手がつく</b> → 担い手あり" in page and "<b>一時休み</b> → 一時休み" in page
    for name in ("decline", "consider", "approve", "answer", "move"):
        heard = BOOK[name].heard
        assert heard and not any(form in row(page, name) for form in heard)
        assert all(match(form, FORMS) == (name, "") for form in heard), "understood all the same"


async def test_an_english_reader_sees_the_english_words_first(lite: Town, served: Any) -> None:  # noqa: F811
    browser = await signed_in(lite, served, "takahashi")
    await browser.get("/help?lang=en")
    browser.client.cookies.set("lang", "en")
    page = (await browser.get("/help?lang=en")).text
    for name in ("accept", "decline", "today"):
        assert re.search(rf'class="hint">{name}, ', row(page, name)), row(page, name)
    assert "<b>taken on</b> → " in page
