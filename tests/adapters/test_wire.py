"""The client by which every platform is spoken to."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters import wire


@pytest.mark.parametrize(("excepted", "through"), [("", True), ("api.example", False)])
async def test_a_proxy_of_the_environment_is_gone_through(
    monkeypatch: pytest.MonkeyPatch, excepted: str, through: bool
) -> None:
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.url}")
        return web.Response(text="through the proxy")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", proxy)
    async with TestServer(app) as server:
        monkeypatch.setenv("http_proxy", str(server.make_url("/")))
        monkeypatch.setenv("no_proxy", excepted)
        there = "http://api.example:9/bot"
        async with wire.session(there) as session:
            if through:
                async with session.post(there) as answer:
                    assert await answer.text() == "through the proxy"
                assert asked == [f"POST {there}"]
            else:
                with pytest.raises(OSError):
                    await session.post(there)
                assert not asked
