"""What asyncio lacks: a task that starts at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

EAGER: Final = sys.version_info >= (3, 12)


def spawn(job: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that has already taken its first step where Python can do that (3.12): what it starts with happens before
    the next frame is read, and a job that never waits costs no turn of the loop."""
    if EAGER:
        loop = asyncio.get_running_loop()
        return asyncio.Task(job, loop=loop, eager_start=True)  # type: ignore[call-arg, unused-ignore]
    return asyncio.create_task(job)
