from tests.journeys.test_every_edge import *
from bot.words import match, take_apart
from bot.commands import FORMS
async def test_buttons(databases, tmp_path):
    found={}
    for i,(k,w) in enumerate(WALKS.items()):
        url=databases.sqlite()
        t=await Town.found(url,tmp_path/str(i))
        n=await w(t)
        await t.says("suzuki", n)
        for d in (0,3,30,100):
            await t.later(days=d)
            for p in t.place.staff:
                for row,card in await t.reads(p):
                    for c in card.choices:
                        m=match(take_apart(c.says).rest, FORMS)
                        if m:
                            for e in BOOK[m[0]].events: found.setdefault(e,set()).add((row.kind,c.label))
        await t.close(); databases.drop(url)
    allv=[f"{g}.{e}" for g in GRAPHS for e in EVENTS[g]]
    print("MISSING", [e for e in allv if e not in found])
    for e in allv: print(e, list(found.get(e,()))[:4])
