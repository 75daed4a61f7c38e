"""A guest that tries what a policy must deny. Each tool says what it got."""

import json
import os
import socket
from pathlib import Path

from componentize_py_types import Err
from wit_world.imports import http

from rune import Server

server = Server("attacks")


@server.tool
def read(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


@server.tool
def write(path: str, text: str) -> str:
    """Write a file."""
    Path(path).write_text(text)
    return "written"


@server.tool
def link(target: str, path: str) -> str:
    """Make a symbolic link and read what it leads to."""
    Path(path).symlink_to(target)
    return read(path)


@server.tool
def environ() -> str:
    """All variables."""
    return json.dumps(dict(os.environ))


@server.tool
def connect(host: str, port: int) -> str:
    """Open a socket."""
    with socket.create_connection((host, port), 3) as connection:
        return repr(connection.recv(10))


@server.tool
def fetch(request: dict) -> str:
    """Call the outside through the gateway."""
    try:
        return http.fetch(json.dumps(request))
    except Err as error:
        return f"denied: {error.value.message}"


@server.tool
def work(rounds: int) -> int:
    """Compute for a while."""
    found = 0
    for at in range(rounds):
        found = (found * 31 + at) % 1000003
    return found


@server.tool
def hoard(size: int) -> int:
    """Take memory."""
    return len(bytearray(size))


@server.tool
def echo(text: str) -> str:
    """Say it again."""
    return text
