"""What a guest of wasi:mcp must not do, one function each; the name of a tool, a prompt or a URI chooses it."""

from __future__ import annotations

import sys
from typing import Any

from componentize_py_types import Err
from wit_world.imports import content, runtime, types


def text(words: str) -> Any:
    return content.ContentBlock_Text(content.TextContent("text", words, None))


def good() -> list[Any]:
    return [text("well done")]


def err() -> list[Any]:
    raise Err(types.Error(types.ErrorCode.RATE_LIMITED, "slow down", b'{"retry":5}'))


def trap() -> list[Any]:
    return trap() + trap()  # the stack ends


def broken() -> list[Any]:
    raise ZeroDivisionError("nobody catches this")


def leave() -> list[Any]:
    sys.exit(3)


def loop() -> list[Any]:
    while True:
        pass


def memory() -> list[Any]:
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


def flood() -> list[Any]:
    return [text("x" * (1 << 20))] * 100


def logs() -> list[Any]:
    for _ in range(5_000):
        runtime.log(content.LogLevel.INFO, "again", None)
    return [text("logged")]


def utf8() -> list[Any]:
    runtime.log(content.LogLevel.INFO, "lies", b"\xff\xfe")
    return [text("logged")]


def late() -> list[Any]:
    schema = b'{"type":"object"}'
    return _refused(lambda: runtime.register_tools([runtime.ToolDefinition("late", None, "", schema, None, None)]))


def twice() -> list[Any]:
    return _refused(runtime.serve)


def notes() -> list[Any]:
    runtime.send_notification(runtime.Notification_ResourcesUpdated(["test://watched-resource"]))
    return [text("told")]


def _refused(work: Any) -> list[Any]:
    try:
        work()
    except Err as error:
        return [text(f"{error.value.code().name}: {error.value.message()}")]
    return [text("the host took it")]


DEEDS = {
    each.__name__: each
    for each in (good, err, trap, broken, leave, loop, memory, flood, logs, utf8, late, twice, notes)
}


def act(name: str) -> list[Any]:
    if name not in DEEDS:
        raise Err(types.Error(types.ErrorCode.INVALID_PARAMS, f"no deed {name}", None))
    return DEEDS[name]()


def silently(name: str) -> None:
    """For handlers whose results have no value: what the host refused is said by an error."""
    said = act(name)
    if name in ("late", "twice"):
        raise Err(types.Error(types.ErrorCode.INVALID_REQUEST, said[0].value.text, None))


def register(how: str) -> None:
    """Offer all of them; `how` may be one of them, which then happens before `serve`."""
    schema = b'{"type":"object"}'
    runtime.register_tools([runtime.ToolDefinition(name, None, name, schema, None, None) for name in DEEDS])
    runtime.register_prompts([runtime.PromptDefinition(name, None, None, None) for name in DEEDS])
    runtime.register_resource_templates([runtime.ResourceTemplate("bad://{how}", "bad", None, None, None)])
    if how in DEEDS:
        act(how)
