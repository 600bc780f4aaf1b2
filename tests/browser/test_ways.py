"""Passkeys for real, with the browser's own virtual authenticator: made, used without a name, removed and refused; and the pages around them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Route, expect

from tests.browser.conftest import PHONE, run
from tests.browser.test_every_page import look

pytestmark = pytest.mark.browser

#: A device with a fingerprint reader of its own, whose owner always puts a finger on it.
READER = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
    "automaticPresenceSimulation": True,
}  # fmt: skip


class Device:
    """A window, and the authenticator of its machine."""

    def __init__(self, page: Page, line: CDPSession, authenticator: str) -> None:
        self.page, self.line, self.authenticator = page, line, authenticator

    def keys(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.line.send(
            "WebAuthn.getCredentials", {"authenticatorId": self.authenticator}
        )["credentials"]
        return found

    def be(self, who: str) -> None:
        """Choose whom to be, which only a demonstration lets one do."""
        self.page.goto("/sign-in")
        button = self.page.locator(f"button[value='{who}']")
        if not button.is_visible():
            self.page.locator("details summary").first.click()
        button.click()
        self.page.wait_for_load_state()

    def add(self, name: str, *, there: bool = True) -> None:
        self.page.goto("/ways")
        self.page.fill("#passkey-name", name)
        self.page.get_by_role("button", name="この端末を登録する").click()
        if there:
            expect(self.page.locator("#passkeys li", has_text=name)).to_be_visible()

    def enter(self) -> None:
        self.page.goto("/sign-in?next=/ways")
        self.page.get_by_role("button", name="この端末の鍵で入る").click()

    @property
    def who(self) -> str | None:
        return self.page.locator("body").get_attribute("data-as")


@pytest.fixture
def devices(browser: Browser, address: str) -> Iterator[Callable[[], Device]]:
    made: list[BrowserContext] = []
    named = address.replace("127.0.0.1", "localhost")  # a number is nobody's name: no passkey holds there

    def device() -> Device:
        context = browser.new_context(base_url=named, locale="ja-JP", reduced_motion="reduce")
        made.append(context)
        page = context.new_page()
        line = context.new_cdp_session(page)
        line.send("WebAuthn.enable")
        found = line.send("WebAuthn.addVirtualAuthenticator", {"options": READER})
        return Device(page, line, found["authenticatorId"])

    yield device
    for context in made:
        context.close()


def test_a_passkey_is_made_used_without_a_name_and_removed(devices: Callable[[], Device]) -> None:
    device = devices()
    device.be("mori")
    device.add("事務所のパソコン")
    assert len(device.keys()) == 1
    device.be("suzuki")
    device.page.goto("/sign-in")
    expect(device.page.locator("#passkey button")).to_have_class(re.compile("primary"))
    device.enter()
    expect(device.page).to_have_url(re.compile(r"\d/ways$"))
    assert device.who == "mori", "the key knows whose it is"
    expect(device.page.locator("#sessions")).to_contain_text("端末の鍵")
    expect(device.page.locator("#passkeys")).to_contain_text("さいごに使った")
    assert device.keys()[0]["signCount"] == 2
    device.page.locator("#passkeys li", has_text="事務所").get_by_role("button", name="登録をやめる").click()
    expect(device.page.locator("#passkeys")).to_contain_text("まだありません")
    device.be("suzuki")
    device.enter()
    expect(device.page.locator("#errors")).to_contain_text("この端末の鍵では入れませんでした")
    device.page.goto("/help")
    assert device.who == "suzuki", "a removed key lets nobody in"


def test_somebody_has_several_and_one_device_has_several_peoples(devices: Callable[[], Device]) -> None:
    first, second = devices(), devices()
    for device, name in ((first, "電話"), (second, "庁舎")):
        device.be("takahashi")
        device.add(name)
    rows = second.page.locator("#passkeys li")
    expect(rows).to_have_count(2)
    second.add("もう一度", there=False)
    expect(second.page.locator("[data-wrong]")).to_be_visible()  # this device has one of theirs already
    for device in (first, second):
        device.enter()
        expect(device.page).to_have_url(re.compile(r"\d/ways$"))
        assert device.who == "takahashi"


def test_whoever_does_not_confirm_is_led_to_the_other_ways(devices: Callable[[], Device]) -> None:
    device = devices()
    device.page.goto("/sign-in")
    expect(device.page.locator("#passkey button")).not_to_have_class(re.compile("primary"))
    device.enter()  # a device that has none
    expect(device.page.locator("[data-wrong]")).to_be_visible()
    expect(device.page.locator("details.ways")).to_have_attribute("open", "")
    expect(device.page.locator("#code")).to_be_visible()


def test_an_answer_is_used_once_and_only_where_it_belongs(devices: Callable[[], Device]) -> None:
    """What a device has said is caught on its way, and brought once more; and brought altered."""
    device = devices()
    device.be("ogawa")
    device.add("パソコン")
    device.page.goto("/sign-in")
    caught: list[str] = []

    def catch(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        caught.append(route.request.post_data or "")
        route.fulfill(status=200, content_type="text/html", body="<p>caught</p>")

    device.page.route("**/sign-in", catch)
    device.page.get_by_role("button", name="この端末の鍵で入る").click()
    expect(device.page.locator("body")).to_have_text("caught")
    form = {name: values[0] for name, values in parse_qs(caught[0]).items()}
    credential = form["credential"]

    def bring(words: str) -> int:
        return device.page.request.post(
            "/sign-in", form={**form, "credential": words}, max_redirects=0, timeout=10_000
        ).status

    assert bring(credential) == 303
    assert bring(credential) == 422, "its question has been answered"
    assert bring("{}") == 422 and bring("x" * 30_000) == 422


def test_the_pages_of_the_ways_in_are_open_to_everybody(devices: Callable[[], Device]) -> None:
    device = devices()
    device.be("ogawa")
    device.add("電話")
    look(device.page)
    device.page.get_by_role("button", name="認証アプリを登録する").click()
    expect(device.page.locator("#app img")).to_be_visible()
    look(device.page)
    device.page.get_by_role("button", name="新しくつくって印刷する").click()
    expect(device.page.locator("ol.recovery li")).to_have_count(10)
    look(device.page)
    device.page.goto("/sign-in")
    look(device.page)
    device.page.locator("details.ways summary").click()
    look(device.page)


def test_without_a_script_the_door_leads_by_the_other_ways(browser: Browser, address: str, grown: Path) -> None:
    context = browser.new_context(
        java_script_enabled=False, base_url=address.replace("127.0.0.1", "localhost"), viewport=PHONE
    )  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/sign-in")
    expect(page.locator("form[data-passkey]")).to_be_hidden()
    code = run(grown, "invite", "suzuki").split("合言葉: ")[1].split()[0]
    page.fill("#code", code)
    page.locator("form:has(#code) button").click()
    expect(page.locator("body")).to_have_attribute("data-as", "suzuki")
    context.close()
