"""The lean core on stdio: all answers to what was read at once leave in one write. `python -m bench.limit.stdio`."""

from __future__ import annotations

import asyncio
import os

import uvloop

from bench.limit import core


class Reader(asyncio.Protocol):
    def __init__(self, done: asyncio.Future[None], writer: asyncio.WriteTransport) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = done
        self._writer = writer
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        answers = []
        for line in lines:
            task = core.begin(self._loop, core.line(line))
            if task.done():
                answers.append(task.result())
            else:
                task.add_done_callback(lambda task: self._write([task.result()]))
        self._write(answers)

    def connection_lost(self, exc: Exception | None) -> None:
        self._done.set_result(None)

    def _write(self, answers: list[bytes]) -> None:
        data = b"".join(answer + b"\n" for answer in answers if answer)
        if data:
            self._writer.write(data)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    writer, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(1, "wb", 0))
    await loop.connect_read_pipe(lambda: Reader(done, writer), os.fdopen(0, "rb", 0))
    await done


if __name__ == "__main__":
    uvloop.run(serve())
