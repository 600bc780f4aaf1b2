"""Consent taken back, as those concerned see it: the next click shows nothing more, and it stays on record who had seen what."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, People
from tests.browser.hands import words

pytestmark = pytest.mark.browser

STORY = "息子は夜になると一人で歩いて回る"


def taken_in(page: Page) -> str:
    """A consultation through the form, with a person, a story and their consent; its number."""
    page.goto("/intake")
    for name, value in (("concern", "elder_care"), ("urgency", "normal"), ("consent", "full")):
        page.check(f"input[name={name}][value={value}]", force=True)
    page.select_option("#district", "北部")
    page.locator("form button", has_text="つぎへ").last.click()
    page.fill("#name", "架空 花子")
    page.fill("#birth", "1950-04-01")
    page.fill("#story", STORY)
    page.locator("form button", has_text="つぎへ").last.click()
    page.locator("form button", has_text="受け付ける").last.click()
    page.wait_for_url(re.compile(r"/cases/\d{3}-\d{3}-\d{2}$"))
    return page.url.rpartition("/")[2]


def test_consent_is_taken_back_for_one_agency_and_its_page_closes(people: People) -> None:
    suzuki = people.be("suzuki")
    number = taken_in(suzuki)
    suzuki.goto("/chat?room=me")
    words(suzuki, f"見立て {number} 続ける")
    words(suzuki, f"依頼 {number} 家計相談 ともしび")
    words(suzuki, "送る")
    ishii = people.be("ishii", size=PHONE)
    ishii.goto("/chat?room=tomoshibi")
    words(ishii, f"引受 {number}")
    ishii.goto(f"/cases/{number}")
    expect(ishii.locator("main")).to_contain_text(STORY)

    suzuki.goto(f"/households/{number}")
    form = suzuki.locator("form", has_text="取り下げる").first
    form.locator("select").select_option(label="家計改善ともしび")
    form.get_by_role("button", name="取り下げる").click()
    expect(suzuki.locator("main")).to_contain_text(STORY)

    ishii.reload()
    expect(ishii.locator("main")).not_to_contain_text(STORY)
    expect(ishii.locator("main")).not_to_contain_text("架空 花子")

    takahashi = people.be("takahashi")
    takahashi.goto(f"/looks?number={number}")
    seen = takahashi.locator("main")
    expect(seen).to_contain_text("石井")
    expect(seen).to_contain_text("相談のページ")
