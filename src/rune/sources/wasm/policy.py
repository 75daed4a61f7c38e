"""What a component may do and cost. What is not granted is denied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Isolation: TypeAlias = Literal["call", "caller", "shared"]


@dataclass(frozen=True, slots=True)
class Storage:
    """A folder of this machine, seen by the guest as `mount`."""

    path: str
    mount: str
    write: bool = False


@dataclass(frozen=True, slots=True)
class Egress:
    """A host that may be called, and headers that the gateway puts in: the guest never sees them."""

    host: str
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    inject: dict[str, str] = field(default_factory=dict, repr=False)
    private: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may cost: bytes of memory, seconds of CPU and in all, bytes of the answer; and calls at a time."""

    memory: int = 128 << 20
    cpu_time: float = 10.0
    wall: float = 60.0
    output: int = 4 << 20
    concurrency: int = 4


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it. `isolation` says who shares an instance: nobody, the calls of one caller, or all."""

    storage: tuple[Storage, ...] = ()
    network: tuple[Egress, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = Limits()
    isolation: Isolation = "call"
