"""A question to a legacy client is a request that waits; whoever has asked may stop waiting first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec


async def answers(
    asking: Coroutine[Any, Any, dict[str, msgspec.Raw]], moved: asyncio.Future[None] | None
) -> dict[str, msgspec.Raw]:
    """The answers of the client, or none at all when the questions are withdrawn before (`moved`)."""
    if moved is None:
        return await asking
    task = asyncio.create_task(asking)
    try:
        await asyncio.wait((task, moved), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else {}
    finally:
        if not task.done():
            # On its way out it tells the client that the questions are void.
            task.cancel()
            await asyncio.wait((task,))
