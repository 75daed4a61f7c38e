"""Answers on HTTP for clients that take them compressed, on both ways in: what they are told is the same."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import shutil
import subprocess
import zlib
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from rune.app import Listen
from rune.app.http import HttpRim, HttpServer, asgi, bind
from rune.build import build
from rune.config.files import read_toml
from rune.zstd import zstd
from tests.rig import rig
from tests.wire.client import META, text_of
from tests.wire.conftest import mounted
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

LEGACY = "2025-11-25"
TOOLS = """
from rune import Context, Server

server = Server("texts")


@server.tool
async def search_text(word: str, times: int) -> str:
    return word * times


@server.tool
async def whoami(word: str, times: int) -> str:
    return word * times


@server.tool
async def steps(ctx: Context) -> str:
    await ctx.progress(1, 2, "x" * 2000)
    return "x" * 2000


@server.resource("doc://long")
async def long() -> str:
    "Long."
    return "d" * 5000
""" + "".join(
    f'\n@server.tool\nasync def tool_{n}(a: str) -> str:\n    "What tool {n} does."\n    return a\n' for n in range(20)
)
PLUGIN = """
[[plugins]]
use = "compression"
config = { tools = ["search_*", "steps"], resources = ["doc://*"] }
"""
DECODE = {"gzip": gzip.decompress, "zstd": zstd.decompress, None: bytes}


def house(folder: Path, more: str = PLUGIN) -> Path:
    (folder / "tools.py").write_text(TOOLS)
    path = folder / "rune.toml"
    path.write_text('[server]\nmax_body = "1MiB"\n[sources.texts]\npython = "tools.py"\nprefix = ""\n' + more)
    return path


@asynccontextmanager
async def served(way: str, path: Path):
    """The URL of a gateway, behind the lane or as an app that is mounted under plain uvicorn."""
    async with build(read_toml(path, {})) as gateway, gateway:
        listen = Listen(port=0, max_body=2**20)
        if way == "lane":
            server = HttpServer(HttpRim(gateway, listen))
        else:
            async with mounted(asgi(gateway, listen)) as url:
                yield url
            return
        with bind("127.0.0.1", 0) as listener:
            serving = asyncio.create_task(server.serve([listener]))
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
            server.should_exit = True
            async with asyncio.timeout(30):
                await serving


@asynccontextmanager
async def visitor(url: str, revision: str):
    """A client that shows what comes as it comes."""
    client = HttpClient(url, revision)
    await client.http.close()
    client.http = aiohttp.ClientSession(auto_decompress=False, headers={"accept-encoding": "identity"})
    try:
        if not client.modern:
            await client.initialize()
        yield client
    finally:
        await client.close()


async def raw(client: HttpClient, method: str, accepted: str | None, **params):
    """Status, headers and bytes of the answer to a request."""
    if client.modern:
        params["_meta"] = {f"{META}protocolVersion": client.revision, f"{META}clientCapabilities": {}}
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    headers = client.headers(message) | ({"accept-encoding": accepted} if accepted is not None else {})
    async with client.http.post(client.url, data=json.dumps(message), headers=headers) as response:
        return response.status, response.headers, await response.read()


@pytest.mark.parametrize("way", ["lane", "asgi"])
async def test_what_is_said_is_the_same_however_it_comes(way, tmp_path):
    async with served(way, house(tmp_path)) as url:
        for revision in (MODERN, LEGACY):
            async with visitor(url, revision) as client:

                async def said(method, accepted, **params):
                    status, headers, body = await raw(client, method, accepted, **params)
                    assert status == 200 and headers["vary"] == "accept-encoding"
                    assert int(headers["content-length"]) == len(body)
                    coding = headers.get("content-encoding")
                    return coding, json.loads(DECODE[coding](body)), len(body)

                _, plain, length = await said("tools/list", "identity")
                for accepted, coding in (
                    ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("gzip;q=1, zstd;q=0.1", "gzip"),
                    ("br, deflate", None), ("gzip;q=0", None), ("*", "zstd"),
                ):  # fmt: skip
                    found, same, size = await said("tools/list", accepted)
                    assert (found, same) == (coding, plain)
                    assert size < length / 3 or coding is None
                many = {"word": "ab ", "times": 1000}
                coding, frame, _ = await said("tools/call", "gzip", name="search_text", arguments=many)
                assert coding == "gzip" and text_of(frame["result"]) == "ab " * 1000
                # More than the loop is kept waiting for.
                many = {"word": "ab ", "times": 100_000}
                coding, frame, size = await said("tools/call", "zstd", name="search_text", arguments=many)
                assert (coding, size < 1000) == ("zstd", True) and text_of(frame["result"]) == "ab " * 100_000
                # Nobody has said that it holds nothing of its caller, or it is too short.
                for name, times in (("whoami", 1000), ("search_text", 1)):
                    coding, frame, _ = await said(
                        "tools/call", "gzip, zstd", name=name, arguments={"word": "ab ", "times": times}
                    )
                    assert coding is None and text_of(frame["result"]) == "ab " * times
                coding, frame, _ = await said("resources/read", "zstd", uri="doc://long")
                assert coding == "zstd" and frame["result"]["contents"][0]["text"] == "d" * 5000
                coding, _, _ = await said("tools/call", "gzip, zstd", name="steps", arguments={})
                assert coding == "zstd"


@pytest.mark.parametrize("way", ["lane", "asgi"])
async def test_events_of_a_stream_are_not_held_back(way, tmp_path):
    async with served(way, house(tmp_path)) as url, visitor(url, MODERN) as client:
        meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}, "progressToken": "p"}
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "steps", "_meta": meta}}
        headers = client.headers(message) | {"accept-encoding": "gzip, zstd"}
        async with client.http.post(client.url, data=json.dumps(message), headers=headers) as response:
            assert response.content_type == "text/event-stream"
            assert "content-encoding" not in response.headers and "no-transform" in response.headers["cache-control"]
            assert (await response.read()).count(b"data:") == 2


@pytest.mark.parametrize("way", ["lane", "asgi"])
async def test_who_has_no_such_plugin_gets_what_it_got(way, tmp_path):
    async with served(way, house(tmp_path, "")) as url, visitor(url, MODERN) as client:
        answers = [await raw(client, "tools/list", accepted) for accepted in ("gzip, zstd", "identity")]
        heads = [{key: value for key, value in headers.items() if key != "Date"} for _, headers, _ in answers]
        assert heads[0] == heads[1] and "vary" not in {key.lower() for key in heads[0]}
        assert answers[0][2] == answers[1][2]


@pytest.mark.parametrize("way", ["lane", "asgi"])
async def test_bodies_are_not_unpacked_for_anybody(way, tmp_path):
    bomb = zlib.compress(b" " * 20_000_000, 9, 31)
    async with served(way, house(tmp_path)) as url:
        for revision in (MODERN, LEGACY):
            async with visitor(url, revision) as client:
                headers = client.headers() | {"content-encoding": "gzip", "accept-encoding": "gzip"}
                for body in (
                    bomb,
                    gzip.compress(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'),
                    b"\x28\xb5\x2f\xfd",
                ):
                    async with client.http.post(url, data=body, headers=headers) as response:
                        assert response.status == 415 and response.headers["accept-encoding"] == "identity"
                        assert "content-encoding" in (await response.json())["error"]["message"]


async def test_the_front_door_and_a_config_that_changes(tmp_path):
    path = house(tmp_path)
    with rig("--config", str(path), cwd=tmp_path) as server:
        async with AsyncExitStack() as stack:
            open_one = await stack.enter_async_context(visitor(server.url, MODERN))

            async def coding(client):
                _, headers, _ = await raw(client, "tools/list", "gzip, zstd")
                return headers.get("content-encoding")

            async def until(client, wanted):
                async with asyncio.timeout(30):
                    while await coding(client) != wanted:
                        await asyncio.sleep(0.05)

            assert await coding(open_one) == "zstd"
            # What is no POST of HTTP/1.1 goes the ordinary way.
            meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}).encode()
            head = (
                f"POST /mcp HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
                f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/list\r\nAccept: */*\r\n"
                f"Accept-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode()
            answer = await asyncio.to_thread(server.raw, head + body)
            head, _, coded = answer.partition(b"\r\n\r\n")
            assert b"content-encoding: gzip" in head
            assert len(json.load(gzip.GzipFile(fileobj=io.BytesIO(coded)))["result"]["tools"]) == 23
            if shutil.which("curl"):
                told = await asyncio.to_thread(
                    subprocess.run,
                    ["curl", "-sS", "--compressed", "-H", "content-type: application/json", "-H", "accept: */*",
                     "-H", f"MCP-Protocol-Version: {MODERN}", "-H", "Mcp-Method: tools/list",
                     "--data-binary", body.decode(), server.url],
                    capture_output=True, check=True,
                )  # fmt: skip
                assert len(json.loads(told.stdout)["result"]["tools"]) == 23
            house(tmp_path, PLUGIN.replace("tools =", 'codings = ["gzip"], tools ='))
            await until(open_one, "gzip")
            house(tmp_path, "")
            await until(open_one, None)
            house(tmp_path)
            async with asyncio.timeout(30):
                while True:
                    fresh = await stack.enter_async_context(visitor(server.url, MODERN))
                    if await coding(fresh) == "zstd":
                        break
                    await asyncio.sleep(0.2)
        assert "Traceback" not in server.said
