"""What flows through Rune: a Request goes down, a Result comes back, Notes leave early by `request.emit`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias

import msgspec

from rune.errors import INVALID_PARAMS, ProtocolError
from rune.protocol.abilities import abilities
from rune.protocol.modern import NO_META, Meta

if TYPE_CHECKING:
    import asyncio

    from rune.source import Target

Params: TypeAlias = dict[str, msgspec.Raw]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_str = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `subject` owns whatever is kept for this caller: caches, parked calls, tasks, sessions."""

    subject: str
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)


ANONYMOUS = Caller("anonymous")


class Note(NamedTuple):
    """A notification on its way to the client: a method of the 2026-07-28 dialect and its params as JSON."""

    method: str
    params: bytes = b"{}"


PIECE: Final = "rune/piece"
"""The member of `_meta` which says that the message of a progress note is a piece of the result."""


class Emit:
    """Where the notes of one request go. This base drops them: for callers that cannot be told anything."""

    __slots__ = ()

    def __call__(self, note: Note) -> None:
        """Send without waiting; what does not fit into the bounded queue is coalesced or dropped."""

    async def room(self) -> None:
        """Wait until the queue has room again. Only producers of chunks wait; progress and logs never do."""

    def release(self) -> None:
        """Let the client poll instead of holding a stream open, where its revision can."""


class Relay(Emit):
    """Hands notes on to another, which may change: a body outlives its requests. Who inherits says what it hands on."""

    __slots__ = ("target",)

    def __init__(self, target: Emit) -> None:
        self.target = target

    def __call__(self, note: Note) -> None:
        self.target(note)

    async def room(self) -> None:
        await self.target.room()

    def release(self) -> None:
        self.target.release()


SILENT = Emit()

STATELESS: Final[Mapping[str, Any]] = MappingProxyType({})
"""No layer has kept anything. One for all: a dict of its own would be made for every request and every result."""


class Request(msgspec.Struct, eq=False):
    """One thing that a client asks, in the dialect of 2026-07-28, whichever revision the client speaks.

    `params` holds the members of `params` still encoded, `_meta` among them; `meta` is the part of `_meta` that Rune
    reads; `older` says that the client itself speaks an older revision. What a later stop finds out stands below
    `older`: `answers` and `state` are the opened `inputResponses` and `requestState` of a retry.
    """

    method: str
    params: Params = {}
    id: int | str | None = None
    meta: Meta = NO_META
    caller: Caller = ANONYMOUS
    headers: Mapping[bytes, bytes] | None = None
    emit: Emit = SILENT
    older: bool = False
    target: Target | None = None
    deadline: float | None = None
    answers: dict[str, msgspec.Raw] | None = None
    state: Mapping[str, Any] = STATELESS
    _capabilities: dict[str, Any] | None = None

    def replace(self, **changes: Any) -> Self:
        """A copy with some attributes changed."""
        # Not `copy.copy`: it looks around for a while before it calls this.
        other: Self = self.__copy__()  # type: ignore[attr-defined]
        for name, value in changes.items():
            setattr(other, name, value)
        if "meta" in changes:
            other._capabilities = None
        return other

    def text(self, key: str) -> str:
        """A required string parameter.

        Raises:
            ProtocolError: -32602 when it is missing or no string.
        """
        raw = self.params.get(key)
        if raw is None:
            raise ProtocolError(INVALID_PARAMS, f"params.{key} is missing")
        try:
            return _decode_str(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProtocolError(INVALID_PARAMS, f"params.{key} must be a string") from None

    def value(self, key: str, default: Any = None) -> Any:
        """A parameter as a Python value, `default` when it is absent."""
        raw = self.params.get(key)
        if raw is None:
            return default
        try:
            return _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(INVALID_PARAMS, f"params.{key}: {error}") from None

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the client declared for this very request (ClientCapabilities)."""
        if self._capabilities is None:
            raw = self.meta.capabilities
            self._capabilities = _decode(raw) if bytes(raw) else {}
        return self._capabilities

    @property
    def abilities(self) -> str:
        """What of that may decide what an older server offers, as one text."""
        return abilities(bytes(self.meta.capabilities))

    def declares(self, extension: str) -> bool:
        """Whether the client declared an extension, for example `io.modelcontextprotocol/tasks`."""
        extensions = self.capabilities.get("extensions")
        return isinstance(extensions, dict) and extension in extensions


class Result(msgspec.Struct, eq=False):
    """What goes back: the JSON object of the result, still encoded until somebody reads it.

    `kind` is its `resultType`. An `input_required` result carries in `state` what each layer wants to find again on the
    retry; the rim seals it into `requestState`. A rim that knows that no retry will come calls `abandon`; `moved` is
    done when a question has been withdrawn. `meta` is the `_meta` at its top, empty when it has none, None when nobody
    has looked. `memo` is a dict where the same object goes out many times: the rims keep their encodings of it there.
    """

    raw: bytes
    kind: str = "complete"
    state: Mapping[str, Any] = STATELESS
    memo: dict[str, bytes] | None = None
    abandon: Callable[[], None] | None = None
    meta: bytes | None = None
    moved: asyncio.Future[None] | None = None
    _value: dict[str, Any] | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any], kind: str = "complete", state: Mapping[str, Any] = STATELESS) -> Self:
        """A result from a Python value; `resultType` is added."""
        return cls(_encode({"resultType": kind, **value}), kind, state)

    @classmethod
    def ask(cls, questions: Mapping[str, Any], state: Mapping[str, Any] = STATELESS) -> Self:
        """Questions to the user or the client: key -> `{"method": …, "params": …}` (2026-07-28, MRTR)."""
        value: dict[str, Any] = {"resultType": "input_required"}
        if questions:
            value["inputRequests"] = questions
        return cls(_encode(value), "input_required", state)

    @property
    def value(self) -> dict[str, Any]:
        """The result as Python values, decoded once."""
        if self._value is None:
            self._value = _decode(self.raw)
        return self._value


Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Result]]
