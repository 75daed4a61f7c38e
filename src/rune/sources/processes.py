"""Functions that run in processes of their own: they may use a whole core, crash, or be killed when they take too long.

Each worker runs `rune.sources.child` and gets encoded arguments over its stdin; nothing is pickled.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from rune.config.places import PASSPHRASE
from rune.errors import ConfigError, ProtocolError, ToolError, Unavailable

HEADER: Final = struct.Struct(">I")
WAITING: Final = 1000


class Job(msgspec.Struct):
    """One call: which function, found by its module and name, and its arguments."""

    path: str
    module: str
    function: str
    name: str
    arguments: msgspec.Raw
    search: list[str]
    input_schema: Any = None
    output_schema: Any = None


class Reply(msgspec.Struct):
    """What a worker answers: a result, or the error that becomes a JSON-RPC error."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    code: int = 0
    message: str = ""
    data: Any = None


_encode = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(Reply).decode


def locate(function: Callable[..., Any], what: str) -> tuple[str, str, str]:
    """File, module and name under which another process finds a function.

    Raises:
        ConfigError: it cannot be found by name.
    """
    name = getattr(function, "__qualname__", "")
    module = inspect.getmodule(function)
    path = getattr(module, "__file__", None)
    if module is None or path is None or not name or "<" in name or "." in name:
        raise ConfigError(
            f"{what}: another process cannot find it", hint='execution="process" needs a function of a module'
        )
    return str(Path(path).resolve()), module.__name__, name


class Processes:
    """A bounded pool of workers, started when they are needed. One call at a time in each."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size or os.cpu_count() or 1
        self._idle: list[asyncio.subprocess.Process] = []
        self._slots: asyncio.Semaphore | None = None
        self._waiting = 0
        self._busy: set[asyncio.subprocess.Process] = set()

    async def call(self, job: Job) -> bytes:
        """Have one job done. A worker whose caller gives up is killed.

        Raises:
            ToolError: the worker died.
            Unavailable: too many calls wait already.
            ProtocolError: the function raised it.
        """
        if self._waiting >= WAITING:
            raise Unavailable(f"all {self.size} processes are busy and {self._waiting} calls wait already")
        if self._slots is None:
            self._slots = asyncio.Semaphore(self.size)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            reply = await self._run(job)
        finally:
            self._slots.release()
        if reply.code:
            raise ProtocolError(reply.code, reply.message, data=reply.data)
        return bytes(reply.result)

    async def _run(self, job: Job) -> Reply:
        worker = self._idle.pop() if self._idle else await _spawn()
        self._busy.add(worker)
        stdin, stdout = worker.stdin, worker.stdout
        assert stdin is not None, "it is a pipe"
        assert stdout is not None, "it is a pipe"
        try:
            data = _encode(job)
            stdin.write(HEADER.pack(len(data)) + data)
            await stdin.drain()
            (size,) = HEADER.unpack(await stdout.readexactly(HEADER.size))
            reply = _decode_reply(await stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise ToolError(f"tool {job.name} failed: its process died ({_reason(await worker.wait())})") from None
        except BaseException:
            await _kill(worker)
            raise
        finally:
            self._busy.discard(worker)
        self._idle.append(worker)
        return reply

    async def close(self) -> None:
        """Kill all workers."""
        workers, self._idle = [*self._idle, *self._busy], []
        for worker in workers:
            await _kill(worker)


async def _spawn() -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if name != PASSPHRASE}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rune.sources.child", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env=inherited | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
    )  # fmt: skip


async def _kill(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        try:
            worker.kill()
        except ProcessLookupError:
            return
    await worker.wait()


def _reason(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
