"""The keywords of `Server` and its decorators, for type checkers and readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

Execution: TypeAlias = Literal["auto", "inline", "thread", "process"]


class RoutineKeywords(TypedDict, total=False):
    """Where a function runs and how long it may take (seconds), instead of what the server says."""

    execution: Execution
    timeout: float | None


class ToolKeywords(RoutineKeywords, total=False):
    """Keywords of `Server.tool`. `input_schema` and `output_schema` are JSON Schemas that go out verbatim.

    `task` says whether a client that knows the tasks extension gets a task: with `detach="start"` at once, with
    `detach="body"` when the function awaits `Context.detach()`. `replay` runs the function again from the start after
    each answer, instead of keeping it: then a retry may land on any worker.
    """

    name: str | None
    title: str | None
    description: str | None
    annotations: Mapping[str, Any] | None
    icons: Sequence[Mapping[str, Any]] | None
    meta: Mapping[str, Any] | None
    input_schema: Mapping[str, Any] | None
    output_schema: Mapping[str, Any] | None
    task: str
    detach: str
    replay: bool
    max_result: int


class ResourceKeywords(RoutineKeywords, total=False):
    """Keywords of `Server.resource`. `ttl_ms` and `scope` ("private" or "public") say how long a reader may keep it."""

    name: str | None
    title: str | None
    description: str | None
    mime_type: str | None
    size: int | None
    icons: Sequence[Mapping[str, Any]] | None
    annotations: Mapping[str, Any] | None
    meta: Mapping[str, Any] | None
    ttl_ms: int
    scope: str


class PromptKeywords(RoutineKeywords, total=False):
    """Keywords of `Server.prompt`."""

    name: str | None
    title: str | None
    description: str | None
    icons: Sequence[Mapping[str, Any]] | None
    meta: Mapping[str, Any] | None


class ServerKeywords(TypedDict, total=False):
    """Keywords of `Server`. `execution`, `timeout` and `max_result` hold for all functions that say nothing else;
    `threads` bounds the pool for sync functions. The others are what clients are shown."""

    version: str | None
    title: str | None
    instructions: str | None
    icons: Sequence[Mapping[str, Any]] | None
    website_url: str | None
    execution: Execution
    timeout: float | None
    max_result: int
    threads: int
