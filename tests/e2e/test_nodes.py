"""Nodes that share nothing but a Redis: their limits, their tasks, and what they do while it is away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.e2e.test_tasks_restart import TOOLS, ask, begin, until
from tests.peers import free_port
from tests.redisserver import RedisServer
from tests.rig import rig
from tests.wire.client import Refused, text_of, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

PASSWORD = "hunter2-of-redis"
CONFIG = """
[server]
store = "redis://:${RUNE_TEST_REDIS}@127.0.0.1:%d"

[sources.tools]
python = "%s"
prefix = ""

[profiles.other]
tools = ["*"]

[[plugins]]
use = "rate_limiter"
hooks = ["tool_pre_invoke"]
conditions = [{ tools = ["echo"] }]
config = { by_user = "7/h", shared = true }

[[plugins]]
use = "rate_limiter"
name = "rather_open"
hooks = ["tool_pre_invoke"]
on_error = "ignore"
conditions = [{ tools = ["marked"] }]
config = { by_user = "1000/h", shared = true }
"""


def told(result):
    return text_of(result) if not result.get("isError") else result["content"][0]["text"]


async def test_two_nodes_with_one_redis(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNE_TEST_REDIS", PASSWORD)
    port = free_port()
    (tmp_path / "rune.toml").write_text(CONFIG % (port, TOOLS))
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer.running("--requirepass", PASSWORD, port=port))
        nodes = [stack.enter_context(rig("--config", str(tmp_path / "rune.toml"), cwd=tmp_path)) for _ in range(2)]
        clients = [HttpClient(url, MODERN) for node in nodes for url in (node.url, f"{node.url}/other")]
        for client in clients:
            stack.push_async_callback(client.close)
        here, _, there, other = clients

        # A task that one node runs is everywhere, for its owner.
        key = word()
        id = await begin(here, "later", key=key, text=key)
        assert (await ask(there, "tasks/get", taskId=id))["status"] == "working"
        for method in ("tasks/get", "tasks/cancel"):
            with pytest.raises(Refused) as refused:
                await ask(other, method, taskId=id)
            assert refused.value.code == -32602
        await here.text("mark", key=key, what="go")
        assert text_of((await until(there, id, "completed"))["result"]) == key
        asked = await begin(here, "later_ask", question=word())
        (question,) = (await until(there, asked, "input_required"))["inputRequests"]
        answer = {question: {"action": "accept", "content": {"a": key}}}
        await ask(there, "tasks/update", taskId=asked, inputResponses=answer)
        assert text_of((await until(there, asked, "completed"))["result"]) == f"accept:{key}"

        # A limit holds for all of them together, for each caller by itself.
        results = await asyncio.gather(*(client.tool("echo", text=key) for client in (here, there) for _ in range(9)))
        texts = sorted(told(result) for result in results)
        assert texts.count(key) == 7
        assert {text for text in texts if text != key} == {
            "blocked by rate_limiter: too many requests: 0.00194 per second, 7 at once"
        }
        assert told(await other.tool("echo", text=key)) == key

        # Without the store nobody can say how many there were: refused, unless the plugin's `on_error` says otherwise.
        redis.kill()
        with pytest.raises(Refused, match="plugin rate_limiter failed"):
            await other.tool("echo", text=key)
        assert await here.text("marked", key=key, what="go", seconds=1) == "true"
        assert await here.text("mark", key=key, what="go") == key
        with pytest.raises(Refused, match=f"store redis://127.0.0.1:{port}/0: "):
            await ask(there, "tasks/get", taskId=id)
        redis.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert told(await other.tool("echo", text=key)) == key
                    break
                except Refused:
                    await asyncio.sleep(0.05)
        for node in nodes:
            assert PASSWORD not in node.said and "Traceback" not in node.said
        assert f"plugin rate_limiter: tool_pre_invoke store redis://127.0.0.1:{port}/0: " in nodes[1].said
