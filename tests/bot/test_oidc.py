"""A town's identity provider: who it vouches for comes in, everybody else gets a sentence; nothing is called before somebody asks."""

import html
import re
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from pydantic import SecretStr

from bot.enter.oidc import Provider as Client
from bot.operate import keep_town
from storage.tx import Tx
from tests.bot.test_ways_in import Browser, Browsers, lines, opened
from tests.fakes.oidc import CLIENT, SECRET, Provider, served
from tests.town import Town, sample

BACK = "http://127.0.0.1:8080/sign-in/oidc"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with served(BACK) as found:
        yield found


@pytest.fixture
async def browsers(lite: Town, provider: Provider) -> AsyncIterator[Browsers]:
    doc = sample()
    next(one for one in doc["staff"] if one["code"] == "suzuki")["email"] = "Suzuki@town.example"
    await lite.app.store.transact(lambda tx: keep_town(tx, doc, lite.now))
    known = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SecretStr(SECRET)}
    lite.app.settings = lite.app.settings.model_copy(update=known)
    lite.app.provider = Client(lite.app.settings)
    async for found in opened(lite):
        yield found


async def sent(browser: Browser, **fields: str) -> str:
    """Press the button at the door; where the page leads."""
    page = (await browser.post("/sign-in", do="oidc", **fields)).text
    found = re.search(r'href="(http://localhost[^"]+)" data-onward', page)
    assert found, page
    return html.unescape(found[1])


async def consented(to: str) -> str:
    """What the provider sends the browser back with: path and query."""
    async with httpx2.AsyncClient() as client:
        back = (await client.get(to)).headers["location"]
    assert back.startswith(BACK), back
    return back.removeprefix("http://127.0.0.1:8080")


async def test_whom_the_provider_names_comes_in(lite: Town, provider: Provider, browsers: Browsers) -> None:
    browser = browsers()
    await browser.get("/sign-in")
    assert provider.asked == [], "nothing is called before somebody asks"
    to = await sent(browser, next="/today")
    assert "code_challenge_method=S256" in to and "nonce=" in to and "state=" in to
    back = await consented(to)
    answer = await browser.get(back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/today")
    assert await browser.who() == "suzuki" and provider.methods == ["S256"]
    assert await lines(lite, "town.sign_in") == [("town.sign_in", "suzuki", {"person": "suzuki", "way": "oidc"})]
    assert (await browser.get(back)).status_code == 422, "once"


async def test_another_browser_cannot_be_brought_in_with_it(provider: Provider, browsers: Browsers) -> None:
    """A link with somebody's own code and state signs nobody else in as them."""
    back = await consented(await sent(browsers()))
    other = browsers("203.0.113.5")
    assert (await other.get(back)).status_code == 422 and not await other.who()


@pytest.mark.parametrize(
    "claims", [{"email": "nobody@town.example"}, {"email": "suzuki@town.example", "email_verified": False}, {"email": ""}, {"email": ["suzuki"]}, {}]
)  # fmt: skip
async def test_whoever_is_not_known_here_gets_a_sentence(
    lite: Town, provider: Provider, browsers: Browsers, claims: dict[str, object]
) -> None:
    provider.claims = claims
    browser = browsers()
    answer = await browser.get(await consented(await sent(browser)))
    assert answer.status_code == 422 and "ご登録が見つかりませんでした" in answer.text and not await browser.who()
    ((_, _, line),) = await lines(lite, "town.sign_in_refused")
    assert line == {"person": None, "way": "oidc", "why": "unknown"}


@pytest.mark.parametrize(
    "lie",
    [{"iss": "https://elsewhere.example"}, {"aud": ["another"]}, {"nonce": "mine"}, {"exp": 1}, {"azp": "another"}],
)
async def test_a_token_that_is_not_for_us_is_refused(
    lite: Town, provider: Provider, browsers: Browsers, lie: dict[str, object]
) -> None:
    provider.says = lie
    browser = browsers()
    answer = await browser.get(await consented(await sent(browser)))
    assert answer.status_code == 422 and not await browser.who()
    ((_, _, line),) = await lines(lite, "town.sign_in_refused")
    assert line["why"] == "wrong"


async def test_a_token_signed_by_somebody_else_is_refused(provider: Provider, browsers: Browsers) -> None:
    provider.strange = True
    browser = browsers()
    assert (await browser.get(await consented(await sent(browser)))).status_code == 422 and not await browser.who()


async def test_a_claim_may_hold_the_code_of_the_town_file(lite: Town, provider: Provider, browsers: Browsers) -> None:
    lite.app.settings = lite.app.settings.model_copy(update={"oidc_claim": "preferred_username"})
    lite.app.provider = Client(lite.app.settings)
    provider.claims = {"preferred_username": "mori"}
    browser = browsers()
    await browser.get(await consented(await sent(browser)))
    assert await browser.who() == "mori"


@pytest.mark.parametrize("wrong", ["away", "another issuer"])
async def test_a_provider_that_is_away_or_another_leaves_the_other_ways(
    lite: Town, provider: Provider, browsers: Browsers, wrong: str
) -> None:
    issuer = "http://localhost:1" if wrong == "away" else provider.issuer.replace("localhost", "127.0.0.1")
    lite.app.settings = lite.app.settings.model_copy(update={"oidc_issuer": issuer})
    lite.app.provider = Client(lite.app.settings)
    answer = await browsers().post("/sign-in", do="oidc")
    assert answer.status_code == 503 and 'id="code"' in answer.text and "data-onward" not in answer.text


async def test_what_waits_for_the_provider_is_kept_as_a_hash(lite: Town, browsers: Browsers) -> None:
    to = await sent(browsers())
    state = re.search(r"state=([^&]+)", to)
    assert state

    def kept(tx: Tx) -> str:
        return repr(tx.connection.exec_driver_sql("SELECT * FROM challenges").all())

    assert state[1] not in await lite.app.store.read(kept)
