"""What a server says when it refuses: the WWW-Authenticate header (RFC 9110, 11.6.1; RFC 6750, 3; RFC 9449, 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PART: Final = re.compile(
    rf'(?P<key>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]*))|(?P<scheme>{_TOKEN})'
)
_LIMIT: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class Challenge:
    """A refusal, as far as we can do something about it."""

    metadata: str | None = None
    scopes: tuple[str, ...] = ()
    error: str | None = None
    dpop: bool = False
    """Only proofs of possession are taken."""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Challenge:
        """The challenge in the headers of a response; an empty one when there is none for us."""
        getall = getattr(headers, "getall", None)
        values = getall("WWW-Authenticate", ()) if getall else [headers.get("WWW-Authenticate", "")]
        found = {scheme: parameters for value in values for scheme, parameters in challenges(value[:_LIMIT])}
        dpop = "bearer" not in found and "dpop" in found
        parameters = found.get("dpop" if dpop else "bearer", {})
        return cls(
            metadata=parameters.get("resource_metadata"),
            scopes=scopes(parameters.get("scope")),
            error=parameters.get("error"),
            dpop=dpop,
        )


def challenges(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each scheme of a header, in lower case, and its parameters."""
    scheme: str | None = None
    parameters: dict[str, str] = {}
    for match in _PART.finditer(value):
        if match["scheme"]:
            if scheme is not None:
                yield scheme, parameters
            scheme, parameters = match["scheme"].lower(), {}
        else:
            quoted = match["quoted"]
            text = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(match["key"].lower(), text)
    if scheme is not None:
        yield scheme, parameters


def scopes(text: object) -> tuple[str, ...]:
    """A list of scopes in its order, each once. The standard separates by spaces; some servers use commas."""
    return tuple(dict.fromkeys(re.split(r"[\s,]+", text.strip()))) if isinstance(text, str) and text.strip() else ()
