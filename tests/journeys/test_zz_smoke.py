from tests.journeys.test_every_edge import *
from tests.journeys.rings import rings, due, moment
U={"normal":"", "high":"急ぎ", "emergency":"緊急"}
async def start(town, u):
    n = await town.intake("suzuki","介護 困窮", U[u])
    return n
async def consented(town,u):
    n=await start(town,u); await say(town,("suzuki",f"見立て {n} 続ける"),("suzuki",f"同意 {n} あり")); return n
async def off(town,u):
    n=await consented(town,u); await town.says("suzuki",f"依頼 {n} 家計相談 ともしび"); return n
async def raise_(town,n,u):
    if U[u]: await town.says("suzuki", f"{U[u]} {n}")
KIND={}
def k(name):
    def e(f): KIND[name]=f; return f
    return e
@k("screening")
async def _(t,u): return await start(t,u)
@k("react")
async def _(t,u): return await off(t,u)
@k("decide")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"検討 {n}"); return n
@k("decide_weekly")
async def _(t,u):
    n=await consented(t,u); await t.says("suzuki",f"依頼 {n} 居場所 社協"); await t.says("hasegawa",f"検討 {n}"); return n
@k("answer_question")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"質問 {n} 連絡の方法"); return n
@k("condition")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"条件引受 {n} 同行あり"); return n
@k("next_step")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"辞退 {n} 対象外"); return n
@k("next_step2")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("ishii",f"戻す {n}"); return n
@k("movement_intake")
async def _(t,u): return await consented(t,u)
@k("movement_untangling")
async def _(t,u): n=await consented(t,u); await t.says("suzuki",f"移す {n} ほぐし"); return n
@k("movement_role_division")
async def _(t,u): n=await consented(t,u); await say(t,("suzuki",f"移す {n} ほぐし"),("suzuki",f"会議なし {n}"),("suzuki",f"移す {n} 役割分担")); return n
@k("movement_support")
async def _(t,u):
    n=await consented(t,u); await say(t,("suzuki",f"移す {n} ほぐし"),("suzuki",f"会議なし {n}"),("suzuki",f"困りごと {n} 介護 資源なし"),("suzuki",f"困りごと {n} 困窮 資源なし"),("suzuki",f"移す {n} 役割分担"),("suzuki",f"移す {n} 支援")); return n
@k("movement_watching")
async def _(t,u):
    n=await watching(t); await raise_(t,n,u); await t.says("takahashi",f"取下げ {n}#2"); return n
@k("queue")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("ishii",f"戻す {n}"); return n
@k("first_contact")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); return n
@k("first_contact_again")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("ishii",f"会えず {n}"); return n
@k("checkin")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("ishii",f"つながった {n}"); return n
@k("checkin_missed")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("ishii",f"つながった {n}"); await t.says("ishii",f"会えず {n}"); return n
@k("safety")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("ishii",f"つながった {n}"); await t.says("ishii",f"会えず {n}");await t.says("ishii",f"会えず {n}"); return n
@k("withdrawal")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("suzuki",f"取下げ {n}"); return n
@k("on_hold")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"引受 {n}"); await t.says("ishii",f"一時休み {n} 2週間後"); return n
@k("talk")
async def _(t,u): n=await off(t,u); await t.says("suzuki",f"気がかり {n}"); return n
@k("conference")
async def _(t,u): n=await off(t,u); await t.says("takahashi",f"会議 {n} 支援 6/10"); return n
@k("head_holds")
async def _(t,u): n=await off(t,u); await t.says("kondo",f"引受 {n}"); await t.says("ishii",f"預かる {n}"); return n
@k("closing_notice")
async def _(t,u): n=await consented(t,u); await t.says("suzuki",f"終結 {n} 転出"); return n
@k("approval")
async def _(t,u): n=await consented(t,u); await t.says("suzuki",f"終結 {n} 転出"); return n
@k("plan_review")
async def _(t,u): n=await KIND["movement_support"](t,u); return n
@k("decision")
async def _(t,u): n=await KIND["movement_support"](t,u); return n
@k("consent")
async def _(t,u): n=await start(t,u); await t.says("suzuki",f"同意 {n} 未"); return n
@k("interim")
async def _(t,u): n=await consented(t,u); await t.says("takahashi",f"仮担当 {n}"); return n
@k("recheck")
async def _(t,u): n=await suspended(t,"untangling"); await raise_(t,n,u); return n
@k("waitlist")
async def _(t,u): n=await off(t,u); await t.says("ishii",f"空き待ち {n} 10日後"); return n
@k("result")
async def _(t,u): n=await KIND["checkin"](t,u); return n
async def test_dump(databases,tmp_path):
    for i,(kind,f) in enumerate(KIND.items()):
      for u in U:
        url=databases.sqlite(); t=await Town.found(url,tmp_path/f"{i}{u}")
        try:
            n=await f(t,u); what=kind.removesuffix("_again").removesuffix("_missed").removesuffix("2").removesuffix("_weekly")
            try: d=await due(t,n,what)
            except AssertionError as e: d=str(e)[:100]
            await t.later(days=62 if kind not in("plan_review",) else 120)
            print(kind,u,"due",d)
            for r in (await rings(t,what))[:7]: print("      ",*r)
        except Exception as e: print(kind,u,"ERR",repr(e)[:300])
        await t.close(); databases.drop(url)
