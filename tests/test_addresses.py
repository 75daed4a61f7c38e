"""Gateway URIs are read back as they were written, and results name what clients know."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rune.addresses import Shade, unwrap, wrap
from rune.protocol.uritemplate import Template

SOURCES = st.from_regex(r"[a-z0-9-]{1,24}", fullmatch=True)
URIS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["file:///a b", "ui://x/y", "ui://", "rune://a/file:///x", "ui://rune/a/ui://b", "urn:x", "rune://"]
    ),
)


@given(SOURCES, URIS)
def test_what_was_wrapped_is_read_back(source: str, uri: str) -> None:
    wrapped = wrap(source, uri)
    assert unwrap(wrapped) == (source, uri)
    assert wrapped.startswith("ui://") == uri.startswith("ui://"), "a page of MCP Apps stays one"


@given(SOURCES, SOURCES, URIS, URIS)
def test_two_resources_never_share_a_uri(one: str, two: str, first: str, second: str) -> None:
    assert (wrap(one, first) == wrap(two, second)) == ((one, first) == (two, second))


@given(st.text(max_size=80))
def test_any_other_uri_is_none_of_ours(uri: str) -> None:
    found = unwrap(uri)
    assert found is None or wrap(*found) == uri


@given(SOURCES, st.sampled_from(["abc", "x-1", "0"]))
def test_a_template_stays_a_template(source: str, value: str) -> None:
    template = Template(wrap(source, "note://{id}/text{?q}"))
    assert template.match(wrap(source, f"note://{value}/text?q=1")) == {"id": value, "q": "1"}


def shade() -> Shade:
    shade = Shade("two")
    shade.own["a://x"] = wrap("two", "a://x")
    shade.own["ui://page"] = wrap("two", "ui://page")
    shade.plain.add("t://mine")
    shade.templates.append(Template("t://{id}"))
    return shade


EXTRA = '"x":1.50,"y":[ 1,  "\\u0061"]'


def test_only_the_uris_change_in_a_result() -> None:
    contents = f'{{"uri":"a://x",{EXTRA}}},{{"uri":"a://other",{EXTRA}}},{{"uri":"t://1"}},{{"uri":"t://mine"}},7'
    raw = f'{{"resultType":"complete","contents":[{contents}],{EXTRA}}}'.encode()
    expected = raw.replace(b'"a://x"', b'"rune://two/a://x"').replace(b'"t://1"', b'"rune://two/t://1"')
    assert shade().result("resources/read", raw) == expected


def test_links_and_embedded_resources() -> None:
    block: dict[str, Any] = {"type": "resource_link", "uri": "a://x", "name": "n"}
    embedded = {"type": "resource", "resource": {"uri": "a://x", "text": "t"}}
    text = {"type": "text", "text": "a://x"}
    structured = {"uri": "a://x"}
    tool = {"content": [block, embedded, text], "structuredContent": structured}
    found = json.loads(shade().result("tools/call", json.dumps(tool).encode()))
    assert [found["content"][0]["uri"], found["content"][1]["resource"]["uri"]] == ["rune://two/a://x"] * 2
    assert found["content"][2] == text
    assert found["structuredContent"] == structured, "what it means is not known"
    prompt = {"messages": [{"role": "user", "content": embedded}, {"role": "user", "content": text}]}
    found = json.loads(shade().result("prompts/get", json.dumps(prompt).encode()))
    assert found["messages"][0]["content"]["resource"]["uri"] == "rune://two/a://x"


@given(st.binary(max_size=40), st.sampled_from(["resources/read", "tools/call", "prompts/get", "completion/complete"]))
def test_what_is_not_understood_passes(raw: bytes, method: str) -> None:
    assert shade().result(method, raw) == raw


def test_nothing_is_encoded_anew_when_nothing_changes() -> None:
    raw = b'{ "contents" : [ {"uri" : "b://y"} ] , "content":[{"type":"text","text":"a://x"}] }'
    for method in ("resources/read", "tools/call", "prompts/get"):
        assert shade().result(method, raw) is raw


def test_the_page_of_a_tool() -> None:
    tool = {
        "name": "t",
        "_meta": {"ui": {"resourceUri": "ui://page", "visibility": ["app"]}, "ui/resourceUri": "ui://page", "o": 1},
    }
    found = json.loads(shade().tool(json.dumps(tool).encode()))
    assert found["_meta"] == {
        "ui": {"resourceUri": "ui://rune/two/ui://page", "visibility": ["app"]},
        "ui/resourceUri": "ui://rune/two/ui://page",
        "o": 1,
    }
    for other in (b'{"name":"resourceUri"}', b'{"_meta":{"ui":{"resourceUri":7}}}', b'{"_meta":{"ui":"resourceUri"}}'):
        assert shade().tool(other) == other
