"""What opens sockets runs on both loops: that of Python, and the one that `rune serve` uses."""

from __future__ import annotations

import asyncio

import uvloop

SOCKETS = {"test_outlet.py", "test_dial.py"}


def pytest_asyncio_loop_factories(config, item):
    python = {"asyncio": asyncio.new_event_loop}
    return python | {"uvloop": uvloop.new_event_loop} if item.path.name in SOCKETS else python
