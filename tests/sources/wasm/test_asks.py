"""What a component asks for is read off its bytes, as the engine reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import wat2wasm
from wasmtime.component import Component

from rune.config.policy import NetworkTable, PolicyTable, StorageTable
from rune.errors import ConfigError
from rune.sources.wasm.asks import asks, granted, imports_of, kinds
from rune.sources.wasm.engine import Machine
from tests.sources.wasm.wat import HERE, tools

SORTS = (
    '(import "NAME" (func (param "a" u32)))',
    '(import "NAME" (instance (export "f" (func))))',
    '(import "NAME" (component))',
    '(import "NAME" (core module (import "a" "b" (func)) (export "c" (memory 1))))',
    '(import "NAME" (type (sub resource)))',
    '(type $tINDEX (record (field "a" u8))) (import "NAME" (type (eq $tINDEX)))',
)
FAR = (
    "rune:guest/http@0.1.0", "wasi:filesystem/types@0.2.6", "wasi:sockets/tcp@0.2.6", "wasi:cli/environment@0.2.6",
    "wasi:http/types@0.2.6", "wasi:io/streams@0.2.6", "rune:guest/host@0.1.0",
)  # fmt: skip


def engines(data: bytes) -> list[str]:
    machine = Machine.get()
    return list(Component(machine.engine, data).type.imports(machine.engine))


@given(st.lists(st.tuples(st.sampled_from(SORTS), st.sampled_from(("", "(type $x (func))"))), max_size=6))
def test_names_are_those_that_the_engine_sees(parts: list[tuple[str, str]]) -> None:
    """Imports of each sort, in one section or several, between others."""
    body = "".join(
        sort.replace("NAME", f"name-{index}").replace("INDEX", str(index)) + between.replace("$x", f"$x{index}")
        for index, (sort, between) in enumerate(parts)
    )
    data = wat2wasm(f"(component {body})")
    found = imports_of("x", data)
    assert found == [f"name-{index}" for index in range(len(parts))]
    if not any("(component)" in sort for sort, _ in parts):
        # The engine takes all but those, and passes over names for types that are known.
        assert set(engines(data)) <= set(found)


def test_what_is_asked_for(tmp_path: Path) -> None:
    data = wat2wasm("".join(("(component ", *(f'(import "{each}" (instance))' for each in FAR), ")")))
    assert sorted(imports_of("x", data)) == sorted(engines(data)) == sorted(FAR)
    assert kinds(FAR) == {"network", "storage", "sockets", "environment", "wasi:http"}
    assert len(asks(FAR)) == 5 and not asks(["wasi:io/streams@0.2.6", "rune:guest/host@0.1.0"])
    assert imports_of("hand", tools(tmp_path).read_bytes()) == ["rune:guest/host@0.1.0"]


def test_what_is_granted() -> None:
    policy = PolicyTable(network=(NetworkTable(host="a"),), storage=(StorageTable(path="/", mount="/x"),))
    assert granted(policy) == {"network", "storage"}
    assert granted(PolicyTable()) == frozenset()


@pytest.mark.parametrize("size", [9, 40, 200, 400])
def test_a_part_of_a_component_is_none(tmp_path: Path, size: int) -> None:
    data = tools(tmp_path).read_bytes()
    with pytest.raises(ConfigError, match="not a whole component"):
        imports_of("hand", data[:size])


@given(st.binary(max_size=60))
def test_noise_is_an_error_and_never_an_endless_loop(noise: bytes) -> None:
    try:
        assert isinstance(imports_of("x", b"\0asm\x0d\0\x01\0" + noise), list)
    except ConfigError:
        pass


def test_plain_components_ask_for_nothing() -> None:
    assert imports_of("plain", wat2wasm((HERE / "plain.wat").read_text("utf-8"))) == []
