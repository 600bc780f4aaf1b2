"""Servers that others wrote, each started once a run: on loopback, on a port that was free. `make .venv/.servers` installs them."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.servers.line import document
from tests.servers.start import EMULATE, WORKSPACE, Emulate, Server


@pytest.fixture(autouse=True)
def straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached through no proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def emulate() -> Iterator[Emulate]:
    with closing(Emulate("--input-type=module", "--eval", EMULATE, json.dumps(WORKSPACE))) as found:
        found.port = int(found.heard(r"listening on .*:(\d+)"))
        yield found


@pytest.fixture(scope="session")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Messaging API that refuses whatever LINE's own types do not know (stoplightio/prism)."""
    spec = tmp_path_factory.mktemp("line") / "line.json"
    spec.write_text(json.dumps(document()), encoding="utf-8")
    program = "node_modules/@stoplight/prism-cli/dist/index.js"
    with closing(Server(program, "mock", "--errors", "--host", "127.0.0.1", "--port", "0", str(spec))) as found:
        found.port = int(found.heard(r"listening on .*:(\d+)"))
        yield found
