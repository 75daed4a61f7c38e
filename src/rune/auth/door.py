"""What an error about a missing sign-in carries, where a person could be led to one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias


class Visit(Protocol):
    """Takes a person to an address and hears where they come back to."""

    @property
    def redirect(self) -> str:
        """The redirect URI."""
        ...

    async def visit(self, url: str) -> Mapping[str, str]:
        """The query of the answer. Raises TimedOut."""
        ...


Visiting: TypeAlias = Callable[[int], AbstractAsyncContextManager[Visit]]
"""Makes a way to send a person to a browser; the number is the port that was used before, or 0."""


class Door(NamedTuple):
    """A sign-in of the operator at the source `name`: `enter` goes through with it, `opened` says that somebody has
    meanwhile."""

    name: str
    enter: Callable[[Visiting], Awaitable[object]]
    opened: Callable[[], bool]
