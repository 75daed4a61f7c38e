"""The command line of the load generator; the answer is one JSON object on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from bench.load import http, stdio
from bench.load.messages import ERAS, METHODS, Messages, WrongAnswer

WRONG = 3


def main(words: Sequence[str]) -> int:
    """0 when every answer was right, 3 when one was wrong or did not come."""
    options = _parser().parse_args(words)
    problem = ""
    try:
        print(json.dumps(run(options)))
    except* WrongAnswer as wrong:
        problem = str(_first(wrong))
    except* TimeoutError:
        problem = "a request got no answer in time"
    if problem:
        print(f"bench: {problem}", file=sys.stderr)
        return WRONG
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    messages = Messages(options.era, options.method, options.size, options.tools)
    if options.what == "stdio":
        return stdio.load(options.command, messages, options.depth, options.seconds)
    target = http.Target(options.url, options.pid)
    if options.what == "memory":
        return uvloop.run(http.memory(target, messages, options.clients, listen=options.listen))
    return uvloop.run(http.load(target, messages, options.clients, options.seconds))


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _pids(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    whats = parser.add_subparsers(dest="what", required=True)
    call = whats.add_parser("http", help="clients that call without a pause")
    memory = whats.add_parser("memory", help="what a connected client costs")
    pipe = whats.add_parser("stdio", help="a server that is started for it; its command comes after --")
    for parts in (call, memory, pipe):
        parts.add_argument("--era", choices=ERAS, default="modern")
        parts.add_argument("--method", choices=list(METHODS), default="call")
        parts.add_argument("--size", type=int, default=16, help="characters of the text that is echoed")
        parts.add_argument("--tools", type=int, default=1, help="how many tools a list must hold")
    for parts in (call, memory):
        parts.add_argument("url")
        parts.add_argument("--clients", "-c", type=int, default=32)
    for parts in (call, pipe):
        parts.add_argument("--seconds", "-d", type=float, default=2.0)
    call.add_argument("--pid", type=_pids, default=[], help="processes of the server, with commas between them")
    memory.add_argument("--pid", type=_pids, required=True, help="processes of the server, with commas between them")
    memory.add_argument("--listen", action="store_true", help="each client holds a stream open")
    pipe.add_argument("--depth", type=int, default=1, help="requests in flight")
    pipe.add_argument("command", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
