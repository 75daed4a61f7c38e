"""The tests' own source of examples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("CallToolResult", "ListToolsResult", "GetPromptResult", "InputRequiredResult", "DiscoverResult")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(data=st.data())
def test_examples_are_valid(name, data, instances, check):
    check("2026-07-28", name, data.draw(instances(name)))
