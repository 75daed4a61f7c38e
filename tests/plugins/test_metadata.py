"""What of headers and `_meta` passes, down and up."""

from __future__ import annotations

import msgspec
import pytest

from rune import Context, Server
from rune.errors import ConfigError
from rune.plugin import PluginConfig
from rune.plugins.metadata import MetadataFilter
from rune.request import Request, Result
from tests.plugins.gate import call, gate


def mirror():
    """A server that shows what has reached it."""
    server = Server("mirror")

    @server.tool
    async def show(ctx: Context) -> str:
        meta = msgspec.json.decode(ctx.request.params.get("_meta", b"{}"))
        headers = {key.decode(): value.decode() for key, value in (ctx.request.headers or {}).items()}
        return msgspec.json.encode({"meta": meta, "headers": headers}).decode()

    return server


class Speaker:
    """Stands for a source that says more than it should."""

    async def handle(self, request):
        block = {"type": "text", "text": "x", "_meta": {"trace/id": 1, "shown/y": 2}}
        return Result.of(
            {"content": [block, {"type": "text", "text": "y"}], "_meta": {"trace/id": 3, "rune/key": 4}, "x": 1.5}
        )


async def test_headers_and_meta_on_their_way_down():
    config = {"headers": {"remove": ["x-internal-*"]}, "request": {"keep": ["app/*"], "remove": ["APP/secret"]}}
    meta = {"app/a": 1, "app/secret": 2, "other/b": 3, "progressToken": 5, "io.modelcontextprotocol/x": 6}
    headers = {b"x-internal-id": b"7", b"x-client": b"8"}
    async with gate(mirror(), (MetadataFilter, {"config": config})) as gateway:
        result = await call(gateway, "show", meta=meta, headers=headers)
        seen = msgspec.json.decode(result["content"][0]["text"])
        assert seen["headers"] == {"x-client": "8"}
        assert seen["meta"] == {"app/a": 1, "progressToken": 5, "io.modelcontextprotocol/x": 6}
        seen = msgspec.json.decode((await call(gateway, "show", "bob"))["content"][0]["text"])
        assert seen == {"meta": {}, "headers": {}}


async def test_meta_on_its_way_up_and_nothing_else_is_touched():
    plugin = MetadataFilter(PluginConfig(name="m", config={"result": {"remove": ["trace/*"]}}))
    result = await plugin.handle(Request("tools/call"), Speaker().handle)
    assert result.value == {
        "resultType": "complete",
        "content": [{"type": "text", "text": "x", "_meta": {"shown/y": 2}}, {"type": "text", "text": "y"}],
        "_meta": {"rune/key": 4}, "x": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "has nothing to filter"),
        ({"body": {}}, "unknown key body"),
        ({"headers": ["x"]}, "headers has keep and remove"),
        ({"result": {"drop": []}}, "result has keep and remove"),
        ({"request": {"remove": "x"}}, "request.remove must be a list of texts"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(config, problem):
    with pytest.raises(ConfigError, match=problem):
        MetadataFilter(PluginConfig(name="m", config=config))
