import time
async def test_one(lite):
    t=time.time()
    n = await lite.supported()
    print("supported", time.time()-t)
    t=time.time()
    for _ in range(20): await lite.says("suzuki", n)
    print("20 says", time.time()-t)
    t=time.time()
    await lite.later(days=40)
    print("40 days", time.time()-t)
    t=time.time()
    from tests.journeys.conftest import found_broken
    print(await lite.app.store.read(lambda tx: found_broken(tx, lite)))
    print("broken", time.time()-t)
async def test_two(lite):
    pass
