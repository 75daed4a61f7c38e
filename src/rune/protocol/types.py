"""The values of the 2026-07-28 wire as TypedDicts, for whoever builds or reads them; names and keys are the schema's.

They are plain dicts at run time: fields that are not listed here pass through untouched.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Role: TypeAlias = Literal["assistant", "user"]
LoggingLevel: TypeAlias = Literal["alert", "critical", "debug", "emergency", "error", "info", "notice", "warning"]
CacheScope: TypeAlias = Literal["private", "public"]
JSONObject: TypeAlias = dict[str, Any]
RequestId: TypeAlias = str | int
ProgressToken: TypeAlias = str | int

# Every `_meta` is open, so these list what Rune knows; keys like these need the functional form.
ResultMetaObject = TypedDict("ResultMetaObject", {"io.modelcontextprotocol/serverInfo": NotRequired["Implementation"]})
NotificationMetaObject = TypedDict(
    "NotificationMetaObject", {"io.modelcontextprotocol/subscriptionId": NotRequired[RequestId]}
)
RequestMetaObject = TypedDict(
    "RequestMetaObject",
    {
        "io.modelcontextprotocol/protocolVersion": str,
        "io.modelcontextprotocol/clientCapabilities": "ClientCapabilities",
        "io.modelcontextprotocol/clientInfo": NotRequired["Implementation"],
        "io.modelcontextprotocol/logLevel": NotRequired[LoggingLevel],
        "progressToken": NotRequired[ProgressToken],
    },
)


class BaseMetadata(TypedDict):
    name: str
    title: NotRequired[str]


class Icon(TypedDict):
    src: str
    mimeType: NotRequired[str]
    sizes: NotRequired[list[str]]
    theme: NotRequired[Literal["dark", "light"]]


class Icons(TypedDict):
    icons: NotRequired[list[Icon]]


class Implementation(BaseMetadata, Icons):
    version: str
    description: NotRequired[str]
    websiteUrl: NotRequired[str]


class SamplingCapability(TypedDict):
    context: NotRequired[JSONObject]
    tools: NotRequired[JSONObject]


class ElicitationCapability(TypedDict):
    form: NotRequired[JSONObject]
    url: NotRequired[JSONObject]


class ClientCapabilities(TypedDict):
    elicitation: NotRequired[ElicitationCapability]
    experimental: NotRequired[dict[str, JSONObject]]
    extensions: NotRequired[dict[str, JSONObject]]
    roots: NotRequired[JSONObject]
    sampling: NotRequired[SamplingCapability]


class ListCapability(TypedDict):
    listChanged: NotRequired[bool]


class ResourcesCapability(TypedDict):
    listChanged: NotRequired[bool]
    subscribe: NotRequired[bool]


class ServerCapabilities(TypedDict):
    completions: NotRequired[JSONObject]
    experimental: NotRequired[dict[str, JSONObject]]
    extensions: NotRequired[dict[str, JSONObject]]
    logging: NotRequired[JSONObject]
    prompts: NotRequired[ListCapability]
    resources: NotRequired[ResourcesCapability]
    tools: NotRequired[ListCapability]


# --- content ---------------------------------------------------------------------------------------------------------


class Annotations(TypedDict):
    audience: NotRequired[list[Role]]
    lastModified: NotRequired[str]
    priority: NotRequired[float]


class _Annotated(TypedDict):
    annotations: NotRequired[Annotations]
    _meta: NotRequired[JSONObject]


class TextContent(_Annotated):
    type: Literal["text"]
    text: str


class ImageContent(_Annotated):
    type: Literal["image"]
    data: str
    mimeType: str


class AudioContent(_Annotated):
    type: Literal["audio"]
    data: str
    mimeType: str


class Resource(BaseMetadata, Icons, _Annotated):
    uri: str
    description: NotRequired[str]
    mimeType: NotRequired[str]
    size: NotRequired[int]


class ResourceLink(Resource):
    type: Literal["resource_link"]


class ResourceContents(TypedDict):
    uri: str
    mimeType: NotRequired[str]
    _meta: NotRequired[JSONObject]


class TextResourceContents(ResourceContents):
    text: str


class BlobResourceContents(ResourceContents):
    blob: str


class EmbeddedResource(_Annotated):
    type: Literal["resource"]
    resource: TextResourceContents | BlobResourceContents


ContentBlock: TypeAlias = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource


# --- what a server offers --------------------------------------------------------------------------------------------


class ToolAnnotations(TypedDict):
    title: NotRequired[str]
    readOnlyHint: NotRequired[bool]
    destructiveHint: NotRequired[bool]
    idempotentHint: NotRequired[bool]
    openWorldHint: NotRequired[bool]


class Tool(BaseMetadata, Icons):
    inputSchema: JSONObject
    outputSchema: NotRequired[JSONObject]
    description: NotRequired[str]
    annotations: NotRequired[ToolAnnotations]
    _meta: NotRequired[JSONObject]


class ResourceTemplate(BaseMetadata, Icons, _Annotated):
    uriTemplate: str
    description: NotRequired[str]
    mimeType: NotRequired[str]


class PromptArgument(BaseMetadata):
    description: NotRequired[str]
    required: NotRequired[bool]


class Prompt(BaseMetadata, Icons):
    description: NotRequired[str]
    arguments: NotRequired[list[PromptArgument]]
    _meta: NotRequired[JSONObject]


class PromptMessage(TypedDict):
    role: Role
    content: ContentBlock


# --- results ---------------------------------------------------------------------------------------------------------


class Result(TypedDict):
    resultType: str
    _meta: NotRequired[ResultMetaObject]


class CacheableResult(Result):
    ttlMs: int
    cacheScope: CacheScope


class PaginatedResult(Result):
    nextCursor: NotRequired[str]


class DiscoverResult(CacheableResult):
    supportedVersions: list[str]
    capabilities: ServerCapabilities
    instructions: NotRequired[str]


class ListToolsResult(CacheableResult, PaginatedResult):
    tools: list[Tool]


class ListResourcesResult(CacheableResult, PaginatedResult):
    resources: list[Resource]


class ListResourceTemplatesResult(CacheableResult, PaginatedResult):
    resourceTemplates: list[ResourceTemplate]


class ListPromptsResult(CacheableResult, PaginatedResult):
    prompts: list[Prompt]


class CallToolResult(Result):
    content: list[ContentBlock]
    structuredContent: NotRequired[Any]
    isError: NotRequired[bool]


class ReadResourceResult(CacheableResult):
    contents: list[TextResourceContents | BlobResourceContents]


class GetPromptResult(Result):
    messages: list[PromptMessage]
    description: NotRequired[str]


class Completion(TypedDict):
    values: list[str]
    total: NotRequired[int]
    hasMore: NotRequired[bool]


class CompleteResult(Result):
    completion: Completion


# --- questions to the client -----------------------------------------------------------------------------------------


class ToolUseContent(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: JSONObject
    _meta: NotRequired[JSONObject]


class ToolResultContent(TypedDict):
    type: Literal["tool_result"]
    toolUseId: str
    content: list[ContentBlock]
    structuredContent: NotRequired[Any]
    isError: NotRequired[bool]
    _meta: NotRequired[JSONObject]


SamplingMessageContentBlock: TypeAlias = TextContent | ImageContent | AudioContent | ToolUseContent | ToolResultContent


class SamplingMessage(TypedDict):
    role: Role
    content: SamplingMessageContentBlock | list[SamplingMessageContentBlock]
    _meta: NotRequired[JSONObject]


class ModelHint(TypedDict):
    name: NotRequired[str]


class ModelPreferences(TypedDict):
    hints: NotRequired[list[ModelHint]]
    costPriority: NotRequired[float]
    intelligencePriority: NotRequired[float]
    speedPriority: NotRequired[float]


class ToolChoice(TypedDict):
    mode: NotRequired[Literal["auto", "none", "required"]]


class CreateMessageRequestParams(TypedDict):
    messages: list[SamplingMessage]
    maxTokens: int
    includeContext: NotRequired[Literal["allServers", "none", "thisServer"]]
    metadata: NotRequired[JSONObject]
    modelPreferences: NotRequired[ModelPreferences]
    stopSequences: NotRequired[list[str]]
    systemPrompt: NotRequired[str]
    temperature: NotRequired[float]
    toolChoice: NotRequired[ToolChoice]
    tools: NotRequired[list[Tool]]


class CreateMessageResult(TypedDict):
    role: Role
    content: SamplingMessageContentBlock | list[SamplingMessageContentBlock]
    model: str
    stopReason: NotRequired[str]
    _meta: NotRequired[JSONObject]


class ElicitRequestFormParams(TypedDict):
    message: str
    requestedSchema: JSONObject
    mode: NotRequired[Literal["form"]]


class ElicitRequestURLParams(TypedDict):
    message: str
    mode: Literal["url"]
    url: str


class ElicitResult(TypedDict):
    action: Literal["accept", "cancel", "decline"]
    content: NotRequired[dict[str, str | int | bool | list[str]]]


class Root(TypedDict):
    uri: str
    name: NotRequired[str]
    _meta: NotRequired[JSONObject]


class ListRootsResult(TypedDict):
    roots: list[Root]


class CreateMessageRequest(TypedDict):
    method: Literal["sampling/createMessage"]
    params: CreateMessageRequestParams


class ElicitRequest(TypedDict):
    method: Literal["elicitation/create"]
    params: ElicitRequestFormParams | ElicitRequestURLParams


class ListRootsRequest(TypedDict):
    method: Literal["roots/list"]
    params: NotRequired[JSONObject]


InputRequest: TypeAlias = CreateMessageRequest | ElicitRequest | ListRootsRequest
InputResponse: TypeAlias = CreateMessageResult | ElicitResult | ListRootsResult


class InputRequiredResult(Result):
    inputRequests: NotRequired[dict[str, InputRequest]]
    requestState: NotRequired[str]


class SubscriptionFilter(TypedDict):
    toolsListChanged: NotRequired[bool]
    promptsListChanged: NotRequired[bool]
    resourcesListChanged: NotRequired[bool]
    resourceSubscriptions: NotRequired[list[str]]


class ProgressNotificationParams(TypedDict):
    progressToken: ProgressToken
    progress: float
    total: NotRequired[float]
    message: NotRequired[str]
    _meta: NotRequired[NotificationMetaObject]


class LoggingMessageNotificationParams(TypedDict):
    level: LoggingLevel
    data: Any
    logger: NotRequired[str]
    _meta: NotRequired[NotificationMetaObject]
