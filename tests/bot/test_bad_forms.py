"""The pages against bad input: whatever is posted, asked for or written into an address gets a page in words, never a 500."""

import logging
from collections.abc import AsyncIterator
from urllib.parse import quote, quote_from_bytes

import httpx2
import pytest

from bot import sign
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from storage import cases
from tests.bot.bad_words import BAD, KINDS
from tests.town import Town

FORM = {"content-type": "application/x-www-form-urlencoded"}
#: As a form carries it; half of a surrogate pair goes as the three bytes that are no UTF-8.
WIRED = {name: quote_from_bytes(text.encode("utf-8", "surrogatepass")) for name, text in BAD.items()}
WORDED = frozenset({200, 303, 307, 400, 403, 404, 405, 413, 422, 429})


class Desk:
    """鈴木's browser, without a script."""

    def __init__(self, client: httpx2.AsyncClient, theirs: str) -> None:
        self.client = client
        self.theirs = theirs  #: a case that is none of 鈴木's business
        self.wrong: list[tuple[str, str, int]] = []

    async def post(self, bad: str, path: str, field: str, **more: str) -> httpx2.Response:
        """Post a bad text as one field of a form."""
        fields = {"csrftoken": self.client.cookies.get("csrftoken", ""), **more}
        body = "&".join([*(f"{k}={quote(v)}" for k, v in fields.items()), f"{field}={WIRED[bad]}"])
        return self.judged(f"{path} {field}", bad, await self.client.post(path, content=body.encode(), headers=FORM))

    async def get(self, bad: str, address: str) -> httpx2.Response:
        return self.judged(address, bad, await self.client.get(address.replace("{}", WIRED[bad])))

    def judged(self, where: str, bad: str, answer: httpx2.Response) -> httpx2.Response:
        """An answer in words, or the way to one."""
        says = "location" in answer.headers or answer.text.strip()
        if answer.status_code not in WORDED or "Traceback" in answer.text or not says:
            self.wrong.append((where, bad, answer.status_code))
        return answer

    async def mine(self, town: Town) -> int:
        """How many cases 鈴木 has opened."""
        return len(await town.app.store.read(lambda tx: cases.of_staff(tx, town.sight("suzuki"))))


@pytest.fixture
async def desk(town: Town, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Desk]:
    """鈴木 in front of the pages of a town with one case of somebody else's; on each database."""
    theirs = await town.consented("tamura", "ひきこもり")
    before = await town.case(theirs)
    transport = httpx2.ASGITransport(app=routes(town.app), client=("127.0.0.1", 4711), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        client.cookies.set(COOKIE, await town.app.store.transact(lambda tx: sign.begin(tx, "suzuki", real())))
        await client.get("/help")
        found = Desk(client, theirs)
        with caplog.at_level(logging.ERROR):
            yield found
    assert not found.wrong, "\n".join(map(str, found.wrong))
    assert not caplog.records, caplog.text
    assert await town.case(theirs) == before


async def test_whatever_is_said_in_the_chat_gets_a_page(town: Town, desk: Desk) -> None:
    for place, bad in enumerate(BAD):
        room = ("me", "houkatsu-kita", f"case:{desk.theirs}")[place % 3]
        if bad != "very many concerns":  # staff who say 受付 with a concern are right, however often they say it
            await desk.post(bad, "/chat/say", "words", room=room)
        if place % 9 == 0:
            await desk.get(bad, "/chat?room=me")
            await desk.get(bad, "/chat?room=houkatsu-kita")
    assert await desk.mine(town) == 0, "nothing was opened by bad words"


async def test_whatever_else_the_chats_form_holds_gets_a_page(town: Town, desk: Desk) -> None:
    for bad in KINDS:
        for field in ("room", "back", "nonce"):
            await desk.post(bad, "/chat/say", field, words="今日")
        await desk.post(bad, "/chat/say", "token", room="me")
    await desk.get("nothing", "/chat?room=me")
    assert await desk.mine(town) == 0


LONGEST_WRITTEN = 2_000
INTAKE = {"concern": "elder_care", "urgency": "normal", "district": "anywhere", "consent": "pending"}


async def test_whatever_is_chosen_in_the_intake_form_is_asked_again(town: Town, desk: Desk) -> None:
    """A choice that the form does not offer was not made; the form says what is missing and opens nothing."""
    for place, bad in enumerate(BAD):
        field = list(INTAKE)[place % 4]
        answer = await desk.post(bad, "/intake", field, **{k: v for k, v in INTAKE.items() if k != field}, step="3")
        assert answer.status_code in (422, 400, 413), (bad, field)
    for bad in KINDS:
        for field in ("step", "back"):
            assert (await desk.post(bad, "/intake", field, **INTAKE)).status_code in (200, 400, 413), (bad, field)
    assert await desk.mine(town) == 0


async def test_whatever_is_written_in_the_intake_form_may_be_written(town: Town, desk: Desk) -> None:
    """Name, birth date, contact and story are a person's own words: any letters may stand there, and the case page opens."""
    opened = 0
    for place, bad in enumerate(BAD):
        field = ("story", "name", "contact", "birth")[place % 4]
        await desk.post(bad, "/intake", field, **INTAKE, step="2")
        answer = await desk.post(bad, "/intake", field, **INTAKE, step="3", nonce=f"n{place}")
        if answer.status_code == 303:
            opened += 1
            assert (await desk.get(bad, answer.headers["location"])).status_code == 200
        else:
            assert answer.status_code in (400, 413, 422), (bad, "could not be read at all, or is too long to be kept")
            assert answer.status_code != 422 or len(BAD[bad]) > LONGEST_WRITTEN, bad
    assert await desk.mine(town) == opened > len(BAD) - 8


async def test_whatever_is_written_of_a_household_may_be_written(town: Town, desk: Desk) -> None:
    """A person's name, birth date and contact, what was told of them, and a search for them: any letters may stand there."""
    mine = await town.intake("suzuki")
    home = f"/households/{mine}"
    chosen = ("do", "person", "consent", "item", "merge", "other", "until", "agency", "scope")
    for place, bad in enumerate(KINDS):
        field, named = ("name", "kana", "birth", "address", "contacts")[place % 5], chosen[place % len(chosen)]
        await desk.post(bad, home, field, do="person", relation="child", nonce="n")
        await desk.post(bad, home, "words", do="item", kind="fact", basis="law", nonce="n")
        await desk.post(bad, "/find", ("name", "birth", "contact")[place % 3], birth="1950-04-01")
        await desk.post(
            bad, home, named, nonce="n", **({} if named == "do" else {"do": "consent" if named == "until" else named})
        )
        if len(WIRED[bad]) < LONGEST:
            await desk.get(bad, home + f"?do={('edit', 'consent', 'basis')[place % 3]}&person={{}}&item={{}}")
    assert (await desk.get("nothing", home)).status_code == 200


ADDRESSES = (
    "/cases/{}", "/cases?q={}&page={}", "/board?district={}&urgency={}&agency={}&stage={}&open={}", "/chat?room={}", "/today?day={}", "/town?who={}&start={}&end={}&deputy={}",
    "/handover?who={}", "/help?lang={}", "/conferences?case={}", "/conferences/{}", "/{}", "/static/{}", "/sign-in?code={}&next={}",
)  # fmt: skip


#: As long as a server takes an address.
LONGEST = 65_000
ADDRESSES = (
    "/households/{}", "/cases/{}", "/cases?q={}&page={}", "/board?district={}&urgency={}&agency={}&stage={}&open={}", "/chat?room={}", "/today?day={}", "/town?who={}&start={}&end={}&deputy={}",
    "/handover?who={}", "/help?lang={}", "/{}", "/static/{}", "/sign-in?code={}&next={}",
)  # fmt: skip


async def test_whatever_stands_in_an_address_gets_a_page(desk: Desk) -> None:
    for bad in KINDS:
        for address in ADDRESSES:
            if len(address) + address.count("{}") * len(WIRED[bad]) < LONGEST:
                await desk.get(bad, address)


@pytest.mark.parametrize("address", ["/chat?before={}", "/cases/{mine}?lines={}"])
async def test_a_number_in_an_address_that_no_number_can_be(town: Town, desk: Desk, address: str) -> None:
    mine = await town.intake("suzuki")
    for bad in KINDS:
        if len(WIRED[bad]) < LONGEST:
            await desk.get(bad, address.replace("{mine}", mine))
    assert not desk.wrong, "\n".join(map(str, desk.wrong))


async def test_whatever_is_posted_elsewhere_gets_a_page(town: Town, desk: Desk) -> None:
    """By 高橋, who may press what others do not even see."""
    desk.client.cookies.set(COOKIE, await town.app.store.transact(lambda tx: sign.begin(tx, "takahashi", real())))
    places = (
        ("/theme", "theme"), ("/theme", "lang"), ("/theme", "back"), ("/stuck", "id"), ("/town/invite", "who"), ("/town/back", "id"), ("/demo/clock", "advance"),
        ("/sign-in", "code"), ("/sign-in", "who"), ("/sign-in", "next"), ("/sign-in", "name"), ("/sign-in", "digits"), ("/sign-in", "credential"),
        ("/ways", "key"), ("/ways", "credential"), ("/ways", "session"), ("/town/people/mori", "do"),
    )  # fmt: skip
    does = {
        "id": "letter:again",
        "name": "letter",
        "digits": "digits",
        "credential": "passkey",
        "key": "passkey-remove",
        "session": "out",
    }
    number = await town.consented()
    await town.says("takahashi", f"会議 {number} 重層 6/10 14時")
    sitting = (await town.last("suzuki", "conference")).choices[0].says.split()[-1]
    deeds = (
        ("move", "day"),
        ("substitute", "person"),
        ("said", "text"),
        ("record", "direction"),
        ("decide", "kind"),
        ("decide", "who"),
    )
    fields = ("cases", "kind", "member", "also", "day", "time", "place")
    for place, bad in enumerate(KINDS):
        if place == len(deeds):
            await desk.post("nothing", f"/conferences/{sitting}", "text", do="hold")
        do, field = deeds[place % len(deeds)]
        more = {"kind": "role", "duty": "work"} if field == "who" else {}
        await desk.post(bad, f"/conferences/{sitting}", field, case=number, do=do, **more)
        asked = fields[place % len(fields)]
        await desk.post(bad, "/conferences", asked, **({} if asked == "cases" else {"cases": number}))
    await desk.get("nothing", f"/conferences/{sitting}")
    await desk.get("nothing", f"/cases/{number}")
    for bad in KINDS:
        for path, field in places:
            await desk.post(bad, path, field, **({"do": does[field]} if field in does else {}))
