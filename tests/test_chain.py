"""What passes the plugins on its way through a gateway: everything that reaches a client, early, late or as a list."""

from __future__ import annotations

import asyncio
import gc
import logging
from functools import partial

import msgspec
import pytest

from rune import Client, Context, Server
from rune.chain import Chain
from rune.errors import NotFound, ProtocolError
from rune.gateway import Gateway
from rune.pipeline import Pipeline
from rune.plugin import Plugin, PluginConfig, PluginResult, PluginViolation
from rune.plugins.pii import PiiFilterPlugin
from rune.protocol.methods import MODERN, TASKS
from rune.protocol.modern import Meta
from rune.request import SILENT, Caller, Emit, Request
from rune.router import Mount
from rune.store import MemoryStore
from rune.tasks import Tasks

MAIL = "ada@example.org"
HIDDEN = "[REDACTED]"


def server():
    made = Server("leaky")

    @made.tool
    async def say(text: str, ctx: Context) -> str:
        """Writes to ada@example.org."""
        await ctx.progress(0.5, message=f"mail {MAIL}")
        await ctx.log("info", {"who": MAIL})
        return f"{text} {MAIL}"

    @made.tool
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit(f"is it {MAIL}?", str)
        return f"you said {answer.content}"

    @made.tool(task="optional")
    async def later(ctx: Context) -> str:
        await ctx.progress(0.5, message=f"working for {MAIL}")
        answer = await ctx.elicit(f"still for {MAIL}?", str)
        return f"done for {MAIL}, who said {answer.content}"

    @made.tool
    def danger() -> str:
        return "boom"

    @made.resource("note://{who}")
    def note(who: str) -> str:
        return f"{who} is {MAIL}"

    @made.prompt
    def letter(to: str) -> str:
        return f"write to {to} and {MAIL}"

    @made.completion("letter", "to")
    def to(value: str) -> list[str]:
        return [MAIL]

    return made


def pii():
    config = PluginConfig(name="pii_filter")
    return PiiFilterPlugin(config), config


def plugged(gateway, pipeline):
    gateway.plug(partial(Chain, pipeline))
    return gateway


class Gate:
    """A gateway with plugins, entered; a client of it."""

    def __init__(self, *plugins, prefix=""):
        self.plugins, self.prefix = plugins, prefix

    async def __aenter__(self):
        self.tasks = Tasks(MemoryStore())
        await self.tasks.__aenter__()
        source = server()
        source.tasks = self.tasks
        self.pipeline = Pipeline(self.plugins)
        await self.pipeline.__aenter__()
        self.gateway = Gateway([Mount(source, self.prefix)], tasks=self.tasks)
        self.gateway.plug(partial(Chain, self.pipeline))
        await self.gateway.__aenter__()
        return self

    async def __aexit__(self, *exc):
        await self.gateway.__aexit__(*exc)
        await self.pipeline.__aexit__(*exc)
        await self.tasks.__aexit__(*exc)

    def client(self, **options):
        return Client(self.gateway, **options)


async def test_no_text_that_reaches_a_client_keeps_personal_data():
    progress, logs = [], []
    async with (
        Gate(pii()) as gate,
        gate.client(on_progress=lambda *a: progress.append(a), on_log=lambda *a: logs.append(a)) as client,
    ):
        assert (await client.call_tool("say", {"text": "call +49 30 1234567"})).text == f"call {HIDDEN} {HIDDEN}"
        assert progress == [(0.5, None, f"mail {HIDDEN}")]
        assert logs == [("info", {"who": HIDDEN}, "leaky")]
        descriptions = [tool.get("description") for tool in await client.list_tools()]
        assert f"Writes to {HIDDEN}." in descriptions
        assert (await client.read_resource("note://ada")).text == f"ada is {HIDDEN}"
        assert (await client.get_prompt("letter", {"to": "bob"})).text == f"write to bob and {HIDDEN}"
        found = await client.complete({"type": "ref/prompt", "name": "letter"}, {"name": "to", "value": ""})
        assert found.suggestions == [HIDDEN]


async def test_questions_and_answers_pass_too():
    asked = []

    def answer(params):
        asked.append(params["message"])
        return {"action": "accept", "content": {"value": MAIL}}

    async with Gate(pii()) as gate, gate.client(elicitation=answer) as client:
        assert (await client.call_tool("ask")).text == f"you said {HIDDEN}"
    assert asked == [f"is it {HIDDEN}?"]


async def request(gate, method, params, subject="ada", emit=SILENT):
    """One request with a caller of its own."""
    capabilities = msgspec.Raw(msgspec.json.encode({"extensions": {TASKS: {}}, "elicitation": {"form": {}}}))
    meta = Meta(version=MODERN, capabilities=capabilities)
    raw = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in params.items()}
    async with asyncio.timeout(20):
        return (await gate.gateway.handle(Request(method, raw, meta=meta, caller=Caller(subject), emit=emit))).value


async def test_a_late_result_is_a_result():
    async with Gate(pii()) as gate:
        task = await request(gate, "tools/call", {"name": "later", "arguments": {}})
        assert task["resultType"] == "task"
        id = {"taskId": task["taskId"]}
        while (seen := await request(gate, "tasks/get", id))["status"] == "working":
            await asyncio.sleep(0.01)
        assert seen["statusMessage"] == f"working for {HIDDEN}"
        (key, question), *_ = seen["inputRequests"].items()
        assert question["params"]["message"] == f"still for {HIDDEN}?"
        answer = {"action": "accept", "content": {"value": MAIL}}
        await request(gate, "tasks/update", {**id, "inputResponses": {key: answer}})
        while (seen := await request(gate, "tasks/get", id))["status"] != "completed":
            await asyncio.sleep(0.01)
        # The answer was masked on its way in, the rest on its way out.
        assert seen["result"]["content"][0]["text"] == f"done for {HIDDEN}, who said {HIDDEN}"
        listed = await request(gate, "tasks/list", {})
        assert MAIL not in str(seen) + str(listed)
        assert HIDDEN in str(listed)
        with pytest.raises(NotFound, match="unknown task"):
            await request(gate, "tasks/get", id, subject="bob")


async def test_what_becomes_of_a_task_is_told_to_listeners_without_it_too():
    told: asyncio.Queue[str] = asyncio.Queue()

    class Ear(Emit):
        def __call__(self, note):
            told.put_nowait(f"{note.method} {note.params.decode()}")

    async with Gate(pii()) as gate:
        task = await request(gate, "tools/call", {"name": "later", "arguments": {}})
        wish = {"notifications": {"taskIds": [task["taskId"]]}}
        listen = asyncio.create_task(request(gate, "subscriptions/listen", wish, emit=Ear()))
        async with asyncio.timeout(20):
            assert "acknowledged" in await told.get()
            await request(gate, "tasks/cancel", {"taskId": task["taskId"]})
            while "cancelled" not in (note := await told.get()):
                assert MAIL not in note
        assert HIDDEN in note
        assert MAIL not in note
        listen.cancel()
        await asyncio.wait([listen])


class Stopper(Plugin):
    """Looks at results only."""

    async def tool_post_invoke(self, payload, context):
        return PluginResult()


async def test_text_of_notes_is_left_out_where_a_plugin_sees_only_results(caplog):
    config = PluginConfig(name="stopper")
    progress, logs = [], []
    with caplog.at_level(logging.WARNING, "rune.plugins"):
        async with (
            Gate((Stopper(config), config)) as gate,
            gate.client(on_progress=lambda *a: progress.append(a), on_log=lambda *a: logs.append(a)) as client,
        ):
            for _ in range(2):
                await client.call_tool("say", {"text": "x"})
    assert progress == [(0.5, None, None)] * 2
    assert logs == []
    assert caplog.text.count("text in notifications/progress is left out") == 1


class Sender(Plugin):
    """Sends calls elsewhere."""

    async def tool_pre_invoke(self, payload, context):
        if payload.name != "x_danger":
            return PluginResult()
        payload.name = "x_say"
        payload.args = {"text": "instead"}
        return PluginResult(modified_payload=payload)


async def test_a_plugin_may_send_a_call_to_another_tool_but_only_to_one_that_is_there():
    config = PluginConfig(name="sender")
    async with Gate((Sender(config), config), prefix="x_") as gate, gate.client() as client:
        assert (await client.call_tool("x_danger")).text == f"instead {MAIL}"
        # However it is called, plugins see the name that clients see in lists.
        assert (await client.call_tool("danger")).text == f"instead {MAIL}"


class Refuser(Plugin):
    async def tool_pre_invoke(self, payload, context):
        if payload.name == "danger":
            violation = PluginViolation("not today", "the log hears more", "policy")
            return PluginResult(continue_processing=False, violation=violation)
        return PluginResult()

    async def resource_pre_fetch(self, payload, context):
        return PluginResult(continue_processing=False, violation=PluginViolation("closed", mcp_error_code=-31999))


async def test_what_is_refused_says_so():
    config = PluginConfig(name="refuser")
    async with Gate((Refuser(config), config)) as gate, gate.client() as client:
        result = await client.call_tool("danger")
        assert (result.is_error, result.text) == (True, "blocked by refuser: not today")
        with pytest.raises(ProtocolError, match="blocked by refuser: closed") as caught:
            await client.read_resource("note://ada")
        assert caught.value.code == -31999


async def test_notes_keep_their_order_and_come_before_the_result_even_when_a_plugin_is_slow():
    class Slow(Plugin):
        async def progress_pre_send(self, payload, context):
            await asyncio.sleep(0.01)
            return PluginResult()

    many = Server("many")

    @many.tool
    async def count(ctx: Context) -> str:
        for number in range(5):
            await ctx.progress(number + 1, message=str(number))
        return "end"

    config = PluginConfig(name="slow")
    seen = []
    async with (
        plugged(Gateway([Mount(many)]), Pipeline([(Slow(config), config)])) as gateway,
        Client(gateway, on_progress=lambda *a: seen.append(a[2])) as client,
    ):
        assert (await client.call_tool("count")).text == "end"
        assert seen == ["0", "1", "2", "3", "4"]


async def test_nothing_that_is_made_for_a_call_waits_for_the_collector():
    async with Gate(pii()) as gate:
        for _ in range(3):
            await request(gate, "tools/call", {"name": "danger", "arguments": {}})
            gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                await request(gate, "tools/call", {"name": "danger", "arguments": {}})
            assert gc.collect() < 50
        finally:
            gc.enable()


async def test_without_plugins_that_want_it_a_request_goes_its_old_way():
    config = PluginConfig(name="stopper")
    gateway = plugged(Gateway([]), Pipeline([(Stopper(config), config)]))
    plain = Gateway([])
    assert gateway._methods["tools/list"].__func__ is plain._methods["tools/list"].__func__
