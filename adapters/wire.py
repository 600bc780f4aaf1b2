"""The client by which every platform is spoken to."""

from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp


def session(url: str, **more: Any) -> aiohttp.ClientSession:
    """Open a session for one address, inside the running loop, through the environment's proxy where there is one.

    It is looked up once: aiohttp's own `trust_env` does so for each request, in a thread, and looks for a netrc too.
    """
    there = urlsplit(url)
    proxy = None if proxy_bypass(there.hostname or "") else getproxies().get(there.scheme)
    return aiohttp.ClientSession(proxy=proxy, cookie_jar=aiohttp.DummyCookieJar(), **more)


async def ping(url: str, seconds: float = 10) -> None:
    """Let somebody outside know that all is well. Raises aiohttp.ClientError or TimeoutError, also for an answer that says no."""
    async with (
        session(url, timeout=aiohttp.ClientTimeout(total=seconds)) as opened,
        opened.get(url, allow_redirects=False) as answer,
    ):
        answer.raise_for_status()
