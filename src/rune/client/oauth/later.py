"""Stands for the sign-in of a server that may never want one: nothing is loaded before there is a reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from rune.client.calls import Auth
from rune.errors import ConfigError

log = logging.getLogger("rune.client")

_NOTHING: Final[Mapping[str, str]] = {}


class Later:
    """An Auth that is made with the first refusal, or with the first exchange where `there` says that a vault is."""

    def __init__(self, make: Callable[[], Auth], there: Callable[[], bool]) -> None:
        self._make = make
        self._there = there
        self._asked = False
        self._wanted = False
        self._auth: Auth | None = None

    def now(self, method: str, url: str) -> Mapping[str, str] | None:
        if self._auth is not None:
            return self._auth.now(method, url)
        return _NOTHING if self._asked else None

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        if not self._asked:
            self._asked = True
            if self._there():
                self._auth = self._make()
        if self._auth is None:
            return _NOTHING
        try:
            return await self._auth.headers(method, url)
        except ConfigError as error:
            if self._wanted:
                raise
            # A vault that does not open here is no reason to fail at a server that may want nothing from it.
            log.warning("%s", error)
            self._auth = None
            return _NOTHING

    async def refused(self, proof: Mapping[str, str], status: int, headers: Mapping[str, str]) -> bool:
        self._wanted = True
        if self._auth is None:
            self._auth = self._make()
        return await self._auth.refused(proof, status, headers)
