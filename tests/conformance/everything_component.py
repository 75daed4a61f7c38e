"""The tools, resources, prompts and completion of the conformance suite, for a component and as a file alike.

`rune wasm build` makes a component of rune:guest of it. What asks the user, runs as a task or changes the lists is in
`everything.py` only.
"""

from __future__ import annotations

import base64
import time
from typing import Any

from rune import Audio, Context, Embedded, Image, Message, Server, ToolError

server = Server("everything", version="1.0.0", instructions="Every tool here exists to be tested.")

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = base64.b64decode("UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=")


@server.tool
def test_simple_text() -> str:
    """Answer with text."""
    return "This is a simple text response for testing."


@server.tool
def test_image_content() -> Image:
    """Answer with an image."""
    return Image(PNG, "image/png")


@server.tool
def test_audio_content() -> Audio:
    """Answer with sound."""
    return Audio(WAV, "audio/wav")


@server.tool
def test_embedded_resource() -> Embedded:
    """Answer with an embedded resource."""
    return Embedded("test://embedded-resource", "This is an embedded resource content.", "text/plain")


@server.tool
def test_multiple_content_types() -> list[str | Image | Embedded]:
    """Answer with text, an image and a resource."""
    return [
        "Multiple content types test:",
        Image(PNG, "image/png"),
        Embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ]


@server.tool
def test_error_handling() -> str:
    """Fail on purpose."""
    raise ToolError("This tool intentionally returns an error for testing")


@server.tool
async def test_tool_with_logging(ctx: Context) -> str:
    """Write three log lines."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(line)
        time.sleep(0.05)
    return "Logged three lines."


@server.tool
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.progress(done, 100)
        time.sleep(0.05)
    return "Reported progress three times."


@server.tool(
    input_schema={
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
)
def json_schema_2020_12_tool(**arguments: Any) -> str:
    """Take arguments that a schema of its own describes."""
    return f"Received: {sorted(arguments)}"


@server.tool(
    input_schema={
        "type": "object",
        "properties": {"region": {"type": "string", "description": "Region", "x-mcp-header": "Region"}},
    }
)
def test_x_mcp_header(region: str = "") -> str:  # noqa: PT028
    """Take an argument that a header mirrors."""
    return f"Region: {region}"


@server.tool
async def test_logging_tool(ctx: Context) -> str:
    """Write a log line of each kind."""
    await ctx.debug("debug line")
    await ctx.info("info line")
    await ctx.error("error line")
    return "Logged."


@server.resource("test://static-text", name="Static text", mime_type="text/plain")
def static_text() -> str:
    """Text that never changes."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", name="Static binary", mime_type="image/png")
def static_binary() -> bytes:
    """Bytes that never change."""
    return PNG


@server.resource("test://watched-resource", name="Watched resource", mime_type="text/plain")
def watched_resource() -> str:
    """A resource to subscribe to."""
    return "This is the content of the watched resource."


@server.resource("test://template/{id}/data", name="Template", mime_type="application/json")
def template(id: str) -> dict[str, Any]:
    """Data for any id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@server.prompt
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments.

    Args:
        arg1: First argument
        arg2: Second argument
    """
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A prompt that embeds a resource.

    Args:
        resourceUri: URI of the resource to embed
    """
    return [
        Message(Embedded(resourceUri, "Embedded resource content for testing.", "text/plain")),
        Message("Please process the embedded resource above."),
    ]


@server.prompt
def test_prompt_with_image() -> list[Message]:
    """A prompt with an image."""
    return [Message(Image(PNG, "image/png")), Message("Please analyze the image above.")]


@server.completion("test_prompt_with_arguments", "arg1")
def complete_arg1(value: str) -> list[str]:
    """Complete the first argument."""
    return [word for word in ("paris", "park", "party") if word.startswith(value)]
