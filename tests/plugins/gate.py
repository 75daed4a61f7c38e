"""A gateway with plugins around one server, in this process, and requests of callers that only tests can have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from rune.chain import Chain
from rune.gateway import Gateway
from rune.pipeline import Pipeline
from rune.plugin import PluginConfig
from rune.protocol.methods import MODERN
from rune.protocol.modern import Meta
from rune.request import Caller, Request
from rune.router import Mount
from rune.store import MemoryStore
from rune.tasks import Tasks


@asynccontextmanager
async def gate(server, *plugins) -> AsyncIterator[Gateway]:
    """Plugins are pairs of a class and settings for its PluginConfig."""
    made = []
    for kind, settings in plugins:
        config = PluginConfig(**{"name": kind.__name__, **settings})
        made.append((kind(config), config))
    async with Tasks(MemoryStore()) as tasks, Pipeline(made) as pipeline:
        server.tasks = tasks
        gateway = Gateway([Mount(server)], tasks=tasks)
        gateway.plug(partial(Chain, pipeline))
        async with gateway:
            gateway.pipeline = pipeline
            yield gateway


async def call(
    gateway, name, caller="ada", *, scopes=(), capabilities=None, meta=None, headers=None, answers=None, **arguments
):
    """The result of a tools/call of a caller."""
    raw = msgspec.Raw(msgspec.json.encode(capabilities or {}))
    params = {"name": name, "arguments": arguments, **({"_meta": meta} if meta is not None else {})}
    request = Request(
        "tools/call",
        {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in params.items()},
        meta=Meta(version=MODERN, capabilities=raw),
        caller=Caller(caller, frozenset(scopes)),
        headers=headers,
        answers=answers,
    )
    async with asyncio.timeout(30):
        return (await gateway.handle(request)).value


async def text(gateway, name, caller="ada", **more):
    """The text of it."""
    return (await call(gateway, name, caller, **more))["content"][0]["text"]
