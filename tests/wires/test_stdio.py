"""Stdio on other things than pipes, and a reader that falls behind."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from rune.wires import Way
from rune.wires.stdio import Lines, StdioWire


class Peer:
    """Gives every frame back, `times` times."""

    def __init__(self, way: Way, times: int = 1) -> None:
        self.way = way
        self.times = times
        self.fed = 0
        self.oversized = 0
        self.finished = False
        self.closed = False

    def feed(self, data: bytes) -> None:
        self.fed += 1
        for _ in range(self.times):
            self.way.write(data, "")

    def oversize(self, limit: int) -> None:
        self.oversized += 1

    async def finish(self, patience: float) -> None:
        self.finished = True

    async def close(self) -> None:
        self.closed = True


async def serve(stdin: int, stdout: int, times: int = 1, stop: asyncio.Event | None = None) -> Peer:
    """Run a wire to its end."""
    peers: list[Peer] = []

    def open(way: Way) -> Peer:
        peers.append(Peer(way, times))
        return peers[0]

    wire = StdioWire(open, limit=1_000_000, stdin=stdin, stdout=stdout)
    async with asyncio.timeout(30):
        await wire.run(stop or asyncio.Event(), lambda: None)
    assert peers[0].finished
    assert peers[0].closed
    return peers[0]


async def test_plain_files_on_both_sides(tmp_path: Path) -> None:
    """`rune serve --stdio < in > out`"""
    lines = [b"%d" % number + b"x" * (number % 3000) for number in range(500)]
    (tmp_path / "in").write_bytes(b"\n".join(lines))
    stdin, stdout = os.open(tmp_path / "in", os.O_RDONLY), os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    try:
        await serve(stdin, stdout)
    finally:
        os.close(stdin)
        os.close(stdout)
    assert (tmp_path / "out").read_bytes() == b"\n".join(lines) + b"\n"


async def test_a_reader_that_falls_behind_stops_the_reading() -> None:
    near, far = socket.socketpair()
    peer_near, peer_far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    serving = asyncio.create_task(serve(peer_near.detach(), near.detach(), times=50))
    lines = [b"%06d" % number + b"y" * 2000 for number in range(200)]
    reader, other = await asyncio.open_connection(sock=far)
    _, writer = await asyncio.open_connection(sock=peer_far)
    writer.write(b"\n".join(lines) + b"\n")
    writer.write_eof()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        data = await reader.read(-1)
    assert (await serving).fed == 200
    assert data.split(b"\n") == [line for line in lines for _ in range(50)] + [b""]
    for each in (writer, other):
        each.close()
        await each.wait_closed()


async def test_a_parent_that_closes_stdout() -> None:
    near, far = socket.socketpair()
    peer_near, peer_far = socket.socketpair()
    serving = asyncio.create_task(serve(peer_near.detach(), near.detach()))
    await asyncio.sleep(0)
    far.close()
    peer_far.sendall(b"{}\n" * 10)
    await serving
    peer_far.close()


async def test_a_stop_from_outside() -> None:
    near, far = socket.socketpair()
    peer_near, peer_far = socket.socketpair()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(peer_near.detach(), near.detach(), stop=stop))
    peer_far.sendall(b"half a line")
    await asyncio.sleep(0.05)
    stop.set()
    assert (await serving).fed == 1
    far.settimeout(5)
    assert far.recv(100) == b"half a line\n"
    far.close()
    peer_far.close()


@pytest.mark.parametrize(
    "pieces", [[b"x" * 11, b"\n", b"ok\n"], [b"x" * 6, b"x" * 6, b"x" * 60, b"\nok", b"\n"], [b"x" * 11 + b"\nok\n"]]
)
def test_a_line_that_is_too_long_is_reported_once(pieces: list[bytes]) -> None:
    class Ways:
        def write(self, frame: bytes, topic: str) -> None:
            assert frame == b"ok"

        async def room(self) -> None: ...

    peer = Peer(Ways())
    lines = Lines(peer, 10)
    for piece in pieces:
        lines.feed(piece)
    assert (peer.oversized, peer.fed) == (1, 1)
