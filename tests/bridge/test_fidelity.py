"""What a server says arrives as it was said, and so does what clients say to it: byte for byte, whatever the eras."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.bridge.house import HERE, House, Marks, offering, table, visiting
from tests.rig import rig
from tests.wire.client import Client
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCHEMA = (
    '{"type" : "object","$schema":"https://json-schema.org/draft/2020-12/schema","$defs":{"n":{"$anchor":"node",'
    '"type":"object","properties":{"next":{"$ref":"#node"},"v":{"type":"number","multipleOf":1.50}}}},'
    '"properties":{"a":{"$ref":"#/$defs/n"}},"additionalProperties":false,"x-vendor":[1e2,"\\u00e9"],"dependentRequired":{}}'
)
META = '"_meta":{"example.org/a":{"b" : [1.0,null,"\\u0041"]},"traceparent":"00-0-0-00"}'
ICONS = (
    '"icons":[{"src":"data:image/png;base64,AA==","mimeType":"image/png","sizes":["48x48"],"theme":"dark","x":1.50}]'
)
NOTES = '"annotations":{"readOnlyHint":true,"title":"T","x-more":{"y":1.50}}'
VENDOR = '"vendor":{"z":1.50,"big":123456789012345678901234567890}'
TOOL = f'"title":"A","description":"\\u2028d",{NOTES},{ICONS},{META},{VENDOR}'
TEXT = '{"type":"text","text":"t"}'
VALUES = ('[1.0,"x"]', '"text"', "17", "null", "true", "[]")
TOOLS = ",".join(
    (
        f'{{"name":"odd","inputSchema":{SCHEMA},"outputSchema":{SCHEMA},{TOOL}}}',
        '{"name":"said","inputSchema":{"type":"object"}}',
        '{"name":"touch","inputSchema":{"type":"object"}}',
        *(f'{{"name":"v{number}","inputSchema":{{"type":"object"}}}}' for number in range(len(VALUES))),
    )
)
RESOURCE = (
    f'"name":"r","size":7,"annotations":{{"audience":["user"],"priority":0.50}},{ICONS},{META},"vendor":{{"z":1.50}}'
)
BLOCKS = (
    '{"type":"text","text":"\\u0041 \\ud83d\\ude00","annotations":{"priority":0.10,"x":1},"more":1.50},'
    f'{{"type":"resource_link","uri":"raw://one",{RESOURCE}}},'
    f'{{"type":"resource","resource":{{"uri":"raw://one","text":"t",{META},"v":1.50}},"more":1.50}},'
    '{"type":"image","data":"AA==","mimeType":"image/png","more":1.50}'
)
STRUCTURED = '{"a":1.0,"b":[null,1e5,{"c":"\\u00e9"}],"big":123456789012345678901234567890}'
WORDS = {
    **{f"v{number}": f'"content":[{TEXT}],"structuredContent":{value}' for number, value in enumerate(VALUES)},
    "tools/list": f'"tools":[{TOOLS}]',
    "resources/list": f'"resources":[{{"uri":"raw://one",{RESOURCE}}},{{"uri":"raw://two","name":"two"}}]',
    "resources/templates/list": f'"resourceTemplates":[{{"uriTemplate":"raw://t/{{id}}",{RESOURCE}}}]',
    "prompts/list": f'"prompts":[{{"name":"p","arguments":[{{"name":"a","required":true,"x":1.50}}],{TOOL}}}]',
    "tools/call": f'"content":[{BLOCKS}],"structuredContent":{STRUCTURED},{META},"vendor":{{"z":1.50}}',
    "prompts/get": f'"messages":[{{"role":"user","content":{BLOCKS.split("},{")[0]}}},"x":1.50}}],{META},"vendor":1.50',
    "resources/read": f'"contents":[{{"uri":"raw://one","text":"\\u0041",{META},"v":1.50}}],"vendor":{{"z":1.50}}',
}
SOURCES = ("one-old", "two-old", "one-new", "two-new")
CLIENTS = [(wire, revision) for wire in ("http", "stdio") for revision in (MODERN, "2025-11-25")]


@pytest.fixture(scope="session")
def raw_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two servers of each era, which offer the same."""
    folder: Path = tmp_path_factory.mktemp("raw")
    words = folder / "words.json"
    words.write_text(json.dumps(WORDS))
    tables = [
        table(
            name,
            {"command": [sys.executable, str(HERE / "raw.py"), name[4:]], "env": {"WORDS": str(words)}},
        )
        for name in SOURCES
    ]
    path = folder / "rune.toml"
    path.write_text("\n".join(tables))
    with rig("--config", str(path)) as server:
        yield House(server, path, Marks(folder))


class Bytes:
    """A client whose answers are read as they came."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lines = asyncio.Queue[str]()
        if not isinstance(client, HttpClient):
            link: Any = client.connection.link  # type: ignore[attr-defined]
            self._receive, link.receive = link.receive, self._tee

    async def _tee(self) -> str | None:
        text: str | None = await self._receive()
        if text is not None:
            self._lines.put_nowait(text)
        return text

    async def ask(self, method: str, params: dict[str, Any]) -> str:
        """The answer to a request, in one piece and still encoded."""
        client = self.client
        if isinstance(client, HttpClient):
            message = client.message(method, params)
            headers = client.headers(message)
            async with client.http.post(client.url, data=json.dumps(message), headers=headers) as response:
                assert response.status == 200
                return _only(await response.text(), response)
        exchange = await client.open(method, params)
        await exchange.done()
        while True:
            line = self._lines.get_nowait()
            if json.loads(line).get("id") == exchange.id:
                return line


def _only(text: str, response: aiohttp.ClientResponse) -> str:
    if response.content_type != "text/event-stream":
        return text
    return [line[6:] for line in text.splitlines() if line.startswith("data: {")][-1]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def readers(raw_house: House) -> AsyncIterator[dict[tuple[str, str], Bytes]]:
    async with AsyncExitStack() as stack:
        found = {}
        for wire, revision in CLIENTS:
            client = await stack.enter_async_context(visiting(raw_house, wire, revision))
            found[wire, revision] = Bytes(client)
            await offering(client, SOURCES)
        yield found


@pytest.fixture(params=CLIENTS, ids="-".join)
def reader(request: pytest.FixtureRequest, readers: dict[tuple[str, str], Bytes]) -> Bytes:
    """A client of each wire and era."""
    return readers[request.param]


async def test_definitions_arrive_as_they_were_written(reader: Bytes) -> None:
    tools = await reader.ask("tools/list", {})
    for source in SOURCES:
        assert f'{{"name":"{source}_odd","inputSchema":{SCHEMA},"outputSchema":{SCHEMA},{TOOL}}}' in tools
    prompts = await reader.ask("prompts/list", {})
    own = f'"arguments":[{{"name":"a","required":true,"x":1.50}}],{TOOL}}}'
    assert all(f'{{"name":"{source}_p",{own}' in prompts for source in SOURCES)
    resources = await reader.ask("resources/list", {})
    assert f'{{"uri":"raw://one",{RESOURCE}}}' in resources
    assert all(f'{{"uri":"rune://{source}/raw://one",{RESOURCE}}}' in resources for source in SOURCES[1:])
    templates = await reader.ask("resources/templates/list", {})
    assert f'{{"uriTemplate":"raw://t/{{id}}",{RESOURCE}}}' in templates
    assert f'{{"uriTemplate":"rune://two-new/raw://t/{{id}}",{RESOURCE}}}' in templates


@pytest.mark.parametrize("source", SOURCES)
async def test_results_arrive_as_they_were_written(reader: Bytes, source: str) -> None:
    uri = "raw://one" if source == "one-old" else f"rune://{source}/raw://one"
    blocks = BLOCKS.replace('"raw://one"', f'"{uri}"')
    said = await reader.ask("tools/call", {"name": f"{source}_odd", "arguments": {}})
    assert f'"content":[{blocks}],"structuredContent":{STRUCTURED}' in said
    assert '"example.org/a":{"b" : [1.0,null,"\\u0041"]}' in said
    assert '"vendor":{"z":1.50}' in said
    said = await reader.ask("prompts/get", {"name": f"{source}_p", "arguments": {"a": "1"}})
    assert WORDS["prompts/get"].partition(',"_meta"')[0] in said
    assert '"vendor":1.50' in said
    said = await reader.ask("resources/read", {"uri": uri})
    assert f'"contents":[{{"uri":"{uri}","text":"\\u0041",{META},"v":1.50}}]' in said


@pytest.mark.parametrize("source", ["one-old", "one-new"])
@pytest.mark.parametrize("number", range(len(VALUES)))
async def test_structured_content_of_any_type(reader: Bytes, source: str, number: int) -> None:
    """As far as the revision of the client has room for it: the older ones know objects only."""
    said = await reader.ask("tools/call", {"name": f"{source}_v{number}", "arguments": {}})
    assert TEXT in said
    assert (f'"structuredContent":{VALUES[number]}' in said) == reader.client.modern


@pytest.mark.parametrize("source", SOURCES)
async def test_what_clients_say_arrives_as_it_was_said(reader: Bytes, source: str) -> None:
    arguments = {"a": 1.5, "b": {"c": [None, "\u2028"]}, "n": 12345678901234567890}
    params = {"name": f"{source}_said", "arguments": arguments, "vendor": {"z": 1.5}}
    meta = {"example.org/k": {"v": 1.5}, "traceparent": "00-1-1-01"}
    exchange = await reader.client.open("tools/call", params, meta=meta)
    heard = (await exchange.result())["content"][0]["text"]
    found = json.loads(heard)
    assert f'"arguments":{json.dumps(arguments)}' in heard
    assert found["name"] == "said"
    assert found["vendor"] == {"z": 1.5}
    assert found["_meta"]["example.org/k"] == {"v": 1.5}
    assert found["_meta"]["traceparent"] == "00-1-1-01"
    assert ("io.modelcontextprotocol/clientCapabilities" in found["_meta"]) == source.endswith("new")


@pytest.mark.parametrize("source", ["two-old", "two-new"])
async def test_updates_and_completions_of_a_resource_that_two_list(reader: Bytes, source: str) -> None:
    client, uri = reader.client, f"rune://{source}/raw://one"
    method = "notifications/resources/updated"
    touch = {"arguments": {"uri": "raw://one"}}
    if client.modern:
        listen = await client.open("subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}})
        assert (await listen.next())["params"]["notifications"] == {"resourceSubscriptions": [uri]}
        await client.request("tools/call", {"name": f"{source}_touch", **touch})
        note = await listen.next(method)
        await client.cut(listen)
    else:
        await client.hear()
        await client.request("resources/subscribe", {"uri": uri})
        if client.capabilities and source.endswith("old"):
            # It runs once more for clients that it may ask, and tells only that run.
            await client.request("resources/unsubscribe", {"uri": uri})
            return
        await client.request("tools/call", {"name": f"{source}_touch", **touch})
        note = await client.heard(method)
        await client.request("resources/unsubscribe", {"uri": uri})
    assert note["params"]["uri"] == uri
    assert note["params"]["x"] == 1.5
    ref = {"type": "ref/resource", "uri": f"rune://{source}/raw://t/{{id}}"}
    params = {"ref": ref, "argument": {"name": "id", "value": "x"}}
    found = await client.request("completion/complete", params)
    assert json.loads(found["completion"]["values"][0]) == {"type": "ref/resource", "uri": "raw://t/{id}"}
