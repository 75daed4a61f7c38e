"""What a plugin is: its config, what it is shown, what it may answer. Names are those that plugin authors know.

A plugin is a class derived from `Plugin` with async methods named after the hooks. Mode, order, deadline, conditions
and error policy are applied by `pipeline.py` from its own copy of the config; a plugin is never asked for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from rune.errors import ConfigError
from rune.store import Store

if TYPE_CHECKING:
    from rune.coding import Coding

    # Only its name: the kernels are loaded with the plugins that work with them.
    from rune.native import Implementation
    from rune.request import Caller

P = TypeVar("P")

Passing: TypeAlias = "Callable[[Mapping[str, bytes], Caller], bool]"
"""Whether a plugin has nothing to say: the fields of a payload as they stand in the message, and who asks."""


class PluginMode(StrEnum):
    """What a plugin may do and how it runs. Two vocabularies: the second name of a line is the older one."""

    SEQUENTIAL = "sequential"
    ENFORCE = "enforce"
    ENFORCE_IGNORE_ERROR = "enforce_ignore_error"
    TRANSFORM = "transform"
    PERMISSIVE = "permissive"
    AUDIT = "audit"
    CONCURRENT = "concurrent"
    FIRE_AND_FORGET = "fire_and_forget"
    DISABLED = "disabled"

    @property
    def blocks(self) -> bool:
        """Whether it may refuse what it sees."""
        return self in (self.SEQUENTIAL, self.ENFORCE, self.ENFORCE_IGNORE_ERROR, self.CONCURRENT)

    @property
    def changes(self) -> bool:
        """Whether it may change what it sees."""
        return self in (self.SEQUENTIAL, self.ENFORCE, self.ENFORCE_IGNORE_ERROR, self.TRANSFORM, self.PERMISSIVE)


class OnError(StrEnum):
    """What becomes of a request when a plugin raises, is late, or is given more than it takes."""

    FAIL = "fail"
    IGNORE = "ignore"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class PluginCondition:
    """When a plugin runs. All that is given must match; a payload without the value matches."""

    server_ids: tuple[str, ...] = ()
    tenant_ids: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    user_patterns: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()

    def holds(self, facts: Mapping[str, str | None]) -> bool:
        """`facts` has a value for each of the fields that is known."""
        for name in self.__slots__:
            wanted, value = getattr(self, name), facts.get(name)
            if wanted and value is not None and not any(fnmatchcase(value, glob) for glob in wanted):
                return False
        return True


@dataclass(frozen=True)
class PluginConfig:
    """One plugin as it is configured. `deadline` in seconds, `max_content_size` in bytes of JSON."""

    name: str
    kind: str = ""
    description: str = ""
    author: str = ""
    version: str = ""
    namespace: str = ""
    tags: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    mode: PluginMode = PluginMode.SEQUENTIAL
    on_error: OnError = OnError.FAIL
    priority: int = 100
    conditions: tuple[PluginCondition, ...] = ()
    deadline: float = 5.0
    max_content_size: int = 10 * 1024 * 1024
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", PluginMode(self.mode))
        object.__setattr__(self, "on_error", OnError(self.on_error))

    def options(self, *known: str) -> dict[str, Any]:
        """Its `config`, of which a plugin knows these keys.

        Raises:
            ConfigError: for another key.
        """
        unknown = self.config.keys() - set(known)
        if unknown:
            raise ConfigError(f"unknown key {sorted(unknown)[0]}", hint=f"known keys: {', '.join(known)}")
        return self.config

    def model_dump(self) -> dict[str, Any]:
        """As plain values, for native halves of plugins."""
        return asdict(self)


@dataclass(slots=True)
class PluginViolation:
    """Why something is refused. `reason` is what the client is told; `description` and `details` go to the log."""

    reason: str
    description: str = ""
    code: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    mcp_error_code: int | None = None


class PluginResult(msgspec.Struct, Generic[P]):
    """What a hook answers. Without anything in it: go on, nothing has changed."""

    continue_processing: bool = True
    modified_payload: P | None = None
    violation: PluginViolation | None = None
    metadata: dict[str, Any] = {}


@dataclass(slots=True)
class GlobalContext:
    """What all plugins see of one request. `state` is shared by them."""

    request_id: str = ""
    user: str | None = None
    tenant_id: str | None = None
    server_id: str | None = None
    content_type: str | None = None
    state: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PluginContext:
    """What one plugin sees of one request: `state` is its own, kept from its first hook to its last."""

    global_context: GlobalContext
    state: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


# --- payloads: each plugin gets one of its own, and may do with it what it likes -------------------------------------


@dataclass(slots=True)
class ToolPreInvokePayload:
    """A tool is about to be called, under the name that clients see."""

    name: str
    args: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ToolPostInvokePayload:
    """What a tool has answered: a CallToolResult as Python values."""

    name: str
    result: Any


@dataclass(slots=True)
class PromptPrehookPayload:
    """A prompt is about to be fetched."""

    prompt_id: str
    args: dict[str, str]


@dataclass(slots=True)
class PromptPosthookPayload:
    """A prompt, filled in: a GetPromptResult."""

    prompt_id: str
    result: Any


@dataclass(slots=True)
class ResourcePreFetchPayload:
    """A resource is about to be read."""

    uri: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ResourcePostFetchPayload:
    """What a resource holds: the `contents` of a ReadResourceResult."""

    uri: str
    content: Any


@dataclass(slots=True)
class CompletionPayload:
    """Suggestions for an argument: a CompleteResult."""

    result: Any


@dataclass(slots=True)
class ListPayload:
    """One page of a list: the definitions of tools, prompts, resources or resource templates (`method` says which)."""

    method: str
    items: list[dict[str, Any]]


@dataclass(slots=True)
class ProgressPayload:
    """A call says how far it is. With `piece` the message is a piece of its result: what a plugin takes out of it may
    follow with a later one, or at the end, when all are asked once more with nothing to say and `last`."""

    name: str
    message: str | None
    progress: float = 0
    total: float | None = None
    piece: bool = False
    last: bool = False


@dataclass(slots=True)
class LogPayload:
    """A call says something to the log of its client."""

    name: str
    data: Any
    level: str = "info"
    logger: str | None = None


@dataclass(slots=True)
class QuestionPayload:
    """A question to the user or the client (ElicitRequest, CreateMessageRequest): its `params`."""

    name: str
    params: dict[str, Any]


@dataclass(slots=True)
class AnswerPayload:
    """What came back: an ElicitResult or a CreateMessageResult."""

    name: str
    answer: dict[str, Any]


class Hook(NamedTuple):
    """A moment at which plugins are asked: what they are shown, and which fields of it they may change."""

    name: str
    payload: type
    fields: tuple[str, ...]

    @property
    def content(self) -> str:
        """The field that may be large."""
        return self.fields[-1]


HOOKS: Final[Mapping[str, Hook]] = {
    hook.name: hook
    for hook in (
        Hook("prompt_pre_fetch", PromptPrehookPayload, ("args",)),
        Hook("prompt_post_fetch", PromptPosthookPayload, ("result",)),
        Hook("tool_pre_invoke", ToolPreInvokePayload, ("name", "args")),
        Hook("tool_post_invoke", ToolPostInvokePayload, ("result",)),
        Hook("resource_pre_fetch", ResourcePreFetchPayload, ("uri",)),
        Hook("resource_post_fetch", ResourcePostFetchPayload, ("content",)),
        Hook("completion_post", CompletionPayload, ("result",)),
        Hook("tools_post_list", ListPayload, ("items",)),
        Hook("prompts_post_list", ListPayload, ("items",)),
        Hook("resources_post_list", ListPayload, ("items",)),
        Hook("progress_pre_send", ProgressPayload, ("message",)),
        Hook("log_pre_send", LogPayload, ("data",)),
        Hook("elicitation_pre", QuestionPayload, ("params",)),
        Hook("elicitation_post", AnswerPayload, ("answer",)),
        Hook("sampling_pre", QuestionPayload, ("params",)),
        Hook("sampling_post", AnswerPayload, ("answer",)),
    )
}
"""All hooks, by name."""


class Plugin:
    """Base of all plugins. Hooks that a class does not have cost nothing.

    `implementation` says what its inner loop is made of: "rust" or "python".
    """

    implementation: Implementation = "python"
    store: Store | None = None
    """What outlives a process and may be shared by several; there before the plugin starts."""
    coding: Coding | None = None
    """How whole HTTP answers are coded; the first plugin that says so is heard."""

    def __init__(self, config: PluginConfig) -> None:
        self.config = config

    @property
    def mode(self) -> PluginMode:
        """Its mode in the config."""
        return self.config.mode

    @property
    def priority(self) -> int:
        """Its priority in the config."""
        return self.config.priority

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self.config.name

    def passing(self, hook: str) -> Passing | None:
        """What tells, from the JSON of what may be changed and from who asks, that a hook has nothing to say: it is
        asked first, and the hook only where it says False. None where only the hook itself can tell.

        Called once for each hook, before the plugin starts."""
        return None

    async def initialize(self) -> None:
        """Called once before its first hook."""

    async def shutdown(self) -> None:
        """Called once after its last hook."""


PromptPrehookResult = PluginResult[PromptPrehookPayload]
PromptPosthookResult = PluginResult[PromptPosthookPayload]
ToolPreInvokeResult = PluginResult[ToolPreInvokePayload]
ToolPostInvokeResult = PluginResult[ToolPostInvokePayload]
ResourcePreFetchResult = PluginResult[ResourcePreFetchPayload]
ResourcePostFetchResult = PluginResult[ResourcePostFetchPayload]
