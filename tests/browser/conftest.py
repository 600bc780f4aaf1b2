"""The sample town, grown once, served by the real command, opened in a real browser."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.stumbles import stumble
from tests.databases import quick

ROOT = Path(__file__).parent.parent.parent
#: Pages are drawn at these sizes; the phone is an ordinary small one.
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}


def chromium() -> str | None:
    """The machine's own Chromium; None lets Playwright look for one of its own."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(
                executable_path=chromium(),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
            )
        except Exception as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"No browser was found: type `make test-deps` to install one. ({type(missing).__name__})")
        yield found
        found.close()


@pytest.fixture(scope="session")
def grown() -> Iterator[Path]:
    """The sample town in its file, by the very command that `make demo` runs, and a few things stuck in it."""
    with tempfile.TemporaryDirectory(prefix="tsunagi-test-", dir=quick()) as made:
        folder = Path(made)
        run(folder, "demo", "--grow-only")
        with ThreadPoolExecutor(1) as thread:  # Playwright's loop may be running in this one
            thread.submit(asyncio.run, stumble(f"sqlite:///{folder}/demo.db", folder)).result()
        yield folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TSUNAGI_")}
    return {**clean, "TSUNAGI_DATABASE_URL": f"sqlite:///{folder}/demo.db", "PYTHONPATH": str(ROOT), **more}


def run(folder: Path, *words: str) -> str:
    """Run a command of tsunagi and answer what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *words],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def address(grown: Path) -> Iterator[str]:
    """Where the grown town is served."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = subprocess.Popen(
        [sys.executable, "-m", "bot", "serve"], env=environment(grown, TSUNAGI_PORT=str(port)), cwd=grown,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _ready(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        served.terminate()
        served.wait(15)


def _ready(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError("serve was not ready within a minute")


class People:
    """Opens windows as somebody."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address
        self.open: list[BrowserContext] = []

    def be(self, who: str, *, size: dict[str, int] | None = None) -> Page:
        context = self.browser.new_context(
            viewport=size or DESK, locale="ja-JP", base_url=self.address,
            reduced_motion="reduce",  # what is drawn and measured has arrived
        )  # type: ignore[arg-type]  # fmt: skip
        self.open.append(context)
        page = context.new_page()
        page.goto("/sign-in")
        button = page.locator(f"button[value='{who}']")
        if not button.is_visible():
            page.locator("details summary").first.click()
        button.click()
        page.wait_for_load_state()
        return page

    def close(self) -> None:
        for context in self.open:
            context.close()


@pytest.fixture
def people(browser: Browser, address: str) -> Iterator[People]:
    found = People(browser, address)
    yield found
    found.close()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where the pictures of the README are left: `make pictures` names deploy/pictures."""
    folder = Path(os.environ.get("TSUNAGI_PICTURES", ROOT / "var" / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
