"""The other end of `processes`: `python -m rune.sources.child` runs one job after the other until its stdin ends."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import signal
import sys
from typing import Any, BinaryIO

import msgspec

from rune.errors import INTERNAL_ERROR, RuneError
from rune.request import Request
from rune.sources.processes import HEADER, Job, Reply
from rune.sources.routine import Routine, Services
from rune.sources.tools import Tool, ToolOptions

_decode_job = msgspec.json.Decoder(Job).decode
_encode = msgspec.json.Encoder().encode


class _Child:
    name = "child"


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer jobs until there are no more."""
    tools: dict[tuple[str, str, str], Tool] = {}
    while len(header := source.read(HEADER.size)) == HEADER.size:
        job = _decode_job(source.read(*HEADER.unpack(header)))
        data = _encode(_answer(job, tools))
        target.write(HEADER.pack(len(data)) + data)
        target.flush()


def _answer(job: Job, tools: dict[tuple[str, str, str], Tool]) -> Reply:
    key = job.path, job.function, job.name
    try:
        if key not in tools:
            tools[key] = _tool(job)
        request = Request("tools/call", {"arguments": msgspec.Raw(bytes(job.arguments))})
        return Reply(msgspec.Raw(asyncio.run(_call(tools[key], request))))
    except RuneError as error:
        return Reply(code=error.code, message=error.message, data=error.data)
    except Exception as error:  # noqa: BLE001 - one bad job must not end the worker
        return Reply(code=INTERNAL_ERROR, message=f"tool {job.name}: {type(error).__name__}: {error}")


async def _call(tool: Tool, request: Request) -> bytes:
    return (await tool.call(request)).raw


def _tool(job: Job) -> Tool:
    described = job.input_schema is not None
    services = Services(_Child(), 1)
    routine = Routine(_find(job), f"tool {job.name}", services, execution="inline", described=described)
    # The size of a result is bounded where it arrives.
    options = ToolOptions(input_schema=job.input_schema, output_schema=job.output_schema, max_result=sys.maxsize)
    return Tool(job.name, routine, options)


def _find(job: Job) -> Any:
    """The function: from its module where that can be imported, else from its file."""
    for folder in job.search:
        if folder not in sys.path:
            sys.path.append(folder)
    module = sys.modules.get(job.module) if job.module != "__main__" else sys.modules.get("__mp_main__")
    if module is None or getattr(module, "__file__", None) != job.path:
        spec = importlib.util.find_spec(job.module) if job.module != "__main__" else None
        if spec is not None and spec.origin == job.path:
            module = importlib.import_module(job.module)
        else:
            name = "__mp_main__" if job.module == "__main__" else job.module
            spec = importlib.util.spec_from_file_location(name, job.path)
            assert spec is not None, "a file of Python code has a spec"
            assert spec.loader is not None, "and a loader"
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
    return getattr(module, job.function)


if __name__ == "__main__":
    # Ctrl-C reaches the whole group: the server decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What the functions print must not get between the answers.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    serve(sys.stdin.buffer, channel)
