"""The conformance suite against components in Python: one of rune:guest, one of wasi:mcp, each behind `rune serve`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from rune import Client
from tests import guests
from tests.conformance import suite
from tests.serving import rune
from tests.sizes import LONG

HERE: Final = Path(__file__).parent
BOTH: Final = (
    "completion-complete", "tools-list", "tools-call-simple-text", "tools-call-image", "tools-call-audio",
    "tools-call-embedded-resource", "tools-call-mixed-content", "tools-call-error", "tools-call-with-progress",
    "server-sse-multiple-streams", "resources-list", "resources-read-text", "resources-read-binary",
    "resources-templates-read", "prompts-list", "prompts-get-simple", "prompts-get-with-args",
    "prompts-get-embedded-resource", "prompts-get-with-image", "dns-rebinding-protection",
)  # fmt: skip
SCENARIOS: Final = {
    "2026-07-28": (*BOTH, "sep-2164-resource-not-found", "caching"),
    "2025-11-25": (
        *BOTH, "server-initialize", "ping", "logging-set-level", "tools-call-with-logging", "resources-subscribe",
        "resources-unsubscribe",
    ),
}  # fmt: skip
SOUND: Final = "tools-call-audio"
"""The proposal has no block for it."""
NOT_TOLD: Final = ("test_missing_capability", "test_streaming_elicitation")
"""Tools that ask, which are no part of this fixture; the suite says so of every check that needs them."""
FIXTURES: Final = ("everything_component.py", "everything_wasi.py")
"""The quick size has the first one only: an interpreter takes half a minute to be built and compiled."""


@pytest.fixture(scope="module", params=FIXTURES if LONG else FIXTURES[:1])
def fixture(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The name of the fixture, and where it is served."""
    name: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        path = guests.served(HERE / name)
        patch.setenv("RUNE_CACHE_DIR", str(guests.compiled()))
        with rune(str(path)) as server:
            yield name, server.url


@pytest.mark.parametrize("revision", SCENARIOS)
def test_all_that_a_component_can_do_passes(fixture: tuple[str, str], revision: str) -> None:
    name, url = fixture
    report = suite.run("server", url, revision)
    wanted = set(SCENARIOS[revision]) - ({SOUND} if name == "everything_wasi.py" else set())
    assert wanted <= set(report.scored)
    assert wanted - set(report.good) == set(), str(report)
    # What is left are questions to the user, by tools that the fixture does not have.
    rest = [line for line in report.failures if line.split(":")[0] in ("server-stateless", "logging")]
    assert all(any(tool in line for tool in NOT_TOLD) for line in rest), "\n".join(rest)


@pytest.mark.parametrize("fixture", ["everything_component.py"], indirect=True)
async def test_the_file_and_the_component_of_it_offer_and_answer_the_same(fixture: tuple[str, str]) -> None:
    name, url = fixture
    async with asyncio.timeout(60), Client(url) as component, Client(str(HERE / name)) as file:
        tools = await file.list_tools()
        assert await component.list_tools() == tools
        assert await component.list_resources() == await file.list_resources()
        assert await component.list_resource_templates() == await file.list_resource_templates()
        assert await component.list_prompts() == await file.list_prompts()
        arguments = {"json_schema_2020_12_tool": {"email": "a@b.c"}, "test_x_mcp_header": {"region": "é😀"}}
        for each in (tool["name"] for tool in tools):
            given = arguments.get(each, {})
            assert plain(await component.call_tool(each, given)) == plain(await file.call_tool(each, given)), each
        for uri in ("test://static-text", "test://static-binary", "test://template/1%2F2/data"):
            assert plain(await component.read_resource(uri)) == plain(await file.read_resource(uri))
        for prompt, asked in (
            ("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"}),
            ("test_prompt_with_image", {}),
            ("test_prompt_with_embedded_resource", {"resourceUri": "test://any"}),
        ):
            assert plain(await component.get_prompt(prompt, asked)) == plain(await file.get_prompt(prompt, asked))


def plain(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without the name of the server, which goes over the wire only."""
    return {key: value for key, value in result.items() if key != "_meta"}
