"""Processes of ours that are measured, and the platforms' own side: everything it is told is fine."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from aiohttp import web

import bot
from bot.bench.town import EVENTS

SECRET: Final = "a-secret-of-the-bench-that-signs-hooks"


class Serving(NamedTuple):
    port: int
    process: "subprocess.Popen[bytes]"


def begun(command: str, url: str, place: Path, platforms: dict[str, str] | None = None) -> Serving:
    """Begin `serve` or `work` on a database, with the platforms that `outside` names; its other files go to `place`."""
    port = free_port()
    # A first start leaves its bytecode for the second, as everywhere else.
    env = own_environment() | {"TSUNAGI_DATABASE_URL": url, "TSUNAGI_PORT": str(port), "TSUNAGI_SECRET_KEY": SECRET}
    nothing = subprocess.DEVNULL
    return Serving(port, subprocess.Popen(
        [sys.executable, "-m", "bot", command], env=env | (platforms or {}), cwd=place, stdout=nothing, stderr=nothing,
    ))  # fmt: skip


def own_environment() -> dict[str, str]:
    """This process's, with our modules to be found and nothing of a town's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TSUNAGI_")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    own["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(bot.__file__).parent.parent), own.get("PYTHONPATH"))))
    return own


def ended(*serving: Serving) -> None:
    """Tell them to end, and wait until they have; whoever does not in time is killed."""
    for one in serving:
        one.process.send_signal(signal.SIGTERM)
    for one in serving:
        try:
            one.process.wait(30)
        except subprocess.TimeoutExpired:
            killed(one)


def killed(one: Serving) -> None:
    """kill -9."""
    one.process.kill()
    one.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(port: int) -> None:
    """Wait until /readyz says yes. Raises RuntimeError after a minute."""
    end, told = time.monotonic() + 60, ""
    while time.monotonic() < end:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):  # loopback
                return
        except HTTPError as not_yet:
            told = not_yet.read().decode()
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"serve was not ready within a minute: {told}")


def cpu(serving: Sequence[Serving]) -> float:
    """Seconds of CPU that processes have used, where the machine tells (Linux)."""
    told = []
    with suppress(OSError):
        told = [Path(f"/proc/{one.process.pid}/stat").read_text().rpartition(")")[2].split() for one in serving]
    return sum(int(one[11]) + int(one[12]) for one in told) / os.sysconf("SC_CLK_TCK")


# -- the platforms' own side


@dataclass(slots=True)
class Abroad:
    port: int
    told: list[float] = field(default_factory=list)  #: monotonic seconds at which messages reached it
    answers: asyncio.Event = field(default_factory=asyncio.Event)  #: cleared: it takes messages and says nothing

    @property
    def settings(self) -> dict[str, str]:
        """What an app is told to reach the three of them, by the settings' names."""
        there = f"http://127.0.0.1:{self.port}"
        return {
            "slack_bot_token": "xoxb-bench", "slack_signing_secret": SECRET, "slack_api_url": f"{there}/slack/api/",
            "telegram_bot_token": "1:bench", "telegram_secret_token": SECRET, "telegram_api_url": f"{there}/telegram",
            "line_channel_access_token": "bench", "line_channel_secret": SECRET, "line_api_url": f"{there}/line",
        }  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """The same for a process."""
        return {f"TSUNAGI_{name.upper()}": value for name, value in self.settings.items()}

    async def message(self) -> None:
        self.told.append(time.monotonic())
        await self.answers.wait()


@asynccontextmanager
async def outside() -> AsyncIterator[Abroad]:
    """Slack, Telegram and LINE on loopback."""
    here = Abroad(free_port())
    here.answers.set()

    async def slack(_request: web.Request) -> web.Response:
        await here.message()
        return web.json_response({"ok": True, "channel": "D1", "ts": f"1.{next(EVENTS)}"})

    async def telegram(request: web.Request) -> web.Response:
        method = request.path.rpartition("/")[2]
        if method == "getUpdates":
            await asyncio.sleep(20)
            return web.json_response({"ok": True, "result": []})
        if method == "sendMessage":
            await here.message()
        note = {"message_id": next(EVENTS), "date": 0, "chat": {"id": 1, "type": "private"}}
        us = {"id": 1, "is_bot": True, "first_name": "b", "username": "bench_bot"}
        return web.json_response(
            {"ok": True, "result": us if method == "getMe" else note if method == "sendMessage" else True}
        )

    async def line(_request: web.Request) -> web.Response:
        await here.message()
        return web.json_response({"sentMessages": [{"id": f"{next(EVENTS)}"}]})

    app = web.Application()
    for name, answer in (("slack", slack), ("telegram", telegram), ("line", line)):
        app.router.add_route("*", f"/{name}/{{rest:.*}}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", here.port).start()
    try:
        yield here
    finally:
        here.answers.set()
        await runner.cleanup()
