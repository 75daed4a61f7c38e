"""Content of results: the public classes for it, and what a function returned turned into content blocks."""

from __future__ import annotations

import base64
import mimetypes
import types
import typing
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from rune.request import Result
from rune.sources.hints import encode

Json = dict[str, Any]

_BLOCKS: Final[dict[str, dict[str, type]]] = {
    "text": {"text": str},
    "image": {"data": str, "mimeType": str},
    "audio": {"data": str, "mimeType": str},
    "resource_link": {"uri": str, "name": str},
    "resource": {"resource": dict},
}


@dataclass(frozen=True, kw_only=True)
class _Common:
    """What every block can carry: annotations (`audience`, `priority`, `lastModified`) and `_meta`."""

    annotations: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] | None = None

    def _block(self, kind: str, **members: Any) -> Json:
        members |= {"annotations": self.annotations, "_meta": self.meta}
        return {"type": kind, **{key: value for key, value in members.items() if value is not None}}

    def block(self) -> Json:
        """As the wire has it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(_Common):
    """Text, where a plain `str` cannot say enough."""

    text: str

    def block(self) -> Json:
        return self._block("text", text=self.text)


@dataclass(frozen=True)
class Image(_Common):
    """An image: raw bytes, or base64 as a `str`."""

    data: bytes | str
    mime: str = "image/png"

    @classmethod
    def file(cls, path: str | Path, mime: str | None = None) -> Image:
        """The image in a file; its type is guessed from the name."""
        return cls(Path(path).read_bytes(), mime or mimetypes.guess_type(str(path))[0] or "image/png")

    def block(self) -> Json:
        return self._block("image", data=_base64(self.data), mimeType=self.mime)


@dataclass(frozen=True)
class Audio(_Common):
    """Sound: raw bytes, or base64 as a `str`."""

    data: bytes | str
    mime: str = "audio/wav"

    def block(self) -> Json:
        return self._block("audio", data=_base64(self.data), mimeType=self.mime)


@dataclass(frozen=True)
class ResourceLink(_Common):
    """A resource that the client may read."""

    uri: str
    name: str | None = None
    title: str | None = None
    description: str | None = None
    mime: str | None = None
    size: int | None = None
    icons: Sequence[Mapping[str, Any]] | None = None

    def block(self) -> Json:
        return self._block(
            "resource_link",
            uri=self.uri,
            name=self.name or self.uri,
            title=self.title,
            description=self.description,
            mimeType=self.mime,
            size=self.size,
            icons=self.icons,
        )


@dataclass(frozen=True)
class Embedded(_Common):
    """A resource with its content, text or bytes."""

    uri: str
    content: str | bytes
    mime: str | None = None

    def block(self) -> Json:
        return self._block("resource", resource=contents(self.uri, self.content, self.mime))


@dataclass(frozen=True)
class Message:
    """One message of a prompt, or of a conversation for `Context.sample`."""

    content: Any
    role: Literal["user", "assistant"] = "user"

    def wire(self) -> Json:
        """As the wire has it: one content block."""
        found = blocks(self.content)
        if len(found) != 1:
            raise TypeError("a message has exactly one content")
        return {"role": self.role, "content": found[0]}


def contents(uri: str, content: str | bytes | bytearray, mime: str | None) -> Json:
    """ResourceContents: text as `text`, bytes as `blob`."""
    value: Json = {"uri": uri}
    if isinstance(content, str):
        value |= {"mimeType": mime or "text/plain", "text": content}
    else:
        value |= {"mimeType": mime or "application/octet-stream", "blob": _base64(content)}
    return value


def _base64(data: bytes | bytearray | str) -> str:
    return data if isinstance(data, str) else base64.b64encode(data).decode()


# --- what a function returned ----------------------------------------------------------------------------------------


def is_content(hint: Any) -> bool:
    """Whether a return annotation speaks of content, not of a value with a schema of its own."""
    if any(hint is each for each in (str, None, type(None), Any, object)):
        return True
    if isinstance(hint, type) and issubclass(hint, (_Common, Result)):
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return is_content(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return all(is_content(each) for each in arguments)
    return is_stream(hint) or is_series(hint)


def is_stream(hint: Any) -> bool:
    """Whether a return annotation speaks of pieces that come one after the other."""
    origin = typing.get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, (Iterator, AsyncIterator))


def is_series(hint: Any) -> bool:
    """Whether a return annotation speaks of several content blocks."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    return (
        isinstance(origin, type)
        and issubclass(origin, Sequence)
        and any(_names_content(each) for each in arguments)
        and all(each is Ellipsis or is_content(each) for each in arguments)
    )


def _names_content(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, _Common):
        return True
    return any(_names_content(each) for each in typing.get_args(hint))


def blocks(value: Any, *, series: bool = False) -> list[Json]:
    """The content blocks for what a function returned: blocks as they are, text as text, the rest as JSON text.

    A list is one value, unless there is a block in it or it is said to be a `series` of contents.
    """
    if value is None:
        return []
    if isinstance(value, (list, tuple)) and (series or any(_is_block(each) for each in value)):
        return [block for each in value for block in blocks(each)]
    if isinstance(value, _Common):
        return [value.block()]
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if isinstance(value, (bytes, bytearray)):
        return [{"type": "text", "text": _utf8(value)}]
    if _is_block(value):
        return [dict(value)]
    return [{"type": "text", "text": encode(value).decode()}]


def _is_block(value: Any) -> bool:
    """A class of ours, or a dict with all that its type needs: other data may have a `type`, too."""
    if isinstance(value, _Common):
        return True
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    members = _BLOCKS.get(value["type"])
    return members is not None and all(isinstance(value.get(key), kind) for key, kind in members.items())


def _utf8(value: bytes | bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise TypeError("bytes that are no text: return Image, Audio or Embedded, which say what they are") from None


def is_whole(value: Any) -> bool:
    """Whether a value is a whole CallToolResult already."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("content"), list)
        and all(_is_block(each) for each in value["content"])
    )


# --- results ---------------------------------------------------------------------------------------------------------

_TEXT: Final = b'{"resultType":"complete","content":[{"type":"text","text":'
_encode_str: Final = msgspec.json.Encoder().encode


def text_result(text: str) -> Result:
    """A result of one text."""
    # `%` for bytes costs twice as much.
    return Result(b"".join((_TEXT, _encode_str(text), b"}]}")), meta=b"")


def error_result(message: str) -> Result:
    """A failed call that the model can read."""
    text = message.encode("utf-8", "replace").decode()
    return Result(b'%b%b}],"isError":true}' % (_TEXT, _encode_str(text)))


def structured_result(raw: bytes) -> Result:
    """A result with structured content, and the same as text for clients that read only that."""
    return Result(b'%b%b}],"structuredContent":%b}' % (_TEXT, _encode_str(raw.decode()), raw))


def block_result(content: Sequence[Json]) -> Result:
    """A result of several blocks."""
    return Result(b'{"resultType":"complete","content":%b}' % encode(content))
