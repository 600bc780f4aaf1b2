"""The HTTP surface under requests that others' tools make up: whatever comes, an answer in words under our headers, and nothing without a session."""

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.base import Hooked
from adapters.line import Line
from adapters.slack import Slack
from adapters.telegram import Telegram
from bot import sign
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from tests.bot.road_map import Road, roads
from tests.databases import Databases
from tests.town import Town, settled

WORDED = frozenset({200, 202, 204, 303, 307, 400, 401, 403, 404, 405, 409, 410, 413, 422, 429})
#: What anybody may read: the door, what machines ask, and the page a letter's link opens (with a link that is one).
OPEN = ("/sign-in", "/signin", "/sign-in/link", "/sign-in/oidc", "/sign-in/question", "/theme", "/healthz", "/readyz", "/metrics", "/go/{token}", "/events", "/sign-out", "/demo/clock")  # fmt: skip
EACH = 5  #: requests for each address and method, and for each of somebody signed in and nobody
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def described(table: list[Road], hooks: tuple[str, ...]) -> dict[str, Any]:
    """The route table as OpenAPI: paths, the parts that the pages read, forms in both writings, hooks with any JSON."""
    text = {"type": "string"}
    paths: dict[str, Any] = {}
    for road in table:
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {**text, "minLength": 1}} for name in road.names
        ]
        parameters += [{"name": name, "in": "query", "schema": text} for name in road.parts]
        body = {"type": "object", "properties": dict.fromkeys((*road.fields, "csrftoken"), text)}
        one = {"responses": {"default": {"description": "words"}}}
        for method in road.methods - {"HEAD"}:
            form = {"requestBody": {"content": {kind: {"schema": body} for kind in FORMS}}} if method == "POST" else {}
            paths.setdefault(_plain(road.path), {})[method.lower()] = one | {"parameters": parameters} | form
    for name in hooks:
        content = {kind: {"schema": {}} for kind in ("application/json", FORMS[0])}
        paths[f"/hooks/{name}"] = {
            "post": {"requestBody": {"content": content}, "responses": {"default": {"description": "words"}}}
        }
    return {"openapi": "3.1.0", "info": {"title": "tsunagi", "version": "1"}, "paths": paths}


def _plain(path: str) -> str:
    return re.sub(r":\w+}", "}", path)


@pytest.fixture
def surface(databases: Databases, tmp_path: Path) -> Iterator["Surface"]:
    url = databases.sqlite(settled)
    with asyncio.Runner() as runner:
        found = Surface(runner, runner.run(_town(url, tmp_path)))
        yield found
        runner.run(found.client.aclose())
        runner.run(found.town.close())
    databases.drop(url)


async def _town(url: str, var: Path) -> Town:
    nowhere = "http://127.0.0.1:9"
    adapters: dict[str, Any] = {
        "slack": Slack("t", "s", "", nowhere),
        "telegram": Telegram("1:t", "s", nowhere),
        "line": Line("t", "s", nowhere),
    }
    town = await Town.found(url, var, adapters=adapters)
    town.app.settings.base_url = "https://town.example"
    return town


class Surface:
    """The whole application as a browser or a stranger meets it, over https."""

    def __init__(self, runner: asyncio.Runner, town: Town) -> None:
        self.runner, self.town = runner, town
        transport = httpx2.ASGITransport(app=routes(town.app), raise_app_exceptions=True)
        self.client = httpx2.AsyncClient(transport=transport, base_url="https://town.example")
        self.cookies = {
            f"__Host-{COOKIE}": runner.run(town.app.store.transact(lambda tx: sign.begin(tx, "takahashi", real()))),
            "__Host-csrftoken": self._csrf(),
        }
        self.hooks = tuple(name for name, one in town.app.deliverer.adapters.items() if isinstance(one, Hooked))

    def _csrf(self) -> str:
        self.runner.run(self.client.get("/sign-in"))
        token: str = self.client.cookies["__Host-csrftoken"]
        self.client.cookies.clear()
        return token

    def send(self, case: Any, *, inside: bool) -> httpx2.Response:
        """What the tool made up, as bytes on the wire; of somebody signed in half of the forms carry their token."""
        given: dict[str, Any] = case.as_transport_kwargs(base_url="https://town.example")
        made = requests.Request(**given | {"cookies": {}}).prepare()
        body = made.body if isinstance(made.body, bytes) else (made.body or "").encode()
        headers = {
            name: value if isinstance(value, str) else value.decode("latin-1") for name, value in made.headers.items()
        }
        if inside:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            if len(body) % 3:
                headers["x-csrftoken"] = self.cookies["__Host-csrftoken"]
        asked = self.client.build_request(made.method or "GET", made.url or "/", content=body, headers=headers)
        return self.runner.run(self._answer(asked))

    async def _answer(self, asked: httpx2.Request) -> httpx2.Response:
        async with asyncio.timeout(10):
            return await self.client.send(asked)


def judged(answer: httpx2.Response, where: str) -> None:
    """What holds of every answer."""
    idle = where.endswith("/readyz") and answer.status_code == 503  # no loop turns here
    assert answer.status_code in WORDED or idle, (where, answer.status_code)
    assert "Traceback" not in answer.text and 'File "' not in answer.text, where
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, where
    assert (
        answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "same-origin"
    ), where
    assert answer.headers["cache-control"] == "no-store" or "/static/" in where, where
    assert answer.headers["strict-transport-security"].startswith("max-age="), where
    assert "server" not in answer.headers, where
    for cookie in answer.headers.get_list("set-cookie"):
        assert "secure" in cookie.lower() and "samesite=lax" in cookie.lower(), (where, cookie)
        assert cookie.startswith(("__Host-", "theme=", "lang=")), (where, cookie)


def test_whatever_is_sent_gets_an_answer_in_words(surface: Surface, caplog: pytest.LogCaptureFixture) -> None:
    """Made up by Schemathesis from the route table itself: nobody's requests and those of somebody signed in."""
    caplog.set_level(logging.ERROR)
    table = [road for road in roads() if road.path not in ("/events", "/demo/clock")]
    description = schemathesis.openapi.from_dict(described(table, surface.hooks))
    names = {person.name for person in surface.town.place.staff.values()}
    tried = 0

    def each(operation: Any) -> None:
        @settings(
            max_examples=EACH, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy(), inside=st.booleans())
        def holds(case: Any, inside: bool) -> None:
            nonlocal tried
            tried += 1
            answer, path = surface.send(case, inside=inside), operation.path
            where = f"{case.method} {path}"
            judged(answer, where)
            if not inside and path not in OPEN and not path.startswith("/hooks/"):
                assert answer.status_code in (303, 400, 403, 405, 413), (
                    where,
                    answer.status_code,
                    "content without a session",
                )
                assert not answer.is_redirect or answer.headers["location"].startswith("/sign-in"), where
            if not inside:
                assert not {name for name in names if name in answer.text}, (where, "a name without a session")

        holds()

    for found in description.get_all_operations():
        each(found.ok())
    assert tried > 150
    assert not caplog.records, caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "multipart/form-data"}, 400),
        ({"content-type": "multipart/form-data;boundary=x"}, 400),
        ({"content-type": "Multipart/Form-Data; boundary=x"}, 400),
        ({"content-type": "application/x-www-form-urlencoded; charset=utf-16"}, 400),
        ({"content-type": "text/plain"}, 403),
        ({"content-type": ""}, 403),
        ({"content-type": "application/json", "authorization": "Bearer x"}, 403),
        ({"content-type": "text/plain", "x-csrftoken": "\xe9"}, 403),
        ({"content-type": "text/plain", "cookie": "csrftoken=\xff; ="}, 403),
        ({"content-type": "text/plain", "cookie": "csrftoken=a.b"}, 403),
    ],
)  # fmt: skip
def test_a_form_in_a_writing_that_is_none_of_ours(surface: Surface, headers: dict[str, str], status: int) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    asked = surface.client.build_request(
        "POST",
        "/chat/say",
        content=b'--x\r\ncontent-disposition: form-data; name="csrftoken"\r\n\r\n\xff\r\n--x--',
        headers=raw,
    )
    answer = surface.runner.run(surface.client.send(asked))
    assert answer.status_code == status
    judged(answer, "POST /chat/say")
