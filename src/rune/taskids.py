"""The ids of tasks that another server runs: sealed with who runs them and for whom, so that any process finds them.

`sources/upstream/` gives them out, the gateway reads them; nothing is kept for them here.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rune.request import Caller
from rune.seal import Seal

_PURPOSE = "task"
_decode = msgspec.json.Decoder(tuple[str, str, str, str]).decode


class Elsewhere(NamedTuple):
    """A task of another server: the source that knows it, its id there, the subject who owns it, the tool it runs."""

    source: str
    id: str
    subject: str
    tool: str

    def belongs_to(self, caller: Caller) -> bool:
        """Whether this caller may know of it."""
        return self.subject == caller.subject


class TaskIds:
    """Makes and reads them. The same task has the same id each time."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def make(self, task: Elsewhere) -> str:
        """The id under which our clients know a task."""
        return self._seal.cover(_PURPOSE, msgspec.json.encode(task))

    def read(self, id: str) -> Elsewhere | None:
        """The task behind an id; None for an id that is not of this kind."""
        plain = self._seal.uncover(_PURPOSE, id)
        return None if plain is None else Elsewhere(*_decode(plain))
