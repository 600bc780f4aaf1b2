"""What a person does at a page, and what they wait for before the next."""

import re

from playwright.sync_api import Page

NUMBER = re.compile(r"\d{3}-\d{3}-\d{2}")
LAST = "document.querySelector('#log > :last-child')?.id"


def gone_on(page: Page, before: str) -> None:
    """Wait until the conversation has something new at its end."""
    page.wait_for_function(f"before => {LAST} !== before", arg=before)


def words(page: Page, text: str) -> None:
    """Type words and send them by Enter; wait until the conversation has gone on."""
    before = page.evaluate(LAST)
    page.fill("#words", text)
    page.keyboard.press("Enter")
    gone_on(page, before)


def answer(page: Page) -> str:
    return page.locator("#log > *").last.inner_text()


def send(page: Page) -> None:
    """Press 送る on the newest preview."""
    before = page.evaluate(LAST)
    page.locator("#log button", has_text=re.compile("^送る$")).last.click()
    gone_on(page, before)


def turn(page: Page, label: str, settle: str) -> None:
    """Turn the town's clock and wait until the turning is done: a week rings many timers."""
    settled(page)
    page.locator("aside.demo button", has_text=label).click()
    page.wait_for_load_state()
    settled(page)
    page.goto(settle)


def settled(page: Page) -> None:
    for _ in range(240):
        if not page.request.get("/demo/clock", max_retries=3).json()["turning"]:
            return
        page.wait_for_timeout(250)
    raise AssertionError("the clock turned for a minute and more")


def press(page: Page, number: str, label: str) -> None:
    """Press a button on the newest card of this number."""
    page.locator("article", has_text=number).locator("button", has_text=label).last.click()


def offered(page: Page) -> str:
    """Take a consultation in and ask ともしび; its number."""
    page.goto("/chat?room=me")
    words(page, "受付 介護 困窮 北部")
    number: str = NUMBER.findall(page.locator("#log").inner_text())[-1]
    words(page, f"見立て {number} 続ける")
    words(page, f"同意 {number} あり")
    words(page, f"依頼 {number} 家計相談 ともしび")
    send(page)
    return number
