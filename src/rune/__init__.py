"""Rune puts every tool behind one MCP endpoint. This is its public face; each name is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rune.client.kept import Cache as Cache
    from rune.connect import Client as Client
    from rune.connect import SyncClient as SyncClient
    from rune.errors import ConfigError as ConfigError
    from rune.errors import NeedsAuth as NeedsAuth
    from rune.errors import NotFound as NotFound
    from rune.errors import ProtocolError as ProtocolError
    from rune.errors import RuneError as RuneError
    from rune.errors import TimedOut as TimedOut
    from rune.errors import ToolError as ToolError
    from rune.errors import Unavailable as Unavailable
    from rune.request import Caller as Caller
    from rune.request import Request as Request
    from rune.request import Result as Result
    from rune.sources.content import Audio as Audio
    from rune.sources.content import Embedded as Embedded
    from rune.sources.content import Image as Image
    from rune.sources.content import Message as Message
    from rune.sources.content import ResourceLink as ResourceLink
    from rune.sources.content import Text as Text
    from rune.sources.context import Context as Context
    from rune.sources.functions import Server as Server

__version__ = "0.1.0"

_NAMES = {
    "Audio": "rune.sources.content",
    "Cache": "rune.client.kept",
    "Caller": "rune.request",
    "Client": "rune.connect",
    "ConfigError": "rune.errors",
    "Context": "rune.sources.context",
    "Embedded": "rune.sources.content",
    "Image": "rune.sources.content",
    "Message": "rune.sources.content",
    "NeedsAuth": "rune.errors",
    "NotFound": "rune.errors",
    "ProtocolError": "rune.errors",
    "Request": "rune.request",
    "ResourceLink": "rune.sources.content",
    "Result": "rune.request",
    "RuneError": "rune.errors",
    "Server": "rune.sources.functions",
    "SyncClient": "rune.connect",
    "Text": "rune.sources.content",
    "TimedOut": "rune.errors",
    "ToolError": "rune.errors",
    "Unavailable": "rune.errors",
}

__all__ = ["__version__", *_NAMES]


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'rune' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
