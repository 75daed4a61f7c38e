"""Calls that wait for a sign-in: who is led to one, whose page it is, and what becomes of the call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from rune import Caller, NeedsAuth, ProtocolError, TimedOut
from rune.auth.door import Door
from rune.gateway import Gateway
from rune.profile import Profile
from rune.protocol.modern import Meta
from rune.request import ANONYMOUS, Note, Request, Result
from rune.signin import KEY, STATE, SignIns
from rune.source import Catalog, Item, Listeners
from rune.view import Mount

URL = b'{"elicitation":{"url":{}}}'
COMMAND = "rune auth login books"


@pytest.fixture(autouse=True)
async def deadline():
    async with asyncio.timeout(30):
        yield


class Pages:
    """Pages that are visited when a test says so."""

    def __init__(self):
        self.shown = []

    @asynccontextmanager
    async def __call__(self, name, port):
        page = self.Page(f"http://127.0.0.1/{name}/{len(self.shown)}")
        self.shown.append(page)
        try:
            yield page
        finally:
            page.left = True

    class Page:
        redirect = "http://127.0.0.1/callback"
        left = False

        def __init__(self, address):
            self.address = address
            self.ready = asyncio.get_running_loop().create_future()
            self.answer = asyncio.get_running_loop().create_future()

        async def visit(self, url):
            self.ready.set_result(None)
            return await self.answer


class Books:
    """A source behind a sign-in. `listed` says whether it tells what it offers to those who are not signed in."""

    name = "books"

    def __init__(self, *, listed=True):
        self.listeners = Listeners()
        self.listed = listed
        self.signed_in = False
        self.calls = []
        self.revived = 0
        self.trouble = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        pass

    def closed(self):
        error = NeedsAuth("books: wants a sign-in first (401)", hint=COMMAND)
        error.door = Door("books", self.enter, lambda: self.signed_in)
        return error

    async def enter(self, visiting):
        if isinstance(self.trouble, NeedsAuth):
            raise self.trouble
        async with visiting(0) as visit:
            if self.trouble == "silence":
                await asyncio.Event().wait()
            await visit.visit("https://as.example")
        if self.trouble is not None:
            raise TimedOut("nobody has signed in")
        self.signed_in = True

    async def revive(self):
        self.revived += 1
        self.listeners.publish(Note("notifications/tools/list_changed"))

    async def catalog(self, request):
        if not self.listed and not self.signed_in:
            raise self.closed()
        return Catalog(tools=(Item("read", b'{"name":"read","inputSchema":{"type":"object"}}'),), ttl=0)

    async def handle(self, request):
        self.calls.append(request)
        if not self.signed_in:
            raise self.closed()
        return Result.of({"content": []})


@asynccontextmanager
async def gate(books, *, profile=None):
    """A gateway, its sign-ins and its pages."""
    pages = Pages()
    gateway = Gateway([Mount(books, "books_")], profile=profile)
    gateway.lead(SignIns(pages))
    async with gateway:
        yield gateway, pages
    await gateway.sign_ins.close()
    await asyncio.sleep(0)
    assert all(page.left for page in pages.shown)


def call(*, caller=ANONYMOUS, capabilities=URL, state=None, answers=None, name="books_read"):
    meta = Meta(version="2026-07-28", capabilities=msgspec.Raw(capabilities))
    params = {"name": msgspec.Raw(msgspec.json.encode(name))}
    request = Request("tools/call", params, meta=meta, caller=caller)
    request.state = state or {}
    request.answers = None if answers is None else {k: msgspec.Raw(msgspec.json.encode(v)) for k, v in answers.items()}
    return request


def accepted(result, action="accept"):
    return {"state": result.state, "answers": {KEY: {"action": action}}}


def shown(result):
    assert result.kind == "input_required"
    (question,) = result.value["inputRequests"].values()
    assert (question["method"], question["params"]["mode"]) == ("elicitation/create", "url")
    assert "books" in question["params"]["message"]
    return question["params"]["url"]


@pytest.mark.parametrize("listed", [True, False])
async def test_a_call_waits_for_the_sign_in_and_goes_through(listed):
    books = Books(listed=listed)
    async with gate(books) as (gateway, pages):
        asked = await gateway.handle(call())
        assert shown(asked) == pages.shown[0].address
        again = await gateway.handle(call())
        assert shown(again) == shown(asked), "one caller, one page"
        waiting = asyncio.create_task(gateway.handle(call(**accepted(asked))))
        await asyncio.sleep(0)
        assert not waiting.done()
        pages.shown[0].answer.set_result({})
        assert (await waiting).kind == "complete"
        assert books.revived == 1
        sent = books.calls[-1]
        assert (sent.state, sent.answers) == ({}, None), "the source sees the call as it was"
        assert asked.moved.done() and again.moved.done(), "who is still being asked need not be"
        assert (await gateway.handle(call(state=again.state))).kind == "complete", "a retry that comes late"


async def test_whoever_is_not_done_comes_again_without_a_question(monkeypatch):
    monkeypatch.setattr("rune.signin.PATIENCE", 0.01)
    books = Books()
    async with gate(books) as (gateway, pages):
        asked = await gateway.handle(call())
        later = await gateway.handle(call(**accepted(asked)))
        assert (later.kind, later.value.get("inputRequests")) == ("input_required", None)
        later = await gateway.handle(call(state=later.state))
        assert later.kind == "input_required"
        assert shown(await gateway.handle(call(state=asked.state))), "without an answer it is asked again"
        pages.shown[0].answer.set_result({})
        while (result := await gateway.handle(call(state=later.state))).kind != "complete":
            pass
        assert result.kind == "complete"
        assert len(pages.shown) == 1


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_user_who_does_not_want_to(action):
    async with gate(Books()) as (gateway, pages):
        asked = await gateway.handle(call())
        with pytest.raises(NeedsAuth, match=f"did not want to sign in: {COMMAND}"):
            await gateway.handle(call(**accepted(asked, action)))
        assert shown(await gateway.handle(call())) == pages.shown[1].address, "the next call may ask anew"
        with pytest.raises(ProtocolError, match="must be accept"):
            await gateway.handle(call(state=asked.state | (await gateway.handle(call())).state, answers={KEY: {}}))


@pytest.mark.parametrize(
    ("caller", "capabilities", "local"),
    [
        (ANONYMOUS, b"{}", True),
        (ANONYMOUS, b'{"elicitation":{}}', True),
        (ANONYMOUS, b'{"elicitation":{"form":{}}}', True),
        (ANONYMOUS, URL, False),
        (Caller("anna"), URL, True),
        (Caller("anonymous2"), URL, True),
    ],
)
async def test_who_cannot_be_led_there_is_told_what_to_type(caller, capabilities, local):
    """A credential of the operator is not for a caller with a name to give, nor for one from elsewhere."""
    async with gate(Books()) as (gateway, pages):
        gateway.sign_ins.local = local
        with pytest.raises(NeedsAuth, match=rf"books: wants a sign-in first \(401\): {COMMAND}$"):
            await gateway.handle(call(caller=caller, capabilities=capabilities))
        assert pages.shown == []


async def test_two_callers_have_nothing_of_each_other():
    books, profile = Books(), Profile("review", tools=("books_*",))
    inside = profile.caller(ANONYMOUS)
    async with gate(books) as (gateway, pages):
        mine, theirs = await gateway.handle(call()), await gateway.handle(call(caller=inside))
        assert shown(mine) != shown(theirs)
        # A state is sealed to its caller; were it not, it would still name nothing of theirs.
        stolen = await gateway.handle(call(caller=inside, **accepted(mine, "decline")))
        assert shown(stolen) == shown(theirs), "a stranger's no ends nothing"
        assert not pages.shown[0].left
        with pytest.raises(NeedsAuth, match="did not want"):
            await gateway.handle(call(caller=inside, **accepted(theirs, "decline")))
        await asyncio.sleep(0)
        assert (pages.shown[0].left, pages.shown[1].left) == (False, True)
        pages.shown[0].answer.set_result({})
        assert (await gateway.handle(call(**accepted(mine)))).kind == "complete"


async def test_a_profile_says_nothing_of_what_it_does_not_show():
    async with gate(Books(listed=False), profile=Profile("review", tools=("other_*",))) as (gateway, pages):
        with pytest.raises(Exception, match="unknown tool: books_read"):
            await gateway.handle(call())
        with pytest.raises(Exception, match="unknown tool: elsewhere"):
            await gateway.handle(call(name="elsewhere"))
        assert pages.shown == []


async def test_a_sign_in_that_fails_says_why():
    books = Books()
    async with gate(books) as (gateway, pages):
        books.trouble = NeedsAuth("books: https://as takes no new clients")
        with pytest.raises(NeedsAuth, match="takes no new clients"):
            await gateway.handle(call())
        books.trouble = "nobody"
        asked = await gateway.handle(call())
        waiting = asyncio.create_task(gateway.handle(call(**accepted(asked))))
        await asyncio.sleep(0)
        pages.shown[0].answer.set_result({})
        with pytest.raises(TimedOut, match="nobody has signed in"):
            await waiting


async def test_an_issuer_that_does_not_answer_keeps_nobody_waiting_for_long(monkeypatch):
    monkeypatch.setattr("rune.signin.START", 0.01)
    books = Books()
    books.trouble = "silence"
    async with gate(books) as (gateway, _):
        with pytest.raises(TimedOut, match="does not answer"):
            await gateway.handle(call())


async def test_what_others_have_asked_is_kept():
    books = Books()
    state = {"books": {"step": 2}, "old": {"call": "parked"}}
    async with gate(books) as (gateway, pages):
        asked = await gateway.handle(call(state=state, answers={"name": {"action": "accept", "content": {"x": 1}}}))
        assert asked.state.keys() == {"books", STATE}, "a call that waited in vain is not gone on with"
        pages.shown[0].answer.set_result({})
        await gateway.handle(call(**accepted(asked)))
        sent = books.calls[-1]
        assert sent.state == {"books": {"step": 2}}
        assert {key: msgspec.json.decode(raw) for key, raw in sent.answers.items()} == {
            "name": {"action": "accept", "content": {"x": 1}}
        }


async def test_there_are_only_so_many(monkeypatch):
    monkeypatch.setattr("rune.signin.MOST", 1)
    async with gate(Books()) as (gateway, _):
        await gateway.handle(call())
        with pytest.raises(NeedsAuth, match=COMMAND):
            await gateway.handle(call(caller=Profile("b").caller(ANONYMOUS)))
