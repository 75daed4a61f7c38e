"""The fixture of the conformance suite as a component of wasi:mcp, written against its interfaces themselves.

There is no sound, which the proposal has no block for. With BAD in its environment it offers what misbehave.py does,
too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import misbehave
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import handlers
from wit_world.imports import capabilities, content, runtime, types

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

Block = Any
text = misbehave.text


def image() -> Block:
    return content.ContentBlock_Image(content.ImageContent("image", PNG, "image/png", None))


def embedded(uri: str, mime: str, words: str) -> Block:
    return content.ContentBlock_EmbeddedResource(content.EmbeddedResource("resource", uri, mime, words, None, None))


def simple_text(arguments: dict[str, Any]) -> list[Block]:
    return [text("This is a simple text response for testing.")]


def multiple(arguments: dict[str, Any]) -> list[Block]:
    mixed = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return [text("Multiple content types test:"), image(), mixed]


def logging(arguments: dict[str, Any]) -> list[Block]:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        runtime.log(content.LogLevel.INFO, line, None)
        time.sleep(0.05)
    return [text("Logged three lines.")]


def progress(arguments: dict[str, Any]) -> list[Block]:
    for done in (0, 50, 100):
        runtime.report_progress("any", done, 100)
        time.sleep(0.05)
    return [text("Reported progress three times.")]


def diagnostic(arguments: dict[str, Any]) -> list[Block]:
    for level in (content.LogLevel.DEBUG, content.LogLevel.INFO, content.LogLevel.ERROR):
        runtime.log(level, "line", None)
    return [text("Logged.")]


TOOLS: dict[str, tuple[str, Callable[[dict[str, Any]], list[Block]]]] = {
    "test_simple_text": ("Answer with text.", simple_text),
    "test_image_content": ("Answer with an image.", lambda _: [image()]),
    "test_embedded_resource": (
        "Answer with an embedded resource.",
        lambda _: [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
    ),
    "test_multiple_content_types": ("Answer with text, an image and a resource.", multiple),
    "test_error_handling": (
        "Fail on purpose.",
        lambda _: [text("This tool intentionally returns an error for testing")],
    ),
    "test_tool_with_logging": ("Write three log lines.", logging),
    "test_tool_with_progress": ("Report progress three times.", progress),
    "test_logging_tool": ("Write a log line of each kind.", diagnostic),
    "json_schema_2020_12_tool": ("Take arguments of its own schema.", lambda given: [text(f"Received: {given}")]),
    "test_x_mcp_header": ("Take a mirrored argument.", lambda given: [text(f"Region: {given.get('region')}")]),
}
SCHEMAS = {
    "json_schema_2020_12_tool": SCHEMA_2020_12,
    "test_x_mcp_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "description": "Region", "x-mcp-header": "Region"}},
    },
}


def definition(name: str, told: str) -> Any:
    schema = json.dumps(SCHEMAS.get(name, {"type": "object"})).encode()
    return runtime.ToolDefinition(name, None, told, schema, None, None)


def argument(name: str, told: str) -> Any:
    return runtime.PromptArgument(name, told, True)


class Run(exports.Run):
    def run(self) -> None:
        some = capabilities
        declared = some.ServerCapabilities(
            None, some.LoggingCapability(None), some.CompletionsCapability(None), some.PromptsCapability(None),
            some.ResourcesCapability(True, None), some.ToolsCapability(None), None, None,
        )  # fmt: skip
        runtime.register_server(runtime.ServerInfo("everything", "1.0.0", declared, "Every tool here is for tests."))
        runtime.register_tools([definition(name, told) for name, (told, _) in TOOLS.items()])
        plain = "text/plain"
        runtime.register_resources(
            [
                runtime.ResourceDefinition("test://static-text", "Static text", None, "Text.", plain, None),
                runtime.ResourceDefinition("test://static-binary", "Static binary", None, "Bytes.", "image/png", None),
                runtime.ResourceDefinition("test://watched-resource", "Watched", None, "Watch it.", plain, None),
            ]
        )
        runtime.register_resource_templates(
            [runtime.ResourceTemplate("test://template/{id}/data", "Template", None, "Data.", "application/json")]
        )
        arguments = [argument("arg1", "First argument"), argument("arg2", "Second argument")]
        uri = [argument("resourceUri", "URI of the resource to embed")]
        runtime.register_prompts(
            [
                runtime.PromptDefinition("test_simple_prompt", None, "Without arguments.", None),
                runtime.PromptDefinition("test_prompt_with_arguments", None, "With two arguments.", arguments),
                runtime.PromptDefinition("test_prompt_with_embedded_resource", None, "Embeds a resource.", uri),
                runtime.PromptDefinition("test_prompt_with_image", None, "With an image.", None),
            ]
        )
        if "BAD" in os.environ:
            misbehave.register(os.environ["BAD"])
        runtime.serve()


class Handlers(exports.Handlers):
    def call_tool(self, name: str, arguments: bytes) -> Any:
        if name not in TOOLS:
            return handlers.ToolResult(misbehave.act(name), None)
        _, work = TOOLS[name]
        return handlers.ToolResult(work(json.loads(arguments or b"{}")), name == "test_error_handling" or None)

    def read_resource(self, uri: str) -> Any:
        if uri.startswith("bad://"):
            return handlers.ResourceContents(misbehave.act(uri.removeprefix("bad://")))
        found: Block
        if uri == "test://static-text":
            found = embedded(uri, "text/plain", "This is the content of the static text resource.")
        elif uri == "test://static-binary":
            found = content.ContentBlock_EmbeddedResource(
                content.EmbeddedResource("resource", uri, "image/png", None, PNG, None)
            )
        elif uri == "test://watched-resource":
            found = embedded(uri, "text/plain", "This is the content of the watched resource.")
        elif uri.startswith("test://template/") and uri.endswith("/data"):
            id = uri.split("/")[3]
            data = {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}
            found = embedded(uri, "application/json", json.dumps(data))
        else:
            data = json.dumps({"uri": uri}).encode()
            raise Err(types.Error(types.ErrorCode.RESOURCE_NOT_FOUND, f"no resource {uri}", data))
        return handlers.ResourceContents([found])

    def get_prompt(self, name: str, arguments: bytes | None) -> Any:
        given = json.loads(arguments or b"{}")
        if name == "test_simple_prompt":
            found = [text("This is a simple prompt for testing.")]
        elif name == "test_prompt_with_arguments":
            found = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        elif name == "test_prompt_with_embedded_resource":
            found = [
                embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing."),
                text("Please process the embedded resource above."),
            ]
        elif name == "test_prompt_with_image":
            found = [image(), text("Please analyze the image above.")]
        else:
            found = misbehave.act(name)
        return handlers.PromptContents([content.PromptMessage(content.MessageRole.USER, each) for each in found])

    def handle_subscribe(self, uri: str) -> None:
        if uri.startswith("bad://"):
            misbehave.silently(uri.removeprefix("bad://"))

    def handle_unsubscribe(self, uri: str) -> None:
        if uri.startswith("bye://"):
            misbehave.silently(uri.removeprefix("bye://"))

    def handle_complete(self, ref_type: Any, ref_value: str) -> list[Any]:
        typed = json.loads(ref_value)["argument"]["value"]
        if typed in misbehave.DEEDS:
            return [handlers.Completion(block.value.text, None) for block in misbehave.act(typed)]
        return [handlers.Completion(word, None) for word in ("paris", "park", "party") if word.startswith(typed)]

    def handle_elicit(self, message: str, fields: list[Any]) -> Any:
        said = "".join(block.value.text for block in misbehave.act(message))
        return handlers.ElicitationResponse(json.dumps({each.name: said for each in fields}).encode())
