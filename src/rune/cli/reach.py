"""How the verbs reach a gateway: one of their own in this process, or a running one by its URL."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Final, TypeVar

from rune.build import build
from rune.cli import screen
from rune.cli.answers import elicit
from rune.cli.options import configured
from rune.config.files import check_url
from rune.connect import Client
from rune.errors import ConfigError
from rune.gateway import Gateway
from rune.request import Request
from rune.source import Source

T = TypeVar("T")

PATIENCE: Final = 0.3
"""Seconds before a person is told what is waited for."""
START: Final = 60.0
"""Seconds that the servers of a command line have to start."""


def reach(
    work: Callable[[Client], Awaitable[T]],
    targets: tuple[str, ...],
    file: Path | None,
    url: str | None,
    **options: Any,
) -> T:
    """Do some work with a client and return what comes of it. `options` are those of Client.

    What tools print meanwhile goes to stderr: stdout is for the answer.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    if url is not None and (targets or file is not None):
        raise screen.Misuse("--url names a running gateway: it goes with no TARGET and no --config")
    if url is not None:
        try:
            check_url(url)
        except ConfigError as error:
            raise screen.Misuse(error.message, error.hint) from None

    async def run() -> T:
        async with (
            _target(targets, file, url) as target,
            Client(target, elicitation=elicit, **options) as client,
        ):
            return await work(client)

    with redirect_stdout(sys.stderr):
        return asyncio.run(run())


@asynccontextmanager
async def _target(targets: tuple[str, ...], file: Path | None, url: str | None) -> AsyncIterator[str | Gateway]:
    if url is not None:
        yield url
        return
    async with build(configured(targets, file)) as gateway, gateway:
        await started(gateway)
        yield gateway


async def started(gateway: Gateway) -> None:
    """Wait for the sources, so that nothing is missing only because it is slow.

    Raises:
        RuneError: the only source there is cannot be used. Of several, the router tells which one it cannot ask.
    """
    sources = [mount.source for mount in gateway.mounts]
    if not sources:
        return
    starting = {asyncio.create_task(_started(source)): source.name for source in sources}
    _, pending = await asyncio.wait(starting, timeout=PATIENCE)
    if pending and screen.terminal(err=True):
        screen.status(f"starting {', '.join(sorted(starting[task] for task in pending))} …")
        await asyncio.wait(pending)
        screen.status("")
    errors = await asyncio.gather(*starting, return_exceptions=True)
    for error in errors:
        if isinstance(error, BaseException) and (len(sources) == 1 or not isinstance(error, Exception)):
            raise error


async def _started(source: Source) -> None:
    """A source that is still starting says so every few seconds; one that has failed raises."""
    request = Request("catalog")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START
    state = getattr(source, "status", None)
    while state is not None and state()["state"] in ("asleep", "starting") and loop.time() < deadline:
        try:
            await source.catalog(request)
        except Exception:
            if state()["state"] not in ("asleep", "starting"):
                raise
        else:
            return
    await source.catalog(request)
