"""Something stuck in the grown town, and stuck for real: a letter refused, one whose fate nobody knows, words that broke us."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from adapters.base import Address, Caps, Delivery, Inbound, Parcel, Refused, Said, Sender, Unknown
from bot import receive
from bot.app import App, make
from bot.ask import Ask
from bot.fresh import maker
from bot.settings import Settings
from storage import people
from workflow.outcome import Outcome


class Post:
    """A platform that refuses the first letter and loses the others."""

    name = "post"
    inside = False
    caps = Caps(buttons=4, label=20, text=2_000)

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, parcel: Parcel) -> Delivery:
        self.sent += 1
        return Refused("blocked") if self.sent == 1 else Unknown("timeout")


async def stumble(url: str, folder: Path) -> None:
    """近藤 reads by post; her agency is asked twice; what she says by post meets a defect of ours."""
    app = make(Settings(database_url=url, _env_file=None), fresh=maker(), adapters={"post": Post()}, var=folder)  # type: ignore[call-arg]
    await app.store.transact(lambda tx: people.link(tx, "post", "U-kondo", "kondo", app.clock.now(tx)))
    for _ in range(2):
        await _ask(app)
        await app.turner.to(await app.turner.now() + timedelta(hours=1))  # what is due together would leave as one
    await _break(app)
    await app.close()


async def _ask(app: App) -> None:
    taken = await _say(app, "suzuki", "受付 困窮 北部")
    for words in ("見立て {} 続ける", "同意 {} あり", "依頼 {} 家計相談 ともしび", "送る"):
        await _say(app, "suzuki", words.format(taken.number))


async def _break(app: App) -> None:
    def falls(ask: Ask) -> Outcome:
        raise KeyError("a defect of ours")

    whole = receive.BOOK["today"]
    receive.BOOK["today"] = replace(whole, run=falls)  # type: ignore[index]
    try:
        await _say(app, "U-kondo", "今日", "post")
    finally:
        receive.BOOK["today"] = whole  # type: ignore[index]


async def _say(app: App, who: str, words: str, platform: str = "web") -> receive.Answered:
    event = Inbound(f"{who}-{app.fresh()}", Sender(platform, who), Address(platform, who), Said(words))
    return await app.receiver.receive(event)
