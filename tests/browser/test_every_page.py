"""Every page in a real browser: axe finds nothing serious, nothing is too wide, nothing too small to press; windows that hear of each other."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from starlette.routing import Mount, Route

from bot.pages import addresses
from tests.browser.conftest import DESK, PHONE, People
from tests.browser.hands import LAST, NUMBER, gone_on, offered, press
from tests.browser.pages import NO_PAGE, PAGES

pytestmark = pytest.mark.browser

#: 1280 pixels at 400 % and at 200 %, an ordinary phone, a desk.
SIZES = ({"width": 320, "height": 256}, {"width": 640, "height": 400}, PHONE, {"width": 1280, "height": 800})
#: What another theme may break; the rest of a page is the same in both.
IN_THE_DARK = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
#: What stands alone and is smaller than a finger (look.md: 44 px); a link in the middle of a sentence is as tall as its line.
SMALL = """() => [...document.querySelectorAll("a, button, summary, select, textarea, input:not([type=hidden])")]
  .map((e) => (e.matches("[type=checkbox], [type=radio]") ? e.closest("label") ?? e : e))
  .filter((e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
  .filter((e) => getComputedStyle(e).display !== "inline" || e.parentElement.textContent.trim() === e.textContent.trim())
  .map((e) => [e, e.getBoundingClientRect()])
  .filter(([, box]) => box.right > 0 && box.bottom > 0 && (box.width < 43.5 || box.height < 43.5))
  .map(([e, box]) => `${Math.round(box.width)}×${Math.round(box.height)} ${e.outerHTML.slice(0, 120)}`)"""


@pytest.fixture(scope="module")
def coordinator(browser: Browser, address: str) -> Iterator[Page]:
    """A window that stays open from page to page."""
    people = People(browser, address)
    yield people.be("takahashi")
    people.close()


def look(page: Page) -> None:
    """Fail on what somebody could not read, reach or press on the page that is open."""
    for size in SIZES:
        page.set_viewport_size(size)  # type: ignore[arg-type]
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{page.url} scrolls sideways at {size['width']}: {width}"
        assert not (small := page.evaluate(SMALL)), f"{page.url} at {size['width']}: {small[:5]}"
    for size in (PHONE, SIZES[-1]):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        _accessible(page, {})
        page.emulate_media(color_scheme="dark")
        _accessible(page, IN_THE_DARK)
        page.emulate_media(color_scheme="light")


def _accessible(page: Page, rules: dict[str, object]) -> None:
    answer = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response
    found = [v for v in answer["violations"] if v["impact"] in ("serious", "critical")]
    assert not found, f"{page.url}: {[(v['id'], [n['html'][:120] for n in v['nodes'][:3]]) for v in found]}"


def test_no_page_is_forgotten() -> None:
    known = {route.path for route in addresses() if isinstance(route, Route | Mount)}
    assert known == PAGES.keys() | NO_PAGE.keys()


@pytest.mark.parametrize("path", [path for found in PAGES.values() for path in found])
def test_every_page_is_open_to_everybody(coordinator: Page, path: str) -> None:
    wrong: list[str] = []
    coordinator.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    if "{number}" in path:
        coordinator.goto("/cases")
        path = path.format(number=NUMBER.findall(coordinator.locator("main").inner_text())[0])
    coordinator.goto(path)
    coordinator.wait_for_load_state()
    look(coordinator)
    assert not wrong, wrong


def test_a_conference_is_open_to_everybody(browser: Browser, address: str) -> None:
    """Convened by the form; its page while its record is written."""
    people = People(browser, address)
    page = people.be("watanabe")
    page.goto("/cases")
    page.goto(f"/conferences?case={NUMBER.findall(page.locator('main').inner_text())[0]}")
    page.locator("#call form.form button.primary").click()
    page.get_by_role("button", name="守ります。資料を開く").click()
    page.get_by_role("button", name="ひらきました").click()
    expect(page.get_by_role("button", name="記録を閉じる")).to_be_visible()
    page.evaluate("document.querySelectorAll('details.more-acts').forEach((d) => { d.open = true })")
    look(page)
    people.close()


def test_what_a_page_answers_is_open_to_everybody(coordinator: Page) -> None:
    """A form with something missing, its next step, an invitation, an address that leads nowhere."""
    coordinator.set_viewport_size(DESK)  # type: ignore[arg-type]
    coordinator.goto("/intake")
    coordinator.locator(".submit button").first.click()
    expect(coordinator.locator("#errors")).to_be_visible()
    look(coordinator)
    coordinator.goto("/town")
    coordinator.locator("form[action='/town/invite'] button").first.click()
    expect(coordinator.locator("main")).to_contain_text("招待")
    look(coordinator)
    coordinator.goto("/nowhere")
    look(coordinator)


def test_the_register_of_breaches_is_open_to_who_answers_for_it(people: People) -> None:
    """Written down, and its two reports on one card; who saw what of a person."""
    page = people.be("matsui", size=PHONE)
    page.goto("/breaches")
    page.fill("#what", "封筒を取りちがえました")
    page.fill("#persons", "1")
    page.locator("#sensitive label").nth(1).click()
    page.locator("form[data-draft=breach] button.primary").click()
    expect(page.locator("main")).to_contain_text("はじめの報告をした")
    look(page)
    page.goto("/looks?staff=matsui")
    look(page)


def test_a_volunteers_question_is_open_to_everybody(people: People) -> None:
    look(people.be("yamamoto", size=PHONE))


def test_what_is_stuck_is_sent_again_or_let_go(people: People) -> None:
    """A letter that is sent again and fails again is back; what is given up is gone from the list."""
    page = people.be("takahashi")
    page.goto("/stuck")
    refused = page.locator("#letters tr", has_text="blocked")
    refused.locator("button", has_text="もう一度").click()
    expect(page.locator("main")).to_contain_text("もう一度送ります")
    while "no adapter for post" not in page.locator("#letters").inner_text():
        page.goto("/stuck")  # the letter is on its way for a moment
    page.locator("#letters tr", has_text="timeout").locator("button", has_text="ここで閉じる").click()
    expect(page.locator("main")).to_contain_text("ここで閉じました")
    expect(page.locator("#letters")).not_to_contain_text("timeout")
    broken = page.locator("#events tr", has_text="内部の不具合")
    expect(broken.locator("button", has_text="もう一度")).to_have_count(0)
    broken.locator("button", has_text="ここで閉じる").click()
    expect(page.locator("#events")).to_contain_text("とまっているできごとはありません。")


def test_a_card_changes_in_every_window_that_shows_it(people: People) -> None:
    """Two of one agency look at an offer; when one of them accepts, the other's card says so where it stands."""
    number = offered(people.be("suzuki"))
    ishii, kondo = people.be("ishii"), people.be("kondo", size=PHONE)
    for page in (ishii, kondo):
        page.goto("/chat?room=tomoshibi")
        expect(page.locator("article", has_text=number).locator("button", has_text="引き受けます")).to_be_visible()
    kondo.evaluate("window.untouched = true")
    press(ishii, number, "引き受けます")
    card = kondo.locator("article", has_text=number)
    expect(card.locator("button", has_text="引き受けます")).to_have_count(0)
    expect(card).to_contain_text("石井さん")
    assert kondo.evaluate("window.untouched"), "nobody loaded the page again"


def test_everything_works_without_a_script(people: People) -> None:
    """Plain forms: the same words, the same answers."""
    context = people.browser.new_context(java_script_enabled=False, base_url=people.address, viewport=PHONE)  # type: ignore[arg-type]
    people.open.append(context)
    page = context.new_page()
    page.goto("/sign-in")
    page.locator("button[value='suzuki']").click()
    page.goto("/chat?room=me")
    page.fill("#words", "受付 住まい")
    page.locator("form.composer button").click()
    assert "受け付けました" in page.locator("#log").inner_text()


def test_the_keyboard_alone_is_enough(people: People) -> None:
    """Tab to the composer by the skip link, ask, and press the first answer with Enter."""
    page = people.be("suzuki")
    page.goto("/chat?room=me")
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('href')") == "#words":
            break
    page.keyboard.press("Enter")
    page.keyboard.type("ヘルプ")
    before = page.evaluate(LAST)
    page.keyboard.press("Enter")
    gone_on(page, before)
    assert "ヘルプ" in page.locator("#log").inner_text()


def test_words_typed_while_others_are_on_their_way_are_not_lost(people: People) -> None:
    """Enter, and at once the next words and Enter: both are heard, in their order."""
    page = people.be("suzuki")
    page.goto("/chat?room=me")
    page.evaluate(
        "const f = window.fetch; window.fetch = (...a) => new Promise((r) => setTimeout(() => r(f(...a)), 700))"
    )
    page.fill("#words", "今日")
    page.keyboard.press("Enter")
    page.fill("#words", "つぎへ")
    page.keyboard.press("Enter")
    own = page.locator("#log .own .bubble")
    expect(own.last).to_contain_text("つぎへ", timeout=20_000)
    expect(own.nth(-2)).to_contain_text("今日")
    expect(page.locator("#words")).to_have_value("")


def test_what_is_kept_and_disclosed_is_open_to_everybody(people: People) -> None:
    """The privacy officer's pages: a household is held back, its record put together, an entry withheld without a reason."""
    page = people.be("takahashi")
    page.goto("/cases")
    number = NUMBER.findall(page.locator("main").inner_text())[0]
    page = people.be("matsui")
    page.goto("/retention")
    page.fill("#number", number)
    page.locator("button", has_text="保全する").click()
    expect(page.locator("main")).to_contain_text("解除されるまで消去しません")
    look(page)
    page.goto(f"/disclosure/{number}")
    page.locator("input[value='hold']").first.check()
    page.locator(".submit button").click()
    expect(page.locator("main")).to_contain_text("わけを選んでください")
    look(page)
