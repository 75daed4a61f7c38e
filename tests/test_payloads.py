"""What plugins are shown: decoded when they look, and for the rest like any other dataclass."""

from __future__ import annotations

import msgspec
import pytest

from rune.payloads import late, lazy, shown, touched
from rune.plugin import GlobalContext, PluginContext, ToolPostInvokePayload, ToolPreInvokePayload

RAW = {"name": b'"t"', "args": b'{"a":[1]}'}


def showing(kind, **given):
    return lambda raw: shown(lazy(kind), raw, given)


def test_only_what_is_looked_at_is_decoded_and_once():
    make = showing(ToolPreInvokePayload, headers=lambda: {"x": "y"})
    # Nobody has looked: what is broken does no harm.
    payload = make({"name": b'"t"', "args": b"{broken"})
    assert (payload.name, touched(payload)) == ("t", ("name",))
    with pytest.raises(msgspec.DecodeError):
        _ = payload.args
    payload = make(RAW)
    assert payload.args is payload.args
    assert payload.headers == {"x": "y"}
    assert isinstance(payload, ToolPreInvokePayload)


def test_no_two_share_anything():
    make = showing(ToolPreInvokePayload, headers=dict)
    one, other = make(RAW), make(RAW)
    one.args["a"].append(2)
    one.headers["x"] = "y"
    one.name = "changed"
    assert (other.args, other.headers, other.name) == ({"a": [1]}, {}, "t")


def test_they_are_what_plugin_authors_know():
    payload = showing(ToolPreInvokePayload)(RAW)
    assert repr(payload) == "ToolPreInvokePayload(name='t', args={'a': [1]}, headers={})"
    assert type(payload).__name__ == "ToolPreInvokePayload"
    assert msgspec.json.encode(showing(ToolPreInvokePayload)(RAW)) == b'{"name":"t","args":{"a":[1]},"headers":{}}'
    with pytest.raises(AttributeError, match="has no attribute 'arguments'"):
        _ = payload.arguments
    assert not hasattr(showing(ToolPostInvokePayload, name="t")({"result": b"{}"}), "args")


def test_contexts_have_their_defaults():
    shared = GlobalContext(user="ada")
    context = late(PluginContext, {"global_context": shared})
    context.state["n"] = 1
    assert (context.state, context.metadata, context.global_context) == ({"n": 1}, {}, shared)
