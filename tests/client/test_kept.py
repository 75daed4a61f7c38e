"""What a client keeps of the answers of a server: as long as it may, for whom it may, and no longer than it is true."""

from __future__ import annotations

import asyncio
import time

import pytest

from rune import Cache, Client, ProtocolError
from rune.connect import SyncClient
from tests.client import web
from tests.client.fakes import DISCOVERED

DEADLINE = 30.0
SECONDS = 60_000


class Shop:
    """A server whose answers say whose they are. `ttl` and `scope` are what it says of them."""

    def __init__(self, ttl=SECONDS, scope="private"):
        self.ttl = ttl
        self.scope = scope
        self.goods = "1"
        self.pages = 1
        self.listening = asyncio.Event()
        self.notes: asyncio.Queue[web.Message] = asyncio.Queue()
        self.hold: asyncio.Event | None = None

    def told(self, **members):
        return {"resultType": "complete", "ttlMs": self.ttl, "cacheScope": self.scope, **members}

    async def answer(self, site, request, message):
        method, params = message["method"], message["params"]
        who = f"{request.headers.get('Authorization', 'nobody')} {self.goods}"
        if method == "server/discover":
            return web.result(message, {**DISCOVERED, **self.told()})
        if method == "subscriptions/listen":
            return await self.listen(request, message)
        if self.hold is not None:
            await self.hold.wait()
        if method == "resources/read":
            if params["uri"] == "ask:" and "inputResponses" not in params:
                return web.result(message, {"resultType": "input_required", "inputRequests": {}, "requestState": "x"})
            return web.result(message, self.told(contents=[{"uri": params["uri"], "text": who}]))
        assert method == "tools/list"
        if params.get("cursor", self.goods)[: len(self.goods)] != self.goods:
            return web.refusal(message, -32602)
        page = int(params.get("cursor", f"{self.goods}.1").partition(".")[2])
        following = {"nextCursor": f"{self.goods}.{page + 1}"} if page < self.pages else {}
        schema = {"type": "object"}
        return web.result(message, self.told(tools=[{"name": f"{who} {page}", "inputSchema": schema}], **following))

    async def listen(self, request, message):
        response = web.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        meta = {"_meta": {"io.modelcontextprotocol/subscriptionId": message["id"]}}
        acknowledged = {"method": "notifications/subscriptions/acknowledged", "params": {"notifications": {}, **meta}}
        await response.write(web.event(acknowledged))
        while True:
            note = await self.notes.get()
            await response.write(web.event({**note, "params": {**note.get("params", {}), **meta}}))


def lists(site):
    return site.methods().count("tools/list")


def reads(site):
    return site.methods().count("resources/read")


async def names(client, **options):
    return [tool["name"] for tool in await client.list_tools(**options)]


async def test_a_list_is_asked_for_once_while_it_holds():
    shop = Shop()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url) as client:
        assert await names(client) == await names(client) == ["nobody 1 1"]
        assert lists(site) == 1
        tools = await client.list_tools()
        tools[0]["name"] = "spoilt"
        shop.goods = "2"
        assert await names(client) == ["nobody 1 1"], "what a caller does with an answer changes nothing"
        assert await names(client, fresh=True) == ["nobody 2 1"]
        assert await names(client) == ["nobody 2 1"], "a fresh answer is kept in its turn"
        assert lists(site) == 2
        assert (await client.read_resource("a:")).text == (await client.read_resource("a:")).text
        assert (await client.read_resource("b:")).text == "nobody 2"
        assert reads(site) == 2, "one for each URI"
        await client.discover()
        await client.discover()
        before = len(site.heard)
        await client.request("tools/list")
        assert len(site.heard) == before + 1, "request() is for those who want it from the server"


async def test_it_holds_no_longer_than_its_ttl(monkeypatch):
    shop, now = Shop(ttl=1000), time.monotonic()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url) as client:
        monkeypatch.setattr("rune.client.kept.monotonic", lambda: now)
        await names(client)
        now += 0.9
        await names(client)
        assert lists(site) == 1
        now += 0.2
        await names(client)
        assert lists(site) == 2


@pytest.mark.parametrize("ttl", [0, -5, None, "60000", True])
async def test_what_says_nothing_usable_of_its_time_is_not_kept(ttl):
    shop = Shop(ttl=ttl)
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url) as client:
        await names(client)
        await names(client)
        assert lists(site) == 2


@pytest.mark.parametrize("scope", ["private", None, "PUBLIC"])
async def test_two_credentials_never_share_what_is_private(scope):
    shop, cache = Shop(scope=scope), Cache()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site:
        anna = Client(site.url, headers={"Authorization": "Bearer anna"}, cache=cache)
        berta = Client(site.url, headers={"authorization": "Bearer berta"}, cache=cache)
        again = Client(site.url, headers={"authorization": "Bearer anna"}, cache=cache)
        async with anna, berta, again:
            assert await names(anna) == ["Bearer anna 1 1"]
            assert await names(berta) == ["Bearer berta 1 1"]
            assert (await anna.read_resource("a:")).text == "Bearer anna 1"
            assert (await berta.read_resource("a:")).text == "Bearer berta 1"
            assert (lists(site), reads(site)) == (2, 2)
            assert await names(anna) == await names(again) == ["Bearer anna 1 1"], "one credential, two clients"
            assert lists(site) == 2


async def test_what_is_public_is_for_everybody_who_shares_a_cache():
    shop, cache = Shop(scope="public"), Cache()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, web.serving(shop.answer) as other:
        anna = Client(site.url, headers={"Authorization": "Bearer anna"}, cache=cache)
        berta = Client(site.url, headers={"Authorization": "Bearer berta"}, cache=cache)
        alone = Client(site.url, headers={"Authorization": "Bearer carla"})
        elsewhere = Client(other.url, cache=cache)
        async with anna, berta, alone, elsewhere:
            assert await names(anna) == await names(berta) == ["Bearer anna 1 1"]
            assert lists(site) == 1
            assert await names(alone) == ["Bearer carla 1 1"], "without a common cache there is nothing to share"
            await names(elsewhere)
            assert lists(other) == 1, "another server"


class Changing:
    """Signs in as somebody else in mid-life."""

    def __init__(self):
        self.name = "anna"

    def now(self, method, url):
        return None if self.name == "" else {"Authorization": self.name}

    async def headers(self, method, url):
        self.name = self.name or "berta"
        return {"Authorization": self.name}

    async def refused(self, proof, status, headers):
        return False


async def test_another_token_is_another_cache():
    shop, auth = Shop(), Changing()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url, auth=auth) as client:
        assert await names(client) == ["anna 1 1"]
        auth.name = ""
        assert await names(client) == ["berta 1 1"], "who it is had to be waited for"
        assert await names(client) == ["berta 1 1"]
        assert lists(site) == 2
        auth.name = "anna"
        assert await names(client) == ["anna 1 1"]
        assert lists(site) == 2


async def test_an_answer_to_whom_it_came_nobody_knows_is_not_kept():
    shop, auth = Shop(), Changing()
    shop.hold = asyncio.Event()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url, auth=auth) as client:
        asking = asyncio.create_task(names(client))
        while not lists(site):
            await asyncio.sleep(0.01)
        auth.name = "berta"
        shop.hold.set()
        assert await asking == ["anna 1 1"]
        assert await names(client) == ["berta 1 1"]
        auth.name = "anna"
        await names(client)
        assert lists(site) == 3


async def test_what_has_changed_is_asked_for_again():
    shop = Shop()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url) as client:
        await names(client)
        await client.read_resource("a:")
        await client.read_resource("b:")
        async with client.listen(tools=True, uris=["a:"]) as notes:
            shop.goods = "2"
            await shop.notes.put({"method": "notifications/tools/list_changed"})
            await anext(notes)
            assert await names(client) == ["nobody 2 1"]
            assert (await client.read_resource("a:")).text == "nobody 1"
            await shop.notes.put({"method": "notifications/resources/updated", "params": {"uri": "a:"}})
            await anext(notes)
            assert (await client.read_resource("a:")).text == "nobody 2"
            assert (await client.read_resource("b:")).text == "nobody 1", "only what was named"


async def test_an_answer_from_before_a_change_is_not_kept():
    shop = Shop()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url) as client:
        shop.hold = asyncio.Event()
        async with client.listen(tools=True) as notes:
            asking = asyncio.create_task(names(client))
            while not lists(site):
                await asyncio.sleep(0.01)
            await shop.notes.put({"method": "notifications/tools/list_changed"})
            await anext(notes)
            shop.hold.set()
            await asking
            await names(client)
        assert lists(site) == 2


async def test_each_page_is_kept_and_a_cursor_that_is_too_old_starts_anew(monkeypatch):
    shop, now = Shop(ttl=1000), time.monotonic()
    shop.pages = 2
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url) as client:
        monkeypatch.setattr("rune.client.kept.monotonic", lambda: now)
        assert await names(client) == await names(client) == ["nobody 1 1", "nobody 1 2"]
        assert lists(site) == 2
        shop.ttl = 10_000
        await names(client, fresh=True)
        shop.ttl = 10
        await client._get("tools/list", {"cursor": "1.2"}, True)
        now += 1
        shop.goods, asked = "2", lists(site)
        assert await names(client) == ["nobody 2 1", "nobody 2 2"], "the first page named a cursor of before"
        assert lists(site) == asked + 3
        with pytest.raises(ProtocolError):
            await client._get("tools/list", {"cursor": "gone"}, False)


async def test_a_list_is_for_as_few_as_its_pages():
    shop, cache = Shop(scope="public"), Cache()
    shop.pages = 2
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site:
        anna = Client(site.url, headers={"Authorization": "anna"}, cache=cache)
        berta = Client(site.url, headers={"Authorization": "berta"}, cache=cache)
        async with anna, berta:
            await anna._get("tools/list", {}, False)
            shop.scope = "private"
            await anna._get("tools/list", {"cursor": "1.2"}, False)
            assert await names(berta) == ["berta 1 1", "berta 1 2"]


async def test_what_had_to_be_asked_about_is_not_kept():
    shop = Shop()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url) as client:
        await client.read_resource("ask:")
        await client.read_resource("ask:")
        assert reads(site) == 4


async def test_a_cache_is_bounded():
    shop, cache = Shop(), Cache(entries=2, size=1 << 20)
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url, cache=cache) as client:
        for uri in ("a:", "b:", "a:", "c:", "a:"):
            await client.read_resource(uri)
        assert (len(cache), reads(site)) == (2, 3), "what was wanted last stays"
        small = Cache(size=10)
        async with Client(site.url, cache=small) as other:
            await names(other)
        assert len(small) == 0
        cache.clear()
        await client.read_resource("a:")
        assert reads(site) == 4
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site, Client(site.url, cache=None) as client:
        await names(client)
        await names(client)
        assert lists(site) == 2


async def test_an_older_server_says_nothing_of_time_and_is_asked_each_time():
    async def answer(site, request, message):
        return web.result(message, {"tools": [{"name": "old", "inputSchema": {"type": "object"}}], "ttlMs": None})

    async with asyncio.timeout(DEADLINE), web.serving(web.legacy(answer)) as site, Client(site.url) as client:
        assert await names(client) == await names(client) == ["old"]
        assert lists(site) == 2


async def test_the_sync_twin_can_ask_anyway():
    shop = Shop()
    async with asyncio.timeout(DEADLINE), web.serving(shop.answer) as site:

        def work():
            with SyncClient(site.url) as client:
                client.list_tools()
                client.list_tools()
                client.list_tools(fresh=True)

        await asyncio.to_thread(work)
        assert lists(site) == 2
