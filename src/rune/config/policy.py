"""The policy of a WebAssembly component: what it may do and cost. What is not granted is denied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from rune.config.sizes import Seconds, Size, Texts

ServeMode: TypeAlias = Literal["return", "reentrant"]
Isolation: TypeAlias = Literal["call", "caller", "shared"]


class StorageTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[sources.NAME.policy.storage]]`: a folder of this machine that the component sees."""

    path: Annotated[str, Meta(description="the folder here, with all that is below it")]
    mount: Annotated[str, Meta(description="its name in the component", pattern="^/")]
    access: Annotated[Literal["read", "write"], Meta(description="`write` may also read")] = "read"


class NetworkTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[sources.NAME.policy.network]]`: a host that the component may call, through the gateway."""

    host: Annotated[str, Meta(description='a name, "*.example.org" for those below it, ":8443" for another port')]
    methods: Annotated[Texts, Meta(description="HTTP methods")] = ("GET", "HEAD", "POST")
    inject: Annotated[dict[str, str], Meta(description="headers put in here; the component never sees them")] = {}
    private: Annotated[bool, Meta(description="whether its addresses may be of this machine or network")] = False

    def __repr__(self) -> str:
        return f"NetworkTable({self.host}, …)"


class LimitsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[sources.NAME.policy.limits]`: what one call may cost."""

    memory: Annotated[Size, Meta(description="bytes of memory")] = Size(128 * 2**20)
    cpu_time: Annotated[Seconds, Meta(description="seconds of processor time")] = 10.0
    wall: Annotated[Seconds, Meta(description="seconds in all")] = 60.0
    output: Annotated[Size, Meta(description="bytes of an answer, and of what it fetches")] = Size(4 * 2**20)
    concurrency: Annotated[int, Meta(ge=1, le=1000, description="calls at the same time")] = 4


class PolicyTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`policy` of a source with `wasm`: what it may do and cost. Without it, a component only computes."""

    isolation: Annotated[
        Isolation, Meta(description="who shares an instance: nobody, the calls of one caller, or all")
    ] = "call"
    serve_mode: Annotated[
        ServeMode, Meta(description="whether `serve` of wasi:mcp returns, or the guest stays in it and is called there")
    ] = "return"
    storage: Annotated[tuple[StorageTable, ...], Meta(description="folders that it sees")] = ()
    network: Annotated[tuple[NetworkTable, ...], Meta(description="hosts that it may call")] = ()
    environment: Annotated[dict[str, str], Meta(description="its environment variables")] = {}
    limits: Annotated[LimitsTable, Meta(description="what one call may cost")] = LimitsTable()

    def __repr__(self) -> str:
        return f"PolicyTable({self.isolation}, …)"


def beside(component: Path) -> tuple[Path, Path]:
    """Where the policy of a component is looked for: `NAME.policy.yaml` beside `NAME.wasm`, else `policy.yaml`."""
    return component.with_name(f"{component.stem}.policy.yaml"), component.with_name("policy.yaml")
