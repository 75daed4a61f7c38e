"""What every client does, on every wire in every revision: handshake, lists, calls, reads, prompts, errors."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.wire.client import META, Client, Refused, text_of, word
from tests.wire.schemas import LEGACY, MODERN

pytestmark = pytest.mark.asyncio(loop_scope="session")

LISTS = {
    "tools/list": "tools", "resources/list": "resources", "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}  # fmt: skip


async def pages(client: Client, method: str) -> list[list[dict[str, Any]]]:
    """All pages of a list."""
    found = []
    params: dict[str, Any] = {}
    while True:
        result = await client.request(method, params)
        found.append(result[LISTS[method]])
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


async def test_discovery_lists_all_revisions(modern: Client) -> None:
    result = await modern.request("server/discover")
    assert set(result["supportedVersions"]) == {MODERN, *LEGACY}
    assert result["instructions"] == "use it"
    assert result["_meta"][META + "serverInfo"]["name"] == "wire"
    assert {"tools", "resources", "prompts", "logging", "completions", "extensions"} <= result["capabilities"].keys()
    assert "tasks" not in result["capabilities"]
    assert result["capabilities"]["extensions"][META + "tasks"] == {}


async def test_the_handshake_answers_in_the_revision_asked_for(legacy: Client) -> None:
    result = legacy.initialized
    assert result["serverInfo"]["name"] == "wire"
    assert result["instructions"] == "use it"
    known = result["capabilities"]
    assert "extensions" not in known
    assert ("completions" in known) == (legacy.revision >= "2025-03-26")
    assert ("tasks" in known) == (legacy.revision == "2025-11-25")
    assert await legacy.request("ping") == {}
    with pytest.raises(Refused) as refused:
        await legacy.initialize()
    assert refused.value.code == -32600


@pytest.mark.parametrize("method", LISTS)
async def test_pages_hold_every_entry_once(client: Client, method: str) -> None:
    found = await pages(client, method)
    assert len(found) > 1
    assert all(len(page) == 3 for page in found[:-1])
    key = {"resources": "uri", "resourceTemplates": "uriTemplate"}.get(LISTS[method], "name")
    names = [entry[key] for page in found for entry in page]
    assert len(names) == len(set(names))
    # The same again: the order is deterministic.
    assert found == await pages(client, method)


@pytest.mark.parametrize("method", LISTS)
async def test_a_foreign_cursor_is_refused(client: Client, method: str) -> None:
    other = next(each for each in LISTS if each != method)
    foreign = (await client.request(other))["nextCursor"]
    own = (await client.request(method))["nextCursor"]
    for cursor in ("", word(), foreign, own + "x", own[:-1], own.swapcase(), 7):
        with pytest.raises(Refused) as refused:
            await client.request(method, {"cursor": cursor})
        assert refused.value.code == -32602


async def test_what_goes_in_comes_out(client: Client) -> None:
    for text in (word(), "", 'ünï¢ødé 🜂 \u2028 \x7f \\ " \n\r\t\0', "x" * 50_000):
        result = await client.tool("echo", text=text)
        assert text_of(result) == text
        assert not result.get("isError")


async def test_structured_output(client: Client) -> None:
    x, y = random.uniform(-9, 9), random.uniform(-9, 9)
    result = await client.tool("point", x=x, y=y)
    if client.revision >= "2025-06-18":
        assert result["structuredContent"] == {"x": x, "y": y}
    else:
        assert "structuredContent" not in result
    assert str(x) in text_of(result)


@pytest.mark.parametrize("name", ["fail", "crash"])
async def test_a_failing_tool_is_a_result(client: Client, name: str) -> None:
    message = word()
    result = await client.tool(name, message=message)
    assert result["isError"] is True
    assert message in result["content"][0]["text"]


@pytest.mark.parametrize("arguments", [{}, {"text": 7}, {"text": "a", "x": 1}, {"text": None}])
async def test_wrong_arguments_are_a_tool_error_that_names_them(client: Client, arguments: dict[str, Any]) -> None:
    result = await client.request("tools/call", {"name": "echo", "arguments": arguments})
    assert result["isError"] is True
    assert ("x" if "x" in arguments else "text") in result["content"][0]["text"]


@pytest.mark.parametrize(
    "params",
    [{"name": "no-such-tool"}, {}, {"name": 7}, {"name": "echo", "arguments": []}, {"name": "echo", "arguments": "x"}],
)
async def test_a_wrong_call_is_a_protocol_error(client: Client, params: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        await client.request("tools/call", params)
    # A name that is no string cannot be mirrored in Mcp-Name, which is missing then.
    nameless = client.wire == "http" and client.modern and not isinstance(params.get("name", ""), str)
    assert refused.value.code == (-32020 if nameless else -32602)
    assert await client.text("echo", text="on") == "on"


async def test_unknown_methods(client: Client) -> None:
    for method in (word(), "tools/" + word(), "", "tasks/" + word()):
        with pytest.raises(Refused) as refused:
            await client.request(method)
        assert refused.value.code == -32601
        if client.wire == "http" and client.modern:
            assert refused.value.status == 404


async def test_methods_of_the_other_era(client: Client) -> None:
    legacy = (
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/result",
        "tasks/list",
    )
    others = legacy if client.modern else ("server/discover", "subscriptions/listen", "tasks/update")
    for method in others:
        with pytest.raises(Refused) as refused:
            await client.request(method, {"uri": "note://1", "level": "info", "taskId": word()})
        assert refused.value.code == -32601, method


async def test_resources_listed_by_template_and_unknown(client: Client) -> None:
    listed = (await client.request("resources/list"))["resources"][0]
    result = await client.request("resources/read", {"uri": listed["uri"]})
    assert result["contents"][0]["uri"] == listed["uri"]
    assert result["contents"][0]["mimeType"] == listed["mimeType"]
    id = word()
    result = await client.request("resources/read", {"uri": f"note://{id}"})
    assert result["contents"] == [{"uri": f"note://{id}", "mimeType": "text/plain", "text": f"note {id}"}]
    for uri in (f"nothing://{id}", "note://none"):
        with pytest.raises(Refused) as refused:
            await client.request("resources/read", {"uri": uri})
        assert refused.value.code == (-32602 if client.modern else -32002)
        assert refused.value.data == {"uri": uri}
    with pytest.raises(Refused) as refused:
        await client.request("resources/read", {})
    assert refused.value.code == -32602


async def test_prompts(client: Client) -> None:
    name = word()
    result = await client.request("prompts/get", {"name": "greet", "arguments": {"name": name}})
    assert result["messages"] == [{"role": "user", "content": {"type": "text", "text": f"Hello {name}"}}]
    for params in ({"name": "greet"}, {"name": name}, {"name": "greet", "arguments": {"name": 7}}):
        with pytest.raises(Refused) as refused:
            await client.request("prompts/get", params)
        assert refused.value.code == -32602


async def test_completion(client: Client) -> None:
    start = word()
    ref = {"type": "ref/prompt", "name": "greet"}
    result = await client.request("completion/complete", {"ref": ref, "argument": {"name": "name", "value": start}})
    assert result["completion"]["values"] == [start + "x", start + "y"]
    if client.revision >= "2025-06-18":
        params = {"ref": ref, "argument": {"name": "name", "value": start}, "context": {"arguments": {"ends": "1,2,3"}}}
        assert (await client.request("completion/complete", params))["completion"]["values"] == [
            f"{start}{n}" for n in (1, 2, 3)
        ]
    ref = {"type": "ref/resource", "uri": "note://{id}"}
    found = (await client.request("completion/complete", {"ref": ref, "argument": {"name": "id", "value": start}}))[
        "completion"
    ]
    assert len(found["values"]) == 100
    assert found["hasMore"] is True
    for bad in (
        {"type": "ref/prompt", "name": start},
        {"type": start},
        start,
        {"type": "ref/resource", "uri": f"{start}://{{x}}"},
    ):
        with pytest.raises(Refused) as refused:
            await client.request("completion/complete", {"ref": bad, "argument": {"name": "name", "value": ""}})
        assert refused.value.code == -32602, bad


async def offered(client: Client, schema: dict[str, Any], meta: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Add a tool and find its definition in the list."""
    name = await client.text("offer", name=word(), schema=schema, meta=meta)
    found = [tool for page in await pages(client, "tools/list") for tool in page if tool["name"] == name]
    assert len(found) == 1
    return name, found[0]


async def test_schemas_and_meta_pass_verbatim(client: Client) -> None:
    field, anchor = word(), word()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {anchor: {"$anchor": anchor, "type": "string", "x-foreign": [1.50, None, {"deep": True}]}},
        "properties": {field: {"$ref": f"#/$defs/{anchor}"}},
        "allOf": [{"anyOf": [{"required": [field]}, {"not": {"required": [field]}}]}],
        "if": {"required": [field]}, "then": {}, "else": {},
        "unevaluatedProperties": False,
    }  # fmt: skip
    ui = {"resourceUri": f"ui://{field}", "visibility": ["model", "app"], "x": {"y": [1]}}
    meta = {"ui": ui, "ui/resourceUri": f"ui://{field}", f"com.example/{field}": {"a": [None, 0.1]}}
    name, tool = await offered(client, schema, meta)
    try:
        assert tool["inputSchema"] == schema
        assert list(tool["inputSchema"]) == list(schema)
        assert tool["_meta"] == meta
        value = {field: word(), "extra": [1, None]}
        result = await client.tool(name, **value)
        # The schema is the tool's own business; what came is what it got.
        assert result["isError"] if result.get("isError") else field in text_of(result)
    finally:
        await client.tool("withdraw", name=name)
    with pytest.raises(Refused) as refused:
        await client.tool(name)
    assert refused.value.code == -32602


async def test_unknown_meta_and_members_do_no_harm(client: Client) -> None:
    text = word()
    params = {"name": "echo", "arguments": {"text": text}, "task": {"ttl": 1} if client.modern else {}, word(): [None]}
    if not client.modern:
        del params["task"]
    result = await client.request(
        "tools/call", params, meta={f"com.example/{word()}": {"deep": [1, None]}, "traceparent": "00-0-0-00"}
    )
    assert text_of(result) == text


async def test_many_requests_at_once_each_get_their_own_answer(client: Client) -> None:
    words = [word() for _ in range(50)]
    exchanges = [await client.open("tools/call", {"name": "echo", "arguments": {"text": each}}) for each in words]
    assert [text_of(await exchange.result()) for exchange in exchanges] == words


@pytest.mark.parametrize("id", [0, -1, 2**53, 2**63 - 1, "", "0", "ünï", "a" * 1000])
async def test_ids_come_back_as_they_went(client: Client, id: Any) -> None:
    exchange = await client.open("tools/list", id=id)
    await exchange.result()
    assert exchange.response is not None
    assert exchange.response["id"] == id
